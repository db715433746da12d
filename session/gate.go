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

// gates lets a few at a time through for each key. The zero value is ready.
type gates struct {
	mu sync.Mutex
	m  map[string]*gate // guarded by mu
}

type gate struct {
	refs int           // guarded by gates.mu
	in   chan struct{} // holds those inside
}

// enter waits until fewer than n are inside for a key. The error is Unavailable,
// or that of ctx.
func (g *gates) enter(ctx context.Context, key string, n int) (leave func(), err error) {
	one, ok := g.take(key, n)
	if !ok {
		return nil, &token.Error{
			Kind: token.Unavailable, RetryAfter: time.Second,
			Msg: "Too many logins are under way. Try again shortly.",
		}
	}
	select {
	case one.in <- struct{}{}:
		return func() { <-one.in; g.drop(key, one) }, nil
	case <-ctx.Done():
		g.drop(key, one)
		return nil, ctx.Err()
	}
}

func (g *gates) take(key string, n int) (*gate, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.m == nil {
		g.m = map[string]*gate{}
	}
	one := g.m[key]
	if one == nil {
		one = &gate{in: make(chan struct{}, n)}
		g.m[key] = one
	}
	if one.refs >= n+maxQueue {
		return nil, false
	}
	one.refs++
	return one, true
}

func (g *gates) drop(key string, one *gate) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if one.refs--; one.refs == 0 {
		delete(g.m, key)
	}
}
