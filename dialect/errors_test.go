package dialect_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/token"
)

func written(t testing.TB, d *dialect.Dialect, method string, e *token.Error) *httptest.ResponseRecorder {
	t.Helper()
	rec := httptest.NewRecorder()
	d.Errors.Write(rec, httptest.NewRequestWithContext(t.Context(), method, "/api/v7.0/users/me", nil), e)
	return rec
}

type errorBody struct{ Code, Message string }

func bodyOf(t testing.TB, rec *httptest.ResponseRecorder) (b errorBody) {
	t.Helper()
	if err := json.Unmarshal(rec.Body.Bytes(), &b); err != nil {
		t.Fatalf("body %q: %v", rec.Body, err)
	}
	return b
}

// alike are the kinds that IP Fabric's API does not know, with those whose answer
// they get.
var alike = map[token.Kind]token.Kind{
	token.Missing:            token.ExpiredAccess, // for the sake of clients that know only that code
	token.FactorNeeded:       token.BadCredentials,
	token.WrongToken:         token.InvalidAccess,
	token.InvalidClient:      token.BadCredentials,
	token.UnauthorizedClient: token.Malformed,
	token.UnsupportedGrant:   token.Malformed,
	token.InvalidScope:       token.Malformed,
}

// TestEveryKindHasAnAnswer: each in the vendor's form, and each with a code of
// its own is read back as itself.
func TestEveryKindHasAnAnswer(t *testing.T) {
	d := mustOpen(t, "ipfabric/7.0", dialect.Settings{})
	codes := map[string]token.Kind{}
	for _, kind := range token.Kinds() {
		rec := written(t, d, http.MethodGet, token.Fail(kind, "", nil))
		b := bodyOf(t, rec)
		if rec.Code < 400 || !strings.HasPrefix(b.Code, "API_") || b.Message == "" {
			t.Errorf("%s: %d %v", kind, rec.Code, b)
		}
		if rec.Header().Get("Content-Type") != "application/json; charset=utf-8" || rec.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: headers %v", kind, rec.Header())
		}
		want, shares := alike[kind]
		switch {
		case rec.Code >= 500:
			want = token.Unavailable // a backend's outage, whichever it is
		case !shares:
			want = kind
		}
		if got := d.Errors.Read(rec.Code, rec.Header(), rec.Body.Bytes()); got.Kind != want {
			t.Errorf("%s: written and read back it is %s; want %s", kind, got.Kind, want)
		}
		if other, taken := codes[b.Code]; taken && !shares {
			t.Errorf("%s and %s share the code %s", kind, other, b.Code)
		}
		if !shares {
			codes[b.Code] = kind
		}
	}
}

func TestPageErrorsAreThePages(t *testing.T) {
	d := mustOpen(t, "ipfabric/7.0", dialect.Settings{})
	for _, c := range []struct {
		kind   token.Kind
		status int
		code   string
	}{
		{token.ExpiredAPIToken, 401, "API_EXPIRED_API_TOKEN"},
		{token.InvalidAPIToken, 401, "API_INVALID_API_TOKEN"},
		{token.ExpiredAccess, 401, "API_EXPIRED_ACCESS_TOKEN"},
		{token.InvalidAccess, 401, "API_INVALID_ACCESS_TOKEN"},
		{token.InvalidRefresh, 401, "API_INVALID_REFRESH_TOKEN"},
		{token.NotFound, 404, "API_NOT_FOUND"},
		{token.Denied, 403, "API_INSUFFICIENT_RIGHTS"},
		{token.BadCredentials, 401, "API_INVALID_CREDENTIALS"},
	} {
		rec := written(t, d, http.MethodGet, token.Fail(c.kind, "", nil))
		if b := bodyOf(t, rec); rec.Code != c.status || b.Code != c.code {
			t.Errorf("%s: %d %s; want %d %s", c.kind, rec.Code, b.Code, c.status, c.code)
		}
	}
	if got := written(t, d, http.MethodGet, token.Fail(token.ExpiredAPIToken, "something else", nil)).Body.String(); got != `{"code":"API_EXPIRED_API_TOKEN","message":"Expired API Token"}` {
		t.Errorf("the page's example is %s", got)
	}
}

func TestCredentialFailuresNeverTellTheirCause(t *testing.T) {
	d := mustOpen(t, "ipfabric/7.0", dialect.Settings{})
	for _, kind := range []token.Kind{
		token.Missing, token.BadCredentials, token.InvalidAccess, token.ExpiredAccess, token.InvalidRefresh, token.InvalidAPIToken, token.ExpiredAPIToken,
	} {
		a := written(t, d, http.MethodGet, token.Fail(kind, "no such user", nil)).Body.String()
		b := written(t, d, http.MethodGet, token.Fail(kind, "wrong password", nil)).Body.String()
		if a != b {
			t.Errorf("%s: %s and %s differ", kind, a, b)
		}
	}
	got := bodyOf(t, written(t, d, http.MethodGet, token.Fail(token.Malformed, "username and password are both needed", nil)))
	if got.Message != "username and password are both needed" {
		t.Errorf("Malformed says %q; want the message it was given", got.Message)
	}
}

func TestMissingTokenCodeIsASetting(t *testing.T) {
	for _, c := range []struct{ profile, setting, want string }{
		{"5.0", "", "API_INVALID_ACCESS_TOKEN"},
		{"6.1", "", "API_EXPIRED_ACCESS_TOKEN"},
		{"7.0", "", "API_EXPIRED_ACCESS_TOKEN"},
		{"7.5", "", "API_EXPIRED_ACCESS_TOKEN"},
		{"5.0", "API_EXPIRED_ACCESS_TOKEN", "API_EXPIRED_ACCESS_TOKEN"},
		{"7.0", "API_MISSING_TOKEN", "API_MISSING_TOKEN"},
	} {
		d := mustOpen(t, "ipfabric/"+c.profile, dialect.Settings{MissingTokenCode: c.setting})
		if got := bodyOf(t, written(t, d, http.MethodGet, token.Fail(token.Missing, "", nil))).Code; got != c.want {
			t.Errorf("%s with %q: %s; want %s", c.profile, c.setting, got, c.want)
		}
	}
}

func TestRetryIsToldInWholeSeconds(t *testing.T) {
	d := mustOpen(t, "ipfabric/7.0", dialect.Settings{})
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			kind  token.Kind
			after time.Duration
			want  string
		}{
			{token.Throttled, 0, "1"},
			{token.Throttled, time.Millisecond, "1"},
			{token.Throttled, time.Second, "1"},
			{token.Throttled, 1001 * time.Millisecond, "2"},
			{token.Throttled, 15 * time.Minute, "900"},
			{token.Unavailable, 0, "1"},
			{token.Unavailable, 90 * time.Second, "90"},
			{token.InvalidAccess, time.Minute, ""},
		} {
			e := &token.Error{Kind: c.kind, RetryAfter: c.after}
			h := written(t, d, http.MethodPost, e).Header()
			if got := h.Get("Retry-After"); got != c.want {
				t.Errorf("%s %s: Retry-After %q; want %q", c.kind, c.after, got, c.want)
			}
			if limited := h.Get("X-RateLimit-Remaining") == "0"; limited != (c.kind == token.Throttled) {
				t.Errorf("%s: X-RateLimit-Remaining %q", c.kind, h.Get("X-RateLimit-Remaining"))
			}
			if c.kind != token.Throttled {
				continue
			}
			seconds, err := strconv.ParseInt(c.want, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := h.Get("X-RateLimit-Reset"), strconv.FormatInt(time.Now().Unix()+seconds, 10); got != want {
				t.Errorf("X-RateLimit-Reset %q; want %q", got, want)
			}
		}
	})
}

func TestHeadIsAnsweredWithoutABody(t *testing.T) {
	rec := written(t, mustOpen(t, "ipfabric/7.0", dialect.Settings{}), http.MethodHead, token.Fail(token.Missing, "", nil))
	if rec.Code != http.StatusUnauthorized || rec.Body.Len() != 0 {
		t.Errorf("HEAD: %d with %d bytes; want 401 with none", rec.Code, rec.Body.Len())
	}
}

func TestBackendFailuresAreRead(t *testing.T) {
	read := mustOpen(t, "ipfabric/7.0", dialect.Settings{}).Errors.Read
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   token.Kind
	}{
		{"expired access", 401, `{"code":"API_EXPIRED_ACCESS_TOKEN","message":"x"}`, token.ExpiredAccess},
		{"invalid access", 401, `{"code":"API_INVALID_ACCESS_TOKEN","message":"x"}`, token.InvalidAccess},
		{"invalid refresh", 401, `{"code":"API_INVALID_REFRESH_TOKEN","message":"x"}`, token.InvalidRefresh},
		{"the code beats the status", 400, `{"code":"API_INVALID_REFRESH_TOKEN","message":"x"}`, token.InvalidRefresh},
		{"an outage beats the code", 500, `{"code":"API_INVALID_REFRESH_TOKEN","message":"x"}`, token.Unavailable},
		{"an outage of its own code", 400, `{"code":"API_INVALID_CREDENTIALS"}`, token.BadCredentials},
		{"unknown code", 401, `{"code":"API_OF_ANOTHER_RELEASE","message":"x"}`, token.InvalidAccess},
		{"the EULA is to be approved", 403, `{"code":"API_MISSING_EULA_APPROVAL","message":"x"}`, token.Unavailable},
		{"no code", 401, `{}`, token.InvalidAccess},
		{"code a number", 401, `{"code":1,"message":"x"}`, token.InvalidAccess},
		{"code in other case", 401, `{"CODE":"API_INVALID_REFRESH_TOKEN"}`, token.InvalidAccess},
		{"code twice", 401, `{"code":"API_INVALID_REFRESH_TOKEN","code":"x"}`, token.InvalidAccess},
		{"empty", 401, ``, token.InvalidAccess},
		{"local authentication off by message", 403, `{"code":"API_SOMETHING","message":"Local Authentication is disabled"}`, token.LocalAuthOff},
		{"local authentication off by code", 403, `{"code":"API_LOCAL_AUTHENTICATION_DISABLED"}`, token.LocalAuthOff},
		{"such a message with another status", 404, `{"code":"X","message":"local authentication"}`, token.NotFound},
		{"our own code of an outage", 400, `{"code":"API_INTERNAL_ERROR"}`, token.Malformed},
		{"denied", 403, `{"code":"API_INSUFFICIENT_RIGHTS"}`, token.Denied},
		{"403 alone", 403, ``, token.Denied},
		{"404 alone", 404, ``, token.NotFound},
		{"400 alone", 400, ``, token.Malformed},
		{"405 alone", 405, ``, token.MethodNotAllowed},
		{"410 alone", 410, `{"message":"x","release_version":"7.5.0","api_version":"1"}`, token.Gone},
		{"413 alone", 413, ``, token.TooLarge},
		{"415 alone", 415, ``, token.UnsupportedMedia},
		{"418", 418, ``, token.BadGateway},
		{"302", 302, ``, token.BadGateway},
		{"429", 429, ``, token.Throttled},
		{"503", 503, `<html>`, token.Unavailable},
		{"HTML", 401, `<html>`, token.BadGateway},
		{"HTML after blanks", 404, "\n <!doctype html>", token.BadGateway},
	} {
		e := read(c.status, http.Header{}, []byte(c.body))
		if e.Kind != c.want || e.Msg == "" || e.Err == nil {
			t.Errorf("%s: %v; want %s with a message and a cause", c.name, e, c.want)
		}
		if strings.Contains(e.Msg, "release_version") || strings.Contains(e.Error(), "doctype") {
			t.Errorf("%s: passes the backend's text on: %v", c.name, e)
		}
	}
	if e := read(401, http.Header{"Content-Type": {"text/html"}}, nil); e.Kind != token.BadGateway || !strings.Contains(e.Msg, "HTML") {
		t.Errorf("HTML by its type: %v; want it named", e)
	}
}

func TestRetryAfterOfABackend(t *testing.T) {
	read := mustOpen(t, "ipfabric/7.0", dialect.Settings{}).Errors.Read
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		epoch := func(d time.Duration) string { return strconv.FormatInt(now.Add(d).Unix(), 10) }
		for _, c := range []struct {
			name         string
			reset, after string
			want         time.Duration
		}{
			{"neither", "", "", 0},
			{"reset", epoch(time.Minute), "", time.Minute},
			{"reset beats after", epoch(time.Minute), "5", time.Minute},
			{"reset has passed", epoch(-time.Minute), "", time.Second},
			{"reset is now", epoch(0), "", time.Second},
			{"reset unreadable", "soon", "5", 5 * time.Second},
			{"reset negative", "-5", "5", 5 * time.Second},
			{"reset past the year 9999", "253402300800", "5", 5 * time.Second},
			{"reset too long", "99999999999999999999", "5", 5 * time.Second},
			{"after in seconds", "", " 7 ", 7 * time.Second},
			{"after zero", "", "0", time.Second},
			{"after negative", "", "-7", 0},
			{"after too large", "", "99999999999", 0},
			{"after a date", "", now.Add(time.Hour).UTC().Format(http.TimeFormat), time.Hour},
			{"after a past date", "", now.Add(-time.Hour).UTC().Format(http.TimeFormat), time.Second},
			{"after unreadable", "", "soon", 0},
		} {
			h := http.Header{"X-Ratelimit-Reset": {c.reset}, "Retry-After": {c.after}}
			if got := read(429, h, nil); got.Kind != token.Throttled || got.RetryAfter != c.want {
				t.Errorf("%s: %s after %s; want %s", c.name, got.Kind, got.RetryAfter, c.want)
			}
			if got := read(503, h, nil); got.Kind != token.Unavailable || got.RetryAfter != c.want {
				t.Errorf("%s: %s after %s; want %s", c.name, got.Kind, got.RetryAfter, c.want)
			}
		}
	})
}

func TestOnly401MayMeanExpiry(t *testing.T) {
	d := mustOpen(t, "ipfabric/7.0", dialect.Settings{})
	for status := 200; status < 600; status++ {
		if got := d.Errors.MayExpire(status); got != (status == 401) {
			t.Errorf("MayExpire(%d) = %v", status, got)
		}
	}
}

// FuzzReadError: any failure has a kind that is a failure of the backend's or
// the caller's, never ours, and its text stays out of the message.
func FuzzReadError(f *testing.F) {
	f.Add(401, `{"code":"API_EXPIRED_ACCESS_TOKEN","message":"x"}`, "1700000000", "5")
	f.Add(429, ``, "x", "x")
	f.Add(500, `<html>`, "", "")
	read := mustOpen(f, "ipfabric/7.0", dialect.Settings{}).Errors.Read
	f.Fuzz(func(t *testing.T, status int, body, reset, after string) {
		e := read(status, http.Header{"X-Ratelimit-Reset": {reset}, "Retry-After": {after}}, []byte(body))
		if e == nil || e.Kind == token.Internal || e.RetryAfter < 0 {
			t.Errorf("%d %q: %v", status, body, e)
		}
		if status >= 500 && e.Kind != token.Unavailable {
			t.Errorf("%d %q: %s; want unavailable", status, body, e.Kind)
		}
	})
}
