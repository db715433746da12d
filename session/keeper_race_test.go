package session_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/seal"
	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/session/sessiontest"
)

// slowStore is a store that takes its time before and after each heartbeat, so that
// those of several replicas interleave in every way.
type slowStore struct{ *sessiontest.Memory }

func (s slowStore) Beat(ctx context.Context, r session.Replica, life time.Duration) (session.Roster, error) {
	time.Sleep(rand.N(30 * time.Millisecond))
	roster, err := s.Memory.Beat(ctx, r, life)
	time.Sleep(rand.N(30 * time.Millisecond))
	return roster, err
}

// comer is a replica of the crowd below.
type comer struct {
	*session.Keeper
	ring *seal.Keyring
	id   string
	stop context.CancelFunc
	done chan struct{}
}

// Replicas come and go with every list there can be while a secret is added, moved
// and removed, also in a wrong order. Those that are ready can check what any of
// them makes, at every moment.
func TestThoseWhoAreReadyCanCheckEachOther(t *testing.T) {
	lists := [][]string{{oldSecret}, {oldSecret, newSecret}, {newSecret, oldSecret}, {newSecret}, {otherSecret, newSecret, oldSecret}}
	inBubble(t, func(t *testing.T, memory *sessiontest.Memory) {
		store := slowStore{memory}
		var alive []*comer
		started, refused := 0, 0
		launch := func(id string, list []string) *comer {
			ring := keyringOf(t, list...)
			k := session.NewKeeper(session.KeeperOptions{
				Keyring: ring, Store: store, Replicas: store, Every: beatEvery, Self: session.Replica{ID: id, Host: "gate"},
			})
			if _, err := k.Open(t.Context()); err != nil {
				return nil
			}
			if err := k.Join(t.Context(), session.Lives{}); err != nil {
				return nil
			}
			ctx, cancel := context.WithCancel(t.Context())
			o := &comer{Keeper: k, ring: ring, id: id, stop: cancel, done: make(chan struct{})}
			go func() { defer close(o.done); k.Run(ctx) }()
			return o
		}
		check := func(step int) {
			t.Helper()
			for _, maker := range alive {
				for _, checker := range alive {
					if len(maker.Standing().Waiting)+len(checker.Standing().Waiting) > 0 {
						continue
					}
					using := maker.ring.Using()
					if !slices.Contains(checker.ring.Fingerprints(), using) {
						t.Fatalf("step %d: %s makes tokens with %s, which %s does not know", step, maker.id, using, checker.id)
					}
				}
			}
		}
		for step := range 600 {
			switch {
			case len(alive) > 2 && rand.IntN(2) == 0:
				i := rand.IntN(len(alive))
				o := alive[i]
				alive = slices.Delete(alive, i, i+1)
				o.stop()
				<-o.done
				if rand.IntN(2) == 0 { // else it crashed
					o.Leave(t.Context())
				}
			case len(alive) < 6: // two at once
				came := make(chan *comer, 2)
				for j := range 2 {
					go func() {
						time.Sleep(rand.N(100 * time.Millisecond))
						came <- launch(fmt.Sprintf("r%d.%d", step, j), lists[rand.IntN(len(lists))])
					}()
				}
				for range cap(came) {
					if o := <-came; o != nil {
						started++
						alive = append(alive, o)
					} else {
						refused++
					}
				}
			}
			for range 5 { // so short that steps fall between heartbeats
				time.Sleep(rand.N(300 * time.Millisecond))
				check(step)
			}
		}
		if started < 20 || refused < 20 {
			t.Errorf("started %d, refused %d: this has tested too little", started, refused)
		}
		for _, o := range alive {
			o.stop()
			<-o.done
		}
		synctest.Wait()
	})
}
