package redisstore

import (
	"log/slog"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/seal"
	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream"
	"github.com/gatehouse-gateway/gatehouse/upstream/upstreamtest"
)

func TestBackendSessionSurvivesARestart(t *testing.T) {
	rdb, _ := newMiniredis(t)
	d, err := dialect.Open("ipfabric/7.0", dialect.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	fabric := &upstreamtest.Fabric{Users: map[string]string{"svc": "svcpass"}}
	store := (&Client{rdb: rdb, rec: &quiet{}, log: slog.New(slog.DiscardHandler)}).Backends()
	config := upstream.Config{
		Name: "fabric", URL: &url.URL{Scheme: "https", Host: "fabric.example.net"}, Dialect: d, Transport: fabric,
		Account: &upstream.Account{Username: "svc", Password: token.NewSecret("svcpass")},
		Store:   store, Pins: store, Duties: store, Keyring: seal.Random(),
	}
	for range 3 {
		b := upstream.New(config)
		r, err := http.NewRequestWithContext(token.WithCaller(t.Context(), token.Caller{SID: token.NewSID()}),
			http.MethodGet, "https://fabric.example.net/api/v7.0/snapshots", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := b.RoundTrip(r)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("GET = %v, %v; want 200", resp, err)
		}
		resp.Body.Close()
		if err := b.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := fabric.Count("login"); got != 1 {
		t.Errorf("logins of three gateways one after the other = %d; want 1", got)
	}
}

// The scripts of backend sessions read the hash of the client session, which
// those of sessions write.
func TestBackendSessionFollowsItsRealSession(t *testing.T) {
	rdb, advance := newMiniredis(t)
	c := &Client{rdb: rdb, rec: &quiet{}, log: slog.New(slog.DiscardHandler)}
	sid := token.NewSID()
	r := upstream.Ref{Owner: sid.String(), Backend: "fabric"}
	state := func() upstream.State {
		t.Helper()
		a, err := c.Backends().Acquire(t.Context(), upstream.Claim{Ref: r, Holder: "h", Lease: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		return a.State
	}
	open := func() {
		t.Helper()
		life := session.Life{Idle: time.Hour, Access: 30 * time.Minute, Keep: 24 * time.Hour}
		if _, err := c.Sessions().Create(t.Context(), session.NewAttempt(), session.Record{SID: sid}, life); err != nil {
			t.Fatal(err)
		}
	}
	commit := upstream.Commit{Ref: r, Attempt: "1", Record: upstream.Record{Version: 1, Access: "a"}, Opening: time.Minute}
	if _, err := c.Backends().Commit(t.Context(), commit); err != nil {
		t.Fatal(err)
	}
	open()
	if got := state(); got != upstream.Fresh {
		t.Errorf("with its session: state %d; want Fresh", got)
	}
	advance(59 * time.Minute)
	if got := state(); got != upstream.Fresh {
		t.Errorf("before the session's end: state %d; want Fresh", got)
	}
	advance(2 * time.Minute)
	if got := state(); got != upstream.Gone {
		t.Errorf("after the session's end: state %d; want Gone", got)
	}

	sid = token.NewSID()
	r.Owner = sid.String()
	commit.Ref = r
	if _, err := c.Backends().Commit(t.Context(), commit); err != nil {
		t.Fatal(err)
	}
	open()
	if _, err := c.Sessions().Revoke(t.Context(), session.NewAttempt(), session.Revocation{SID: sid, Reason: "logout"}); err != nil {
		t.Fatal(err)
	}
	if got := state(); got != upstream.Gone {
		t.Errorf("with a revoked session: state %d; want Gone", got)
	}
}
