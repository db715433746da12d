package upstream

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
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
	noVersion              // the backend knows no version of the API that may be spoken
	noToken                // the backend gives the account no application token
	badClient              // the backend refuses the OAuth client, so nothing was said about what it presented
	noFactor               // the account's second factor was not proved, and trying again would only ask for it anew
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
	if _, none := errors.AsType[*unknownVersions](err); none {
		return noVersion
	}
	switch {
	case op == token.OpApplicationToken && final(r):
		return noToken
	case op == token.OpApplicationToken:
		return transient
	case op == token.OpRefresh && r.err.Kind == token.InvalidRefresh, op == token.OpRenew && endsAccess(r.err.Kind):
		return dead
	case r.err.Kind == token.InvalidClient || r.err.Kind == token.UnauthorizedClient:
		return badClient
	case op == token.OpRefresh:
		return transient
	case r.err.Kind == token.LocalAuthOff:
		return localOff
	case r.err.Kind == token.Unavailable:
		return transient
	case refusesAccount(r.err.Kind), r.status == http.StatusUnauthorized, r.status == http.StatusForbidden:
		return rejected
	}
	return transient
}

// loginClass gives meaning to a login of the account that failed, with what
// belongs to it; a failed renewal is always transient.
func loginClass(err error) class {
	if u, ok := errors.AsType[*unproved](err); ok {
		return u.class
	}
	if r, ok := errors.AsType[*refusal](err); ok && (r.op == token.OpLogin || r.op == token.OpApplicationToken) {
		return classify(r.op, err)
	}
	return transient
}

// refusesAccount reports whether a refused login is about who logs in, so that
// trying again is no use. A second factor that is asked for is one: each try would
// ask for it anew.
func refusesAccount(k token.Kind) bool {
	switch k {
	case token.BadCredentials, token.FactorNeeded, token.InvalidClient, token.UnauthorizedClient, token.UnsupportedGrant:
		return true
	}
	return false
}

// endsAccess reports whether a renewal by password was refused for the token's
// sake.
func endsAccess(k token.Kind) bool {
	return k == token.InvalidAccess || k == token.ExpiredAccess || k == token.InvalidRefresh
}

// final reports whether an answer would be the same if the call was made again.
// Some backends refuse with a status of success.
func final(r *refusal) bool {
	switch r.status {
	case http.StatusTooManyRequests, http.StatusRequestTimeout:
		return false
	}
	return r.status < 300 || r.status >= 400 && r.status < 500
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
	return d + time.Duration(fraction()*float64(d)/5)
}

// fraction returns a random number from 0 up to 1. It is drawn where names are
// drawn, so that who fixes those for a simulation fixes all.
func fraction() float64 {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return float64(binary.LittleEndian.Uint64(b[:])>>11) / (1 << 53)
}

// asked returns the pause that the backend itself asked for, or 0.
func asked(err error) time.Duration {
	if u, ok := errors.AsType[*unproved](err); ok && u.wait > 0 {
		return u.wait
	}
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
	msgClient      = "The backend refuses the gateway's OAuth client. An operator has to correct its id, its secret or its grants."
	msgAPIToken    = "The backend refuses the gateway's API token. An operator has to put a valid one in its place."
	msgNoToken     = "The backend gives the gateway's account no application token. An operator has to make it a user of the type that may have one, or take application_token out."
	msgCredential  = "The backend refuses the gateway's own credential. An operator has to correct it."
	msgMint        = "The gateway could not make a token for the backend. An operator has to look into its log."
	msgEnded       = "The backend has ended this session. Log in again."
	msgBusy        = "The gateway is still signing in at the backend. Try again."
	msgFull        = "The gateway has as many sessions open at the backend as it may. Try again later."
	msgJournal     = "The gateway has no room to keep what the backend would give it now. Try again later."
	msgStore       = "The gateway could not reach its session store. Try again later."
)

// report makes the error that a request gets when its tokens cannot be had.
func report(c class, cause error, wait time.Duration) *token.Error {
	u, unproved := errors.AsType[*unproved](cause)
	switch c {
	case noFactor:
		return token.Fail(token.BadGateway, u.msg, cause)
	case rejected:
		return token.Fail(token.BadGateway, msgRejected, cause)
	case localOff:
		return token.Fail(token.BadGateway, msgLocalOff, cause)
	case badClient:
		return token.Fail(token.BadGateway, msgClient, cause)
	case dead:
		return token.Fail(token.InvalidAccess, msgEnded, cause)
	case noToken:
		return token.Fail(token.BadGateway, msgNoToken, cause)
	case noVersion:
		e, _ := errors.AsType[*unknownVersions](cause)
		return token.Fail(token.BadGateway, e.message(), cause)
	}
	if unproved {
		return unavailable(u.msg, cause, wait)
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
