package store_test

import (
	"context"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/redisstore"
	"github.com/gatehouse-gateway/gatehouse/session/sessiontest"
	"github.com/gatehouse-gateway/gatehouse/tests/sim/store"
	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream/upstreamtest"
)

// open returns a new store and the product's client of it.
func open(t testing.TB, wire store.Wire) (*store.Store, *redisstore.Client) {
	t.Helper()
	s := store.New(store.NewEngine(), "one")
	c, err := redisstore.Open(redisstore.Options{
		URL:  "redis://store:6379/0",
		Dial: func(context.Context, string, string) (net.Conn, error) { return s.Dial(nil, wire), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return s, c
}

func atOnce(_ *store.Conn, _ bool, _ [][]string, deliver func()) { deliver() }

// lossy loses, once armed, the first reply to each script, and the connection.
type lossy struct {
	mu    sync.Mutex
	armed bool            // guarded by mu
	lost  map[string]bool // guarded by mu: by digest
}

func (l *lossy) arm() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.armed, l.lost = true, map[string]bool{}
}

func (l *lossy) wire(c *store.Conn, reply bool, commands [][]string, deliver func()) {
	if !reply || len(commands) == 0 || !strings.EqualFold(commands[0][0], "evalsha") {
		deliver()
		return
	}
	l.mu.Lock()
	lose := l.armed && !l.lost[commands[0][1]]
	if lose {
		l.lost[commands[0][1]] = true
	}
	l.mu.Unlock()
	if lose {
		go c.Cut() // which takes the server's lock
		return
	}
	deliver()
}

func TestSessionsKeepTheContract(t *testing.T) {
	sessiontest.Run(t, func(t testing.TB) sessiontest.Subject {
		l := &lossy{}
		_, c := open(t, l.wire)
		return sessiontest.Subject{
			Store: c.Sessions(), Index: c.Sessions(), Roll: c.Roll(), Throttle: c.Throttle(), Keys: c.Keys(), Replicas: c.Replicas(), Codes: c.Codes(),
			Feed: c.Feed(), Tries: c.Factors(), Pushes: c.Factors(), LoseReplies: l.arm,
		}
	})
}

func TestBackendsKeepTheContract(t *testing.T) {
	upstreamtest.Run(t, func(t *testing.T) upstreamtest.Fixture {
		s, c := open(t, atOnce)
		b := c.Backends()
		key := func(sid token.SID) string { return "gh:{" + sid.String() + "}" }
		return upstreamtest.Fixture{
			Store: b, Pins: b, Duties: b, Challenges: b, Advance: func(d time.Duration) { s.Advance(d) },
			OpenSession: func(sid token.SID, ttl time.Duration) {
				s.Do("HSET", key(sid), "e", strconv.FormatInt(s.Now().Add(ttl).UnixMilli(), 10), "ae", "0")
				s.Do("PEXPIRE", key(sid), strconv.FormatInt((ttl+time.Hour).Milliseconds(), 10))
			},
			RevokeSession: func(sid token.SID) { s.Do("HSET", key(sid), "rv", "logout") },
			DropSession:   func(sid token.SID) { s.Do("DEL", key(sid)) },
		}
	})
}
