package proxy

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Limits of a request's head. One more is refused.
const (
	maxURI     = 8 << 10 // bytes of the request target: 414
	maxFields  = 100     // header lines: 431
	maxCookies = 50      // cookies: 431
)

// MaxHeaderBytes is what http.Server.MaxHeaderBytes is to be set to: the head
// of a request with all its fields (431).
const MaxHeaderBytes = 32 << 10

// refusal is an answer of the edge that no token API knows.
type refusal struct {
	status int
	msg    string
}

func (e *refusal) Error() string { return "edge: " + e.msg }

func refuse(status int, msg string) error { return &refusal{status, msg} }

// Edge judges requests before anything is known of them but what they look
// like, and says where they come from. It is safe for concurrent use.
type Edge struct {
	trusted []netip.Prefix
	public  *url.URL
	cross   *http.CrossOriginProtection
}

// NewEdge returns an edge. Only peers in trusted are believed when they say in
// X-Forwarded-For and X-Forwarded-Proto whom they stand before. public is the
// URL under which clients know the gateway, nil if it is what they ask for.
func NewEdge(trusted []netip.Prefix, public *url.URL) *Edge {
	e := &Edge{trusted: trusted, public: public, cross: http.NewCrossOriginProtection()}
	if public != nil {
		// The only error is a malformed origin, and a URL's scheme and host make none.
		_ = e.cross.AddTrustedOrigin(public.Scheme + "://" + public.Host)
	}
	return e
}

var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut,
	http.MethodPatch, http.MethodDelete, http.MethodOptions,
}

// admit refuses what no backend should have to judge (RFC 9112 sections 2.3,
// 3.2, 11.2). The server has parsed the head already and turned away what it
// could not read.
func (e *Edge) admit(r *http.Request) error {
	switch {
	case r.ProtoMajor == 1 && r.ProtoMinor > 1, r.ProtoMajor < 1, r.ProtoMajor > 2:
		return refuse(http.StatusHTTPVersionNotSupported, "this HTTP version is not spoken here; use HTTP/1.1 or HTTP/2")
	case !slices.Contains(methods, r.Method):
		return refuse(http.StatusMethodNotAllowed, "this method is not passed on; use one of "+strings.Join(methods, ", "))
	case len(r.RequestURI) > maxURI:
		return refuse(http.StatusRequestURITooLong, "the request target is over 8 KiB")
	case !strings.HasPrefix(r.RequestURI, "/"):
		return refuse(http.StatusBadRequest, "the request target must be a path that begins with /")
	case !validHost(r.Host):
		return refuse(http.StatusBadRequest, "the Host header must name one host, with or without a port")
	case len(r.Header["Host"]) > 0 && !slices.Equal(r.Header["Host"], []string{r.Host}):
		return refuse(http.StatusBadRequest, "Host and :authority differ")
	}
	return admitHeaders(r)
}

func admitHeaders(r *http.Request) error {
	fields, cookies := 0, 0
	for name, values := range r.Header {
		fields += len(values)
		if name != "Cookie" {
			continue
		}
		for _, v := range values {
			cookies += 1 + strings.Count(v, ";")
		}
	}
	switch {
	case fields > maxFields:
		return refuse(http.StatusRequestHeaderFieldsTooLarge, "more than 100 header fields")
	case cookies > maxCookies:
		return refuse(http.StatusRequestHeaderFieldsTooLarge, "more than 50 cookies")
	case len(r.Header["Authorization"]) > 1:
		return refuse(http.StatusBadRequest, "more than one Authorization header; send one credential")
	}
	return nil
}

// validHost takes what a Host may be (RFC 9110 section 7.2): a name or an address,
// IPv6 in brackets, and a port. It has no userinfo, and of the characters that
// RFC 3986 lets a registered name have only those that hosts have.
func validHost(host string) bool {
	if rest, ok := strings.CutPrefix(host, "["); ok {
		name, port, closed := strings.Cut(rest, "]")
		_, err := netip.ParseAddr(name)
		return closed && err == nil && (port == "" || port[0] == ':' && digits(port[1:]))
	}
	name, port, hasPort := strings.Cut(host, ":")
	for i := range len(name) {
		if c := name[i]; !unreserved(c) || c == '~' {
			return false
		}
	}
	return name != "" && (!hasPort || digits(port))
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != "" && len(s) <= 5
}

// hostName is the host without port and trailing dot, in lower case.
func hostName(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}

// trusts reports whether the peer of a request may speak for others.
func (e *Edge) trusts(r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && e.inTrusted(peer.Addr())
}

func (e *Edge) inTrusted(a netip.Addr) bool {
	a = a.Unmap()
	return slices.ContainsFunc(e.trusted, func(p netip.Prefix) bool { return p.Contains(a) })
}

// ClientAddr is the address a request comes from: the peer's, or, behind
// trusted proxies, the right-most address in X-Forwarded-For that is not one of
// them. What cannot be read ends the walk, so nothing further left is believed.
func (e *Edge) ClientAddr(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	addr := peer.Addr().Unmap().WithZone("")
	if !e.inTrusted(addr) {
		return addr
	}
	hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for i := len(hops) - 1; i >= 0 && e.inTrusted(addr); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		addr = hop.Unmap().WithZone("")
	}
	return addr
}

// ClientIP is ClientAddr as text; an unreadable one is "unknown".
func (e *Edge) ClientIP(r *http.Request) string {
	if a := e.ClientAddr(r); a.IsValid() {
		return a.String()
	}
	return "unknown"
}

// Scheme is "https" where the client spoke TLS, to us or to a trusted proxy,
// or where the public URL says so.
func (e *Edge) Scheme(r *http.Request) string {
	switch {
	case r.TLS != nil, e.public != nil && e.public.Scheme == "https":
		return "https"
	case e.trusts(r) && r.Header.Get("X-Forwarded-Proto") == "https":
		return "https"
	}
	return "http"
}

// Insecure reports whether a browser would refuse the gateway's Secure cookies:
// plain http to a host that is not this machine.
func (e *Edge) Insecure(r *http.Request) bool {
	if e.Scheme(r) == "https" {
		return false
	}
	host := hostName(r.Host)
	ip, err := netip.ParseAddr(host)
	loopback := host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && ip.IsLoopback()
	return !loopback
}

// origin is the URL of the gateway as the client knows it, without a path.
func (e *Edge) origin(r *http.Request) *url.URL {
	if e.public != nil && hostName(e.public.Host) == hostName(r.Host) {
		return &url.URL{Scheme: e.public.Scheme, Host: e.public.Host}
	}
	return &url.URL{Scheme: e.Scheme(r), Host: r.Host}
}
