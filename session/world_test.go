package session_test

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/seal"
	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/session/sessiontest"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// shape is a plain form of tokens: access is self-describing unless opaque.
type shape struct{ opaque bool }

func (s shape) MintAccess(a token.Access, core token.Core) (token.Secret, error) {
	if s.opaque {
		return token.NewSecret("at-" + hex.EncodeToString(core[:])), nil
	}
	var exp int64
	if !a.ExpiresAt.IsZero() {
		exp = a.ExpiresAt.UnixMilli()
	}
	return token.NewSecret(fmt.Sprintf("jwt.%s.%d.%d.%d.%s", a.SID, a.Generation, a.IssuedAt.UnixMilli(), exp, a.Identity.Name)), nil
}

func (s shape) ParseAccess(text token.Secret) (token.Access, *token.Core, error) {
	bad := token.Fail(token.InvalidAccess, "bad", nil)
	if s.opaque {
		core, ok := parseCore(text, "at-")
		if !ok {
			return token.Access{}, nil, bad
		}
		return token.Access{}, &core, nil
	}
	f := strings.Split(text.Reveal(), ".")
	if len(f) != 6 || f[0] != "jwt" {
		return token.Access{}, nil, bad
	}
	sid, err := token.ParseSID(f[1])
	if err != nil {
		return token.Access{}, nil, bad
	}
	g, _ := strconv.ParseUint(f[2], 10, 32)
	a := token.Access{SID: sid, Generation: uint32(g)}
	if exp, _ := strconv.ParseInt(f[4], 10, 64); exp != 0 {
		if a.ExpiresAt = time.UnixMilli(exp); !time.Now().Before(a.ExpiresAt) {
			return a, nil, token.Fail(token.ExpiredAccess, "expired", nil)
		}
	}
	return a, nil, nil
}

func (shape) MintRefresh(_ token.Access, core token.Core) (token.Secret, error) {
	return mintRefresh(core), nil
}

func mintRefresh(core token.Core) token.Secret {
	return token.NewSecret("rt-" + hex.EncodeToString(core[:]))
}

func (shape) ParseRefresh(text token.Secret) (token.Access, *token.Core, error) {
	core, ok := parseCore(text, "rt-")
	if !ok {
		return token.Access{}, nil, token.Fail(token.InvalidRefresh, "", nil)
	}
	return token.Access{}, &core, nil
}

func parseCore(text token.Secret, prefix string) (c token.Core, ok bool) {
	rest, ok := strings.CutPrefix(text.Reveal(), prefix)
	b, err := hex.DecodeString(rest)
	if !ok || err != nil || len(b) != len(c) {
		return c, false
	}
	return token.Core(b), true
}

// people are Verifier and Directory: everybody's password is "right".
type people struct {
	mu     sync.Mutex
	gone   bool
	down   bool
	scopes []string
	kind   string
	proofs int
}

func (p *people) identity(name string) token.Identity {
	return token.Identity{Name: name, ID: "id-" + name, Scopes: p.scopes, Kind: p.kind}
}

func (p *people) Verify(_ context.Context, _ token.SID, g token.Grant) (token.Identity, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.proofs++
	switch {
	case p.down:
		return token.Identity{}, token.Fail(token.Unavailable, "down", nil)
	case g.Password.Reveal() != "right":
		return token.Identity{}, token.Fail(token.BadCredentials, "Unknown user or wrong password.", nil)
	}
	return p.identity(g.Username), nil
}

func (p *people) Current(id string) (token.Identity, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.identity(strings.TrimPrefix(id, "id-")), !p.gone
}

func (p *people) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// backend counts what is asked of a pass-through backend.
type backend struct {
	mu      sync.Mutex
	renewed int
	inside  int // renewals under way
	most    int // renewals there were at once
	ended   []token.SID
	err     error
}

// Renew knows a user's password as people do.
func (b *backend) Renew(_ context.Context, _ token.SID, g token.Grant) error {
	b.mu.Lock()
	b.inside++
	b.most = max(b.most, b.inside)
	b.mu.Unlock()
	<-time.After(50 * time.Millisecond)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inside--
	if g.Op == token.OpRenew && g.Password.Reveal() != "right" {
		return token.Fail(token.BadCredentials, "no", nil)
	}
	b.renewed++
	return b.err
}

func (b *backend) End(sid token.SID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = append(b.ended, sid)
}

// Poll knows one challenge.
func (b *backend) Poll(_ context.Context, session string) (token.Challenge, error) {
	if session != "known" {
		return token.Challenge{}, token.Fail(token.NotFound, "no", nil)
	}
	return token.Challenge{Challenge: "radius", Session: session, Status: "pending"}, nil
}

func (b *backend) counts() (renewed, ended int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.renewed, len(b.ended)
}

// tally is a Recorder.
type tally struct {
	mu sync.Mutex
	n  map[string]int
}

func (t *tally) add(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n[what]++
}

func (t *tally) of(what string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n[what]
}
func (t *tally) Login(_, o string)      { t.add("login " + o) }
func (t *tally) Refresh(_, o string)    { t.add("refresh " + o) }
func (t *tally) Opened()                { t.add("opened") }
func (t *tally) Ended(r string)         { t.add("ended " + r) }
func (t *tally) TokenCheck(_, o string) { t.add("check " + o) }

var secret = token.NewSecret(strings.Repeat("k", seal.MinSecret))

// world is a manager with everything around it.
type world struct {
	testing.TB
	m      *session.Manager
	store  *sessiontest.Memory
	people *people
	tally  *tally
	keys   *seal.Keyring
	iss    *session.Issuer
}

func newWorld(t testing.TB, change func(*session.Options)) *world {
	t.Helper()
	keys, err := seal.New([]token.Secret{secret})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{TB: t, store: sessiontest.NewMemory(), keys: keys, tally: &tally{n: map[string]int{}}, people: &people{scopes: []string{"read", "write"}}}
	w.m = w.replica(change)
	w.iss = &session.Issuer{
		Name: "ipfabric/7.0", Dialect: "ipfabric", Source: session.SourceUsers, Rotates: true,
		AccessTTL: 30 * time.Minute, RefreshTTL: 24 * time.Hour, Grace: 10 * time.Second, Shape: shape{}, Verifier: w.people,
	}
	return w
}

func (w *world) replica(change func(*session.Options)) *session.Manager {
	o := session.Options{
		Store: w.store, Feed: w.store, Index: w.store, Roll: w.store, Throttle: w.store, Codes: w.store, Keyring: w.keys, Directory: w.people,
		Recorder: w.tally, DegradedFor: time.Minute,
	}
	if change != nil {
		change(&o)
	}
	return session.NewManager(o)
}

// run runs a manager until the bubble's test ends.
func (w *world) run(m *session.Manager) {
	ctx, cancel := context.WithCancel(w.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	w.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.Errorf("Run = %v; want nil", err)
		}
	})
	synctest.Wait()
}

// still runs a test in a bubble where nothing happens in the background, for
// waits of days.
func still(t *testing.T, test func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(newWorld(t, func(o *session.Options) { o.Feed = nil })) })
}

// in runs a test in a bubble with a running manager.
func in(t *testing.T, test func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.run(w.m)
		test(w)
	})
}

func grant(user, password string) token.Grant {
	return token.Grant{Op: token.OpLogin, Username: user, Password: token.NewSecret(password), Address: "192.0.2.1"}
}

func (w *world) login(kind session.Kind) token.Set {
	w.Helper()
	set, err := w.m.Login(w.Context(), w.iss, kind, grant("alice", "right"))
	if err != nil {
		w.Fatalf("Login = %v; want no error", err)
	}
	return set
}

func (w *world) refresh(rt token.Secret) (token.Set, error) {
	return w.m.Refresh(w.Context(), w.iss, token.Grant{Op: token.OpRefresh, Refresh: rt})
}

func (w *world) check(m *session.Manager, at token.Secret) (*session.Session, error) {
	return m.Check(w.Context(), []*session.Issuer{w.iss}, at)
}

// alive checks that a token is good and returns its session.
func (w *world) alive(at token.Secret) *session.Session {
	w.Helper()
	s, err := w.check(w.m, at)
	if err != nil {
		w.Fatalf("Check = %v; want a session", err)
	}
	return s
}

func (w *world) refused(err error, want token.Kind) {
	w.Helper()
	if err == nil || token.KindOf(err) != want {
		w.Errorf("error = %v; want kind %s", err, want)
	}
}

func (w *world) told(what string, want int) {
	w.Helper()
	if got := w.tally.of(what); got != want {
		w.Errorf("told %q %d times; want %d", what, got, want)
	}
}

// sleep lets fake time pass.
func sleep(d time.Duration) { <-time.After(d); synctest.Wait() }

// refreshAt makes the refresh token of any generation, as the format says.
func (w *world) refreshAt(sid token.SID, g uint32) token.Secret {
	var c token.Core
	var n [4]byte
	binary.BigEndian.PutUint32(n[:], g)
	copy(c[:], sid[:])
	copy(c[8:], n[1:])
	w.keys.MAC("core refresh").Sum(c[11:], []byte("refresh"), []byte(w.iss.Name), []byte(w.iss.Source), c[:8], c[8:11])
	return mintRefresh(c)
}

// realmed is a Verifier whose users have a realm.
type realmed struct {
	*people
	realm string
}

func (r realmed) Verify(ctx context.Context, sid token.SID, g token.Grant) (token.Identity, error) {
	id, err := r.people.Verify(ctx, sid, g)
	id.Realm = r.realm
	return id, err
}
