package upstream_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/dialect/vectors"
	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream"
)

// The spoken vectors of IP Fabric, run at the level of the round tripper: what a
// vector says of the gateway's front is not looked at. Those of all dialects run
// through the whole gateway in the tests of package main.

func loadVectors(t *testing.T) vectors.File {
	t.Helper()
	files, err := vectors.Load("../dialect/testdata")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(files[0].Spoken); n != 9 {
		t.Fatalf("spoken vectors of %s = %d; want 9", files[0].Dialect, n)
	}
	return files[0]
}

func TestSpokenVectors(t *testing.T) {
	f := loadVectors(t)
	for _, v := range f.Spoken {
		t.Run(v.ID, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runVector(t, f.Family.Name+"/"+v.Upstream.Profile, v) })
		})
	}
}

func runVector(t *testing.T, name string, v vectors.Spoken) {
	d, err := dialect.Open(name, dialect.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	up := &vectors.Script{}
	t.Cleanup(func() { wantNoFaults(t, up) }) // after the world's own
	w := newWorld(t, func(c *upstream.Config) {
		c.Dialect, c.Transport, c.LogoutAtDrain = d, up, true
		c.Account = &upstream.Account{
			Username: v.Upstream.Username, Password: token.NewSecret(v.Upstream.Password),
			APIToken: token.NewSecret(v.Upstream.APIToken),
		}
	})
	shut := false
	for _, step := range v.Timeline {
		advance(step.Advance.Duration())
		up.Expect(step.Exchanges, false)
		if step.Shutdown {
			shut = true
			if err := w.Drain(t.Context()); err != nil {
				t.Errorf("Drain = %v", err)
			}
		}
		if step.Drive != nil {
			var wg sync.WaitGroup
			for range max(1, step.Concurrent) {
				wg.Go(func() { drive(t, w, step) })
			}
			wg.Wait()
		}
		synctest.Wait()
		wantNoFaults(t, up)
	}
	if !shut { // the test's own clean-up logs out, which the vector does not know of
		up.Expect([]vectors.Exchange{{
			Expect: vectors.Expect{Method: http.MethodPost, Path: "$re:/auth/logout$"},
			Reply:  vectors.Reply{Status: http.StatusNoContent}, Repeat: vectors.Times{Most: 1},
		}}, false)
	}
}

func wantNoFaults(t *testing.T, up *vectors.Script) {
	t.Helper()
	if err := up.Faults(); err != nil {
		t.Error(err)
	}
}

func drive(t *testing.T, w *world, step vectors.Item) {
	r := request(t, as(token.SID{1}), http.MethodGet, nil)
	r.URL.Path = step.Drive.Path
	resp, err := w.RoundTrip(r)
	if err != nil {
		got := map[token.Kind]int{token.BadGateway: 502, token.Unavailable: 503}[token.KindOf(err)]
		if !slices.Contains(step.ClientGets.Status, got) {
			t.Errorf("status = %d (%v); want %v", got, err, step.ClientGets.Status)
		}
		if strings.Contains(err.Error(), "svcpass") {
			t.Errorf("the error holds the password: %v", err)
		}
		return
	}
	if err := (vectors.Scope{}).Check(step.ClientGets, resp); err != nil {
		t.Error(err)
	}
	if c := resp.Header["Set-Cookie"]; len(c) > 0 {
		t.Errorf("the client gets cookies %q", c)
	}
}

func kindOrInternal(err error) token.Kind {
	if err == nil {
		return token.Internal
	}
	return token.KindOf(err)
}
