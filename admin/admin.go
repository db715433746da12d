// Package admin is what listens on ADMIN_LISTEN: health, readiness and metrics
// for probes and monitoring, open to who reaches the port, and the operator's API,
// which needs a token. It is apart from the front door so that none of it can be
// reached from where clients are.
package admin

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// Readiness says whether this replica can serve.
type Readiness struct {
	Ready    bool     `json:"ready"`
	Degraded []string `json:"degraded"` // what works, but not as it should
	Waiting  []string `json:"waiting"`  // what it cannot serve without
}

// Options are the parts of the handler. Ready and Metrics are required.
type Options struct {
	Ready   func() Readiness // called for every /readyz; must not block
	Metrics http.Handler
	// Token guards every path but the three. Zero: there are no others.
	Token token.Secret
	// Sessions returns who lists and ends sessions; nil from it: not yet, 503. A nil
	// function: there are no such calls.
	Sessions func() Sessions
	// Challenges is as Sessions, for second factors that wait for an answer.
	Challenges func() Challenges
	// Backends is as Sessions, for how it stands with the backends.
	Backends func() Backends
	Audit    Auditor // nil: nobody is told
}

// New returns the handler: GET and HEAD of
//
//	/healthz  200 "ok" while the process runs
//	/readyz   Readiness as JSON: 200 if ready, else 503
//	/metrics  Options.Metrics
//
// and under /v1/ the operator's API, see resources. Every path but the three is
// 404 where no Options.Token is set, and else 401 without it as a bearer token
// (RFC 6750 section 2.1).
func New(o Options) http.Handler {
	if o.Audit == nil {
		o.Audit = mute{}
	}
	h := &handler{o: o}
	if !o.Token.IsZero() {
		h.digest = sha256.Sum256([]byte(o.Token.Reveal()))
	}
	return h
}

type handler struct {
	o       Options
	digest  [sha256.Size]byte // of the token
	guesses guesses
}

// ServeHTTP answers one call.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	switch r.URL.Path {
	case "/healthz":
		read(w, r, health)
	case "/readyz":
		read(w, r, h.ready)
	case "/metrics":
		read(w, r, h.o.Metrics.ServeHTTP)
	default:
		h.operate(w, r)
	}
}

// read calls h for GET and HEAD.
func read(w http.ResponseWriter, r *http.Request, h http.HandlerFunc) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	h(w, r)
}

func health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(w, "ok\n") //nolint:errcheck // the probe has gone; nobody is left to tell
}

func (h *handler) ready(w http.ResponseWriter, _ *http.Request) {
	state := h.o.Ready()
	// Lists are never null, which scripts would trip over.
	state.Degraded = append([]string{}, state.Degraded...)
	state.Waiting = append([]string{}, state.Waiting...)
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(state); err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if !state.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	w.Write(b.Bytes()) //nolint:errcheck // as in health
}

// admit lets a call of the operator's API in, or says why not.
func (h *handler) admit(x *exchange) *problem {
	if h.o.Token.IsZero() {
		return errOff
	}
	if wait := h.guesses.blocked(x.network()); wait > 0 {
		return errGuesses(wait)
	}
	if !h.authorized(x.r) {
		h.guesses.failed(x.network())
		return errToken
	}
	return nil
}

// authorized compares digests, so that neither the token's text nor its length
// shows in the time it takes.
func (h *handler) authorized(r *http.Request) bool {
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	digest := sha256.Sum256([]byte(text))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(digest[:], h.digest[:]) == 1
}
