package dialect_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/token"
)

func TestItemPathBearerIsExact(t *testing.T) {
	carrier := itempath(t).Carriers[0]
	for _, c := range []struct {
		lines []string
		want  string
		ok    bool
	}{
		{nil, "", false},
		{[]string{""}, "", false},
		{[]string{"Bearer abc"}, "abc", true},
		{[]string{" Bearer   abc "}, "abc", true},
		{[]string{"bearer abc"}, "", false},
		{[]string{"BEARER abc"}, "", false},
		{[]string{"Basic YTpi"}, "", false},
		{[]string{"BearerX abc"}, "", false},
		{[]string{"abc"}, "", false},
		{[]string{"Bearer"}, "", true},
		{[]string{"Bearer a b"}, "", true},
		{[]string{"Bearer a\x01"}, "", true},
		{[]string{"Bearer a", "Basic YTpi"}, "", true},
	} {
		r := requestWith(t, http.Header{"Authorization": c.lines})
		if got, ok := carrier.Get(r); got.Reveal() != c.want || ok != c.ok {
			t.Errorf("%q: %q, %v; want %q, %v", c.lines, got.Reveal(), ok, c.want, c.ok)
		}
	}
	r := requestWith(t, http.Header{"Authorization": {"Basic YTpi"}})
	carrier.Set(r, token.NewSecret("abc"))
	if got, ok := carrier.Get(r); got.Reveal() != "abc" || !ok {
		t.Errorf("set and read: %q, %v", got.Reveal(), ok)
	}
	if carrier.Del(r); len(r.Header) != 0 {
		t.Errorf("deleted: %v", r.Header)
	}
}

func itpWritten(t testing.TB, e *token.Error, authorization string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/stations", nil)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	rec := httptest.NewRecorder()
	itempath(t).Errors.Write(rec, r, e)
	return rec
}

func TestItemPathFailuresAreTheLibrarys(t *testing.T) {
	for _, c := range []struct {
		name          string
		e             *token.Error
		authorization string
		status        int
		msg           string
	}{
		{"no header", token.Fail(token.Missing, "ours", nil), "", 401, "Missing Authorization Header"},
		{"another scheme", token.Fail(token.Missing, "ours", nil), "Basic YTpi", 401, "Missing 'Bearer' type in 'Authorization' header. Expected 'Authorization: Bearer <JWT>'"},
		{"in lower case", token.Fail(token.Missing, "", nil), "bearer abc", 401, "Missing 'Bearer' type in 'Authorization' header. Expected 'Authorization: Bearer <JWT>'"},
		{"session ended", token.Fail(token.InvalidAccess, "ours", nil), "", 401, "Token has been revoked"},
		{"refresh token no good", token.Fail(token.InvalidRefresh, "ours", nil), "", 401, "Token has been revoked"},
		{"refresh token expired", token.Fail(token.InvalidRefresh, "Token has expired", nil), "", 401, "Token has expired"},
		{"refresh token junk", token.Fail(token.InvalidRefresh, "Not enough segments", nil), "", 422, "Not enough segments"},
		{"expired", token.Fail(token.ExpiredAccess, "ours", nil), "", 401, "Token has expired"},
		{"wrong type", token.Fail(token.WrongToken, "Only non-refresh tokens are allowed", nil), "", 422, "Only non-refresh tokens are allowed"},
		{"padding", token.Fail(token.InvalidAccess, "Invalid header padding", nil), "", 422, "Invalid header padding"},
		{"policy", token.Fail(token.Denied, "policy says no", nil), "", 403, "policy says no"},
	} {
		rec := itpWritten(t, c.e, c.authorization)
		if want := fmt.Sprintf(`{"msg":%s}`, quoted(t, c.msg)); rec.Code != c.status || rec.Body.String() != want {
			t.Errorf("%s: %d %s; want %d %s", c.name, rec.Code, rec.Body, c.status, want)
		}
	}
}

func quoted(t testing.TB, s string) string {
	t.Helper()
	if strings.ContainsAny(s, "\"\\") {
		t.Fatalf("%q needs escapes", s)
	}
	return `"` + s + `"`
}

func TestItemPathLoginFailuresAreAlike(t *testing.T) {
	want := `{"login":false,"msg":"Bad username or password"}`
	for _, msg := range []string{"", "no such user", "wrong password", "Token has expired"} {
		if rec := itpWritten(t, token.Fail(token.BadCredentials, msg, nil), ""); rec.Code != 401 || rec.Body.String() != want {
			t.Errorf("%q: %d %s; want 401 %s", msg, rec.Code, rec.Body, want)
		}
	}
	if rec := itpWritten(t, token.Fail(token.FactorNeeded, "x", nil), ""); rec.Code != 401 || !strings.Contains(rec.Body.String(), `"login":false`) {
		t.Errorf("a second factor: %d %s", rec.Code, rec.Body)
	}
}

// TestItemPathAnswersEveryKind: and what it wrote is read as the same, or as the
// kind that stands for it.
func TestItemPathAnswersEveryKind(t *testing.T) {
	alike := map[token.Kind]token.Kind{
		token.InvalidRefresh: token.InvalidAccess, token.InvalidAPIToken: token.InvalidAccess, token.ExpiredAPIToken: token.ExpiredAccess,
		token.FactorNeeded: token.BadCredentials, token.InvalidClient: token.BadCredentials, token.UnauthorizedClient: token.Malformed,
		token.UnsupportedGrant: token.Malformed, token.InvalidScope: token.Malformed,
		token.LocalAuthOff: token.Denied, token.CrossOrigin: token.Denied,
	}
	for _, kind := range token.Kinds() {
		rec := itpWritten(t, &token.Error{Kind: kind, RetryAfter: 7 * time.Second}, "")
		if rec.Code < 400 || rec.Header().Get("Content-Type") != "application/json; charset=utf-8" || rec.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v", kind, rec.Code, rec.Header())
		}
		want, ok := alike[kind]
		if !ok {
			want = kind
		}
		if rec.Code >= 500 {
			want = token.Unavailable
		}
		got := itempath(t).Errors.Read(rec.Code, rec.Header(), rec.Body.Bytes())
		if got.Kind != want {
			t.Errorf("%s: written and read back it is %s; want %s", kind, got.Kind, want)
		}
		if later := kind == token.Throttled || kind == token.Unavailable; later && got.RetryAfter != 7*time.Second {
			t.Errorf("%s: come back after %s; want 7 s", kind, got.RetryAfter)
		}
	}
	rec := httptest.NewRecorder()
	itempath(t).Errors.Write(rec, httptest.NewRequestWithContext(t.Context(), http.MethodHead, "/", nil), token.Fail(token.Missing, "", nil))
	if rec.Code != 401 || rec.Body.Len() != 0 {
		t.Errorf("HEAD: %d with %d bytes; want 401 with none", rec.Code, rec.Body.Len())
	}
}

func TestItemPathReadsABackendsFailures(t *testing.T) {
	d := itempath(t)
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   token.Kind
		ends   bool // a refresh call's refresh token is no good
	}{
		{"expired", 401, `{"msg":"Token has expired"}`, token.ExpiredAccess, true},
		{"revoked", 401, `{"msg":"Token has been revoked"}`, token.InvalidAccess, true},
		{"another secret", 422, `{"msg":"Signature verification failed"}`, token.InvalidAccess, true},
		{"no JWT", 422, `{"msg":"Not enough segments"}`, token.InvalidAccess, true},
		{"padding", 422, `{"msg":"Invalid header padding"}`, token.InvalidAccess, true},
		{"wrong type", 422, `{"msg":"Only refresh tokens are allowed"}`, token.WrongToken, true},
		{"no header", 401, `{"msg":"Missing Authorization Header"}`, token.Missing, false},
		{"fresh token", 401, `{"msg":"Fresh token required"}`, token.Denied, false},
		{"the message beats the status", 400, `{"msg":"Token has expired"}`, token.ExpiredAccess, true},
		{"401 alone", 401, ``, token.InvalidAccess, false},
		{"401 in other words", 401, `{"msg":"token has expired"}`, token.InvalidAccess, false},
		{"401 in HTML", 401, `<html>`, token.BadGateway, false},
		{"422 alone", 422, ``, token.Malformed, false},
		{"422 of the call", 422, `{"errors":{"name":["required"]}}`, token.Malformed, false},
		{"422 in other words", 422, `{"msg":"Quantity is missing"}`, token.Malformed, false},
		{"msg is a number", 422, `{"msg":1}`, token.Malformed, false},
		{"msg twice", 422, `{"msg":"Token has expired","msg":"Token has expired"}`, token.Malformed, false},
		{"login failed", 401, `{"login":false,"msg":"x"}`, token.BadCredentials, false},
		{"an outage beats the message", 500, `{"msg":"Token has expired"}`, token.Unavailable, false},
		{"throttled", 429, `{"msg":"Token has expired"}`, token.Throttled, false},
		{"403 alone", 403, `{}`, token.Denied, false},
		{"404 alone", 404, `{}`, token.NotFound, false},
		{"418", 418, `{}`, token.BadGateway, false},
	} {
		e := d.Errors.Read(c.status, http.Header{}, []byte(c.body))
		if e.Kind != c.want || e.Msg == "" || e.Err == nil || d.Errors.EndsRefresh(e) != c.ends {
			t.Errorf("%s: %v, ends the refresh token: %v; want %s, %v", c.name, e, d.Errors.EndsRefresh(e), c.want, c.ends)
		}
	}
	for status := 200; status < 600; status++ {
		if got := d.Errors.MayExpire(status); got != (status == 401 || status == 422) {
			t.Errorf("MayExpire(%d) = %v", status, got)
		}
	}
}

func TestItemPathTokensOfABackendSayHowLongTheyLive(t *testing.T) {
	jwt := func(claims string) string { return b64url([]byte(`{}`)) + "." + b64url([]byte(claims)) + ".AA" }
	d := itempath(t)
	for _, c := range []struct {
		name, access string
		want         time.Duration
	}{
		{"opaque", "AT1", 15 * time.Minute},
		{"a JWT", jwt(`{"iat":1000,"exp":1060}`), time.Minute},
		{"of the most there is", jwt(`{"iat":1,"exp":34560001}`), 400 * 24 * time.Hour},
		{"of a second more", jwt(`{"iat":1,"exp":34560002}`), 15 * time.Minute},
		{"without an end", jwt(`{"iat":1000}`), 15 * time.Minute},
		{"that ends before it begins", jwt(`{"iat":1000,"exp":999}`), 15 * time.Minute},
		{"with a fraction", jwt(`{"iat":1000,"exp":1060.5}`), 15 * time.Minute},
		{"without JSON", jwt(`x`), 15 * time.Minute},
	} {
		set, err := d.Call(token.OpLogin).ReadResponse(answered(200, nil, `{"login":true,"accessToken":"`+c.access+`","refreshToken":"RT1"}`))
		if err != nil || set.ExpiresIn != c.want || set.RefreshExpiresIn != 30*24*time.Hour {
			t.Errorf("%s: %s and %s, %v; want %s", c.name, set.ExpiresIn, set.RefreshExpiresIn, err, c.want)
		}
	}
	set, err := d.Call(token.OpApplicationToken).ReadResponse(answered(200, nil, `{"token":"APP"}`))
	if err != nil || set.Access.Reveal() != "APP" || set.ExpiresIn != 0 {
		t.Errorf("an application token: %+v, %v; want one that never expires", set, err)
	}
}

func TestItemPathLoginThatIsNotTrueIsARefusal(t *testing.T) {
	read := itempath(t).Call(token.OpLogin).ReadResponse
	for _, body := range []string{
		`{"login":false}`, `{"login":false,"accessToken":"AT1","refreshToken":"RT1"}`, `{"accessToken":"AT1","refreshToken":"RT1"}`,
		`{"login":"true","accessToken":"AT1","refreshToken":"RT1"}`, `{"login":null}`,
	} {
		if _, err := read(answered(200, nil, body)); err == nil || token.KindOf(err) != token.BadCredentials {
			t.Errorf("%s: %v; want bad_credentials", body, err)
		}
	}
	for _, body := range []string{``, `[]`, `{"login":true}`, `{"login":true,"accessToken":""}`, `{"login":true,"accessToken":"a b"}`, `<html>`} {
		if _, err := read(answered(200, nil, body)); err == nil || token.KindOf(err) != token.Internal {
			t.Errorf("%s: %v; want an answer that cannot be used", body, err)
		}
	}
}

func TestItemPathRequestsAreReadStrictly(t *testing.T) {
	d := itempath(t)
	for _, c := range []struct {
		name, method, path, authorization, body string
		want                                    token.Kind
	}{
		{"login", "POST", "/api/users/login", "", `{"username":"a","password":"b"}`, 0},
		{"login beside a header", "POST", "/api/users/login", "Bearer x", `{"username":"a","password":"b"}`, 0},
		{"no password", "POST", "/api/users/login", "", `{"username":"a"}`, token.Internal},
		{"password a number", "POST", "/api/users/login", "", `{"username":"a","password":1}`, token.Internal},
		{"in other case", "POST", "/api/users/login", "", `{"Username":"a","Password":"b"}`, token.Internal},
		{"twice", "POST", "/api/users/login", "", `{"username":"a","password":"b","password":"c"}`, token.Internal},
		{"refresh", "POST", "/api/users/refresh", "Bearer x", ``, 0},
		{"refresh by GET", "GET", "/api/users/refresh", "Bearer x", ``, 0},
		{"refresh without", "POST", "/api/users/refresh", "", `{"refreshToken":"x"}`, token.Missing},
		{"refresh in lower case", "POST", "/api/users/refresh", "bearer x", ``, token.Missing},
		{"refresh with two", "POST", "/api/users/refresh", "Bearer x y", ``, token.InvalidRefresh},
		{"application", "POST", "/api/users/application-token", "Bearer x", ``, 0},
		{"application without", "POST", "/api/users/application-token", "", ``, token.Missing},
	} {
		r := httptest.NewRequestWithContext(t.Context(), c.method, c.path, strings.NewReader(c.body))
		if c.authorization != "" {
			r.Header.Set("Authorization", c.authorization)
		}
		call, _ := d.Match(r)
		if call == nil {
			t.Fatalf("%s: no call", c.name)
		}
		g, err := call.ReadRequest(r)
		switch {
		case c.want == 0 && strings.HasPrefix(c.body, `{"username":"a","password":"b"}`):
			if err != nil || g.Username != "a" || g.Password.Reveal() != "b" {
				t.Errorf("%s: %+v, %v", c.name, g, err)
			}
		case c.want == 0 && c.body == "":
			if err != nil || g.Refresh.Reveal() != "x" || g.Op != call.Op {
				t.Errorf("%s: %+v, %v", c.name, g, err)
			}
		case err == nil || token.KindOf(err) != c.want:
			t.Errorf("%s: %v; want %s", c.name, err, c.want)
		}
	}
}

func TestItemPathSettings(t *testing.T) {
	for _, c := range []struct {
		s  dialect.Settings
		ok bool
	}{
		{dialect.Settings{}, true},
		{dialect.Settings{AccessTTL: time.Second, RefreshTTL: time.Second}, true},
		{dialect.Settings{AccessTTL: time.Millisecond}, false},
		{dialect.Settings{RefreshTTL: 1500 * time.Millisecond}, false},
		{dialect.Settings{AccessTTL: -time.Second}, false},
	} {
		if _, err := dialect.Open("itempath/1", c.s); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c.s, err)
		}
	}
	d := mustOpen(t, "itempath/1", dialect.Settings{AccessTTL: time.Minute, RefreshTTL: time.Hour, LocalAuthOff: true})
	if d.Tokens.AccessTTL != time.Minute || d.Tokens.RefreshTTL != time.Hour || !d.Tokens.LocalAuthOff || d.Tokens.Rotates {
		t.Errorf("the settings are not the dialect's: %+v", d.Tokens)
	}
}

// FuzzItemPathReadError: any failure has a kind, and none of ours.
func FuzzItemPathReadError(f *testing.F) {
	f.Add(401, `{"msg":"Token has expired"}`, "5")
	f.Add(422, `{"errors":{}}`, "")
	f.Add(401, `{"login":false}`, "x")
	d := itempath(f)
	f.Fuzz(func(t *testing.T, status int, body, after string) {
		e := d.Errors.Read(status, http.Header{"Retry-After": {after}}, []byte(body))
		if e == nil || e.Kind == token.Internal || e.RetryAfter < 0 || e.Msg == "" {
			t.Errorf("%d %q: %v", status, body, e)
		}
		if d.Errors.EndsRefresh(e) && !strings.Contains(body, "msg") && !strings.Contains(body, `\u`) {
			t.Errorf("%d %q ends a refresh token", status, body)
		}
	})
}

// FuzzItemPathAnswers: no answer of a backend gives a token that cannot be sent.
func FuzzItemPathAnswers(f *testing.F) {
	f.Add(`{"login":true,"accessToken":"a","refreshToken":"b"}`)
	f.Add(`{"token":"a"}`)
	d := itempath(f)
	f.Fuzz(func(t *testing.T, body string) {
		for _, op := range []token.Op{token.OpLogin, token.OpRefresh, token.OpApplicationToken} {
			set, err := d.Call(op).ReadResponse(answered(200, nil, body))
			if err == nil && (set.Access.IsZero() || strings.ContainsAny(set.Access.Reveal()+set.Refresh.Reveal(), " \r\n")) {
				t.Errorf("%s: %q gives %q", op, body, set.Access.Reveal())
			}
		}
	})
}

// FuzzItemPathRequests: no reader of a request panics or takes a login without a
// name.
func FuzzItemPathRequests(f *testing.F) {
	f.Add("/api/users/login", "", `{"username":"a","password":"b"}`)
	f.Add("/api/users/refresh", "Bearer x", ``)
	d := itempath(f)
	f.Fuzz(func(t *testing.T, path, authorization, body string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body))
		r.URL.Path, r.Header["Authorization"] = path, []string{authorization}
		call, _ := d.Match(r)
		if call == nil {
			return
		}
		g, err := call.ReadRequest(r)
		if err == nil && (g.Username == "" || g.Password.IsZero()) && g.Refresh.IsZero() {
			t.Errorf("%s %q %q: an empty grant", path, authorization, body)
		}
	})
}
