package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// problem is a call that is not done: the one kind of error here.
type problem struct {
	status  int
	outcome string // for the audit line
	detail  string // for the operator: what is wrong and what to do
	retry   int    // seconds, for Retry-After; 0: none
	allow   string // of 405
	sids    []string
}

// Error implements error.
func (p *problem) Error() string { return p.detail }

var (
	errOff   = &problem{status: http.StatusNotFound, outcome: outcomeOff, detail: "Operator calls are off: this gateway was started without GATEHOUSE_ADMIN_TOKEN. Set it and restart."}
	errToken = &problem{
		status: http.StatusUnauthorized, outcome: outcomeUnauthorized,
		detail: "The admin token is missing or wrong. Send the gateway's GATEHOUSE_ADMIN_TOKEN as a bearer token.",
	}
	errNoPath   = &problem{status: http.StatusNotFound, outcome: outcomeNotFound, detail: "The operator's API has no such path."}
	errNotReady = &problem{
		status: http.StatusServiceUnavailable, outcome: outcomeUnavailable, retry: 1,
		detail: "The gateway is not ready; /readyz says why.",
	}
)

func malformed(detail string) *problem {
	return &problem{status: http.StatusBadRequest, outcome: outcomeMalformed, detail: detail}
}

func errMethod(methods []string) *problem {
	return &problem{
		status: http.StatusMethodNotAllowed, outcome: outcomeMalformed, allow: strings.Join(methods, ", "),
		detail: "This path takes other methods; Allow names them.",
	}
}

func errGuesses(wait time.Duration) *problem {
	return &problem{
		status: http.StatusTooManyRequests, outcome: outcomeThrottled, retry: max(1, int((wait+time.Second-1)/time.Second)),
		detail: "Too many wrong admin tokens came from this address. Wait and try again.",
	}
}

// errSeveral says what an id may stand for.
func errSeveral(sids []string) *problem {
	return &problem{
		status: http.StatusConflict, outcome: outcomeConflict, sids: sids,
		detail: "This id stands for several: " + strings.Join(sids, ", ") + ". Give one of these session ids.",
	}
}

// classify finds the problem of any error. What could not be asked is 503, never
// 404.
func classify(err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	e, ok := errors.AsType[*token.Error](err)
	if !ok {
		e = token.Fail(token.Internal, "", err)
	}
	p := &problem{detail: e.Msg}
	switch e.Kind {
	case token.Malformed:
		p.status, p.outcome = http.StatusBadRequest, outcomeMalformed
	case token.NotFound:
		p.status, p.outcome = http.StatusNotFound, outcomeNotFound
	case token.Gone, token.Denied:
		p.status, p.outcome = http.StatusConflict, outcomeConflict
	case token.Unavailable, token.Throttled:
		p.status, p.outcome, p.retry = http.StatusServiceUnavailable, outcomeUnavailable, e.RetrySeconds()
	default:
		p.status, p.outcome = http.StatusInternalServerError, outcomeFailed
		p.detail = "Something went wrong in the gateway."
	}
	return p
}

// fail answers a call that is not done.
func (x *exchange) fail(p *problem) {
	x.event.Outcome = p.outcome
	h := x.w.Header()
	if p.allow != "" {
		h.Set("Allow", p.allow)
	}
	if p.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retry))
	}
	if p.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="gatehouse admin"`)
	}
	h.Set("Content-Type", "application/problem+json")
	x.write(p.status, Problem{
		Type: "about:blank", Title: http.StatusText(p.status), Status: p.status, Detail: p.detail,
		RequestID: x.event.Request, SIDs: p.sids,
	})
}

// done answers a call with what it found.
func (x *exchange) done(v any) {
	x.event.Outcome = outcomeOK
	x.w.Header().Set("Content-Type", "application/json")
	x.write(http.StatusOK, v)
}

func (x *exchange) write(status int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // structs of strings and times always marshal
		x.event.Outcome, status, body = outcomeFailed, http.StatusInternalServerError, nil
	}
	x.w.WriteHeader(status)
	x.w.Write(append(body, '\n')) //nolint:errcheck // the operator has gone; nobody is left to tell
}
