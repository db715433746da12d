package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// statuses is the HTTP status of each kind where no dialect has a word in it.
var statuses = map[token.Kind]int{
	token.Internal: 500, token.Malformed: 400, token.Missing: 401, token.BadCredentials: 401,
	token.InvalidAccess: 401, token.ExpiredAccess: 401, token.InvalidRefresh: 401, token.InvalidAPIToken: 401,
	token.ExpiredAPIToken: 401, token.LocalAuthOff: 401, token.Denied: 403, token.CrossOrigin: 403, token.NotFound: 404,
	token.MethodNotAllowed: 405, token.Gone: 410, token.TooLarge: 413, token.UnsupportedMedia: 415, token.Misdirected: 421,
	token.Throttled: 429, token.BadGateway: 502, token.Unavailable: 503, token.GatewayTimeout: 504,
	token.FactorNeeded: 401, token.WrongToken: 401, token.InvalidClient: 401, token.UnauthorizedClient: 400,
	token.UnsupportedGrant: 400, token.InvalidScope: 400, token.NotAcceptable: 406, token.UpgradeRequired: 426,
}

// fail answers a request that went wrong: the one place where that is done. A
// browser's navigation gets a page or is sent to sign in, a call on a route
// that serves a token API gets that API's form of the error, everything else
// problem+json (RFC 9457). The caller sees kind and message, the log the cause.
func (p *Proxy) fail(x *exchange, err error) {
	if x.cause == nil {
		x.cause = err
	}
	if x.w.status != 0 {
		return // the answer is under way: it can only be cut off
	}
	h := x.w.Header()
	h.Set("Cache-Control", "no-store")
	if e, ok := errors.AsType[*refusal](err); ok {
		h.Set("Connection", "close")
		if e.status == http.StatusMethodNotAllowed {
			h.Set("Allow", strings.Join(methods, ", "))
		}
		p.problem(x, e.status, e.msg)
		return
	}
	e := classify(err)
	status := statuses[e.Kind]
	switch {
	case p.maySignIn(x, e.Kind):
		http.Redirect(x.w, x.r, p.o.Pages.SignInURL(x.r.URL.RequestURI()), http.StatusFound)
	case x.route != nil && isNavigation(x.r):
		retryAfter(h, e)
		p.o.Pages.ErrorPage(x.w, x.r, status, message(e), x.id)
	case x.served != nil:
		x.decorate()
		x.served.Dialect.Errors.Write(x.w, x.r, e)
	default:
		retryAfter(h, e)
		if status == http.StatusUnauthorized {
			h.Set("WWW-Authenticate", `Bearer realm="gatehouse"`)
		}
		p.problem(x, status, message(e))
	}
}

// maySignIn reports whether a request is a browser's that only lacks a session:
// it carries no credential, or a browser session that has ended. Where the
// host's sign-in page asks another identity source than this route, signing in
// would not help, and sending a browser there and back would never end.
func (p *Proxy) maySignIn(x *exchange, k token.Kind) bool {
	if x.route == nil || !isNavigation(x.r) || x.r.Method != http.MethodGet {
		return false
	}
	if p.pagesOf(hostName(x.r.Host)).source() != x.route.source() {
		return false
	}
	switch k {
	case token.Missing:
		return true
	case token.InvalidAccess, token.ExpiredAccess:
		return x.failed.Carrier == portalCookie
	}
	return false
}

// isNavigation reports whether a person's browser is showing the answer: the
// fetch metadata of a navigation, or, from browsers that send none, a wish for
// HTML above all.
func isNavigation(r *http.Request) bool {
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return strings.HasPrefix(r.Header.Get("Accept"), "text/html")
}

// classify finds the kind of any error. What nobody classified is Internal, of
// which the caller learns nothing.
func classify(err error) *token.Error {
	if e, ok := errors.AsType[*token.Error](err); ok {
		return e
	}
	return token.Fail(token.Internal, "", err)
}

// message is what the caller reads.
func message(e *token.Error) string {
	if e.Msg != "" {
		return e.Msg
	}
	return "something went wrong in the gateway; its log has the cause under this request id"
}

// classifyForward finds the kind of an error that ended a request on its way to
// the backend. A backend session that is dead ends the session it belonged to.
func (p *Proxy) classifyForward(x *exchange, err error) error {
	if e, ok := errors.AsType[*token.Error](err); ok {
		if e.Kind == token.InvalidAccess && !x.route.account() && !x.caller.SID.IsZero() {
			p.endDead(x)
		}
		return err
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return token.Fail(token.TooLarge, "the body is over this route's limit", err)
	}
	if x.body != nil && x.body.failed.Load() && x.r.Context().Err() == nil {
		return token.Fail(token.Malformed, "the request's body could not be read to its end", err)
	}
	if errors.Is(err, context.Canceled) && x.r.Context().Err() != nil {
		x.w.status = statusClientClosed
		return err
	}
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		return token.Fail(token.GatewayTimeout, "the backend did not answer in time", err)
	}
	return token.Fail(token.BadGateway, "the backend could not be reached or gave no usable answer", err)
}

// statusClientClosed is nginx's status for a client that went away; only log
// and metrics see it.
const statusClientClosed = 499

// endDead ends a pass-through session whose backend session is no more, apart
// from the client's context: it may be gone already.
func (p *Proxy) endDead(x *exchange) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.r.Context()), time.Second)
	defer cancel()
	if err := p.o.Sessions.End(ctx, x.caller.SID, "backend_dead"); err != nil {
		p.log.WarnContext(ctx, "a session whose backend session is dead could not be ended", "session", x.caller.SID.Short(), "error", err)
	}
}

// retryAfter tells a caller when to come again, in whole seconds.
func retryAfter(h http.Header, e *token.Error) {
	if e.Kind != token.Throttled && e.Kind != token.Unavailable {
		return
	}
	h.Set("Retry-After", strconv.Itoa(e.RetrySeconds()))
}

// problem writes an error as RFC 9457 says.
func (p *Proxy) problem(x *exchange, status int, detail string) {
	body, err := json.Marshal(struct {
		Type      string `json:"type"`
		Title     string `json:"title"`
		Status    int    `json:"status"`
		Detail    string `json:"detail"`
		RequestID string `json:"request_id"`
	}{"about:blank", http.StatusText(status), status, detail, x.id})
	if err != nil {
		body = nil // a struct of strings always marshals
	}
	h := x.w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	x.w.WriteHeader(status)
	if x.r.Method != http.MethodHead {
		_, _ = x.w.Write(body) // a client that went away is not an error of ours
	}
}
