package dialect

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// facError is one line of the table of failures.
type facError struct {
	kind   token.Kind
	status int
	code   string // RFC 6749 section 5.2, RFC 6750 section 3.1
	msg    string
	// fixed says that msg is always the answer: failures of a credential never
	// tell their causes apart.
	fixed bool
}

func (e facError) of() token.Kind { return e.kind }

// facErrors is the table. The page has 401 for users whose password is wrong,
// where the toolkit answers 400; the page wins. The bodies of failures are not on
// the page: OAuth's members are in each, and those that the page's successes
// have. [I]
var facErrors = []facError{
	{token.BadCredentials, 401, "invalid_grant", "Invalid credentials given.", true},
	{token.LocalAuthOff, 401, "invalid_grant", "Signing in by password is switched off here.", false},
	{token.FactorNeeded, 401, "invalid_grant", "Invalid credentials given.", true}, // without a challenge to show
	{token.InvalidRefresh, 400, "invalid_grant", "The refresh token is not valid.", false},
	{token.InvalidClient, 401, "invalid_client", "Client authentication failed.", true},
	{token.UnauthorizedClient, 400, "unauthorized_client", "The client may not use this grant.", false},
	{token.UnsupportedGrant, 400, "unsupported_grant_type", "There is no such grant type.", false},
	{token.InvalidScope, 400, "invalid_scope", "The client may not have these scopes.", false},
	{token.Malformed, 400, "invalid_request", "The request cannot be understood.", false},
	{token.UnsupportedMedia, 400, "invalid_request", "The body must be JSON or a form.", false},
	{token.TooLarge, 413, "invalid_request", "The body is too large.", false},
	{token.MethodNotAllowed, 405, "invalid_request", "Method not allowed.", false},
	{token.NotAcceptable, 406, "invalid_request", "The answer is JSON.", false},

	{token.InvalidAccess, 401, "invalid_token", facInvalid, true},
	{token.ExpiredAccess, 401, "invalid_token", facInvalid, true},
	{token.WrongToken, 401, "invalid_token", facInvalid, true},
	{token.InvalidAPIToken, 401, "invalid_token", facInvalid, true},
	{token.ExpiredAPIToken, 401, "invalid_token", facInvalid, true},
	{token.Missing, 401, "invalid_token", "No credentials in the request.", true},
	{token.Denied, 403, "access_denied", "Access denied.", false},
	{token.CrossOrigin, 403, "access_denied", "Calls from another origin are refused.", false},

	{token.NotFound, 404, "not_found", "There is nothing here.", false},
	{token.Gone, 410, "not_found", "This is no longer served.", false},
	{token.Misdirected, 421, "invalid_request", "Nothing is served under this host name.", false},
	{token.UpgradeRequired, 426, "invalid_request", "Connect with HTTPS.", false},
	{token.Throttled, 429, "temporarily_unavailable", "Too many requests; try again later.", false},
	{token.Internal, 500, "server_error", "Internal error.", false},
	{token.BadGateway, 502, "server_error", "The backend gave an answer that cannot be used.", false},
	{token.Unavailable, 503, "temporarily_unavailable", "Temporarily unavailable; try again later.", false},
	{token.GatewayTimeout, 504, "temporarily_unavailable", "The backend did not answer in time.", false},
}

// facErrorOf returns the line of an error with its message.
func facErrorOf(e *token.Error) facError {
	line := lineOf(facErrors, e.Kind)
	if e.Msg != "" && !line.fixed && line.kind == e.Kind {
		line.msg = e.Msg
	}
	return line
}

type facErrorBody struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
	Message     string `json:"message"`
	Status      string `json:"status"`
}

// <- failure, served

func facWriteError(w http.ResponseWriter, r *http.Request, e *token.Error) {
	line := facErrorOf(e)
	h := w.Header()
	if e.Kind == token.Throttled || e.Kind == token.Unavailable {
		h.Set("Retry-After", strconv.Itoa(e.RetrySeconds()))
	}
	if line.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", facAsk(r, line))
	}
	var body any = facErrorBody{line.code, line.msg, line.msg, "failed"}
	if e.Kind == token.FactorNeeded && e.Challenge != nil {
		line.status, body = http.StatusNotAcceptable, facChallengeOf(*e.Challenge)
		h.Del("WWW-Authenticate")
	}
	if r.Method == http.MethodHead {
		h.Set("Cache-Control", "no-store")
		w.WriteHeader(line.status)
		return
	}
	// The caller is gone when this fails, and nobody is left to be told.
	_ = facWriteJSON(w, line.status, body)
}

// facAsk is what a 401 asks for: the scheme that a client has used (RFC 6749
// section 5.2), else a Bearer token, of which an error is told only if one was
// there (RFC 6750 section 3.1).
func facAsk(r *http.Request, line facError) string {
	switch _, basic := (Basic{}).Get(r); {
	case line.kind == token.InvalidClient && basic:
		return `Basic realm="api"`
	case line.kind == token.Missing || line.code == "invalid_grant":
		return `Bearer realm="api"`
	}
	return `Bearer realm="api", error="` + line.code + `"`
}

// <- failure, spoken

// facCodes are the exact words that are believed. invalid_grant means that what
// was presented is no good, the password of a login or the refresh token of a
// refresh.
var facCodes = map[string]token.Kind{
	"invalid_grant":          token.BadCredentials,
	"invalid_client":         token.InvalidClient,
	"unauthorized_client":    token.UnauthorizedClient,
	"unsupported_grant_type": token.UnsupportedGrant,
	"invalid_scope":          token.InvalidScope,
	"invalid_request":        token.Malformed,
	"invalid_token":          token.InvalidAccess,
}

// facReadError gives meaning to a backend's failure: a challenge, else OAuth's
// code, else the status. An outage (5xx) never says anything about a credential.
func facReadError(status int, h http.Header, body []byte) *token.Error {
	cause := fmt.Errorf("backend answered %d", status)
	switch {
	case status >= 500:
		return facRetryLater(token.Unavailable, h, cause)
	case status == http.StatusTooManyRequests:
		return facRetryLater(token.Throttled, h, cause)
	case isHTML(h, body):
		return token.Fail(token.BadGateway, "The backend answered HTML, not its API; check its URL in the gateway's configuration", cause)
	}
	o, err := parseObject(body)
	if err != nil {
		return facByStatus(status, errors.Join(cause, err))
	}
	if status == http.StatusNotAcceptable {
		if c, err := facReadChallenge(o); err == nil {
			return &token.Error{Kind: token.FactorNeeded, Msg: "The backend asks for a second factor", Err: cause, Challenge: c}
		}
	}
	code, err := o.text("error")
	if kind, known := facCodes[code]; known && err == nil {
		return facFail(kind, fmt.Errorf("backend answered %d %s", status, code))
	}
	return facByStatus(status, cause)
}

// facByStatus is for answers whose body says nothing. 401 is InvalidAccess, which
// it is on any other call: only exact words may end a backend session.
func facByStatus(status int, cause error) *token.Error {
	if status == http.StatusUnauthorized {
		return facFail(token.InvalidAccess, cause)
	}
	for _, line := range facErrors {
		if line.status != status {
			continue
		}
		switch line.kind {
		case token.Denied, token.NotFound, token.MethodNotAllowed, token.Gone, token.TooLarge, token.Misdirected,
			token.UpgradeRequired, token.NotAcceptable, token.Malformed:
			return facFail(line.kind, cause)
		}
	}
	return facFail(token.BadGateway, cause)
}

// facFail makes an error with the table's own message: a backend's text is not
// passed on.
func facFail(k token.Kind, cause error) *token.Error {
	e := token.Fail(k, "", cause)
	e.Msg = facErrorOf(e).msg
	return e
}

func facRetryLater(k token.Kind, h http.Header, cause error) *token.Error {
	e := facFail(k, cause)
	e.RetryAfter = ipfRetryAfter(h)
	return e
}

// facMayExpire: an expired access token is answered 401.
func facMayExpire(status int) bool { return status == http.StatusUnauthorized }

// facEndsRefresh: invalid_grant is the vendor's one word for whatever is
// presented, so in the answer to a refresh it is about the refresh token.
func facEndsRefresh(e *token.Error) bool { return e.Kind == token.BadCredentials }
