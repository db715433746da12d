package main

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-gateway/gatehouse/metrics"
	"github.com/gatehouse-gateway/gatehouse/proxy"
	"github.com/gatehouse-gateway/gatehouse/seal"
	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/session/sessiontest"
)

// bare returns what makes gateways without routes.
func bare() func() *gateway {
	store, keys := sessiontest.NewMemory(), seal.Random()
	front := proxy.New(proxy.Options{Recorder: metrics.New(prometheus.NewRegistry(), metrics.BuildInfo{})})
	return func() *gateway {
		m := session.NewManager(session.Options{Store: store, Index: store, Throttle: store, Keyring: keys})
		keeper := session.NewKeeper(session.KeeperOptions{Keyring: keys, Store: store})
		if _, err := keeper.Open(context.Background()); err != nil {
			panic(err)
		}
		return &gateway{sessions: m, front: front, keeper: keeper}
	}
}

func TestRequestsNeverMeetAGatewayThatHasEnded(t *testing.T) {
	log, another := slog.New(slog.DiscardHandler), bare()
	f := &fleet{log: log}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if f.enter() != nil {
		t.Error("somebody entered before there was a gateway")
	}
	f.replace(ctx, work(ctx, another(), log))
	stop := make(chan struct{})
	var visitors sync.WaitGroup
	for range 8 {
		visitors.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				g := f.enter()
				for range 50 { // who got in wrongly sees the end come
					runtime.Gosched()
				}
				select {
				case <-g.done:
					t.Error("the gateway has ended")
				default:
				}
				g.visits.leave()
			}
		})
	}
	for range 200 {
		f.replace(ctx, work(ctx, another(), log))
	}
	close(stop)
	visitors.Wait()
	f.retiring.Wait()
	if n := len(f.retired); n != 0 {
		t.Errorf("%d gateways are left over; want none", n)
	}
	f.finish(ctx)
	<-f.current.Load().done
}

// Between finding a gateway and being counted there, it may be replaced.
func TestRequestThatComesTooLateIsTurnedToTheNewest(t *testing.T) {
	log, another := slog.New(slog.DiscardHandler), bare()
	f := &fleet{log: log}
	f.replace(t.Context(), work(t.Context(), another(), log))
	found := f.current.Load()
	f.replace(t.Context(), work(t.Context(), another(), log))
	if f.admit(found) {
		t.Error("a gateway that was replaced lets in")
		found.visits.leave()
	}
	f.retiring.Wait()
	if g := f.enter(); g != f.current.Load() {
		t.Error("the newest one does not let in")
	} else {
		g.visits.leave()
	}
	f.finish(t.Context())
}

// A request that does not end keeps its gateway, until patience does.
func TestReplacedGatewayEndsWithItsLastRequest(t *testing.T) {
	log, another := slog.New(slog.DiscardHandler), bare()
	for name, patient := range map[string]bool{"the request ends": true, "patience ends": false} {
		t.Run(name, func(t *testing.T) {
			f := &fleet{log: log}
			life, giveUp := context.WithCancel(t.Context())
			defer giveUp()
			f.replace(life, work(t.Context(), another(), log))
			old := f.enter()
			f.replace(life, work(t.Context(), another(), log))
			select {
			case <-old.done:
				t.Fatal("it ended under a request")
			default:
			}
			if patient {
				old.visits.leave()
			} else {
				giveUp()
			}
			<-old.done
			f.retiring.Wait()
			f.finish(life)
		})
	}
}
