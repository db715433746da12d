package proxy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-gateway/gatehouse/token"
)

func get(target string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.Host = "gateway.test"
	return r
}

func statusOf(err error) int {
	if e, ok := errors.AsType[*refusal](err); ok {
		return e.status
	}
	if err != nil {
		return statuses[token.KindOf(err)]
	}
	return http.StatusOK
}

func TestEdgeRefusesWhatNoBackendShouldJudge(t *testing.T) {
	tests := []struct {
		name   string
		change func(*http.Request)
		want   int
	}{
		{"an ordinary request", func(*http.Request) {}, 200},
		{"HTTP/1.0 with a host", func(r *http.Request) { r.ProtoMinor = 0 }, 200},
		{"HTTP/1.9", func(r *http.Request) { r.ProtoMinor = 9 }, 505},
		{"HTTP/3.0", func(r *http.Request) { r.ProtoMajor = 3 }, 505},
		{"HTTP/0.9", func(r *http.Request) { r.ProtoMajor, r.ProtoMinor = 0, 9 }, 505},
		{"TRACE", func(r *http.Request) { r.Method = "TRACE" }, 405},
		{"CONNECT", func(r *http.Request) { r.Method = "CONNECT" }, 405},
		{"PRI", func(r *http.Request) { r.Method = "PRI" }, 405},
		{"lower-case get", func(r *http.Request) { r.Method = "get" }, 405},
		{"a method with a path in it", func(r *http.Request) { r.Method = "GET /admin" }, 405},
		{"absolute form", func(r *http.Request) { r.RequestURI = "http://evil/" }, 400},
		{"asterisk form", func(r *http.Request) { r.RequestURI = "*" }, 400},
		{"no host", func(r *http.Request) { r.Host = "" }, 400},
		{"userinfo in the host", func(r *http.Request) { r.Host = "user@gateway.test" }, 400},
		{"a path in the host", func(r *http.Request) { r.Host = "gateway.test/x" }, 400},
		{"a bad port", func(r *http.Request) { r.Host = "gateway.test:http" }, 400},
		{"an open bracket", func(r *http.Request) { r.Host = "[::1" }, 400},
		{"no address in brackets", func(r *http.Request) { r.Host = "[gateway]:80" }, 400},
		{"letters after the bracket", func(r *http.Request) { r.Host = "[::1]x" }, 400},
		{"a tilde in the host", func(r *http.Request) { r.Host = "gate~way.test" }, 400},
		{"a port of six digits", func(r *http.Request) { r.Host = "gateway.test:100000" }, 400},
		{"a port of five digits", func(r *http.Request) { r.Host = "gateway.test:65535" }, 200},
		{"an IPv6 host without a port", func(r *http.Request) { r.Host = "[::1]" }, 200},
		{"an IPv6 host", func(r *http.Request) { r.Host = "[::1]:8080" }, 200},
		{"host other than authority", func(r *http.Request) { r.Header["Host"] = []string{"evil.test"} }, 400},
		{"URI of 8 KiB", func(r *http.Request) { r.RequestURI = "/" + strings.Repeat("a", maxURI-1) }, 200},
		{"URI over 8 KiB", func(r *http.Request) { r.RequestURI = "/" + strings.Repeat("a", maxURI) }, 414},
		{"100 fields", func(r *http.Request) { addFields(r, maxFields) }, 200},
		{"101 fields", func(r *http.Request) { addFields(r, maxFields+1) }, 431},
		{"50 cookies", func(r *http.Request) { r.Header.Set("Cookie", "a=b"+strings.Repeat("; a=b", maxCookies-1)) }, 200},
		{"51 cookies", func(r *http.Request) { r.Header.Set("Cookie", "a=b"+strings.Repeat("; a=b", maxCookies)) }, 431},
		{"two Authorization headers", func(r *http.Request) { r.Header["Authorization"] = []string{"Bearer a", "Bearer b"} }, 400},
	}
	e := NewEdge(nil, nil)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := get("/x")
			tt.change(r)
			if got := statusOf(e.admit(r)); got != tt.want {
				t.Errorf("status = %d; want %d", got, tt.want)
			}
		})
	}
}

func addFields(r *http.Request, n int) {
	for i := range n {
		r.Header.Set(fmt.Sprintf("X-%d", i), "v")
	}
}

func TestForwardedAddressIsBelievedOfTrustedPeersOnly(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	tests := []struct{ name, peer, xff, want string }{
		{"untrusted peer", "192.0.2.1:99", "1.2.3.4", "192.0.2.1"},
		{"trusted peer without a header", "10.0.0.1:99", "", "10.0.0.1"},
		{"one hop", "10.0.0.1:99", "192.0.2.7", "192.0.2.7"},
		{"the right-most untrusted", "10.0.0.1:99", "6.6.6.6, 192.0.2.7, 10.0.0.9", "192.0.2.7"},
		{"garbage ends the walk", "10.0.0.1:99", "6.6.6.6, unknown, 10.0.0.9", "10.0.0.9"},
		{"a zone is dropped", "10.0.0.1:99", "fe80::1%eth0", "fe80::1"},
		{"mapped IPv4", "[::ffff:10.0.0.1]:99", "192.0.2.7", "192.0.2.7"},
	}
	e := NewEdge(trusted, nil)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := get("/")
			r.RemoteAddr = tt.peer
			if tt.xff != "" {
				r.Header.Set("X-Forwarded-For", tt.xff)
			}
			if got := e.ClientIP(r); got != tt.want {
				t.Errorf("ClientIP = %s; want %s", got, tt.want)
			}
		})
	}
	r := get("/")
	r.RemoteAddr = "@"
	if got := e.ClientIP(r); got != "unknown" {
		t.Errorf("ClientIP of an unreadable peer = %s; want unknown", got)
	}
}

func TestSchemeComesFromTLSPublicURLOrATrustedPeer(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	https := &url.URL{Scheme: "https", Host: "ipf.example.com"}
	tests := []struct {
		name   string
		edge   *Edge
		change func(*http.Request)
		want   string
	}{
		{"plain", NewEdge(trusted, nil), func(*http.Request) {}, "http"},
		{"TLS here", NewEdge(nil, nil), func(r *http.Request) { r.TLS = &tls.ConnectionState{} }, "https"},
		{"public URL", NewEdge(nil, https), func(*http.Request) {}, "https"},
		{"said by anybody", NewEdge(trusted, nil), func(r *http.Request) { r.Header.Set("X-Forwarded-Proto", "https") }, "http"},
		{"said by a trusted peer", NewEdge(trusted, nil), func(r *http.Request) {
			r.RemoteAddr = "10.0.0.1:99"
			r.Header.Set("X-Forwarded-Proto", "https")
		}, "https"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := get("/")
			tt.change(r)
			if got := tt.edge.Scheme(r); got != tt.want {
				t.Errorf("Scheme = %s; want %s", got, tt.want)
			}
		})
	}
}

func TestPlainHTTPIsInsecureOffLoopbackOnly(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost:8080": false, "ipfabric.localhost": false, "127.0.0.1:8080": false, "[::1]:8080": false,
		"gateway.test": true, "192.0.2.1": true, "notlocalhost": true,
	} {
		r := get("/")
		r.Host = host
		if got := NewEdge(nil, nil).Insecure(r); got != want {
			t.Errorf("Insecure(%s) = %v; want %v", host, got, want)
		}
		if NewEdge(nil, &url.URL{Scheme: "https", Host: host}).Insecure(r) {
			t.Errorf("with an https public URL %s is insecure", host)
		}
	}
}

func TestOnlyOwnPagesMayActForABrowser(t *testing.T) {
	public := &url.URL{Scheme: "https", Host: "gateway.test"}
	tests := []struct {
		name, method string
		header       http.Header
		allowed      bool
	}{
		{"curl", "POST", nil, true},
		{"same origin", "POST", http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {"https://gateway.test"}}, true},
		{"cross site", "POST", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.test"}}, false},
		{"same site", "POST", http.Header{"Sec-Fetch-Site": {"same-site"}, "Origin": {"https://other.gateway.test"}}, false},
		{"old browser, same origin", "POST", http.Header{"Origin": {"https://gateway.test"}}, true},
		{"old browser, plain http", "POST", http.Header{"Origin": {"http://gateway.test"}}, false},
		{"old browser, other origin", "POST", http.Header{"Origin": {"https://evil.test"}}, false},
		{"null origin", "POST", http.Header{"Origin": {"null"}}, false},
		{"safe method", "GET", http.Header{"Sec-Fetch-Site": {"cross-site"}}, true},
	}
	e := NewEdge(nil, public)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(tt.method, "/", nil)
			r.Host = "gateway.test"
			for k, v := range tt.header {
				r.Header[k] = v
			}
			if err := e.sameOrigin(r); (err == nil) != tt.allowed {
				t.Errorf("sameOrigin = %v; want allowed %v", err, tt.allowed)
			}
		})
	}
	ws := get("/ws")
	ws.Header.Set("Sec-Fetch-Site", "cross-site")
	if e.sameOrigin(ws) != nil || e.sameOriginStrict(ws) == nil {
		t.Error("a handshake from another origin must pass as a GET and fail as a WebSocket")
	}
}

func TestNothingAClientSaysOfItselfReachesABackend(t *testing.T) {
	spoofed := []string{
		"Forwarded", "X-Forwarded-For", "X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Uri", "X-Forwarded-Prefix",
		"X-Forwarded-Port", "X_Forwarded_User", "X-Forwarded_User", "x_forwarded-user", "X-Real-Ip", "X-Real-IP", "True-Client-Ip", "Cf-Connecting-Ip",
		"X-Original-Url", "X-Rewrite-Url", "X-Http-Method-Override", "X-Http-Method", "X-Method-Override", "Remote-User",
		"Remote_User", "X-Remote-User", "X-Auth-Request-User", "X-Auth-Request-Groups", "Proxy", "X-Client-Cert", "X-Request-Id",
	}
	kept := []string{"Accept", "X-Api-Version", "X-Requested-With", "Content-Type", "User-Agent", "X_custom", "X-Userdata"}
	h := http.Header{}
	for _, name := range append(spoofed, kept...) {
		h[name] = []string{"evil"}
	}
	cleanHeaders(h, nil)
	for _, name := range spoofed {
		if _, ok := h[name]; ok {
			t.Errorf("%s passed", name)
		}
	}
	for _, name := range kept {
		if _, ok := h[name]; !ok {
			t.Errorf("%s was removed", name)
		}
	}
}

func TestOnlyAWebSocketHandshakeIsAnUpgrade(t *testing.T) {
	handshake := func() *http.Request {
		r := get("/ws")
		r.ContentLength = 0
		r.Header.Set("Connection", "keep-alive, Upgrade")
		r.Header.Set("Upgrade", "WebSocket")
		r.Header.Set("Sec-WebSocket-Version", "13")
		r.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
		return r
	}
	if !isWebSocket(handshake()) {
		t.Fatal("a good handshake is refused")
	}
	for name, change := range map[string]func(*http.Request){
		"h2c":         func(r *http.Request) { r.Header.Set("Upgrade", "h2c") },
		"two tokens":  func(r *http.Request) { r.Header["Upgrade"] = []string{"websocket", "foo"} },
		"POST":        func(r *http.Request) { r.Method = http.MethodPost },
		"a body":      func(r *http.Request) { r.ContentLength = 5 },
		"chunked":     func(r *http.Request) { r.TransferEncoding = []string{"chunked"} },
		"no upgrade":  func(r *http.Request) { r.Header.Set("Connection", "close") },
		"version 12":  func(r *http.Request) { r.Header.Set("Sec-WebSocket-Version", "12") },
		"a short key": func(r *http.Request) { r.Header.Set("Sec-WebSocket-Key", "abc") },
		"over HTTP/2": func(r *http.Request) { r.ProtoMajor = 2 },
	} {
		r := handshake()
		change(r)
		if isWebSocket(r) {
			t.Errorf("%s: taken for a WebSocket handshake", name)
		}
	}
}

func TestPlacesThatNameTheBackendNameTheGateway(t *testing.T) {
	target, _ := url.Parse("https://ipf.internal:8443/base")
	origin := &url.URL{Scheme: "https", Host: "ipf.example.com"}
	for ref, want := range map[string]string{
		"https://ipf.internal:8443/base/login?x=1": "https://ipf.example.com/login?x=1",
		"https://ipf.internal:8443/base":           "https://ipf.example.com/",
		"http://ipf.internal/base/a":               "https://ipf.example.com/a",
		"https://ipf.internal:9999/base/a":         "https://ipf.internal:9999/base/a",
		"//ipf.internal:8443/base/a":               "https://ipf.example.com/a",
		"/base/a":                                  "/a",
		"/other":                                   "/other",
		"relative":                                 "relative",
		"/base//evil.test":                         "/evil.test",
		"https://ipf.internal:8443/base//evil":     "https://ipf.example.com/evil",
		"/base/a%2Fb%20c":                          "/a%2Fb%20c",
		"https://elsewhere.test/base/a":            "https://elsewhere.test/base/a",
		"https://ipf.internal:8443/basement":       "https://ipf.example.com/basement",
	} {
		if got := relocate(ref, target, origin); got != want {
			t.Errorf("relocate(%q) = %q; want %q", ref, got, want)
		}
	}
	if got := relocateRefresh(`5; URL="https://ipf.internal:8443/base/x"`, target, origin); got != "5; URL=https://ipf.example.com/x" {
		t.Errorf("relocateRefresh = %q", got)
	}
}

func TestBackendCookiesAreKeptToTheGateway(t *testing.T) {
	target, _ := url.Parse("https://ipf.internal/base")
	ps := &passage{Route: &Route{Target: target}, own: map[string]bool{"accesstoken": true, "__host-gatehouse": true}}
	got := rewriteCookies([]string{
		"lang=en; Domain=ipf.internal; Path=/base/ui; HttpOnly",
		"sid=1; path=/; secure; SameSite=Lax",
		"accessToken=LEAK; Path=/",
		"__Host-gatehouse=EVIL; Path=/; Secure",
		" __host-GATEHOUSE =EVIL; Path=/; Secure",
		"=__Host-gatehouse=EVIL; Path=/; Secure",
	}, ps, &url.URL{Scheme: "https", Host: "g"})
	want := []string{"lang=en; Path=/ui; HttpOnly; Secure", "sid=1; path=/; secure; SameSite=Lax"}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("cookies = %q; want %q", got, want)
	}
	plain := rewriteCookies([]string{"a=b"}, ps, &url.URL{Scheme: "http", Host: "g"})
	if plain[0] != "a=b" {
		t.Errorf("over plain http = %q; want it without Secure", plain)
	}
}

func TestTheNarrowerRouteComesFirst(t *testing.T) {
	var ps []*passage
	for _, r := range []Route{
		{Name: "any", Path: "/"},
		{Name: "wild", Host: "*.example.com", Path: "/"},
		{Name: "host", Host: "a.example.com", Path: "/"},
		{Name: "host-api", Host: "a.example.com", Path: "/api"},
	} {
		ps = append(ps, &passage{Route: &r})
	}
	sortRoutes(ps)
	p := &Proxy{routes: ps}
	for _, tt := range []struct{ host, path, want string }{
		{"a.example.com", "/api", "host-api"},
		{"a.example.com", "/api/x", "host-api"},
		{"a.example.com", "/apix", "host"},
		{"A.Example.com.:8080", "/", "host"},
		{"b.example.com", "/api", "wild"},
		{"example.com", "/", "any"},
		{"evil-example.com", "/", "any"},
	} {
		r := get(tt.path)
		r.Host = tt.host
		if got := p.find(r); got == nil || got.Name != tt.want {
			t.Errorf("%s%s went to %v; want %s", tt.host, tt.path, got, tt.want)
		}
	}
}
