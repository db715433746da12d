package redisstore

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/tests/redistest"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// gauge is a Recorder that knows whether the store is up, as last told.
type gauge struct {
	mute

	mu sync.Mutex
	up bool // guarded by mu
}

func (g *gauge) StoreUp(up bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.up = up
}

func (g *gauge) isUp() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.up
}

// What Redis answers decides whether it is down, whether it is worth asking on,
// and is in no case taken for a session that is not there.
func TestErrorsThatRedisSends(t *testing.T) {
	life := session.Life{Idle: time.Hour, Keep: time.Minute}
	for _, c := range []struct {
		name  string
		cause []any // said to Redis to bring it about
		// refused: what changes fail with; readable: what is there can be read.
		refused, readable, up bool
	}{
		{name: "OOM", cause: []any{"CONFIG", "SET", "maxmemory", "1"}, refused: true, readable: true, up: true},
		{name: "READONLY", cause: []any{"REPLICAOF", "127.0.0.1", "1"}, refused: true, readable: true, up: true},
		{name: "NOREPLICAS", cause: []any{"CONFIG", "SET", "min-replicas-to-write", "1"}, refused: true, readable: true, up: true},
		{name: "MASTERDOWN"},
		{name: "NOAUTH", cause: []any{"CONFIG", "SET", "requirepass", "another"}},
		{name: "BUSY"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := redistest.Standalone(t, "busy-reply-threshold 10")
			var rec gauge
			client, err := Open(Options{URL: server.URL(), Recorder: &rec})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			s, old := client.Sessions(), session.Record{SID: token.NewSID()}
			if _, err := s.Create(t.Context(), session.NewAttempt(), old, life); err != nil {
				t.Fatal(err)
			}
			before := client.rdb.ClientID(t.Context()).Val()
			bringAbout(t, server, c.name, c.cause)

			_, err = s.Create(t.Context(), session.NewAttempt(), session.Record{SID: token.NewSID()}, life)
			if err == nil || errors.Is(err, session.ErrExists) || errors.Is(err, session.ErrRefused) != c.refused {
				t.Errorf("Create = %v; want an error, refused: %v", err, c.refused)
			}
			_, err = s.Lookup(t.Context(), old.SID)
			if errors.Is(err, session.ErrNotFound) || (err == nil) != c.readable {
				t.Errorf("Lookup = %v; want it read: %v", err, c.readable)
			}
			// Another server may stand behind the name by now, so one that is read-only
			// is connected to anew.
			if after := client.rdb.ClientID(t.Context()).Val(); c.name == "READONLY" && after == before {
				t.Errorf("connection before = %d, after = %d", before, after)
			}
			if rec.isUp() != c.up {
				t.Errorf("up = %v; want %v", !c.up, c.up)
			}
		})
	}
}

func bringAbout(t *testing.T, server *redistest.Server, name string, cause []any) {
	t.Helper()
	admin := server.Client(t)
	switch name {
	case "BUSY":
		go admin.Eval(t.Context(), "while true do end", nil) // it ends with the server
		<-time.After(200 * time.Millisecond)
		return
	case "MASTERDOWN":
		if err := admin.ConfigSet(t.Context(), "replica-serve-stale-data", "no").Err(); err != nil {
			t.Fatal(err)
		}
		cause = []any{"REPLICAOF", "127.0.0.1", "1"}
	}
	if err := admin.Do(t.Context(), cause...).Err(); err != nil {
		t.Fatal(err)
	}
	if name == "NOAUTH" { // connections stay logged in
		_ = admin.Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes").Err()
	}
}
