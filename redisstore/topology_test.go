package redisstore

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/session/sessiontest"
	"github.com/gatehouse-gateway/gatehouse/tests/redistest"
	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream/upstreamtest"
)

// topology is one way to run Redis.
type topology struct {
	name string
	url  string
	// owner returns the server that has a key, and the one that can take its
	// place; failover makes it do so.
	owner    func(key string) (primary, replica *redistest.Server)
	failover func(key string)
	all      []*redistest.Server // that hold data
}

func standalone(t *testing.T) topology {
	t.Helper()
	s := redistest.Standalone(t)
	return topology{
		name: "standalone", url: s.URL(), all: []*redistest.Server{s},
		owner: func(string) (*redistest.Server, *redistest.Server) { return s, nil },
	}
}

func sentinel(t *testing.T) topology {
	t.Helper()
	r := redistest.WithSentinels(t, 3)
	return topology{
		name: "sentinel", url: r.URL(), all: r.Servers,
		owner:    func(string) (*redistest.Server, *redistest.Server) { return r.Primary(t) },
		failover: func(string) { r.Failover(t) },
	}
}

func cluster(t *testing.T) topology {
	t.Helper()
	c := redistest.StartCluster(t, 1)
	return topology{
		name: "cluster", url: c.URL(), all: c.Nodes,
		owner:    func(key string) (*redistest.Server, *redistest.Server) { return c.Owner(t, key) },
		failover: func(key string) { c.Failover(t, key) },
	}
}

func (p topology) open(t *testing.T) *Client {
	t.Helper()
	c, err := Open(Options{URL: p.url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// A paused server keeps its connections open and answers nothing. Then no call
// takes longer than it says, whatever stands between: lists of nodes, Sentinels,
// redirections, further tries.
func TestPausedRedisIsGivenUpInTime(t *testing.T) {
	for _, start := range []func(*testing.T) topology{standalone, sentinel, cluster} {
		p := start(t)
		t.Run(p.name, func(t *testing.T) {
			c := p.open(t)
			rec := session.Record{SID: token.NewSID()}
			life := session.Life{Idle: time.Hour, Keep: time.Minute}
			if _, err := c.Sessions().Create(t.Context(), session.NewAttempt(), rec, life); err != nil {
				t.Fatal(err)
			}
			primary, _ := p.owner(sessionKey(rec.SID))
			primary.Pause(t)
			var wg sync.WaitGroup
			for i := range 20 {
				wg.Go(func() {
					began := time.Now()
					var err error
					if i%2 == 0 {
						_, err = c.Sessions().Lookup(context.WithoutCancel(t.Context()), rec.SID)
					} else {
						err = c.Sessions().Touch(context.WithoutCancel(t.Context()), session.NewAttempt(), session.Use{SID: rec.SID})
					}
					if err == nil || errors.Is(err, session.ErrNotFound) || errors.Is(err, session.ErrRefused) {
						t.Errorf("call = %v; want an error of a store that cannot be asked", err)
					}
					if took := time.Since(began); took > 700*time.Millisecond {
						t.Errorf("call took %v; want at most 700ms", took)
					}
				})
			}
			wg.Wait()
			primary.Resume(t)
			if _, err := c.Sessions().Lookup(t.Context(), rec.SID); err != nil {
				t.Errorf("Lookup after the pause = %v; want no error", err)
			}
		})
	}
}

// A feed tells of every server that takes another one's place: in a cluster also
// of one that has sessions but not the stream.
func TestFeedTellsOfAFailover(t *testing.T) {
	for _, start := range []func(*testing.T) topology{sentinel, cluster} {
		p := start(t)
		t.Run(p.name, func(t *testing.T) {
			c := p.open(t)
			events := follow(t, c)
			awaitEvent(t, events, session.EventAlive)
			key := sessionKey(token.NewSID())
			for feed, _ := p.owner(eventStream); p.name == "cluster"; key = sessionKey(token.NewSID()) {
				if has, _ := p.owner(key); has != feed {
					break
				}
			}
			for _, key := range []string{key, eventStream} {
				p.failover(key)
				awaitEvent(t, events, session.EventFailover)
				awaitEvent(t, events, session.EventReset) // reads from the end of the stream now
				awaitEvent(t, events, session.EventAlive)
			}
			told(t, c, events)
		})
	}
}

// told announces something and waits until it is heard.
func told(t *testing.T, c *Client, events <-chan session.Event) {
	t.Helper()
	want := session.Event{Kind: session.EventRevoked, SID: token.NewSID(), Reason: "logout"}
	if err := c.Feed().Announce(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	limit := time.After(5 * time.Second)
	for {
		select {
		case e := <-events:
			if e == want {
				return
			}
		case <-limit:
			t.Fatal("what was announced is not heard")
		}
	}
}

// The stream is trimmed by the server's clock. A reader's place in it may also lie
// ahead of what the server writes next, when its clock was put back.
func TestFeedGoesByTheServersClock(t *testing.T) {
	c := standalone(t).open(t)
	ahead := "9999999999999-0"
	if err := c.rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: eventStream, ID: ahead, Values: []string{"k", "ping"}}).Err(); err != nil {
		t.Fatal(err)
	}
	events := follow(t, c)
	awaitEvent(t, events, session.EventAlive)
	if err := c.rdb.Del(t.Context(), eventStream).Err(); err != nil { // what comes next has smaller ids
		t.Fatal(err)
	}
	for at := int64(0); at < time.Now().UnixMilli()-60_000 || at > time.Now().UnixMilli()+60_000; at = c.clock.Load() {
		awaitEvent(t, events, session.EventAlive)
	}
	told(t, c, events)
}

func TestStoresKeepTheirContractsOnEveryTopology(t *testing.T) {
	for _, start := range []func(*testing.T) topology{sentinel, cluster} {
		p := start(t)
		t.Run(p.name, func(t *testing.T) {
			t.Run("sessions", func(t *testing.T) {
				sessiontest.Run(t, func(tb testing.TB) sessiontest.Subject { return p.subject(tb) })
			})
			t.Run("backends", func(t *testing.T) {
				c := p.open(t)
				var one sync.Mutex // they run side by side, each on an empty store
				upstreamtest.Run(t, func(t *testing.T) upstreamtest.Fixture {
					one.Lock()
					t.Cleanup(one.Unlock)
					empty(t, c)
					return backendFixture(t, c.rdb, func(d time.Duration) { <-time.After(d) })
				})
			})
		})
	}
}

// subject opens an emptied Redis that can lose replies.
func (p topology) subject(t testing.TB) sessiontest.Subject {
	t.Helper()
	c, err := Open(Options{URL: p.url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	empty(t, c)
	f := &forgetful{}
	c.rdb.AddHook(f)
	return sessiontest.Subject{
		Store: c.Sessions(), Index: c.Sessions(), Roll: c.Roll(), Throttle: c.Throttle(), Keys: c.Keys(), Replicas: c.Replicas(), Codes: c.Codes(), Feed: c.Feed(),
		Tries: c.Factors(), Pushes: c.Factors(),
		LoseReplies: f.arm,
	}
}

func empty(t testing.TB, c *Client) {
	t.Helper()
	err := c.eachPrimary(t.Context(), func(ctx context.Context, _ string, one redis.Cmdable) error {
		return one.FlushDB(ctx).Err()
	})
	if err != nil {
		t.Fatal(err)
	}
}

// forgetful is a hook of the library that, once armed, loses the first reply to
// each script.
type forgetful struct {
	bounded

	mu   sync.Mutex
	lost map[string]bool // guarded by mu: by digest of the script; nil: not armed
}

func (f *forgetful) arm() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost = map[string]bool{}
}

// ProcessHook implements redis.Hook.
func (f *forgetful) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if cmd.Name() != "evalsha" || err != nil {
			return err
		}
		digest := fmt.Sprint(cmd.Args()[1])
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.lost == nil || f.lost[digest] {
			return nil
		}
		f.lost[digest] = true
		cmd.SetErr(io.ErrUnexpectedEOF)
		return io.ErrUnexpectedEOF
	}
}

// TLS is spoken by the client's own way of connecting, with the authorities that
// the URL names and no others.
func TestTLSTrustsWhatTheURLNames(t *testing.T) {
	cert, key := selfSigned(t)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	free.Close()
	_, port, _ := net.SplitHostPort(addr)
	server := redistest.Standalone(t, "tls-port "+port, "tls-cert-file "+cert, "tls-key-file "+key, "tls-auth-clients no")
	base := "rediss://" + addr + "/0?password=" + server.Password
	for url, want := range map[string]error{base + "&ca_file=" + cert: session.ErrNotFound, base: nil} {
		c, err := Open(Options{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for try := 0; try == 0 || isTimeout(err) && try < 20; try++ { // a busy machine may not shake hands within the client's 250 ms
			_, err = c.Sessions().Lookup(t.Context(), token.NewSID())
		}
		if _, bad := errors.AsType[*tls.CertificateVerificationError](err); want == nil && !bad || want != nil && !errors.Is(err, want) {
			t.Errorf("Lookup by %s = %v; want %v, nil for an unknown authority", strings.ReplaceAll(url, server.Password, "…"), err, want)
		}
	}
}

// selfSigned writes a certificate for 127.0.0.1 and its key.
func selfSigned(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	conf := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, conf, conf, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, b := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
}
