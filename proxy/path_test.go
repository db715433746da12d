package proxy

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestPathHasOneSpelling(t *testing.T) {
	for raw, want := range map[string]string{
		"/":                   "/",
		"/api/v7.0/snapshots": "/api/v7.0/snapshots",
		"/%61dmin":            "/admin",
		"/a%2db%2Ec%5F%7e":    "/a-b.c_~",
		"/a%20b":              "/a%20b",
		"/a%c3%a9":            "/a%C3%A9",
		"/admin/":             "/admin/",
		"/admin.":             "/admin.",
		"/x:y@z!$&'()*+,=":    "/x:y@z!$&'()*+,=",
		`/a"b<c>{d}`:          "/a%22b%3Cc%3E%7Bd%7D",
		"/100%25":             "/100%25",
		"/.well-known/x":      "/.well-known/x",
		"/...":                "/...",
		"/a%3Ab":              "/a%3Ab",
	} {
		got, err := CanonicalPath(raw, false)
		if err != nil || got != want {
			t.Errorf("CanonicalPath(%q) = %q, %v; want %q", raw, got, err, want)
		}
	}
}

func TestPathsThatHideStructureAreRefused(t *testing.T) {
	for name, raw := range map[string]string{
		"two dots": "/public/../admin", "one dot": "/public/./admin", "dots at the end": "/public/..",
		"encoded dots": "/public/%2e%2e/admin", "half-encoded dots": "/public/.%2E/admin",
		"encoded slash after dots": "/public/..%2fadmin", "encoded slash": "/public%2Fadmin",
		"dots encoded twice": "/public/%252e%252e/admin", "slash encoded twice": "/a%252fb",
		"dots with a parameter": "/public/..;/admin", "parameter": "/admin;x/", "encoded semicolon": "/admin%3bx",
		"two slashes": "//admin", "two slashes inside": "/a//b", "backslash": `/a\b`, "encoded backslash": "/a%5cb",
		"NUL": "/a%00b", "line end": "/a%0d%0ab", "DEL": "/a%7f",
		"fragment": "/a#b", "encoded #": "/a%23b", "encoded ?": "/a%3fb",
		"overlong slash": "/a%c0%afb", "lone byte": "/a%ff", "full-width dots": "/a/%EF%BC%8E%EF%BC%8E/b",
		"full-width slash": "/a%EF%BC%8Fb", "raw UTF-8": "/a\xc3\xa9",
		"no hex": "/a%zz", "one hex digit": "/a%2", "percent at the end": "/a%",
	} {
		if got, err := CanonicalPath(raw, false); err == nil {
			t.Errorf("%s: CanonicalPath(%q) = %q; want it refused", name, raw, got)
		}
	}
}

func TestEncodedSlashPassesOnlyWhereARouteLetsIt(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/a%2fb", nil)
	if err := cleanPath(r, false); err == nil {
		t.Error("an encoded slash passed")
	}
	if err := cleanPath(r, true); err != nil || r.URL.EscapedPath() != "/a%2Fb" {
		t.Errorf("with encoded_slash: %q, %v", r.URL.EscapedPath(), err)
	}
	hidden := httptest.NewRequest(http.MethodGet, "/public%2f..%2fadmin", nil)
	if err := cleanPath(hidden, true); err == nil {
		t.Error("dot segments between encoded slashes passed")
	}
}

func TestQueryIsRefusedOnlyForWhatCannotStandInOne(t *testing.T) {
	for q, ok := range map[string]bool{
		"a=1;b=2": true, "a=%zz": true, "x=" + strings.Repeat("a&", 2000): true, "a=\"<>": true,
		"a=b c": false, "a=\xff": false, "a=b#c": false, "a=\x01": false,
	} {
		if why := badQuery(q); (why == "") != ok {
			t.Errorf("badQuery(%q) = %q", q, why)
		}
	}
}

// What policy decides on is byte for byte what is sent.
func FuzzPathPolicySeesIsPathThatIsSent(f *testing.F) {
	for _, s := range []string{"/", "/a%20b", "/%61", "/..%2f", "/a;b", "/%c3%a9", "/a\"b", "/100%25", "/a[b]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		clean, err := CanonicalPath(raw, false)
		if err != nil || !strings.HasPrefix(raw, "/") {
			return
		}
		path, err := url.PathUnescape(clean)
		if err != nil {
			t.Fatalf("%q became %q, which does not decode: %v", raw, clean, err)
		}
		u := &url.URL{Scheme: "http", Host: "h", Path: path, RawPath: clean}
		if u.EscapedPath() != clean {
			t.Errorf("%q became %q, but %q is sent", raw, clean, u.EscapedPath())
		}
		again, err := CanonicalPath(clean, false)
		if err != nil || again != clean {
			t.Errorf("%q became %q, then %q, %v", raw, clean, again, err)
		}
		for _, seg := range strings.Split(path, "/") {
			if seg == ".." || seg == "." {
				t.Errorf("%q keeps a dot segment in %q", raw, path)
			}
		}
	})
}
