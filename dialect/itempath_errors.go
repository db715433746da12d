package dialect

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// The words of flask-jwt-extended 4.x and of PyJWT below it, to the letter.
const (
	itpNoHeader     = "Missing Authorization Header"
	itpNoBearer     = "Missing 'Bearer' type in 'Authorization' header. Expected 'Authorization: Bearer <JWT>'"
	itpBadHeader    = "Bad Authorization header. Expected 'Authorization: Bearer <JWT>'"
	itpExpiredToken = "Token has expired"
	itpRevoked      = "Token has been revoked"
	itpOnlyRefresh  = "Only refresh tokens are allowed"
	itpOnlyAccess   = "Only non-refresh tokens are allowed"
	itpNotEnough    = "Not enough segments"
	itpBadSignature = "Signature verification failed"
	itpBadPadding   = "Invalid header padding"
	itpBadAlg       = "The specified alg value is not allowed"
)

// itpError is one line of the table of failures.
type itpError struct {
	kind   token.Kind
	status int
	msg    string
	// word says that msg is the vendor's and has a meaning wherever it is read.
	// Lines of credentials have no other: a cause of our own is never said.
	word bool
}

func (e itpError) of() token.Kind { return e.kind }

// itpErrors is the table, read both ways: a word finds its line, a kind the first
// one it has. 422 is an authentication failure here. The words and their statuses
// are the library's, the rest is ours in its form. [I]
var itpErrors = []itpError{
	{token.Missing, 401, itpNoHeader, true},
	{token.Missing, 401, itpNoBearer, true},
	{token.ExpiredAccess, 401, itpExpiredToken, true},
	{token.InvalidAccess, 401, itpRevoked, true},
	{token.InvalidAccess, 422, itpBadHeader, true},
	{token.InvalidAccess, 422, itpNotEnough, true},
	{token.InvalidAccess, 422, itpBadSignature, true},
	{token.InvalidAccess, 422, itpBadPadding, true},
	{token.InvalidAccess, 422, itpBadAlg, true},
	{token.InvalidAccess, 422, "Invalid payload padding", true},
	{token.InvalidAccess, 422, "Invalid crypto padding", true},
	{token.InvalidAccess, 422, "The token is not yet valid (iat)", true},
	{token.InvalidAccess, 422, "The token is not yet valid (nbf)", true},
	{token.WrongToken, 422, itpOnlyRefresh, true},
	{token.WrongToken, 422, itpOnlyAccess, true},

	{token.BadCredentials, 401, "Bad username or password", false},
	{token.FactorNeeded, 401, "A second factor is needed, which this API cannot ask for", false},
	{token.Denied, 403, "Insufficient rights", false},
	{token.LocalAuthOff, 403, "Login by password is switched off", false},
	{token.CrossOrigin, 403, "Calls from another origin are refused", false},
	{token.Malformed, 400, "The request cannot be understood", false},
	{token.NotFound, 404, "Not found", false},
	{token.MethodNotAllowed, 405, "Method not allowed", false},
	{token.NotAcceptable, 406, "The answer is JSON", false},
	{token.Gone, 410, "This version of the API is no longer served", false},
	{token.TooLarge, 413, "The request body is too large", false},
	{token.UnsupportedMedia, 415, "The request body must be JSON", false},
	{token.Misdirected, 421, "Nothing is served under this host name", false},
	{token.UpgradeRequired, 426, "Connect with HTTPS", false},
	{token.Throttled, 429, "Too many requests; try again later", false},
	{token.Internal, 500, "Internal error", false},
	{token.BadGateway, 502, "The backend gave an answer that cannot be used", false},
	{token.Unavailable, 503, "Temporarily unavailable; try again later", false},
	{token.GatewayTimeout, 504, "The backend did not answer in time", false},

	// Read only: no login makes a fresh token, so a new one would not help.
	{token.Denied, 401, "Fresh token required", true},
}

// itpKind returns the kind that stands for one that this API does not tell apart.
func itpKind(k token.Kind) token.Kind {
	switch k {
	case token.WrongToken:
		return k
	case token.InvalidRefresh, token.InvalidAPIToken:
		return token.InvalidAccess
	case token.ExpiredAPIToken:
		return token.ExpiredAccess
	}
	return plainKind(k)
}

// itpLine returns the first line of a kind; that of Internal for an unknown one.
func itpLine(k token.Kind) itpError { return lineOf(itpErrors, itpKind(k)) }

// itpWord returns the line of one of the vendor's own words.
func itpWord(msg string) (itpError, bool) {
	i := slices.IndexFunc(itpErrors, func(line itpError) bool { return line.word && line.msg == msg })
	if i < 0 {
		return itpError{}, false
	}
	return itpErrors[i], true
}

// itpErrorBody is a failure on the wire. Login is there, and false, in that of a
// login alone. [I]
type itpErrorBody struct {
	Login *bool  `json:"login,omitempty"`
	Msg   string `json:"msg"`
}

// <- failure, served

// itpWriteError says the vendor's word for what went wrong. A session that has
// ended is a revoked token. What is missing is a matter of the request: a header,
// or its scheme.
func itpWriteError(w http.ResponseWriter, r *http.Request, e *token.Error) {
	line := itpLine(e.Kind)
	switch word, ok := itpWord(e.Msg); {
	case ok && line.word:
		line = word
	case e.Msg != "" && !line.word && !itpIsLogin(line.kind):
		line.msg = e.Msg
	}
	if line.kind == token.Missing && r.Header.Get("Authorization") != "" {
		line.msg = itpNoBearer
	}
	if e.Kind == token.Throttled || e.Kind == token.Unavailable {
		w.Header().Set("Retry-After", strconv.Itoa(e.RetrySeconds()))
	}
	if r.Method == http.MethodHead {
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(line.status)
		return
	}
	body := itpErrorBody{Msg: line.msg}
	if itpIsLogin(line.kind) {
		body.Login = new(bool)
	}
	// The caller is gone when this fails, and nobody is left to be told.
	_ = writeJSON(w, line.status, body)
}

// itpIsLogin reports whether a kind is a login that was refused: every one says
// the same.
func itpIsLogin(k token.Kind) bool { return k == token.BadCredentials || k == token.FactorNeeded }

// <- failure, spoken

// itpReadError gives meaning to a backend's failure: the message decides, else
// the status. An outage (5xx) never says anything about a credential, and a 422
// without one of the library's words is the business of the call.
func itpReadError(status int, h http.Header, body []byte) *token.Error {
	cause := fmt.Errorf("backend answered %d", status)
	if status >= 500 || status == http.StatusTooManyRequests {
		kind := token.Unavailable
		if status < 500 {
			kind = token.Throttled
		}
		e := itpFail(kind, cause)
		e.RetryAfter = retryAfter(h)
		return e
	}
	if isHTML(h, body) {
		return token.Fail(token.BadGateway, "The backend answered HTML, not its API; check its URL in the gateway's configuration", cause)
	}
	o, err := parseObject(body)
	if err != nil {
		return itpByStatus(status, errors.Join(cause, err))
	}
	if msg, err := o.text("msg"); err == nil {
		if line, ok := itpWord(msg); ok {
			return token.Fail(line.kind, line.msg, fmt.Errorf("backend answered %d %q", status, line.msg))
		}
	}
	if in, err := o.truth("login"); err == nil && !in {
		return itpFail(token.BadCredentials, cause)
	}
	return itpByStatus(status, cause)
}

// itpByStatus is for answers without a word. A 401 is about the access token, and
// says nothing of a refresh token.
func itpByStatus(status int, cause error) *token.Error {
	switch status {
	case http.StatusUnauthorized:
		return token.Fail(token.InvalidAccess, "The backend refuses the token", cause)
	case http.StatusUnprocessableEntity:
		return itpFail(token.Malformed, cause)
	}
	for _, line := range itpErrors {
		if line.status == status && !line.word {
			return token.Fail(line.kind, line.msg, cause)
		}
	}
	return itpFail(token.BadGateway, cause)
}

// itpFail makes an error with the table's own message: a backend's text is not
// passed on.
func itpFail(k token.Kind, cause error) *token.Error { return token.Fail(k, itpLine(k).msg, cause) }

// itpMayExpire: the library answers 401 to an expired token, and 422 to one that
// it cannot verify, since its secret was changed say.
func itpMayExpire(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusUnprocessableEntity
}

// itpEndsRefresh: any of the library's words about a token, in answer to a
// refresh call, is about the refresh token.
func itpEndsRefresh(e *token.Error) bool {
	line, ok := itpWord(e.Msg)
	return ok && line.kind == e.Kind && e.Kind != token.Missing && e.Kind != token.Denied
}
