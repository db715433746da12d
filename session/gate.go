package session

import (
	"context"
	"sync"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// How many logins are tried at once, since a failure is counted only when it is
// known: of one account, and from one address. So many may go beyond the limit
// of the throttle, one fewer than this on each replica.
const (
	openAccount = 2
	openAddress = 8
	maxQueue    = 128 // that wait for one account or address
)

// gates lets a few at a time through for each key. Those of one key share a
// state for as long as any of them is there. The zero value is ready.
type gates[K comparable, S any] struct {
	mu sync.Mutex
	m  map[K]*gate[S] // guarded by mu
}

type gate[S any] struct {
	refs  int           // guarded by gates.mu
	in    chan struct{} // holds those inside
	state S             // guarded by being inside, where one is let in at a time
}

// enter waits until fewer than n are inside for a key, with at most queue others
// waiting; queue 0 is no limit. The error is Unavailable, or that of ctx.
func (g *gates[K, S]) enter(ctx context.Context, key K, n, queue int) (one *gate[S], leave func(), err error) {
	one, ok := g.take(key, n, queue)
	if !ok {
		return nil, nil, &token.Error{
			Kind: token.Unavailable, RetryAfter: time.Second,
			Msg: "Too many logins are under way. Try again shortly.",
		}
	}
	select {
	case one.in <- struct{}{}:
		return one, func() { <-one.in; g.drop(key, one) }, nil
	case <-ctx.Done():
		g.drop(key, one)
		return nil, nil, ctx.Err()
	}
}

func (g *gates[K, S]) take(key K, n, queue int) (*gate[S], bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.m == nil {
		g.m = map[K]*gate[S]{}
	}
	one := g.m[key]
	if one == nil {
		one = &gate[S]{in: make(chan struct{}, n)}
		g.m[key] = one
	}
	if queue > 0 && one.refs >= n+queue {
		return nil, false
	}
	one.refs++
	return one, true
}

func (g *gates[K, S]) drop(key K, one *gate[S]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if one.refs--; one.refs == 0 {
		delete(g.m, key)
	}
}
