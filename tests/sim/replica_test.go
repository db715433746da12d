package sim_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-gateway/gatehouse/redisstore"
	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/tests/sim/store"
	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream"
)

// replica is one place where a gateway runs, one process after another.
type replica struct {
	w *world
	n int

	mu      sync.Mutex
	process *process // guarded by mu; nil: it is down
	lives   int      // guarded by mu: how many there were
	past    []*process
}

// process is one gateway, from its start to its crash.
type process struct {
	w       *world
	replica int
	life    int
	name    string // "r1.2" is the second one of replica 1

	client      *redisstore.Client
	sessions    *session.Manager
	own, shared *upstream.Backend
	ownIssuer   *session.Issuer
	userIssuer  *session.Issuer

	dead    chan struct{} // closed by the crash
	crashed atomic.Bool
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu    sync.Mutex
	conns []*store.Conn // guarded by mu
}

func newReplica(w *world, n int) *replica { return &replica{w: w, n: n} }

// up returns the process that runs, or nil.
func (r *replica) up() *process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.process
}

// start has a process start after some time.
func (r *replica) start(after time.Duration) {
	r.mu.Lock()
	r.lives++
	p := &process{
		w: r.w, replica: r.n, life: r.lives, name: fmt.Sprintf("r%d.%d", r.n, r.lives), dead: make(chan struct{}),
	}
	r.mu.Unlock()
	if after > 0 {
		<-time.After(after)
	}
	p.compose()
	r.mu.Lock()
	r.process = p
	r.past = append(r.past, p)
	r.mu.Unlock()
	r.w.note("%s starts", p.name)
}

// crash ends the process at once. What it is in the midst of goes on without a
// network, and nobody hears of it.
func (r *replica) crash() {
	r.mu.Lock()
	p := r.process
	r.process = nil
	r.mu.Unlock()
	if p == nil {
		return
	}
	r.w.note("%s crashes", p.name)
	r.w.count(func(f *figures) { f.Crashes++; f.Faults++ })
	r.w.troubled(r.n)
	p.die()
}

func (p *process) die() {
	p.crashed.Store(true)
	close(p.dead)
	p.mu.Lock()
	conns := slices.Clone(p.conns)
	p.mu.Unlock()
	for _, c := range conns {
		c.Cut()
	}
	p.cancel()
	p.client.Close()
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	_ = p.own.Drain(gone)    // so that it does not go on trying
	_ = p.shared.Drain(gone) // as above
}

// stop ends the process and waits for all there ever were.
func (r *replica) stop() {
	if p := r.up(); p != nil {
		p.die()
	}
	for _, p := range r.past {
		p.running.Wait()
		_ = p.own.Drain(context.Background())    // now it has nothing to do but to end what it began
		_ = p.shared.Drain(context.Background()) // as above
	}
}

// compose puts a gateway together of the parts of the product, as main does.
func (p *process) compose() {
	w := p.w
	log := slog.New(diary{w, p.name})
	client, err := redisstore.Open(redisstore.Options{URL: "redis://store:6379/0", Dial: p.dial, Log: log})
	if err != nil {
		panic(err) // the URL is a constant
	}
	p.client = client
	feed := client.Feed()
	p.sessions = session.NewManager(session.Options{
		Store: client.Sessions(), Feed: feed, Index: client.Sessions(), Roll: client.Roll(), Keyring: w.ring,
		Throttle: client.Throttle(), Log: log, DegradedFor: w.plan.degraded,
	})
	p.own = upstream.New(p.backend("own", nil, feed, log))
	p.shared = upstream.New(p.backend("shared", &upstream.Account{Username: "svc", Password: token.NewSecret(password)}, feed, log))
	p.ownIssuer = p.issuer("backend:own", p.own)
	p.ownIssuer.Backend = p.own
	p.userIssuer = p.issuer(session.SourceUsers, people{})
	p.sessions.Know(p.ownIssuer)
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	for i, run := range []func(context.Context) error{p.sessions.Run, p.own.Run, p.shared.Run} {
		p.running.Go(func() {
			// Not all at once, so that their clocks do not strike at the same instant.
			if pass(ctx, w.between(p.name+" part", time.Microsecond, 20*time.Millisecond)+time.Duration(i)) {
				_ = run(ctx)
			}
		})
	}
}

func (p *process) backend(name string, account *upstream.Account, news upstream.Notices, log *slog.Logger) upstream.Config {
	b := p.client.Backends()
	return upstream.Config{
		Name: name, URL: p.w.base, Dialect: p.w.spoken, Account: account, Transport: transport{p, name},
		Store: b, Pins: b, Duties: b, Challenges: b, Keyring: p.w.ring, Log: log, Notices: news, Limits: p.w.plan.limits,
	}
}

func (p *process) issuer(source string, v session.Verifier) *session.Issuer {
	return &session.Issuer{
		Name: "sim", Dialect: "sim", Source: source, AccessTTL: p.w.plan.accessTTL, RefreshTTL: time.Hour,
		Rotates: true, Grace: p.w.plan.grace, Shape: shape{}, Verifier: v,
	}
}

const password = "right"

// people is everybody whom the gateway itself checks.
type people struct{}

func (people) Verify(_ context.Context, _ token.SID, g token.Grant) (token.Identity, error) {
	if g.Password.Reveal() != password {
		return token.Identity{}, token.Fail(token.BadCredentials, "no", nil)
	}
	return token.Identity{Name: g.Username, ID: g.Username}, nil
}

var errDown = errors.New("connection refused")

// dial connects to the store. Neither it nor what the client library says at first
// takes any time: the library dials for its subscription under a lock, and time
// stands still in a bubble while somebody waits for a lock.
func (p *process) dial(context.Context, string, string) (net.Conn, error) {
	switch {
	case p.crashed.Load():
		return nil, errDown
	case !p.w.reachable(p.replica):
		p.w.troubled(p.replica)
		return nil, os.ErrDeadlineExceeded
	}
	l := &link{p: p}
	c := p.w.store.Dial(p, l.carry)
	p.mu.Lock()
	p.conns = append(slices.DeleteFunc(p.conns, (*store.Conn).Over), c)
	p.mu.Unlock()
	return c, nil
}
