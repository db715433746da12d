package redisstore

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/session/sessiontest"
	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream"
)

// ownScripts are those behind session's stores.
var ownScripts = []*redis.Script{
	createScript, rotateScript, touchScript, revokeScript, indexAddScript, rollEnlistScript, throttleAllowScript, throttleFailScript,
	factorIssueScript, factorWithdrawScript, factorTryScript, pushOpenScript, pushSettleScript, pushCloseScript,
}

func TestSessionsKeepTheContractOnRedis(t *testing.T) {
	addr := listeningRedis(t)
	sessiontest.Run(t, func(t testing.TB) sessiontest.Subject { return subject(t, addr, "") })
}

func TestSessionsKeepTheContractOnTheEmbeddedStore(t *testing.T) {
	sessiontest.Run(t, func(t testing.TB) sessiontest.Subject {
		o := embedded(t).rdb.(*redis.Client).Options()
		return subject(t, o.Addr, o.Password)
	})
}

func embedded(t testing.TB) *Client {
	t.Helper()
	c, err := OpenEmbedded(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// subject opens an emptied Redis through a proxy that can lose replies.
func subject(t testing.TB, addr, password string) sessiontest.Subject {
	t.Helper()
	p := newLossy(t, addr)
	c := opened(t, p.Addr().String(), password)
	if err := c.rdb.FlushDB(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	for _, s := range ownScripts { // so that what is lost is an answer, not a NOSCRIPT
		if err := s.Load(t.Context(), c.rdb).Err(); err != nil {
			t.Fatal(err)
		}
	}
	return sessiontest.Subject{
		Store: c.Sessions(), Index: c.Sessions(), Roll: c.Roll(), Throttle: c.Throttle(), Keys: c.Keys(), Codes: c.Codes(), Feed: c.Feed(),
		Tries: c.Factors(), Pushes: c.Factors(),
		LoseReplies: p.arm,
	}
}

func opened(t testing.TB, addr, password string) *Client {
	t.Helper()
	c, err := Open(Options{URL: "redis://:" + password + "@" + addr + "/0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// listeningRedis starts a redis-server of its own on a free loopback port.
func listeningRedis(t testing.TB, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("redis-server is not installed; install it (apt-get install redis-server) to run this test")
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	free.Close()
	_, port, _ := net.SplitHostPort(addr)
	args = append([]string{
		"--bind", "127.0.0.1", "--port", port, "--dir", t.TempDir(),
		"--appendonly", "yes", "--appendfsync", "everysec", "--save", "",
	}, args...)
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), path, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for range 250 {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return addr
		}
		<-time.After(20 * time.Millisecond)
	}
	t.Fatal("redis-server does not listen")
	return ""
}

// lossy is a proxy that, once armed, loses the first reply to each script and
// breaks the connection.
type lossy struct {
	net.Listener
	mu     sync.Mutex
	target string            // guarded by mu
	conns  map[net.Conn]bool // guarded by mu: open ones; nil when closed
	armed  bool              // guarded by mu
	lost   map[string]bool   // guarded by mu: by digest of the script
	count  atomic.Int64
}

func newLossy(t testing.TB, target string) *lossy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &lossy{Listener: l, target: target, conns: map[net.Conn]bool{}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.hangUp(nil)
		wg.Wait()
	})
	return p
}

// hangUp closes every connection and goes on with a new set of them; with nil,
// further ones are closed at once.
func (p *lossy) hangUp(next map[net.Conn]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
	p.conns = next
}

// redirect breaks all connections; later ones go to another server.
func (p *lossy) redirect(target string) {
	p.mu.Lock()
	p.target = target
	p.mu.Unlock()
	p.hangUp(map[net.Conn]bool{})
}

// dial connects a client to the target, unless the proxy is closed.
func (p *lossy) dial(client net.Conn) (net.Conn, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return nil, false
	}
	if p.conns == nil {
		server.Close()
		return nil, false
	}
	p.conns[client], p.conns[server] = true, true
	return server, true
}

func (p *lossy) arm() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed, p.lost = true, map[string]bool{}
}

var evalsha = regexp.MustCompile(`(?i)evalsha\r\n\$40\r\n([0-9a-f]{40})`)

// loses reports whether the reply to a command is to be lost.
func (p *lossy) loses(command []byte) bool {
	m := evalsha.FindSubmatch(command)
	if m == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.armed || p.lost[string(m[1])] {
		return false
	}
	p.lost[string(m[1])] = true
	return true
}

func (p *lossy) serve(client net.Conn) {
	defer client.Close()
	server, ok := p.dial(client)
	if !ok {
		return
	}
	var losing atomic.Bool
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		defer client.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			if err != nil || losing.Load() {
				if err == nil {
					p.count.Add(1)
				}
				return
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	})
	defer server.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		if p.loses(bytes.Clone(buf[:n])) {
			losing.Store(true)
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
	}
}

// With Redis's default settings of the library, this is how a token looks used
// twice: the script ran, its reply was lost, the library ran it again.
func TestLostReplyOfRotationIsNoReuse(t *testing.T) {
	p := newLossy(t, listeningRedis(t))
	c := opened(t, p.Addr().String(), "")
	for _, s := range ownScripts {
		if err := s.Load(t.Context(), c.rdb).Err(); err != nil {
			t.Fatal(err)
		}
	}
	p.arm()
	rec := session.Record{SID: token.NewSID(), Origin: session.Origin{Kind: session.KindLogin}}
	life := session.Life{Idle: time.Hour, Access: time.Minute, Keep: time.Minute}
	s := c.Sessions()
	if _, err := s.Create(t.Context(), session.NewAttempt(), rec, life); err != nil {
		t.Fatal(err)
	}
	turn, err := s.Rotate(t.Context(), session.NewAttempt(), session.Rotation{SID: rec.SID, Rotates: true, Life: life})
	if err != nil || turn.Outcome != session.Rotated {
		t.Fatalf("Rotate = %s, %v; want rotated, for the library asked again by itself", turn.Outcome, err)
	}
	if n := p.count.Load(); n != 2 {
		t.Errorf("replies lost = %d; want 2, of create and rotate", n)
	}
}

func TestFullRedisStillRevokes(t *testing.T) {
	c := opened(t, listeningRedis(t), "")
	s := c.Sessions()
	life := session.Life{Idle: time.Hour, Access: time.Minute, Keep: time.Minute}
	var sids []token.SID
	for range 2 {
		sid := token.NewSID()
		sids = append(sids, sid)
		if _, err := s.Create(t.Context(), session.NewAttempt(), session.Record{SID: sid}, life); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Rotate(t.Context(), session.NewAttempt(), session.Rotation{SID: sids[1], Rotates: true, Life: life}); err != nil {
		t.Fatal(err)
	}
	if err := c.rdb.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Rotate(t.Context(), session.NewAttempt(), session.Rotation{SID: sids[0], Rotates: true, Life: life}); err == nil {
		t.Error("Rotate on a full Redis = nil; want an error")
	}
	if before, err := s.Revoke(t.Context(), session.NewAttempt(), session.Revocation{SID: sids[0], Reason: "logout"}); err != nil || before.Revoked != "" {
		t.Errorf("Revoke on a full Redis = %+v, %v; want it done", before, err)
	}
	turn, err := s.Rotate(t.Context(), session.NewAttempt(), session.Rotation{SID: sids[1], Rotates: true, Life: life})
	if err != nil || turn.Outcome != session.Reused || turn.Record.Revoked != "reuse" {
		t.Errorf("reuse on a full Redis = %s %q, %v; want it revoked", turn.Outcome, turn.Record.Revoked, err)
	}
	for _, sid := range sids {
		if _, err := s.Lookup(t.Context(), sid); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("Lookup = %v; want ErrNotFound, the record deleted for want of a tombstone", err)
		}
	}
	heard := follow(t, c)
	want := session.Event{Kind: session.EventRevoked, SID: sids[0], Reason: "logout"}
	for heardIt := false; !heardIt; { // the subscription takes a moment
		if err := c.Feed().Announce(t.Context(), want); err != nil {
			t.Fatalf("Announce on a full Redis = %v; want it published instead", err)
		}
		select {
		case e := <-heard:
			heardIt = e == want
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// follow hears the feed until the test ends.
func follow(t testing.TB, c *Client) <-chan session.Event {
	t.Helper()
	events := make(chan session.Event, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- c.Feed().Follow(ctx, func(e session.Event) { events <- e }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Follow = %v; want nil", err)
		}
	})
	return events
}

func awaitEvent(t testing.TB, events <-chan session.Event, kind session.EventKind) {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		select {
		case e := <-events:
			if e.Kind == kind {
				return
			}
		case <-limit:
			t.Fatalf("no %s event", kind)
		}
	}
}

func TestFeedTellsOfABreakAndGoesOn(t *testing.T) {
	addr := listeningRedis(t)
	c := opened(t, addr, "")
	events := follow(t, c)
	awaitEvent(t, events, session.EventAlive)
	admin := opened(t, addr, "")
	if err := admin.rdb.Do(t.Context(), "CLIENT", "PAUSE", "1500", "ALL").Err(); err != nil {
		t.Fatal(err)
	}
	awaitEvent(t, events, session.EventReset)
	awaitEvent(t, events, session.EventAlive)
}

func TestFeedTellsOfAnotherServer(t *testing.T) {
	first, second := listeningRedis(t), listeningRedis(t)
	p := newLossy(t, first)
	c := opened(t, p.Addr().String(), "")
	events := follow(t, c)
	awaitEvent(t, events, session.EventAlive)
	p.redirect(second) // it takes the first one's place behind the same address
	awaitEvent(t, events, session.EventFailover)
	awaitEvent(t, events, session.EventAlive)
}

func TestNoticesReachEveryFollower(t *testing.T) {
	addr := listeningRedis(t)
	heard := make(chan upstream.Notice, 16)
	teller := opened(t, addr, "").Feed()
	for range 2 {
		c := opened(t, addr, "")
		f := c.Feed()
		f.Hear(func(n upstream.Notice) { heard <- n })
		ready := make(chan struct{})
		var once sync.Once
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = f.Follow(ctx, func(e session.Event) {
				if e.Kind == session.EventAlive {
					once.Do(func() { close(ready) })
				}
			})
		}()
		t.Cleanup(func() { cancel(); <-done })
		<-ready
	}
	for _, want := range []upstream.Notice{
		{Ref: upstream.Ref{Owner: "a.0123", Backend: "fabric"}, Version: 7},
		{Ref: upstream.Ref{Owner: "00112233445566ff", Backend: "border"}},
	} {
		if err := teller.Tell(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			select {
			case got := <-heard:
				if got != want {
					t.Errorf("heard %+v; want %+v", got, want)
				}
			case <-time.After(5 * time.Second):
				t.Fatal("a follower heard nothing")
			}
		}
	}
}

func TestPingNamesTheRemedy(t *testing.T) {
	locked := listeningRedis(t, "--requirepass", "let-me-in")
	poor := []any{"ACL", "SETUSER", "poor", "on", ">poor-pass", "~gh:*", "-@all", "+hello", "+client"}
	admin, made := opened(t, locked, "let-me-in"), errors.New("not tried")
	for try := 0; made != nil && try < 20; try++ { // a busy machine may not answer within the client's 250 ms
		made = admin.rdb.Do(t.Context(), poor...).Err()
	}
	if made != nil {
		t.Fatal(made)
	}
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()
	for _, c := range []struct{ name, url, want string }{
		{"unreachable", "redis://" + dead.Addr().String(), "cannot be reached"},
		{"no password", "redis://" + locked, "asks for a password"},
		{"wrong password", "redis://:s3cr3t-wrong@" + locked, "refuses user or password"},
		{"no permission", "redis://poor:poor-pass@" + locked, "may not do this"},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, err := Open(Options{URL: c.url})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			err = client.Ping(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("Ping = %v; want it to say %q and no password", err, c.want)
			}
		})
	}
	if err := opened(t, locked, "let-me-in").Ping(t.Context()); err != nil {
		t.Errorf("Ping = %v; want no error", err)
	}
}

func TestCheckFindsWhatLosesSessions(t *testing.T) {
	good := opened(t, listeningRedis(t), "")
	if got := good.Check(t.Context()); len(got) != 0 {
		t.Errorf("Check of a sound Redis = %q; want nothing", got)
	}
	if err := good.rdb.ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err(); err != nil {
		t.Fatal(err)
	}
	if err := good.rdb.Do(t.Context(), "REPLICAOF", "127.0.0.1", "1").Err(); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(good.Check(t.Context()), "\n")
	for _, want := range []string{"maxmemory-policy is allkeys-lru", "read-only replica"} {
		if !strings.Contains(got, want) {
			t.Errorf("Check = %q; want it to say %q", got, want)
		}
	}
	for version, old := range map[string]bool{"6.2.14": true, "7.0.0": false, "8.2.1": false, "": false} {
		if olderThan7(version) != old {
			t.Errorf("olderThan7(%q) = %v; want %v", version, !old, old)
		}
	}
}

func TestEmbeddedStoreLetsKeysExpire(t *testing.T) {
	c := embedded(t)
	if err := c.rdb.Set(t.Context(), "gh:x", "1", 500*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	limit := time.After(10 * time.Second)
	for c.rdb.Exists(t.Context(), "gh:x").Val() != 0 {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-limit:
			t.Fatal("key is still there after 10 s; want it expired after 500 ms")
		}
	}
}

func TestStalledRedisCostsLessThanASecond(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := opened(t, l.Addr().String(), "")
	ctx, cancel := context.WithTimeout(t.Context(), 900*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := c.Sessions().Lookup(ctx, token.NewSID()); err == nil || errors.Is(err, session.ErrNotFound) {
		t.Errorf("Lookup = %v; want an error that is not ErrNotFound", err)
	}
	if d := time.Since(began); d > 1500*time.Millisecond {
		t.Errorf("Lookup took %v; want less than a second", d)
	}
}
