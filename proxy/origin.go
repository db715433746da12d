package proxy

import (
	"net/http"
	"net/url"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// sameOrigin refuses a call that a browser made for a page of another origin.
// Safe methods pass, and so do clients that are no browsers: they send neither
// Sec-Fetch-Site nor Origin.
func (e *Edge) sameOrigin(r *http.Request) error {
	if err := e.cross.Check(r); err != nil {
		return crossOrigin(err)
	}
	return e.sameScheme(r)
}

// sameOriginStrict is sameOrigin for calls that change something in spite of
// their safe method: a WebSocket handshake is a GET.
func (e *Edge) sameOriginStrict(r *http.Request) error {
	post := *r
	post.Method = http.MethodPost
	return e.sameOrigin(&post)
}

// sameScheme closes what CrossOriginProtection leaves open: without
// Sec-Fetch-Site it compares hosts only, so http://host could act on https://host.
func (e *Edge) sameScheme(r *http.Request) error {
	origin := r.Header.Get("Origin")
	if origin == "" || r.Header.Get("Sec-Fetch-Site") != "" || safe(r.Method) {
		return nil
	}
	if u, err := url.Parse(origin); err != nil || u.Scheme != e.Scheme(r) {
		return crossOrigin(err)
	}
	return nil
}

func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

func crossOrigin(cause error) error {
	return token.Fail(token.CrossOrigin, "this call came from a page of another origin; make it from the gateway's own", cause)
}
