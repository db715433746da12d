package upstream

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// class says what a failed call means for the tokens there are.
type class uint8

const (
	transient class = iota // nothing: try again later
	rejected               // the backend refuses the account or password: keep them, stop trying
	localOff               // the backend takes no passwords at all
	dead                   // the refresh token is no good: log in again if we may
)

// classify gives meaning to a failed login or renewal. Only what the backend
// said in its own exact words is believed of a refresh token; of a login any 401
// or 403 counts as a rejection, since guessing on could lock the account, unless
// the dialect knows it to be about something that passes.
func classify(op token.Op, err error) class {
	r, ok := errors.AsType[*refusal](err)
	if !ok {
		return transient
	}
	switch {
	case op == token.OpRefresh && r.err.Kind == token.InvalidRefresh:
		return dead
	case op == token.OpRefresh:
		return transient
	case r.err.Kind == token.LocalAuthOff:
		return localOff
	case r.err.Kind == token.Unavailable:
		return transient
	case r.err.Kind == token.BadCredentials, r.status == http.StatusUnauthorized, r.status == http.StatusForbidden:
		return rejected
	}
	return transient
}

// Times between calls that fail.
const (
	firstBackOff = time.Second
	maxBackOff   = 30 * time.Second
	// longestAsked is the longest pause that a backend may ask for.
	longestAsked = 5 * time.Minute
)

// backOff returns how long to leave a backend alone after so many failures
// running, the last one among them: 1, 2, 4 … 30 s, and up to a fifth more so
// that replicas do not come back together.
func backOff(failures int) time.Duration {
	d := maxBackOff
	if failures < 6 {
		d = min(firstBackOff<<max(failures-1, 0), maxBackOff)
	}
	return d + rand.N(d/5)
}

// asked returns the pause that the backend itself asked for, or 0.
func asked(err error) time.Duration {
	if r, ok := errors.AsType[*refusal](err); ok {
		return min(r.err.RetryAfter, longestAsked)
	}
	return 0
}

// What clients are told. None of it repeats the backend's words.
const (
	msgUnavailable = "The gateway could not sign in at the backend just now. Try again later."
	msgRejected    = "The backend refuses the gateway's own account. An operator has to correct its user name or password."
	msgLocalOff    = "The backend has local authentication switched off; the gateway needs an API token for it, or it has to be switched on. Ask the operator."
	msgAPIToken    = "The backend refuses the gateway's API token. An operator has to put a valid one in its place."
	msgEnded       = "The backend has ended this session. Log in again."
	msgBusy        = "The gateway is still signing in at the backend. Try again."
	msgStore       = "The gateway could not reach its session store. Try again later."
)

// report makes the error that a request gets when its tokens cannot be had.
func report(c class, cause error, wait time.Duration) *token.Error {
	switch c {
	case rejected:
		return token.Fail(token.BadGateway, msgRejected, cause)
	case localOff:
		return token.Fail(token.BadGateway, msgLocalOff, cause)
	case dead:
		return token.Fail(token.InvalidAccess, msgEnded, cause)
	}
	return unavailable(msgUnavailable, cause, wait)
}

// unavailable is "could not ask", with when to ask again.
func unavailable(msg string, cause error, wait time.Duration) *token.Error {
	e := token.Fail(token.Unavailable, msg, cause)
	e.RetryAfter = max(wait, time.Second)
	return e
}

// isDead reports whether err says that a backend session is over.
func isDead(err error) bool { return err != nil && token.KindOf(err) == token.InvalidAccess }
