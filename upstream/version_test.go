package upstream_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream"
)

func speakingVersions(versions ...string) func(*upstream.Config) {
	return func(c *upstream.Config) { c.Dialect = boxDialect(versions...) }
}

func TestLoginFallsBackToAVersionThatIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBoxWorld(t, speakingVersions("1.2", "1.1", "1.0"))
		w.box.versions = "v1.0 v1.1"
		r := request(t, as(w.client()), "GET", nil)
		r.URL.Path = "/rest/v1.1/system/status"
		if got, err := w.do(r); err != nil || got != 200 {
			t.Fatalf("GET = %d, %v; want 200", got, err)
		}
		w.box.wantCalls(t, "v1.2 login", "login", "system/status T1")
		advance(time.Hour)
		r = request(t, as(w.client()), "GET", nil)
		r.URL.Path = "/rest/v1.1/system/status"
		if got, err := w.do(r); err != nil || got != 200 {
			t.Fatalf("GET = %d, %v; want 200", got, err)
		}
		w.box.wantCalls(t, "login", "system/status T2") // it is remembered
	})
}

func TestNoKnownVersionIsAnErrorOfConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBoxWorld(t, speakingVersions("1.2", "1.1"))
		w.box.versions = "v2.0"
		sid := w.client()
		for range 20 {
			_, err := w.try(t, as(sid), status)
			e := wantKind(t, err, token.BadGateway)
			if !strings.Contains(e.Msg, "v1.2, v1.1") || !strings.Contains(e.Msg, "versions") {
				t.Fatalf("the caller is told %q; want what was tried and what to set", e.Msg)
			}
			advance(time.Second)
		}
		w.box.wantCalls(t, "v1.2 login", "v1.1 login")
		for range 5 {
			advance(time.Minute) // it never counts as a wrong password, which would be final
			_, err := w.try(t, as(sid), status)
			wantKind(t, err, token.BadGateway)
		}
		w.box.set(func() { w.box.calls = nil })
		if !w.notes.has("login misconfigured") || w.notes.has("login rejected") {
			t.Errorf("recorded %q; want misconfigured logins only", w.notes.all)
		}
		if got := w.Trouble(); !strings.Contains(got, "v1.2, v1.1") {
			t.Errorf("trouble = %q; want it to name the versions", got)
		}

		// With the right ones set nothing is waited for.
		c := w.config
		c.Dialect = boxDialect("2.0")
		again := &world{Backend: upstream.New(c)}
		r := request(t, as(sid), "GET", nil)
		r.URL.Path = "/rest/v2.0/system/status"
		if got, err := again.do(r); err != nil || got != 200 {
			t.Errorf("GET after the versions were corrected = %d, %v; want 200", got, err)
		}
	})
}

func TestPassThroughLoginWithoutAKnownVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBoxWorld(t, func(c *upstream.Config) { c.Dialect, c.Account = boxDialect("1.2"), nil })
		w.box.versions = "v2.0"
		_, err := w.Verify(t.Context(), token.NewSID(), login("svcpass"))
		wantKind(t, err, token.BadGateway)
	})
}

func TestVersionIsFoundByARenewalAndAReleaseToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBoxWorld(t, speakingVersions("1.3", "1.2"))
		w.box.versions = "v1.2"
		alice, bob := w.client(), w.client()
		w.want(t, alice, lock, 204)
		w.box.wantCalls(t, "v1.3 login", "login", "configuration/lock T1")
		again := w.replica() // which has not logged in
		again.runs(t)
		advance(502 * time.Second)
		w.box.wantCalls(t, "v1.3 renew T1", "renew T1")
		w.store.RevokeSession(alice)
		w.replica().End(alice)
		synctest.Wait()
		w.box.wantCalls(t, "v1.3 configuration/unlock T2", "configuration/unlock T2")
		w.want(t, bob, status, 200)
	})
}
