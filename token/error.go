package token

import (
	"errors"
	"time"
)

// Kind classifies what went wrong, coarsely enough that every dialect has an
// answer for each. The zero Kind is Internal: what nobody classified is ours.
type Kind uint8

// The kinds, with the HTTP status that problem+json gives them. A dialect's own
// table may give another.
const (
	Internal           Kind = iota // 500: a bug, or something nobody foresaw
	Malformed                      // 400: the request cannot be understood
	Missing                        // 401: no credential at all
	BadCredentials                 // 401: unknown user or wrong password, never told apart
	InvalidAccess                  // 401: the access token is not one of ours, or its session has ended
	ExpiredAccess                  // 401: the access token was good and is past its expiry
	InvalidRefresh                 // 401: the refresh token is unknown, used, revoked or expired
	InvalidAPIToken                // 401: no such API token, or it was revoked
	ExpiredAPIToken                // 401: the API token is past its expiry
	LocalAuthOff                   // 401: signing in by password is switched off
	Denied                         // 403: known, but policy or scope says no
	CrossOrigin                    // 403: a cookie-authenticated call from another origin
	NotFound                       // 404: no such call or item
	MethodNotAllowed               // 405
	Gone                           // 410: a version of the API that is no longer served
	TooLarge                       // 413: the body is over its limit
	UnsupportedMedia               // 415: the body's content type or coding is not taken
	Misdirected                    // 421: no route for this host
	Throttled                      // 429: too many failed attempts; RetryAfter says when
	BadGateway                     // 502: the backend answered something that cannot be used
	Unavailable                    // 503: could not ask (store, backend, queue); RetryAfter says when
	GatewayTimeout                 // 504: the backend did not answer in time
	FactorNeeded                   // 401: the password is right, and a second factor is missing
	WrongToken                     // 401: a good token of another kind than this call takes
	InvalidClient                  // 401: the OAuth client is unknown or did not prove itself
	UnauthorizedClient             // 400: the OAuth client may not use this grant
	UnsupportedGrant               // 400: there is no such grant
	InvalidScope                   // 400: more than the scopes there are, or than were granted
	NotAcceptable                  // 406: the vendor answers in no form that the caller takes
	UpgradeRequired                // 426: the vendor takes this over TLS only
)

var kindNames = [...]string{
	"internal", "malformed", "missing", "bad_credentials", "invalid_access", "expired_access",
	"invalid_refresh", "invalid_api_token", "expired_api_token", "local_auth_off", "denied",
	"cross_origin", "not_found", "method_not_allowed", "gone", "too_large", "unsupported_media",
	"misdirected", "throttled", "bad_gateway", "unavailable", "gateway_timeout",
	"factor_needed", "wrong_token", "invalid_client", "unauthorized_client", "unsupported_grant",
	"invalid_scope", "not_acceptable", "upgrade_required",
}

// String returns the kind in snake case, fit for a metric label.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "internal"
}

// Kinds returns every kind, for tables that must cover all of them.
func Kinds() []Kind {
	ks := make([]Kind, len(kindNames))
	for i := range ks {
		ks[i] = Kind(i)
	}
	return ks
}

// Error is a failure with what the caller may know of it.
type Error struct {
	Kind       Kind
	Msg        string        // for the caller: what was wrong and what to do; never a secret
	Err        error         // for the log only; may be nil
	RetryAfter time.Duration // for Throttled and Unavailable; 0: not told
	Challenge  *Challenge    // for FactorNeeded: what is asked for; nil: the login cannot ask
}

// Fail returns an Error of kind k with a message for the caller and a cause for
// the log, which may be nil. It does not format, so that nothing a caller sent
// is said back.
func Fail(k Kind, msg string, cause error) *Error { return &Error{Kind: k, Msg: msg, Err: cause} }

// Error returns kind, message and cause, for the log.
func (e *Error) Error() string {
	s := e.Kind.String()
	if e.Msg != "" {
		s += ": " + e.Msg
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// RetrySeconds is RetryAfter as the header of that name has it (RFC 9110 section
// 10.2.3): whole seconds, rounded up, since one who comes back at the time told
// must be let in; 1 at least.
func (e *Error) RetrySeconds() int {
	return max(1, int((e.RetryAfter+time.Second-1)/time.Second))
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of the first Error in err's chain; Internal if there
// is none. It must not be asked about a nil error.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}
