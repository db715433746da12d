package portal

import (
	"net/url"
	"strings"
	"testing"
)

func TestReturnPathsOfThisHostAreKept(t *testing.T) {
	p := New(Options{})
	for _, to := range []string{
		"/", "/api", "/api/", "/api/x?y=1&z=%2F%2Fe", "/a%20b", "/a%C3%A4", "/a%2Fb", "/100%25", "/100%2525", "/a?u=https://e/x", "/a?x=%0d%0a",
		"/a@b", "/a:b", "/a;b=1", "/.well-known/x", "/...", "/.gatehouse-not/x", "/a?q=//e", "/a?q=..", "/?", "/%61",
		"/" + strings.Repeat("a", maxReturnTo-1),
	} {
		if got := p.returnPath(to); got != to {
			t.Errorf("returnPath(%.80q) = %q; want it kept", to, got)
		}
	}
}

func TestReturnPathsElsewhereGoHome(t *testing.T) {
	p := New(Options{})
	for _, to := range []string{
		"", "e", "?x", "#x", "//e", "///e", `/\e`, `\\e`, `\/e`, `/a\b`, "/%09/e", "/%0a/e", "/%0d/e", "/%00", "/%7f", "/\t/e", "/\n/e", "\t//e", " /e", "/ /e",
		"https:e", "https://e", "https:/e", "HTTPS://e", "javascript:alert(1)", "data:text/html,x", "gw@e", "gw.e", "evil-gw", "@e", ".e",
		"/%2fe", "/%2Fe", "/%5ce", "/%5Ce", "/%252fe", "/%255ce", "/%25252fe", "/%2fe%", "/%252fe%25", "/%25%32%66e", "/%2%66e",
		"/a//e", "/.//e", "/a/..//e", "/..", "/a/../b", "/%2e%2e/b", "/.%2e/b", "/./b", "/a/%2e",
		"/x\r\nSet-Cookie: a=b", "/x%0d%0aSet-Cookie:a=b", "/ü", "/\u2028", "/\x7f", "/a#b",
		"/.gatehouse", "/.gatehouse/", "/.gatehouse/sign-in?return_to=/x", "/.gatehouse/sign-out", "/%2egatehouse/sign-in", "/.gatehouse%2fsign-in", "/%252egatehouse/sign-in",
		"/" + strings.Repeat("a", maxReturnTo), strings.Repeat("/%25", 50) + "2f", "/%" + strings.Repeat("25", 5) + "2fe",
	} {
		if got := p.returnPath(to); got != "/" {
			t.Errorf("returnPath(%.80q) = %.80q; want /", to, got)
		}
	}
}

func TestNestedSignInGoesHome(t *testing.T) {
	p := New(Options{})
	to := "/x"
	for range 50 {
		to = DefaultBasePath + "/sign-in?return_to=" + url.QueryEscape(to)
		if len(to) > maxReturnTo {
			break
		}
		if got := p.returnPath(to); got != "/" {
			t.Fatalf("returnPath(%q) = %q; want /", to, got)
		}
	}
}

func TestSignInURL(t *testing.T) {
	p := New(Options{BasePath: "/-/gate"})
	for to, want := range map[string]string{
		"/":             "/-/gate/sign-in",
		"/a?b=c&d=%20":  "/-/gate/sign-in?return_to=%2Fa%3Fb%3Dc%26d%3D%2520",
		"//e":           "/-/gate/sign-in",
		"/-/gate/x":     "/-/gate/sign-in",
		"/.gatehouse/x": "/-/gate/sign-in?return_to=%2F.gatehouse%2Fx",
	} {
		if got := p.SignInURL(to); got != want {
			t.Errorf("SignInURL(%q) = %q; want %q", to, got, want)
		}
	}
}

func TestOwns(t *testing.T) {
	p := New(Options{})
	for path, want := range map[string]bool{
		"/.gatehouse": true, "/.gatehouse/": true, "/.gatehouse/x/y": true,
		"/": false, "": false, "/.gatehousex": false, "/x/.gatehouse/": false, "/.Gatehouse/": false,
	} {
		if got := p.Owns(path); got != want {
			t.Errorf("Owns(%q) = %v; want %v", path, got, want)
		}
	}
}

// FuzzReturnPath resolves what comes out as a browser would.
func FuzzReturnPath(f *testing.F) {
	for _, s := range []string{"/", "/a?b=%2f", "//e", `/\e`, "/%09/e", "/%252fe", "https:e", "/.gatehouse/sign-in", "/.//e", "/%2fe%"} {
		f.Add(s)
	}
	p := New(Options{})
	home, err := url.Parse("https://gate.example/.gatehouse/sign-in")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, to string) {
		got := p.returnPath(to)
		if got != "/" && got != to {
			t.Fatalf("returnPath(%q) = %q; neither / nor as given", to, got)
		}
		if len(got) > maxReturnTo || strings.ContainsAny(got, "\\\r\n\t\x00 #") {
			t.Fatalf("returnPath(%q) = %q", to, got)
		}
		ref, err := url.Parse(got)
		if err != nil {
			return // an escape that is none: the front door refuses the path
		}
		u := home.ResolveReference(ref)
		if u.Host != home.Host || u.Scheme != home.Scheme || u.User != nil || p.Owns(u.Path) || strings.Contains(u.Path, "//") {
			t.Errorf("returnPath(%q) = %q leads to %s", to, got, u)
		}
	})
}
