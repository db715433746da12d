package main

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-gateway/gatehouse/proxy"
)

const (
	// maxRetired is how many gateways that were replaced may be kept for their
	// streams. Each follows the store by connections of its own.
	maxRetired = 4
	// restFor is what a gateway has at least for storing tokens of backends.
	restFor = 5 * time.Second
)

// generation is a gateway at work. A process has one after the other: each is
// made of one reading of the configuration.
type generation struct {
	*gateway
	visits visits
	stop   context.CancelFunc // ends the background work
	done   chan struct{}      // closed when that has ended
}

// work starts the background work of a gateway, which ends with ctx.
func work(ctx context.Context, g *gateway, log *slog.Logger) *generation {
	ctx, stop := context.WithCancel(ctx)
	one := &generation{gateway: g, visits: visits{left: make(chan struct{}, 1)}, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(one.done)
		g.run(ctx, log)
	}()
	return one
}

// end ends the background work and waits for it.
func (g *generation) end() {
	g.stop()
	<-g.done
}

// visits counts the requests under way. One goroutine may wait for their end.
type visits struct {
	n       atomic.Int64
	awaited atomic.Bool
	left    chan struct{} // holds one: look again
}

func (v *visits) leave() {
	if v.n.Add(-1) == 0 && v.awaited.Load() {
		select {
		case v.left <- struct{}{}:
		default:
		}
	}
}

// over waits until nobody is there, and reports whether that came before ctx
// ended.
func (v *visits) over(ctx context.Context) bool {
	v.awaited.Store(true)
	for v.n.Load() != 0 {
		select {
		case <-v.left:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// fleet is the generations of one process: the one that takes the requests, and
// those before it that still have some under way. The zero value has none.
type fleet struct {
	log     *slog.Logger
	current atomic.Pointer[generation]

	mu       sync.Mutex
	retired  []*generation  // guarded by mu: the oldest first
	retiring sync.WaitGroup // one for each of retired
}

// enter counts a request in with the generation that is to answer it; nil: there
// is none yet. Whoever enters has to leave.
func (f *fleet) enter() *generation {
	for {
		if g := f.current.Load(); g == nil || f.admit(g) {
			return g
		}
	}
}

// admit counts a request in with g, unless g has been replaced: then it may have
// been found empty already.
func (f *fleet) admit(g *generation) bool {
	g.visits.n.Add(1)
	if f.current.Load() != g {
		g.visits.leave()
		return false
	}
	return true
}

// replace lets next take all requests from now on. The generation before it ends
// by itself once it has no more under way; ctx ends its patience with them.
func (f *fleet) replace(ctx context.Context, next *generation) {
	old := f.current.Swap(next)
	if old == nil {
		return
	}
	old.keeper.Rest() // they are one replica, and the newest speaks for it
	f.mu.Lock()
	defer f.mu.Unlock()
	f.retired = append(f.retired, old)
	for _, g := range f.retired[:max(0, len(f.retired)-maxRetired)] {
		g.front.CloseStreams(proxy.ServiceRestart)
	}
	f.retiring.Go(func() { f.retire(ctx, old) })
}

// retire sees a generation to its end and hands its unfinished business to the
// newest.
func (f *fleet) retire(ctx context.Context, g *generation) {
	if !g.visits.over(ctx) {
		f.log.Warn("requests of a replaced configuration were cut off")
	}
	g.retire(ctx, f.log)
	g.end()
	f.current.Load().sessions.Inherit(g.sessions)
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, one := range f.retired {
		if one == g {
			f.retired = append(f.retired[:i:i], f.retired[i+1:]...)
			return
		}
	}
}

// closeStreams ends the streams of all generations, for ever.
func (f *fleet) closeStreams(why proxy.Closing) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, g := range f.retired {
		g.front.CloseStreams(why)
	}
	if g := f.current.Load(); g != nil {
		g.front.CloseStreams(why)
	}
}

// finish waits for the end of all requests, as long as ctx lets it, and leaves
// the backends in good order. Nothing may be replaced any more.
func (f *fleet) finish(ctx context.Context) {
	g := f.current.Load()
	if g == nil {
		return
	}
	if !g.visits.over(ctx) {
		f.log.Warn("requests were cut off at the end of the drain")
	}
	f.retiring.Wait()
	rest, cancel := atLeast(ctx, restFor)
	defer cancel()
	g.drain(rest, f.log)
	g.end()
}

// atLeast returns a context that ends with ctx, but not before d has passed:
// tokens that were renewed are lost if they are not stored.
func atLeast(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	early := time.Now().Add(d)
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(time.Until(early), cancel) })
	return longer, func() { stop(); cancel() }
}

// ServeHTTP answers by the newest generation.
func (f *fleet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g := f.enter()
	if g == nil {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "the gateway is not ready; /readyz on its admin address says why", http.StatusServiceUnavailable)
		return
	}
	defer g.visits.leave()
	g.front.ServeHTTP(w, r)
}
