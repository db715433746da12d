package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

const adminToken = "the-admin-token-6hW2"

// desk stands in for a manager: it answers what it is told to.
type desk struct {
	page    session.Page
	found   []session.Listed
	revoked session.Revoked
	ended   bool
	err     error

	asked []string // what was asked for
	query session.Query
}

func (d *desk) List(_ context.Context, q session.Query) (session.Page, error) {
	d.query = q
	return d.page, d.err
}

func (d *desk) Find(_ context.Context, id string) ([]session.Listed, error) {
	d.asked = append(d.asked, id)
	return d.found, d.err
}

func (d *desk) FindAPITokens(_ context.Context, id, user string) ([]session.Listed, error) {
	d.asked = append(d.asked, id+"/"+user)
	return d.found, d.err
}

func (d *desk) Revoke(_ context.Context, sid token.SID) (bool, error) {
	d.asked = append(d.asked, "revoke "+sid.String())
	return d.ended, d.err
}

func (d *desk) RevokeUser(_ context.Context, name string, tokens bool) (session.Revoked, error) {
	d.asked = append(d.asked, name)
	if tokens {
		d.asked = append(d.asked, "tokens")
	}
	return d.revoked, d.err
}

func (d *desk) Backends(context.Context) []Backend {
	return []Backend{{Name: "fabric", Speak: "ipfabric/7.0", Way: "account", State: "resting", Trouble: "It refuses.", Retry: at, Version: 3}}
}

func (d *desk) RetryBackend(_ context.Context, name string) error {
	d.asked = append(d.asked, "retry "+name)
	if name != "fabric" {
		return NoBackend(name)
	}
	return d.err
}

func (d *desk) PendingChallenges(context.Context) ([]Challenge, error) {
	return []Challenge{{ID: "challenge-id", User: "alice"}}, d.err
}

func (d *desk) ApproveChallenge(_ context.Context, id string) error {
	d.asked = append(d.asked, "approve "+id)
	return d.err
}

func (d *desk) DenyChallenge(_ context.Context, id string) error {
	d.asked = append(d.asked, "deny "+id)
	return d.err
}

// trail keeps audit events.
type trail struct{ events []Event }

func (a *trail) Audit(_ context.Context, e Event) { a.events = append(a.events, e) }

func (a *trail) last(t *testing.T) Event {
	t.Helper()
	if len(a.events) != 1 {
		t.Fatalf("%d audit lines; want 1: %+v", len(a.events), a.events)
	}
	e := a.events[0]
	a.events = nil
	return e
}

func newDesk(d *desk, audit Auditor) http.Handler {
	return New(Options{
		Ready: func() Readiness { return Readiness{} }, Metrics: http.NotFoundHandler(), Token: token.NewSecret(adminToken),
		Sessions: func() Sessions { return d }, Challenges: func() Challenges { return d }, Backends: func() Backends { return d }, Audit: audit,
	})
}

func sid(text string) token.SID {
	s, err := token.ParseSID(text)
	if err != nil {
		panic(err)
	}
	return s
}

var at = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func alice() session.Listed {
	return session.Listed{State: session.StateActive, Record: session.Record{
		SID: sid("00112233445566ff"), Identity: token.Identity{Name: "alice", ID: "1001"},
		Origin: session.Origin{Kind: session.KindLogin, Issuer: "ipfabric/7.0", Source: "users", AMR: []string{"pwd"}},
		Made:   at, Ends: at.Add(time.Hour),
	}}
}

func nightly() session.Listed {
	l := alice()
	l.Origin.Kind, l.Origin.AMR = session.KindAPIToken, nil
	l.API = &session.TokenData{ID: "778899", Description: "nightly", Scopes: []string{"read"}, Digest: "keyed-digest"}
	l.Uses = 7
	return l
}

func TestOperatorCalls(t *testing.T) {
	const aliceJSON = `{"sid":"00112233445566ff","user":"alice","user_id":"1001","source":"users","kind":"login","issuer":"ipfabric/7.0","amr":["pwd"],"state":"active","issued":"2026-03-01T12:00:00Z","ends":"2026-03-01T13:00:00Z"}`
	unavailable := &token.Error{Kind: token.Unavailable, Msg: "The store is away.", RetryAfter: 2 * time.Second}
	two := []session.Listed{alice(), nightly()}
	for _, c := range []struct {
		name, call string
		desk       desk
		status     int
		body       string // of a success; else a part of the detail
		action     string
		outcome    string
		target     string
		asked      []string
	}{
		{
			"list", "GET /v1/sessions",
			desk{page: session.Page{Sessions: []session.Listed{alice()}, Next: "more"}},
			200,
			`{"sessions":[` + aliceJSON + `],"next":"more"}`, "sessions.list", "ok", "", nil,
		},
		{"list nobody", "GET /v1/sessions?user=hunter2", desk{}, 200, `{"sessions":[]}`, "sessions.list", "ok", "unknown", nil},
		{
			"list one", "GET /v1/sessions?user=alice",
			desk{page: session.Page{Sessions: []session.Listed{alice()}}},
			200,
			`{"sessions":[` + aliceJSON + `]}`, "sessions.list", "ok", "alice", nil,
		},
		{"list, store away", "GET /v1/sessions", desk{err: unavailable}, 503, "store is away", "sessions.list", "unavailable", "", nil},
		{"show", "GET /v1/sessions/001122", desk{found: []session.Listed{alice()}}, 200, aliceJSON, "sessions.show", "ok", "001122", []string{"001122"}},
		{
			"show, ambiguous", "GET /v1/sessions/001122",
			desk{found: two},
			409, "00112233445566ff, 00112233445566ff", "sessions.show",
			"conflict", "unknown",
			[]string{"001122"},
		},
		{
			"show, not there", "GET /v1/sessions/hunter2",
			desk{err: token.Fail(token.NotFound, "No such session.", nil)},
			404, "No such session",
			"sessions.show", "not_found", "unknown",
			[]string{"hunter2"},
		},
		{"show, store away", "GET /v1/sessions/001122", desk{err: unavailable}, 503, "store is away", "sessions.show", "unavailable", "unknown", []string{"001122"}},
		{
			"revoke", "DELETE /v1/sessions/001122",
			desk{found: []session.Listed{alice()}, ended: true},
			200,
			`{"sid":"00112233445566ff","user":"alice","ended":true}`, "sessions.revoke", "ok", "001122",
			[]string{"001122", "revoke 00112233445566ff"},
		},
		{
			"revoke again", "DELETE /v1/sessions/001122",
			desk{found: []session.Listed{alice()}},
			200,
			`{"sid":"00112233445566ff","user":"alice","ended":false}`, "sessions.revoke", "ok", "001122",
			[]string{"001122", "revoke 00112233445566ff"},
		},
		{"revoke, ambiguous", "DELETE /v1/sessions/001122", desk{found: two}, 409, "stands for several", "sessions.revoke", "conflict", "unknown", []string{"001122"}},
		{
			"revoke user", "DELETE /v1/sessions?user=al%2Fice%20b",
			desk{revoked: session.Revoked{Sessions: 3}},
			200, `{"sessions":3,"tokens":0}`,
			"sessions.revoke_user", "ok", "al/ice b",
			[]string{"al/ice b"},
		},
		{
			"revoke user and tokens", "DELETE /v1/sessions?user=alice&tokens=true",
			desk{revoked: session.Revoked{APITokens: 2}},
			200,
			`{"sessions":0,"tokens":2}`, "sessions.revoke_user", "ok", "alice",
			[]string{"alice", "tokens"},
		},
		{
			"revoke user half", "DELETE /v1/sessions?user=alice",
			desk{revoked: session.Revoked{Sessions: 2}, err: unavailable},
			503,
			"2 sessions and 0 API tokens were ended", "sessions.revoke_user", "unavailable", "alice",
			[]string{"alice"},
		},
		{
			"revoke user unknown", "DELETE /v1/sessions?user=hunter2",
			desk{err: token.Fail(token.NotFound, "No user.", nil)},
			404, "No user",
			"sessions.revoke_user", "not_found", "unknown",
			[]string{"hunter2"},
		},
		{"revoke everybody", "DELETE /v1/sessions", desk{}, 400, "Say whose", "sessions.revoke_user", "malformed", "unknown", nil},
		{"revoke user, odd tokens", "DELETE /v1/sessions?user=alice&tokens=yes", desk{}, 400, "true or false", "sessions.revoke_user", "malformed", "unknown", nil},
		{
			"tokens", "GET /v1/tokens",
			desk{page: session.Page{Sessions: []session.Listed{nightly()}}},
			200,
			`{"tokens":[{"id":"778899","sid":"00112233445566ff","user":"alice","user_id":"1001","source":"users","issuer":"ipfabric/7.0","description":"nightly","scopes":["read"],"state":"active","made":"2026-03-01T12:00:00Z","uses":7}]}`,
			"tokens.list", "ok", "", nil,
		},
		{
			"revoke token", "DELETE /v1/tokens/778899?user=alice",
			desk{found: []session.Listed{nightly()}, ended: true},
			200,
			`{"sid":"00112233445566ff","user":"alice","ended":true}`, "tokens.revoke", "ok", "778899",
			[]string{"778899/alice", "revoke 00112233445566ff"},
		},
		{
			"revoke token by its text", "DELETE /v1/tokens/0123456789abcdef0123456789abcdef",
			desk{err: token.Fail(token.NotFound, "No API token.", nil)},
			404, "No API token", "tokens.revoke", "not_found", "unknown",
			[]string{"0123456789abcdef0123456789abcdef/"},
		},
		{"revoke token, ambiguous", "DELETE /v1/tokens/778899", desk{found: two}, 409, "stands for several", "tokens.revoke", "conflict", "unknown", []string{"778899/"}},
		{
			"backends", "GET /v1/backends",
			desk{},
			200,
			`{"backends":[{"name":"fabric","speak":"ipfabric/7.0","way":"account","state":"resting","trouble":"It refuses.","retry":"2026-03-01T12:00:00Z","version":3}]}`,
			"backends.list", "ok", "", nil,
		},
		{"retry", "POST /v1/backends/fabric/retry", desk{}, 200, `{"backend":"fabric"}`, "backends.retry", "ok", "fabric", []string{"retry fabric"}},
		{"retry, store away", "POST /v1/backends/fabric/retry", desk{err: unavailable}, 503, "store is away", "backends.retry", "unavailable", "unknown", []string{"retry fabric"}},
		{"retry of none", "POST /v1/backends/x/retry", desk{}, 404, "No backend of the name x", "backends.retry", "not_found", "unknown", []string{"retry x"}},
		{
			"challenges", "GET /v1/challenges",
			desk{},
			200,
			`{"challenges":[{"id":"challenge-id","user":"alice","issuer":"","address":"","made":"0001-01-01T00:00:00Z","ends":"0001-01-01T00:00:00Z"}]}`,
			"challenges.list", "ok", "", nil,
		},
		{"approve", "POST /v1/challenges/challenge-id/approve", desk{}, 200, `{"id":"challenge-id","approved":true}`, "challenges.approve", "ok", "challe", []string{"approve challenge-id"}},
		{"deny", "POST /v1/challenges/a%2Fb/deny", desk{}, 200, `{"id":"a/b","approved":false}`, "challenges.deny", "ok", "a/b", []string{"deny a/b"}},
		{
			"approve, decided", "POST /v1/challenges/c/approve",
			desk{err: token.Fail(token.Gone, "It was decided.", nil)},
			409, "It was decided",
			"challenges.approve", "conflict", "unknown",
			[]string{"approve c"},
		},
		{"a bug", "GET /v1/sessions", desk{err: errors.New("hunter2")}, 500, "Something went wrong", "sessions.list", "failed", "", nil},
		{"method", "PUT /v1/sessions", desk{}, 405, "Allow", "unknown", "malformed", "", nil},
		{"method of one", "POST /v1/tokens/1", desk{}, 405, "Allow", "unknown", "malformed", "", nil},
		{"parameter misspelt", "DELETE /v1/sessions?user=alice&token=true", desk{}, 400, "user, tokens", "sessions.revoke_user", "malformed", "", nil},
		{"parameter of none", "GET /v1/sessions/001122?x=1", desk{}, 400, "none", "sessions.show", "malformed", "", nil},
		{"parameter twice", "DELETE /v1/sessions?user=alice&user=bob", desk{}, 400, "one value", "sessions.revoke_user", "malformed", "", nil},
		{"parameter empty", "GET /v1/sessions?user=", desk{}, 400, "one value", "sessions.list", "malformed", "", nil},
		{"query broken", "GET /v1/sessions?user=%zz", desk{}, 400, "query", "sessions.list", "malformed", "", nil},
		{"limit of 0", "GET /v1/sessions?limit=0", desk{}, 400, "1 to 500", "sessions.list", "malformed", "", nil},
		{"limit of 501", "GET /v1/tokens?limit=501", desk{}, 400, "1 to 500", "tokens.list", "malformed", "", nil},
		{"user of 257", "GET /v1/tokens?user=" + strings.Repeat("u", 257), desk{}, 400, "256", "tokens.list", "malformed", "", nil},
		{"id of 257", "GET /v1/sessions/" + strings.Repeat("u", 257), desk{}, 404, "no such path", "unknown", "not_found", "", nil},
		{"no id", "GET /v1/sessions/", desk{}, 404, "no such path", "unknown", "not_found", "", nil},
		{"further path", "GET /v1/sessions/001122/x", desk{}, 404, "no such path", "unknown", "not_found", "", nil},
		{"no version", "GET /sessions", desk{}, 404, "no such path", "unknown", "not_found", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			audit := &trail{}
			method, path, _ := strings.Cut(c.call, " ")
			w := call(t, newDesk(&c.desk, audit), method, path, "Bearer "+adminToken)
			if w.Code != c.status {
				t.Errorf("status = %d; want %d", w.Code, c.status)
			}
			if c.status == 200 {
				if diff := cmp.Diff(c.body+"\n", w.Body.String()); diff != "" {
					t.Errorf("body (-want +got):\n%s", diff)
				}
			} else {
				wantProblem(t, w, c.body)
			}
			if strings.Contains(w.Body.String(), "hunter2") || strings.Contains(w.Body.String(), "keyed-digest") {
				t.Errorf("the answer says what it must not: %s", w.Body)
			}
			want := Event{Action: c.action, Outcome: c.outcome, Target: c.target, Client: "192.0.2.1", Request: w.Header().Get("X-Request-Id")}
			if diff := cmp.Diff(want, audit.last(t)); diff != "" || want.Request == "" {
				t.Errorf("audit line (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.asked, c.desk.asked); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
}

func wantProblem(t *testing.T, w *httptest.ResponseRecorder, detail string) {
	t.Helper()
	var p Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != w.Code || !strings.Contains(p.Detail, detail) {
		t.Errorf("problem = %s, %v; want status %d and a detail with %q", w.Body, err, w.Code, detail)
	}
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" || p.RequestID != w.Header().Get("X-Request-Id") {
		t.Errorf("Content-Type %q, request id %q; want problem+json and that of the header", got, p.RequestID)
	}
	if again := w.Header().Get("Retry-After") != ""; again != (w.Code == 503 || w.Code == 429) {
		t.Errorf("Retry-After = %q with %d", w.Header().Get("Retry-After"), w.Code)
	}
	if allow := w.Header().Get("Allow") != ""; allow != (w.Code == 405) {
		t.Errorf("Allow = %q with %d", w.Header().Get("Allow"), w.Code)
	}
}

func TestPagesAreBoundedAndPassedOn(t *testing.T) {
	for query, want := range map[string]session.Query{
		"":                                  {Limit: 100},
		"?limit=1&after=abc&user=alice":     {User: "alice", After: "abc", Limit: 1},
		"?limit=500":                        {Limit: 500},
		"?user=" + strings.Repeat("u", 256): {User: strings.Repeat("u", 256), Limit: 100},
	} {
		for _, path := range []string{"/v1/sessions", "/v1/tokens"} {
			d := &desk{}
			if w := call(t, newDesk(d, nil), http.MethodGet, path+query, "Bearer "+adminToken); w.Code != 200 {
				t.Errorf("%s%s = %d %s; want 200", path, query, w.Code, w.Body)
			}
			want.APITokens = path == "/v1/tokens"
			if diff := cmp.Diff(want, d.query); diff != "" {
				t.Errorf("%s%s asks (-want +got):\n%s", path, query, diff)
			}
		}
	}
}

func TestHeadIsGetAndMethodsAreNamed(t *testing.T) {
	h := newDesk(&desk{}, nil)
	if w := call(t, h, http.MethodHead, "/v1/sessions", "Bearer "+adminToken); w.Code != 200 {
		t.Errorf("HEAD = %d; want 200", w.Code)
	}
	for path, want := range map[string]string{
		"/v1/sessions": "DELETE, GET, HEAD", "/v1/tokens/1": "DELETE", "/v1/tokens": "GET, HEAD", "/v1/challenges/1/deny": "POST",
	} {
		if got := call(t, h, http.MethodPatch, path, "Bearer "+adminToken).Header().Get("Allow"); got != want {
			t.Errorf("PATCH %s: Allow = %q; want %q", path, got, want)
		}
	}
}

// Whatever the path, without the token nothing is asked of anybody, and the audit
// line says that somebody tried.
func TestRefusedCallsAskNobodyAndAreAudited(t *testing.T) {
	for _, c := range []struct {
		name, secret, authorization string
		status                      int
		outcome                     string
	}{
		{"no token set", "", "Bearer " + adminToken, 404, "off"},
		{"none sent", adminToken, "", 401, "unauthorized"},
		{"wrong", adminToken, "Bearer hunter2", 401, "unauthorized"},
	} {
		for path, actions := range map[string]map[string]string{
			"/v1/sessions":                   {"GET": "sessions.list", "DELETE": "sessions.revoke_user", "PUT": "unknown"},
			"/v1/sessions/001122":            {"GET": "sessions.show", "DELETE": "sessions.revoke"},
			"/v1/tokens/1":                   {"DELETE": "tokens.revoke"},
			"/v1/challenges/hunter2/approve": {"POST": "challenges.approve"},
			"/hunter2":                       {"GET": "unknown"},
		} {
			for method, action := range actions {
				d, audit := &desk{}, &trail{}
				h := New(Options{
					Token: token.NewSecret(c.secret), Audit: audit,
					Sessions:   func() Sessions { t.Error("the sessions were asked for"); return d },
					Challenges: func() Challenges { t.Error("the challenges were asked for"); return d },
				})
				w := call(t, h, method, path+"?user=hunter2", c.authorization)
				if w.Code != c.status {
					t.Errorf("%s: %s %s = %d; want %d", c.name, method, path, w.Code, c.status)
				}
				wantProblem(t, w, "GATEHOUSE_ADMIN_TOKEN")
				want := Event{Action: action, Outcome: c.outcome, Client: "192.0.2.1", Request: w.Header().Get("X-Request-Id")}
				if diff := cmp.Diff(want, audit.last(t)); diff != "" {
					t.Errorf("%s: %s %s audit line (-want +got):\n%s", c.name, method, path, diff)
				}
			}
		}
	}
}

func TestWithoutAPartItsCallsAreNotThere(t *testing.T) {
	h := New(Options{Token: token.NewSecret(adminToken)})
	for _, path := range []string{"/v1/sessions", "/v1/tokens", "/v1/challenges"} {
		if w := call(t, h, http.MethodGet, path, "Bearer "+adminToken); w.Code != 404 {
			t.Errorf("%s = %d; want 404", path, w.Code)
		}
	}
}

func TestBeforeTheGatewayIsReadyItCannotBeAsked(t *testing.T) {
	h := New(Options{Token: token.NewSecret(adminToken), Sessions: func() Sessions { return nil }, Challenges: func() Challenges { return nil }})
	for call1, method := range map[string]string{
		"/v1/sessions": "GET", "/v1/sessions/001122": "GET", "/v1/tokens/1": "DELETE", "/v1/sessions?user=alice": "DELETE",
		"/v1/challenges": "GET", "/v1/challenges/1/deny": "POST",
	} {
		w := call(t, h, method, call1, "Bearer "+adminToken)
		if w.Code != 503 {
			t.Errorf("%s = %d; want 503", call1, w.Code)
		}
		wantProblem(t, w, "/readyz")
	}
}

func TestTenWrongTokensStopANetworkForTheMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		audit := &trail{}
		h := newDesk(&desk{}, audit)
		try := func(from, secret string) int {
			t.Helper()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/sessions", nil)
			r.RemoteAddr = from
			r.Header.Set("Authorization", "Bearer "+secret)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w.Code
		}
		for n := range 10 {
			if got := try("192.0.2.1:1000", "wrong"); got != 401 {
				t.Fatalf("wrong token %d = %d; want 401", n+1, got)
			}
			try("[2001:db8::"+string(rune('a'+n%6))+"]:1", "wrong")
		}
		for _, from := range []string{"192.0.2.1:2000", "[2001:db8::99]:5", "[::ffff:192.0.2.1]:7"} {
			if got := try(from, adminToken); got != 429 {
				t.Errorf("the right token from %s after ten wrong ones = %d; want 429", from, got)
			}
		}
		for _, from := range []string{"192.0.2.2:1000", "[2001:db8:0:1::1]:1"} {
			if got := try(from, adminToken); got != 200 {
				t.Errorf("the right token from %s = %d; want 200", from, got)
			}
		}
		if e := audit.events[len(audit.events)-3]; e.Outcome != "throttled" {
			t.Errorf("audit outcome = %q; want throttled", e.Outcome)
		}
		<-time.After(time.Minute)
		if got := try("192.0.2.1:1000", adminToken); got != 200 {
			t.Errorf("the right token after a minute = %d; want 200", got)
		}
		for range 9 {
			try("192.0.2.1:1000", "wrong")
		}
		if got := try("192.0.2.1:1000", adminToken); got != 200 {
			t.Errorf("the right token after nine wrong ones = %d; want 200", got)
		}
	})
}

func TestGuessesOfManyNetworksAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g guesses
		for n := range 3 * maxGuessNets {
			g.failed(strings.Repeat("x", n))
		}
		if len(g.net) != maxGuessNets {
			t.Errorf("%d networks are remembered; want %d", len(g.net), maxGuessNets)
		}
	})
}

func TestAuditLineHasAClosedListOfKeys(t *testing.T) {
	var log bytes.Buffer
	a := LogAuditor{slog.New(slog.NewJSONHandler(&log, nil))}
	for _, e := range []Event{{}, {"sessions.revoke", "ok", "001122", "192.0.2.1", "abc"}} {
		log.Reset()
		a.Audit(t.Context(), e)
		var line map[string]any
		if err := json.Unmarshal(log.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		want := []string{"action", "client", "event", "level", "msg", "outcome", "request", "target", "time", "v"}
		if got := slices.Sorted(maps.Keys(line)); !slices.Equal(got, want) {
			t.Errorf("keys = %v; want %v", got, want)
		}
		if line["msg"] != "audit" || line["event"] != "operator" || line["v"] != 1.0 || line["action"] != e.Action {
			t.Errorf("line = %s", &log)
		}
	}
}
