package dialect_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/token"
)

func ipfCall(t testing.TB, profile string, op token.Op) *dialect.Call {
	t.Helper()
	c := mustOpen(t, "ipfabric/"+profile, dialect.Settings{}).Call(op)
	if c == nil {
		t.Fatalf("ipfabric/%s has no %s", profile, op)
	}
	return c
}

func posted(t testing.TB, body string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}

func TestOpenRefusesUnusableSettings(t *testing.T) {
	for _, c := range []struct {
		name string
		s    dialect.Settings
		good bool
	}{
		{"defaults", dialect.Settings{}, true},
		{"shortest refresh token", dialect.Settings{RefreshLength: 49}, true},
		{"one shorter", dialect.Settings{RefreshLength: 48}, false},
		{"longest refresh token", dialect.Settings{RefreshLength: 1024}, true},
		{"one longer", dialect.Settings{RefreshLength: 1025}, false},
		{"negative length", dialect.Settings{RefreshLength: -1}, false},
		{"a second", dialect.Settings{AccessTTL: time.Second, RefreshTTL: time.Second}, true},
		{"under a second", dialect.Settings{AccessTTL: time.Millisecond}, false},
		{"negative life", dialect.Settings{RefreshTTL: -time.Second}, false},
		{"a fraction of a second", dialect.Settings{RefreshTTL: 1500 * time.Millisecond}, false},
		{"a code", dialect.Settings{MissingTokenCode: "API_INVALID_ACCESS_TOKEN"}, true},
		{"no code", dialect.Settings{MissingTokenCode: `x","y":"`}, false},
	} {
		if _, err := dialect.Open("ipfabric/7.0", c.s); (err == nil) != c.good {
			t.Errorf("%s: Open = %v; want good = %v", c.name, err, c.good)
		}
	}
	if _, err := dialect.Open("ipfabric/7.0", dialect.Settings{RefreshLength: 48}); err == nil || !strings.Contains(err.Error(), "49") {
		t.Errorf("Open = %v; want the smallest length named", err)
	}
}

func TestOpenNamesWhatItKnows(t *testing.T) {
	if d := mustOpen(t, "ipfabric", dialect.Settings{}); d.ID() != "ipfabric/7.0" {
		t.Errorf("ipfabric alone is %s; want the default profile", d.ID())
	}
	for _, name := range []string{"ipfabric/9.9", "nonesuch", ""} {
		if _, err := dialect.Open(name, dialect.Settings{}); err == nil || !strings.Contains(err.Error(), "7.5") {
			t.Errorf("Open(%q) = %v; want the known profiles named", name, err)
		}
	}
}

func TestProfilesDiffer(t *testing.T) {
	for _, c := range []struct {
		profile          string
		rotates, cookies bool
		chosen           int
		login, refresh   string // as spoken
	}{
		{"5.0", false, false, 8, "/api/v5.0/auth/login", "/api/v5.0/auth/token"},
		{"6.1", true, true, 8, "/api/v6.1/auth/login", "/api/auth/token"},
		{"7.0", true, true, 0, "/api/auth/login", "/api/auth/token"},
		{"7.5", true, true, 0, "/api/auth/login", "/api/auth/token"},
	} {
		d := mustOpen(t, "ipfabric/"+c.profile, dialect.Settings{})
		k := d.Tokens
		if k.Rotates != c.rotates || k.Cookies != c.cookies || k.ChosenAPITokens != c.chosen {
			t.Errorf("%s: rotates %v, cookies %v, chosen %d", c.profile, k.Rotates, k.Cookies, k.ChosenAPITokens)
		}
		if got := d.Call(token.OpLogin).SpokenPath(c.profile, token.Grant{}); got != c.login {
			t.Errorf("%s: login is spoken to %s; want %s", c.profile, got, c.login)
		}
		if got := d.Call(token.OpRefresh).SpokenPath(c.profile, token.Grant{}); got != c.refresh {
			t.Errorf("%s: refresh is spoken to %s; want %s", c.profile, got, c.refresh)
		}
		if k.AccessTTL != 30*time.Minute || k.RefreshTTL != 24*time.Hour {
			t.Errorf("%s: lives %s and %s; want the vendor's", c.profile, k.AccessTTL, k.RefreshTTL)
		}
	}
}

// TestCookiesAreThePages compares with the lines that the vendor's page shows,
// attribute by attribute and in their order.
func TestCookiesAreThePages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2024, 6, 6, 11, 47, 9, 0, time.UTC)))
		rec := httptest.NewRecorder()
		set := token.Set{
			Access: token.NewSecret("eyJhbGc"), ExpiresIn: 30 * time.Minute,
			Refresh: token.NewSecret("w2PJG2hA12830361114"), RefreshExpiresIn: 24 * time.Hour,
		}
		if err := ipfCall(t, "7.0", token.OpLogin).WriteResponse(rec, set); err != nil {
			t.Fatal(err)
		}
		want := []string{
			"accessToken=eyJhbGc; Max-Age=1800; Path=/; Expires=Thu, 06 Jun 2024 12:17:09 GMT; HttpOnly; Secure; SameSite=Strict",
			"refreshToken=w2PJG2hA12830361114; Max-Age=86400; Path=/api/auth/token; Expires=Fri, 07 Jun 2024 11:47:09 GMT; HttpOnly; Secure; SameSite=Strict",
		}
		if diff := cmp.Diff(want, rec.Header()["Set-Cookie"]); diff != "" {
			t.Errorf("Set-Cookie (-want +got):\n%s", diff)
		}
		if rec.Header().Get("Cache-Control") != "no-store" || rec.Body.String() != "{}" {
			t.Errorf("Cache-Control %q, body %q", rec.Header().Get("Cache-Control"), rec.Body)
		}
	})
}

func TestCookieLivesAreRoundedUp(t *testing.T) {
	for _, c := range []struct {
		life time.Duration
		want string
	}{
		{time.Nanosecond, "; Max-Age=1; "}, {time.Second, "; Max-Age=1; "}, {1001 * time.Millisecond, "; Max-Age=2; "}, {0, "=x; Path=/; HttpOnly"},
	} {
		rec := httptest.NewRecorder()
		if err := ipfCall(t, "7.0", token.OpLogin).WriteResponse(rec, token.Set{Access: token.NewSecret("x"), ExpiresIn: c.life}); err != nil {
			t.Fatal(err)
		}
		if got := rec.Header().Values("Set-Cookie"); len(got) != 1 || !strings.Contains(got[0], c.want) {
			t.Errorf("%s: %q; want %q in the one cookie", c.life, got, c.want)
		}
	}
}

func TestReadLoginIsStrict(t *testing.T) {
	read := ipfCall(t, "7.0", token.OpLogin).ReadRequest
	for _, c := range []struct{ name, body string }{
		{"empty", ""},
		{"no object", `[]`},
		{"null", `null`},
		{"text", `"x"`},
		{"cut off", `{"username":`},
		{"not closed", `{"username":"a","password":"b"`},
		{"more after", `{"username":"a","password":"b"}{}`},
		{"key twice", `{"username":"a","username":"b","password":"c"}`},
		{"other key case", `{"USERNAME":"a","PASSWORD":"b"}`},
		{"user a number", `{"username":1,"password":"b"}`},
		{"password an array", `{"username":"a","password":["b"]}`},
		{"password null", `{"username":"a","password":null}`},
		{"user empty", `{"username":"","password":"b"}`},
		{"not UTF-8", "{\"username\":\"a\xff\",\"password\":\"b\"}"},
		{"trailing comma", `{"username":"a","password":"b",}`},
		{"a key of a number", `{1:"a"}`},
	} {
		if g, err := read(posted(t, c.body)); err == nil {
			t.Errorf("%s: ReadRequest = %v; want an error", c.name, g)
		}
	}
	g, err := read(posted(t, ` {"other":{"username":"x"},"username":"a@b ","password":"p\u00e9"} `))
	if err != nil || g.Username != "a@b " || g.Password.Reveal() != "pé" {
		t.Errorf("ReadRequest = %q, %q, %v", g.Username, g.Password.Reveal(), err)
	}
}

func TestRequestOfAnotherMediaTypeIsRefused(t *testing.T) {
	read := ipfCall(t, "7.0", token.OpLogin).ReadRequest
	const body = `{"username":"a","password":"b"}`
	for _, c := range []struct {
		name, kind, coding string
		good               bool
	}{
		{"json", "application/json", "", true},
		{"json with charset", "Application/JSON; charset=utf-8", "", true},
		{"a kind of json", "application/problem+json", "", true},
		{"none", "", "", true},
		{"identity", "application/json", "identity", true},
		{"text", "text/plain", "", false},
		{"form", "application/x-www-form-urlencoded", "", false},
		{"malformed", "application/json; =", "", false},
		{"gzip", "application/json", "gzip", false},
	} {
		r := posted(t, body)
		r.Header.Del("Content-Type")
		if c.kind != "" {
			r.Header.Set("Content-Type", c.kind)
		}
		if c.coding != "" {
			r.Header.Set("Content-Encoding", c.coding)
		}
		_, err := read(r)
		if c.good && err != nil || !c.good && (err == nil || token.KindOf(err) != token.UnsupportedMedia) {
			t.Errorf("%s: %v; want good = %v", c.name, err, c.good)
		}
	}
}

func TestBodyOverTheLimitIsToldApart(t *testing.T) {
	const limit = 64 << 10
	for _, c := range []struct {
		size int
		good bool
	}{{limit, true}, {limit + 1, false}} {
		body := `{"username":"a","password":"b"}`
		body += strings.Repeat(" ", c.size-len(body))
		r := posted(t, body)
		r.Body = http.MaxBytesReader(httptest.NewRecorder(), r.Body, limit)
		_, err := ipfCall(t, "7.0", token.OpLogin).ReadRequest(r)
		_, tooLarge := errors.AsType[*http.MaxBytesError](err)
		if (err == nil) != c.good || tooLarge == c.good {
			t.Errorf("%d bytes: %v; want good = %v, else a MaxBytesError", c.size, err, c.good)
		}
	}
}

func TestRefreshTokenComesFromBodyThenCookie(t *testing.T) {
	for _, c := range []struct {
		name, body, cookie, want string
		refused                  token.Kind
	}{
		{"body", `{"refreshToken":"B"}`, "", "B", 0},
		{"cookie with empty body", "", "refreshToken=C", "C", 0},
		{"cookie with blank body", " \n", "refreshToken=C", "C", 0},
		{"cookie with empty object", "{}", "refreshToken=C", "C", 0},
		{"cookie with null", `{"refreshToken":null}`, "refreshToken=C", "C", 0},
		{"both", `{"refreshToken":"B"}`, "refreshToken=C", "B", 0},
		{"neither", "", "", "", token.InvalidRefresh},
		{"two cookies that differ", "", "refreshToken=C; refreshToken=D", "", token.InvalidRefresh},
		{"other key case", `{"REFRESHTOKEN":"B"}`, "", "", token.InvalidRefresh},
		{"a number", `{"refreshToken":1}`, "refreshToken=C", "", token.Internal},
		{"malformed body", `{`, "refreshToken=C", "", token.Internal},
	} {
		r := posted(t, c.body)
		r.Header.Set("Authorization", "Bearer expired")
		r.Header.Set("Cookie", c.cookie)
		g, err := ipfCall(t, "7.0", token.OpRefresh).ReadRequest(r)
		if g.Refresh.Reveal() != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: ReadRequest = %q, %v; want %q", c.name, g.Refresh.Reveal(), err, c.want)
		}
		if err != nil && token.KindOf(err) != c.refused {
			t.Errorf("%s: refused as %s; want %s", c.name, token.KindOf(err), c.refused)
		}
	}
}

// FuzzReadLogin: what is read can be spoken and is read again as the same.
func FuzzReadLogin(f *testing.F) {
	for _, seed := range []string{`{"username":"a","password":"b"}`, `{"username":"a"`, `[]`, ``, `{"username":"\u0000","password":"\ud800"}`} {
		f.Add(seed)
	}
	call := ipfCall(f, "7.0", token.OpLogin)
	f.Fuzz(func(t *testing.T, body string) {
		g, err := call.ReadRequest(posted(t, body))
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
