package proxy

import (
	"net/http"
	"strconv"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// KeySet is where the public keys of the gateway's own tokens are (RFC 7517).
// They are the same for everybody, so they are there on every host, whichever
// name of the gateway a backend knows.
type KeySet struct {
	Path string
	JWKS func() []byte // as JSON
}

// keysAge is for how long a backend need not ask again: a key that is new to it
// makes it ask at once.
const keysAge = "public, max-age=300"

// keys answers a request for the public keys.
func (p *Proxy) keys(x *exchange) error {
	if x.r.Method != http.MethodGet && x.r.Method != http.MethodHead {
		x.w.Header().Set("Allow", "GET, HEAD")
		return token.Fail(token.MethodNotAllowed, "the public keys are for reading: use GET or HEAD", nil)
	}
	text := p.o.Keys.JWKS()
	h := x.w.Header()
	h.Set("Content-Type", "application/jwk-set+json")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	h.Set("Cache-Control", keysAge)
	h.Set("X-Content-Type-Options", "nosniff")
	if x.r.Method == http.MethodGet {
		_, _ = x.w.Write(text) // the caller may be gone
	}
	return nil
}
