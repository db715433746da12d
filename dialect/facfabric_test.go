package dialect_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/token"
)

func facFabric(t testing.TB) *dialect.Dialect {
	t.Helper()
	return mustOpen(t, "fac-fabric", dialect.Settings{})
}

func facPosted(t testing.TB, contentType, body string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/fabric/authenticate", strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return r
}

func TestFabricRequestIsRead(t *testing.T) {
	login := token.Grant{Op: token.OpLogin, Username: "u", Password: token.NewSecret("p"), RealmInName: true}
	refresh := token.Grant{Op: token.OpRefresh, Refresh: token.NewSecret("r")}
	call := facFabric(t).Call(token.OpLogin)
	for _, c := range []struct {
		name, kind, body string
		want             token.Grant
		refused          token.Kind // of those with an empty want
	}{
		{"login", "application/json", `{"username":"u","password":"p"}`, login, 0},
		{"login without Content-Type", "", `{"username":"u","password":"p"}`, login, 0},
		{"login with charset", "application/json; charset=utf-8", `{"username":"u","password":"p"}`, login, 0},
		{"grant_type password", "", `{"username":"u","password":"p","grant_type":"password"}`, login, 0},
		{"grant_type null", "", `{"username":"u","password":"p","grant_type":null}`, login, 0},
		{"grant_type empty", "", `{"username":"u","password":"p","grant_type":""}`, login, 0},
		{"unknown fields", "", `{"username":"u","password":"p","vdom":"root","x":[1,{}]}`, login, 0},
		{"refresh token beside, no grant_type", "", `{"username":"u","password":"p","refresh_token":"r"}`, login, 0},
		{"refresh", "", `{"grant_type":"refresh_token","refresh_token":"r"}`, refresh, 0},
		{"refresh with a user beside", "", `{"grant_type":"refresh_token","refresh_token":"r","username":"u","password":1}`, refresh, 0},
		{"a realm stays in the name", "", `{"username":"u@n.com@r","password":"p"}`, token.Grant{Op: token.OpLogin, Username: "u@n.com@r", Password: token.NewSecret("p"), RealmInName: true}, 0},

		{"no name", "", `{"password":"p"}`, token.Grant{}, token.Internal},
		{"empty name", "", `{"username":"","password":"p"}`, token.Grant{}, token.Internal},
		{"no password", "", `{"username":"u"}`, token.Grant{}, token.Internal},
		{"refresh token alone", "", `{"refresh_token":"r"}`, token.Grant{}, token.Internal},
		{"refresh without one", "", `{"grant_type":"refresh_token"}`, token.Grant{}, token.Internal},
		{"refresh with an empty one", "", `{"grant_type":"refresh_token","refresh_token":""}`, token.Grant{}, token.Internal},
		{"refresh with null", "", `{"grant_type":"refresh_token","refresh_token":null}`, token.Grant{}, token.Internal},
		{"refresh with a number", "", `{"grant_type":"refresh_token","refresh_token":1}`, token.Grant{}, token.Internal},
		{"name a number", "", `{"username":1,"password":"p"}`, token.Grant{}, token.Internal},
		{"password an array", "", `{"username":"u","password":["p"]}`, token.Grant{}, token.Internal},
		{"grant_type a number", "", `{"username":"u","password":"p","grant_type":1}`, token.Grant{}, token.Internal},
		{"another grant", "", `{"username":"u","password":"p","grant_type":"client_credentials"}`, token.Grant{}, token.UnsupportedGrant},
		{"a grant in capitals", "", `{"refresh_token":"r","grant_type":"REFRESH_TOKEN"}`, token.Grant{}, token.UnsupportedGrant},
		{"keys in capitals", "", `{"USERNAME":"u","PASSWORD":"p"}`, token.Grant{}, token.Internal},
		{"a key twice", "", `{"username":"u","username":"v","password":"p"}`, token.Grant{}, token.Internal},
		{"empty", "", ``, token.Grant{}, token.Internal},
		{"null", "", `null`, token.Grant{}, token.Internal},
		{"array", "", `[]`, token.Grant{}, token.Internal},
		{"cut off", "application/json", `{"username": "u",`, token.Grant{}, token.Internal},
		{"more behind", "", `{"username":"u","password":"p"} {}`, token.Grant{}, token.Internal},
		{"not UTF-8", "", "{\"username\":\"\xff\",\"password\":\"p\"}", token.Grant{}, token.Internal},
		{"a form", "application/x-www-form-urlencoded", `username=u&password=p`, token.Grant{}, token.UnsupportedMedia},
		{"said to be text", "text/plain", `{"username":"u","password":"p"}`, token.Grant{}, token.UnsupportedMedia},
	} {
		got, err := call.ReadRequest(facPosted(t, c.kind, c.body))
		if diff := cmp.Diff(c.want, got, revealed); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
		if (err == nil) != (c.want.Op != "") || err != nil && token.KindOf(err) != c.refused {
			t.Errorf("%s: %v; want refused as %s", c.name, err, c.refused)
		}
		if err != nil && (strings.Contains(err.Error(), `"p"`) || strings.Contains(err.Error(), "client_cred")) {
			t.Errorf("%s: the error says back what was sent: %v", c.name, err)
		}
	}
}

func TestFabricBodyAtItsLimitAndOver(t *testing.T) {
	const limit = 64 << 10
	call := facFabric(t).Call(token.OpLogin)
	for _, over := range []int{0, 1} {
		body := `{"username":"u","password":"p","x":"` + strings.Repeat("x", limit-len(`{"username":"u","password":"p","x":""}`)+over) + `"}`
		r := facPosted(t, "", body)
		r.Body = http.MaxBytesReader(httptest.NewRecorder(), r.Body, limit)
		_, err := call.ReadRequest(r)
		if _, tooLong := errors.AsType[*http.MaxBytesError](err); tooLong != (over == 1) {
			t.Errorf("%d bytes: %v", len(body), err)
		}
	}
}

func TestFabricRequestIsWrittenAsThePageHasIt(t *testing.T) {
	call := facFabric(t).Call(token.OpRefresh)
	for _, c := range []struct {
		g    token.Grant
		want string
	}{
		{token.Grant{Op: token.OpLogin, Username: "tfadmin", Password: token.NewSecret("12345678")}, `{"username":"tfadmin","password":"12345678"}`},
		{token.Grant{Op: token.OpLogin, Username: "user@name.com", Realm: "realm", Password: token.NewSecret("p")}, `{"username":"user@name.com@realm","password":"p"}`},
		{token.Grant{Op: token.OpRefresh, Username: "u", Password: token.NewSecret("p"), Refresh: token.NewSecret("R"), Access: token.NewSecret("A")}, `{"grant_type":"refresh_token","refresh_token":"R"}`},
	} {
		r := requestWith(t, http.Header{})
		if err := call.WriteRequest(r, c.g); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, r.ContentLength+1)
		n, _ := r.Body.Read(b)
		if got := string(b[:n]); got != c.want || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %s as %q; want %s", c.g.Op, got, r.Header.Get("Content-Type"), c.want)
		}
	}
	if got := call.SpokenPath("6.x", token.Grant{}); got != "/api/fabric/authenticate" {
		t.Errorf("the spoken path is %s; want the page's", got)
	}
}

func TestFabricAnswerHasThePagesFields(t *testing.T) {
	call := facFabric(t).Call(token.OpLogin)
	set := token.Set{Op: token.OpLogin, Access: token.NewSecret("A"), Refresh: token.NewSecret("R")}
	for _, c := range []struct {
		op   token.Op
		life time.Duration
		want string
	}{
		{token.OpLogin, 0, `{"access_token":"A","expires_in":0,"message":"successfully authenticated","refresh_token":"R","scope":"read","success":"true","token_type":"Bearer"}`},
		{token.OpRefresh, 0, `{"access_token":"A","expires_in":0,"message":"Token has been refreshed successfully","refresh_token":"R","scope":"read","success":"true","token_type":"Bearer"}`},
		{token.OpLogin, 3600 * time.Second, `{"access_token":"A","expires_in":3600,"message":"successfully authenticated","refresh_token":"R","scope":"read","success":"true","token_type":"Bearer"}`},
		{token.OpLogin, time.Millisecond, `{"access_token":"A","expires_in":1,"message":"successfully authenticated","refresh_token":"R","scope":"read","success":"true","token_type":"Bearer"}`},
	} {
		set.Op, set.ExpiresIn = c.op, c.life
		rec := httptest.NewRecorder()
		if err := call.WriteResponse(rec, set); err != nil {
			t.Fatal(err)
		}
		if got := rec.Body.String(); got != c.want || rec.Code != 200 || rec.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s, %s: %d %s; want %s", c.op, c.life, rec.Code, got, c.want)
		}
	}
}

func TestFabricAnswerIsRead(t *testing.T) {
	call := facFabric(t).Call(token.OpLogin)
	const bad = token.BadCredentials
	for _, c := range []struct {
		name, body    string
		refresh       string
		life          time.Duration
		refused, fail bool
	}{
		{name: "the page's", body: `{"access_token":"A","expires_in":0,"message":"m","refresh_token":"R","scope":"read","success":"true","token_type":"Bearer"}`, refresh: "R"},
		{name: "with a life", body: `{"access_token":"A","expires_in":3600,"refresh_token":"R","success":"true"}`, refresh: "R", life: time.Hour},
		{name: "the longest life", body: `{"access_token":"A","expires_in":2147483647,"success":"true"}`, life: 2147483647 * time.Second},
		{name: "no life", body: `{"access_token":"A","success":"true"}`},
		{name: "a null life", body: `{"access_token":"A","success":"true","expires_in":null}`},
		{name: "no refresh token", body: `{"access_token":"A","expires_in":0,"success":"true"}`},
		{name: "a null refresh token", body: `{"access_token":"A","expires_in":0,"success":"true","refresh_token":null}`},
		{name: "an empty refresh token", body: `{"access_token":"A","expires_in":0,"success":"true","refresh_token":""}`},

		{name: "success false", body: `{"access_token":"A","expires_in":0,"success":"false"}`, refused: true},
		{name: "success the boolean", body: `{"access_token":"A","expires_in":0,"success":true}`, refused: true},
		{name: "success True", body: `{"access_token":"A","expires_in":0,"success":"True"}`, refused: true},
		{name: "no success", body: `{"access_token":"A","expires_in":0,"status":"success"}`, refused: true},
		{name: "success in capitals", body: `{"access_token":"A","expires_in":0,"SUCCESS":"true"}`, refused: true},

		{name: "a life too long", body: `{"access_token":"A","expires_in":2147483648,"success":"true"}`, fail: true},
		{name: "a life without end", body: `{"access_token":"A","expires_in":1e99,"success":"true"}`, fail: true},
		{name: "a life past 64 bits", body: `{"access_token":"A","expires_in":9223372036854775808,"success":"true"}`, fail: true},
		{name: "a negative life", body: `{"access_token":"A","expires_in":-1,"success":"true"}`, fail: true},
		{name: "half a second", body: `{"access_token":"A","expires_in":0.5,"success":"true"}`, fail: true},
		{name: "a life in words", body: `{"access_token":"A","expires_in":"0","success":"true"}`, fail: true},
		{name: "no access token", body: `{"expires_in":0,"success":"true"}`, fail: true},
		{name: "a null access token", body: `{"access_token":null,"expires_in":0,"success":"true"}`, fail: true},
		{name: "an empty access token", body: `{"access_token":"","expires_in":0,"success":"true"}`, fail: true},
		{name: "an access token of two lines", body: `{"access_token":"A\nB","expires_in":0,"success":"true"}`, fail: true},
		{name: "an access token a number", body: `{"access_token":1,"expires_in":0,"success":"true"}`, fail: true},
		{name: "a refresh token a number", body: `{"access_token":"A","refresh_token":0,"success":"true"}`, fail: true},
		{name: "a key twice", body: `{"access_token":"A","access_token":"B","success":"true"}`, fail: true},
		{name: "empty", body: ``, fail: true},
		{name: "array", body: `[]`, fail: true},
		{name: "null", body: `null`, fail: true},
		{name: "HTML", body: `<html>`, fail: true},
		{name: "too long", body: `{"success":"true","x":"` + strings.Repeat("x", 1<<20) + `"}`, fail: true},
	} {
		set, err := call.ReadResponse(answered(http.StatusOK, nil, c.body))
		if c.refused || c.fail {
			if err == nil || (token.KindOf(err) == bad) != c.refused || !set.Access.IsZero() && c.refused {
				t.Errorf("%s: %+v, %v; want an error, a refusal: %v", c.name, set, err, c.refused)
			}
			continue
		}
		want := token.Set{
			Access: token.NewSecret("A"), Refresh: token.NewSecret(c.refresh), ExpiresIn: c.life,
			Identity: token.Identity{Permissions: []string{"widget"}},
		}
		if diff := cmp.Diff(want, set, revealed); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", c.name, err, diff)
		}
	}
}

func TestFabricTokensHaveOneSpelling(t *testing.T) {
	d := facFabric(t)
	shape := regexp.MustCompile(`^[A-Za-z0-9]{30}$`)
	cores := []token.Core{{}, {21: 1}}
	for range 100 {
		cores = append(cores, randomCore())
	}
	for _, core := range cores {
		access, err := d.Tokens.MintAccess(testKeys(), token.Access{}, core)
		if err != nil || !shape.MatchString(access.Reveal()) {
			t.Fatalf("MintAccess = %q, %v; want 30 letters and digits", access.Reveal(), err)
		}
		if refresh := d.Tokens.MintRefresh(core, token.Identity{ID: "1"}); refresh.Reveal() != access.Reveal() {
			t.Errorf("one core gives %q and %q; want one shape", access.Reveal(), refresh.Reveal())
		}
		if _, got, err := d.Tokens.ParseAccess(testKeys(), access); err != nil || got == nil || *got != core {
			t.Errorf("ParseAccess(MintAccess(%x)) = %x, %v", core, got, err)
		}
		if got, ok := d.Tokens.ParseRefresh(access); !ok || got != core {
			t.Errorf("ParseRefresh(MintRefresh(%x)) = %x, %v", core, got, ok)
		}
	}
	good := d.Tokens.MintRefresh(token.Core{3: 9}, token.Identity{}).Reveal()
	for name, text := range map[string]string{
		"empty": "", "29": good[1:], "31": "0" + good, "a space behind": good + " ", "a dash": "-" + good[1:],
		"past the last core": strings.Repeat("z", 30), "not ASCII": strings.Repeat("é", 15), "a null byte": "\x00" + good[1:],
		"a full-width digit": "０" + good[3:], "longer by far": strings.Repeat("0", 1<<16),
	} {
		if _, _, err := d.Tokens.ParseAccess(testKeys(), token.NewSecret(text)); err == nil || token.KindOf(err) != token.InvalidAccess {
			t.Errorf("%s: ParseAccess = %v; want invalid_access", name, err)
		}
		if _, ok := d.Tokens.ParseRefresh(token.NewSecret(text)); ok {
			t.Errorf("%s: ParseRefresh takes it", name)
		}
	}
}

func TestFabricPermits(t *testing.T) {
	permit := facFabric(t).Permit
	for _, c := range []struct {
		id   token.Identity
		want bool
	}{
		{token.Identity{}, false},
		{token.Identity{Permissions: []string{"Widget", "widgets"}, Groups: []string{"widget"}, Scopes: []string{"widget"}}, false},
		{token.Identity{Permissions: []string{"other", "widget"}}, true},
		{token.Identity{Admin: true}, true},
	} {
		if e := permit(c.id); (e == nil) != c.want || e != nil && e.Kind != token.BadCredentials {
			t.Errorf("%+v: %v; want permitted: %v", c.id, e, c.want)
		}
	}
	if got := facFabric(t).SecondFactor; got != token.FactorSkipped {
		t.Errorf("a second factor is %v; want skipped, as the page says", got)
	}
}

func TestFabricLivesAreWholeSeconds(t *testing.T) {
	for _, c := range []struct {
		d  time.Duration
		ok bool
	}{
		{0, true},
		{time.Second, true},
		{2147483647 * time.Second, true},
		{2147483648 * time.Second, false},
		{-time.Second, false},
		{1500 * time.Millisecond, false},
	} {
		for _, s := range []dialect.Settings{{AccessTTL: c.d}, {RefreshTTL: c.d}} {
			d, err := dialect.Open("fac-fabric/6.x", s)
			if (err == nil) != c.ok || err == nil && (d.Tokens.AccessTTL != s.AccessTTL || d.Tokens.RefreshTTL != s.RefreshTTL) {
				t.Errorf("%+v: %v; want taken: %v", s, err, c.ok)
			}
		}
	}
}

func TestFabricCallHasASlashAtItsEndOrNone(t *testing.T) {
	d := facFabric(t)
	for path, want := range map[string]bool{
		"/api/fabric/authenticate": true, "/api/fabric/authenticate/": true,
		"/api/fabric/authenticate//": false, "/api/fabric/authenticate/x": false, "/api/fabric": false, "/api/fabric/": false,
		"/api/fabric/Authenticate": false, "/api/v1/fabric/authenticate": false, "/": false,
	} {
		for _, method := range []string{http.MethodPost, http.MethodGet} {
			r := httptest.NewRequestWithContext(t.Context(), method, "/", nil)
			r.URL.Path = path
			if c, known := d.Match(r); known != want || (c != nil) != (want && method == http.MethodPost) {
				t.Errorf("%s %s: %v, known %v; want %v", method, path, c, known, want)
			}
		}
		if _, guarded := d.Guards(path); want && !guarded {
			t.Errorf("%s is served and not guarded", path)
		}
	}
}

// TestFabricEveryKindHasAnAnswer: none tells of a token, and none of why a
// credential is no good.
func TestFabricEveryKindHasAnAnswer(t *testing.T) {
	d := facFabric(t)
	secret := []token.Kind{
		token.Missing, token.BadCredentials, token.InvalidAccess, token.ExpiredAccess, token.InvalidRefresh,
		token.InvalidAPIToken, token.ExpiredAPIToken, token.FactorNeeded, token.WrongToken, token.InvalidClient,
	}
	statuses := map[token.Kind]int{
		token.Malformed: 400, token.UnsupportedGrant: 400, token.BadCredentials: 401, token.InvalidRefresh: 401, token.Missing: 401,
		token.InvalidAccess: 401, token.ExpiredAccess: 401, token.Denied: 403, token.NotFound: 404, token.MethodNotAllowed: 405,
		token.TooLarge: 413, token.UnsupportedMedia: 415, token.Throttled: 429, token.Internal: 500, token.BadGateway: 502,
		token.Unavailable: 503, token.GatewayTimeout: 504,
	}
	for _, kind := range token.Kinds() {
		rec := written(t, d, http.MethodPost, &token.Error{Kind: kind, Msg: "why", RetryAfter: 1001 * time.Millisecond})
		body := map[string]string{}
		if err := json.Unmarshal(rec.Body.Bytes(), &body); err != nil || len(body) != 2 || body["success"] != "false" || body["message"] == "" {
			t.Errorf("%s: %s, %v", kind, rec.Body, err)
		}
		if want := statuses[kind]; rec.Code < 400 || want != 0 && rec.Code != want {
			t.Errorf("%s: %d; want %d", kind, rec.Code, want)
		}
		if told := body["message"] == "why"; told == slices.Contains(secret, kind) {
			t.Errorf("%s: says %q", kind, body["message"])
		}
		want := ""
		if kind == token.Throttled || kind == token.Unavailable {
			want = "2"
		}
		if got := rec.Header().Get("Retry-After"); got != want {
			t.Errorf("%s: Retry-After %q; want %q", kind, got, want)
		}
		if head := written(t, d, http.MethodHead, token.Fail(kind, "", nil)); head.Code != rec.Code || head.Body.Len() != 0 {
			t.Errorf("%s: HEAD is answered %d %s", kind, head.Code, head.Body)
		}
	}
}

func TestFabricBackendFailuresAreRead(t *testing.T) {
	errs := facFabric(t).Errors
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   token.Kind
		ends   bool // as the answer to a refresh, it ends the refresh token
	}{
		{"401", 401, `{"message":"x"}`, token.InvalidAccess, true},
		{"401 of Django", 401, `{"detail":"x"}`, token.InvalidAccess, true},
		{"401 without a body", 401, ``, token.InvalidAccess, true},
		{"401 of a proxy", 401, `Unauthorized`, token.BadGateway, false},
		{"401 of a web page", 401, `<html>`, token.BadGateway, false},
		{"401 with a key twice", 401, `{"message":"x","message":"y"}`, token.BadGateway, false},
		{"OAuth's word", 400, `{"error":"invalid_grant"}`, token.BadCredentials, true},
		{"another word of OAuth", 400, `{"error":"invalid_request"}`, token.Malformed, false},
		{"400", 400, `{"message":"x"}`, token.Malformed, false},
		{"403", 403, ``, token.Denied, false},
		{"404", 404, ``, token.NotFound, false},
		{"405", 405, ``, token.MethodNotAllowed, false},
		{"413", 413, ``, token.TooLarge, false},
		{"415", 415, ``, token.UnsupportedMedia, false},
		{"418", 418, ``, token.BadGateway, false},
		{"302", 302, ``, token.BadGateway, false},
		{"429", 429, `<html>`, token.Throttled, false},
		{"500 with OAuth's word", 500, `{"error":"invalid_grant"}`, token.Unavailable, false},
		{"503", 503, ``, token.Unavailable, false},
	} {
		e := errs.Read(c.status, http.Header{"Retry-After": {"7"}}, []byte(c.body))
		if e.Kind != c.want || e.Msg == "" || e.Err == nil || errs.EndsRefresh(e) != c.ends {
			t.Errorf("%s: %v, ends %v; want %s, %v", c.name, e, errs.EndsRefresh(e), c.want, c.ends)
		}
		if asked := e.RetryAfter == 7*time.Second; asked != (c.status == 429 || c.status >= 500) {
			t.Errorf("%s: to come back after %s", c.name, e.RetryAfter)
		}
	}
	for status := 200; status < 600; status++ {
		if got := errs.MayExpire(status); got != (status == 401) {
			t.Errorf("MayExpire(%d) = %v", status, got)
		}
	}
}

// FuzzFabricRequest: what is read can be spoken and is read again as the same.
func FuzzFabricRequest(f *testing.F) {
	for _, seed := range []string{
		`{"username":"a","password":"b"}`, `{"grant_type":"refresh_token","refresh_token":"r"}`, `{"grant_type":"password","username":"a@b@c","password":"\u0000"}`,
		`{"username":"a"`, `[]`, ``, `{"username":"a","username":"b"}`,
	} {
		f.Add(seed)
	}
	call := facFabric(f).Call(token.OpLogin)
	f.Fuzz(func(t *testing.T, body string) {
		g, err := call.ReadRequest(facPosted(t, "", body))
		if err != nil {
			return
		}
		r := requestWith(t, http.Header{})
		if err := call.WriteRequest(r, g); err != nil {
			t.Fatal(err)
		}
		again, err := call.ReadRequest(r)
		if diff := cmp.Diff(g, again, revealed); err != nil || diff != "" {
			t.Errorf("%q: %v\n%s", body, err, diff)
		}
	})
}

// FuzzFabricAnswer: what is read of a success can be served and is read again as
// the same; a failure has a kind that is not ours.
func FuzzFabricAnswer(f *testing.F) {
	f.Add(200, `{"access_token":"A","expires_in":0,"message":"m","refresh_token":"R","scope":"read","success":"true","token_type":"Bearer"}`)
	f.Add(200, `{"success":"false","message":"no"}`)
	f.Add(200, `{"access_token":"A","expires_in":2147483648,"success":"true"}`)
	f.Add(401, `{"message":"x"}`)
	f.Add(400, `{"error":"invalid_grant"}`)
	f.Add(503, `<html>`)
	d := facFabric(f)
	call := d.Call(token.OpLogin)
	f.Fuzz(func(t *testing.T, status int, body string) {
		if e := d.Errors.Read(status, http.Header{}, []byte(body)); e == nil || e.Kind == token.Internal || status >= 500 && e.Kind != token.Unavailable {
			t.Errorf("%d %q: %v", status, body, e)
		}
		set, err := call.ReadResponse(answered(http.StatusOK, nil, body))
		if err != nil {
			return
		}
		if set.Access.IsZero() || set.ExpiresIn < 0 {
			t.Errorf("%q is read as %+v", body, set)
		}
		rec := httptest.NewRecorder()
		if err := call.WriteResponse(rec, set); err != nil {
			t.Fatal(err)
		}
		again, err := call.ReadResponse(rec.Result())
		if diff := cmp.Diff(set, again, revealed); err != nil || diff != "" {
			t.Errorf("%q: %v\n%s", body, err, diff)
		}
	})
}

// FuzzFabricToken: a text that is read is the one spelling of its core.
func FuzzFabricToken(f *testing.F) {
	f.Add("shrWNdu1xJRUgpcUi2bhYRX1Sl8pXe")
	f.Add(strings.Repeat("0", 30))
	f.Add(strings.Repeat("z", 30))
	f.Add(strconv.Itoa(1 << 40))
	tokens := facFabric(f).Tokens
	f.Fuzz(func(t *testing.T, text string) {
		core, ok := tokens.ParseRefresh(token.NewSecret(text))
		_, access, err := tokens.ParseAccess(testKeys(), token.NewSecret(text))
		if ok != (err == nil) || ok && *access != core {
			t.Errorf("%q: as a refresh token %v, as an access token %v", text, ok, err)
		}
		if ok && tokens.MintRefresh(core, token.Identity{}).Reveal() != text {
			t.Errorf("%q is another spelling of %x", text, core)
		}
	})
}
