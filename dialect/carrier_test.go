package dialect_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/token"
)

func requestWith(t testing.TB, h http.Header) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	r.Header = h.Clone()
	return r
}

func TestCarriersRead(t *testing.T) {
	auth := func(lines ...string) http.Header { return http.Header{"Authorization": lines} }
	cookies := func(lines ...string) http.Header { return http.Header{"Cookie": lines} }
	session := dialect.Cookie{Name: "sid"}
	key := dialect.Header{Name: "x-api-token"}
	for _, c := range []struct {
		name    string
		carrier dialect.Carrier
		h       http.Header
		want    string
		ok      bool
	}{
		{"bearer", dialect.Bearer{}, auth("Bearer abc"), "abc", true},
		{"bearer in any letter case", dialect.Bearer{}, auth("bEARER abc"), "abc", true},
		{"bearer with more spaces", dialect.Bearer{}, auth("Bearer   abc "), "abc", true},
		{"bearer without a token", dialect.Bearer{}, auth("Bearer"), "", true},
		{"bearer with two words", dialect.Bearer{}, auth("Bearer a b"), "", true},
		{"bearer with a control character", dialect.Bearer{}, auth("Bearer a\x01"), "", true},
		{"bearer twice", dialect.Bearer{}, auth("Bearer a", "Bearer b"), "", true},
		{"bearer beside basic", dialect.Bearer{}, auth("Bearer a", "Basic YTpi"), "", true},
		{"basic is no bearer", dialect.Bearer{}, auth("Basic YTpi"), "", false},
		{"no scheme is no bearer", dialect.Bearer{}, auth("abc"), "", false},
		{"scheme that begins like bearer", dialect.Bearer{}, auth("BearerX abc"), "", false},
		{"no header", dialect.Bearer{}, http.Header{}, "", false},

		{"basic", dialect.Basic{}, auth("Basic dXNlcm5hbWU6cGFzc3dvcmQ="), "username:password", true},
		{"basic in any letter case", dialect.Basic{}, auth("BASIC YTpi"), "a:b", true},
		{"basic folded", dialect.Basic{}, auth("Basic dXNlcm5hbWU6 cGFzc3dv \tcmQ="), "username:password", true},
		{"basic with a colon in the password", dialect.Basic{}, auth("Basic YTpiOmM="), "a:b:c", true},
		{"basic with an empty password", dialect.Basic{}, auth("Basic YTo="), "a:", true},
		{"basic without a user", dialect.Basic{}, auth("Basic OmI="), "", true},
		{"basic without a colon", dialect.Basic{}, auth("Basic YWI="), "", true},
		{"basic that is no base64", dialect.Basic{}, auth("Basic !!!"), "", true},
		{"basic that is not canonical", dialect.Basic{}, auth("Basic YTpiOmN="), "", true},
		{"basic with a line end inside", dialect.Basic{}, auth("Basic YTpiCg=="), "", true},
		{"basic without a value", dialect.Basic{}, auth("Basic"), "", true},
		{"bearer is no basic", dialect.Basic{}, auth("Bearer abc"), "", false},

		{"header", key, http.Header{"X-Api-Token": {"abc"}}, "abc", true},
		{"header that is empty", key, http.Header{"X-Api-Token": {""}}, "", true},
		{"header twice alike", key, http.Header{"X-Api-Token": {"a", "a"}}, "a", true},
		{"header twice", key, http.Header{"X-Api-Token": {"a", "b"}}, "", true},
		{"header with a space", key, http.Header{"X-Api-Token": {"a b"}}, "", true},
		{"header of another name", key, http.Header{"X-Api-Tokens": {"a"}}, "", false},

		{"cookie", session, cookies("a=1; sid=abc; b=2"), "abc", true},
		{"cookie in a second line", session, cookies("a=1", "sid=abc"), "abc", true},
		{"cookie without a space before", session, cookies("a=1;sid=abc"), "abc", true},
		{"cookie with an equals sign in it", session, cookies("sid=a=b"), "a=b", true},
		{"cookie twice alike", session, cookies("sid=a; sid=a"), "a", true},
		{"cookie twice", session, cookies("sid=a; sid=b"), "", true},
		{"cookie twice in two lines", session, cookies("sid=a", "sid=b"), "", true},
		{"cookie and an empty one", session, cookies("sid=a; sid="), "", true},
		{"empty cookie and one", session, cookies("sid=; sid=a"), "", true},
		{"cookie that is empty", session, cookies("sid="), "", true},
		{"cookie without a value", session, cookies("sid"), "", true},
		{"cookie in another letter case", session, cookies("SID=a"), "", false},
		{"cookie of a longer name", session, cookies("xsid=a; sidx=b"), "", false},
		{"cookie with a space inside", session, cookies("sid=a b"), "", true},
		{"no cookie", session, http.Header{}, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := c.carrier.Get(requestWith(t, c.h))
			if got.Reveal() != c.want || ok != c.ok {
				t.Errorf("Get = %q, %v; want %q, %v", got.Reveal(), ok, c.want, c.ok)
			}
		})
	}
}

func TestCarriersWriteWhatTheyRead(t *testing.T) {
	for name, carrier := range map[string]dialect.Carrier{
		"bearer": dialect.Bearer{},
		"basic":  dialect.Basic{},
		"header": dialect.Header{Name: "X-API-Token"},
		"cookie": dialect.Cookie{Name: "accessToken"},
	} {
		r := requestWith(t, http.Header{"Accept": {"*/*"}})
		carrier.Set(r, token.NewSecret("user:old"))
		carrier.Set(r, token.NewSecret("user:secret"))
		if got, ok := carrier.Get(r); got.Reveal() != "user:secret" || !ok {
			t.Errorf("%s: Get after Set = %q, %v", name, got.Reveal(), ok)
		}
		carrier.Del(r)
		if _, ok := carrier.Get(r); ok {
			t.Errorf("%s: filled after Del", name)
		}
		if diff := cmp.Diff(http.Header{"Accept": {"*/*"}}, r.Header); diff != "" {
			t.Errorf("%s: Del leaves (-want +got):\n%s", name, diff)
		}
	}
}

func TestDelLeavesEveryOtherByte(t *testing.T) {
	cookie := dialect.Cookie{Name: "sid"}
	for _, c := range []struct {
		name       string
		carrier    dialect.Carrier
		header     string
		have, want []string
	}{
		{"first", cookie, "Cookie", []string{"sid=x; a=1; b=2"}, []string{"a=1; b=2"}},
		{"middle", cookie, "Cookie", []string{"a=1; sid=x; b=2"}, []string{"a=1; b=2"}},
		{"last", cookie, "Cookie", []string{"a=1; sid=x"}, []string{"a=1"}},
		{"alone", cookie, "Cookie", []string{"sid=x"}, nil},
		{"alone with a semicolon", cookie, "Cookie", []string{"sid=x;"}, nil},
		{"every one of the name", cookie, "Cookie", []string{"sid=x; a=1; sid=y", "sid=z"}, []string{"a=1"}},
		{"without a value", cookie, "Cookie", []string{"a=1; sid; b=2"}, []string{"a=1; b=2"}},
		{"spaces around the name", cookie, "Cookie", []string{"a=1;  sid =x; b=2"}, []string{"a=1; b=2"}},
		{"badly quoted neighbours", cookie, "Cookie", []string{`q="a b; sid=x; r=\"é; t=a,b"`}, []string{`q="a b; r=\"é; t=a,b"`}},
		{"nothing to remove", cookie, "Cookie", []string{" a=1;;b = 2 ;", "c"}, []string{" a=1;;b = 2 ;", "c"}},
		{"other letter case", cookie, "Cookie", []string{"SID=x"}, []string{"SID=x"}},
		{"bearer leaves basic", dialect.Bearer{}, "Authorization", []string{"Basic YTpi"}, []string{"Basic YTpi"}},
		{"bearer goes, another stays", dialect.Bearer{}, "Authorization", []string{"bearer x", "Digest y"}, []string{"Digest y"}},
		{"basic leaves bearer", dialect.Basic{}, "Authorization", []string{"Bearer x"}, []string{"Bearer x"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := http.Header{c.header: c.have}
			r := requestWith(t, before)
			shared := r.Header[c.header]
			c.carrier.Del(r)
			if diff := cmp.Diff(c.want, r.Header[c.header]); diff != "" {
				t.Errorf("Del (-want +got):\n%s", diff)
			}
			if _, present := r.Header[c.header]; present != (c.want != nil) {
				t.Errorf("header present = %v", present)
			}
			if diff := cmp.Diff(c.have, shared); diff != "" {
				t.Errorf("Del changed a slice that others may hold (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCookieSetLeavesTheOthers(t *testing.T) {
	for _, c := range []struct {
		name string
		have []string
		want string
	}{
		{"none before", nil, "sid=new"},
		{"others before", []string{`a=1; q="x y`}, `a=1; q="x y; sid=new`},
		{"itself before", []string{"sid=old; a=1"}, "a=1; sid=new"},
		{"two lines", []string{"a=1", "b=2"}, "a=1; b=2; sid=new"},
	} {
		r := requestWith(t, http.Header{"Cookie": c.have})
		dialect.Cookie{Name: "sid"}.Set(r, token.NewSecret("new"))
		if got := r.Header.Get("Cookie"); got != c.want {
			t.Errorf("%s: Cookie = %q; want %q", c.name, got, c.want)
		}
	}
}

// FuzzCookie: what Del leaves holds no such cookie, and what Set sets is found,
// whatever the header was.
func FuzzCookie(f *testing.F) {
	for _, seed := range []string{"", "sid=a; b=2", ";;sid", `a="sid=1; sid=2`, "sid =x\t; y"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		cookie := dialect.Cookie{Name: "sid"}
		r := requestWith(t, http.Header{"Cookie": {line}})
		cookie.Del(r)
		if _, ok := cookie.Get(r); ok {
			t.Errorf("%q still holds the cookie after Del: %q", line, r.Header["Cookie"])
		}
		cookie.Set(r, token.NewSecret("new"))
		if got, ok := cookie.Get(r); got.Reveal() != "new" || !ok {
			t.Errorf("%q: Get after Set = %q, %v", line, got.Reveal(), ok)
		}
	})
}

// FuzzAuthorization: at most one of the two schemes is read, and Del empties it.
func FuzzAuthorization(f *testing.F) {
	for _, seed := range []string{"", "Bearer abc", "basic YTpi", "Basic YT pi", "Digest x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		r := requestWith(t, http.Header{"Authorization": {line}})
		_, bearer := dialect.Bearer{}.Get(r)
		_, basic := dialect.Basic{}.Get(r)
		if bearer && basic {
			t.Errorf("%q is both", line)
		}
		dialect.Bearer{}.Del(r)
		dialect.Basic{}.Del(r)
		if left := r.Header.Values("Authorization"); (bearer || basic) && left != nil {
			t.Errorf("%q leaves %q", line, left)
		}
	})
}
