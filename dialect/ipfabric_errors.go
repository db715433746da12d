package dialect

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// ipfError is one line of the table of failures.
type ipfError struct {
	kind   token.Kind
	status int
	code   string
	msg    string
	// fixed says that msg is always the answer. Failures of a credential never
	// tell their causes apart.
	fixed bool
}

func (e ipfError) of() token.Kind { return e.kind }

// ipfErrors is the table, read both ways. The codes of the page's section
// "Token Errors" and API_NOT_FOUND and API_INSUFFICIENT_RIGHTS (public docs and
// SDK) are the vendor's, as is 401 for an expired access token; the other codes
// are ours in the vendor's style, and so are the statuses that go with them. [I]
var ipfErrors = []ipfError{
	{token.ExpiredAPIToken, 401, "API_EXPIRED_API_TOKEN", "Expired API Token", true},
	{token.InvalidAPIToken, 401, "API_INVALID_API_TOKEN", "Invalid API Token", true},
	{token.ExpiredAccess, 401, "API_EXPIRED_ACCESS_TOKEN", "Expired access token", true},
	{token.InvalidAccess, 401, "API_INVALID_ACCESS_TOKEN", ipfInvalid, true},
	{token.InvalidRefresh, 401, "API_INVALID_REFRESH_TOKEN", "Invalid refresh token", true},
	{token.NotFound, 404, "API_NOT_FOUND", "Requested Resource Not Found", false},
	{token.Denied, 403, "API_INSUFFICIENT_RIGHTS", "Insufficient rights", false},

	{token.BadCredentials, 401, "API_INVALID_CREDENTIALS", "Invalid username or password", true},
	{token.Missing, 401, "", "No credentials in the request", true}, // the code is a setting
	{token.LocalAuthOff, 403, "API_LOCAL_AUTHENTICATION_DISABLED", "Local authentication is disabled; use an API token", false},
	{token.CrossOrigin, 403, "API_CROSS_ORIGIN", "Calls from another origin are refused", false},
	{token.Malformed, 400, "API_MALFORMED_REQUEST", "The request cannot be understood", false},
	{token.MethodNotAllowed, 405, "API_METHOD_NOT_ALLOWED", "Method not allowed", false},
	{token.Gone, 410, "API_VERSION_GONE", "This version of the API is no longer served", false},
	{token.TooLarge, 413, "API_REQUEST_TOO_LARGE", "The request body is too large", false},
	{token.UnsupportedMedia, 415, "API_UNSUPPORTED_MEDIA_TYPE", "The request body must be JSON", false},
	{token.Misdirected, 421, "API_MISDIRECTED_REQUEST", "Nothing is served under this host name", false},
	{token.Throttled, 429, "API_TOO_MANY_REQUESTS", "Too many requests; try again later", false},
	{token.Internal, 500, "API_INTERNAL_ERROR", "Internal error", false},
	{token.BadGateway, 502, "API_BAD_GATEWAY", "The backend gave an answer that cannot be used", false},
	{token.Unavailable, 503, "API_UNAVAILABLE", "Temporarily unavailable; try again later", false},
	{token.GatewayTimeout, 504, "API_GATEWAY_TIMEOUT", "The backend did not answer in time", false},
	{token.NotAcceptable, 406, "API_NOT_ACCEPTABLE", "The answer is JSON", false},
	{token.UpgradeRequired, 426, "API_UPGRADE_REQUIRED", "Connect with HTTPS", false},

	// This API cannot ask for a second factor, so the login just fails. [I]
	{token.FactorNeeded, 401, "API_INVALID_CREDENTIALS", "A second factor is needed, which this API cannot ask for; use an API token", true},

	// Of 5.x, read only: no password is wrong, and once a person has approved it
	// the login succeeds.
	{token.Unavailable, 403, "API_MISSING_EULA_APPROVAL", "The appliance waits for its EULA to be approved; approve it in the appliance's own pages", false},
}

// ipfErrorOf returns the line of a kind, or of the one that stands for it; that
// of Internal for an unknown one.
func ipfErrorOf(k token.Kind) ipfError { return lineOf(ipfErrors, plainKind(k)) }

// ipfErrorBody is a failure on the wire.
type ipfErrorBody struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// ipfGoneBody is 7.5's answer to an API version that is not served.
type ipfGoneBody struct {
	Message        string `json:"message"`
	ReleaseVersion string `json:"release_version"`
	APIVersion     string `json:"api_version"`
}

// <- failure, served

func (v ipf) writeError(w http.ResponseWriter, r *http.Request, e *token.Error) {
	line := ipfErrorOf(e.Kind)
	if line.kind == token.Missing {
		line.code = v.MissingTokenCode
	}
	if e.Msg != "" && !line.fixed {
		line.msg = e.Msg
	}
	ipfSetRetry(w.Header(), e)
	if r.Method == http.MethodHead {
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(line.status)
		return
	}
	var body any = ipfErrorBody{line.code, line.msg}
	if line.kind == token.Gone && v.headerVersions {
		body = ipfGoneBody{line.msg, v.release(), ipfAPIVersion}
	}
	// The caller is gone when this fails, and nobody is left to be told.
	_ = writeJSON(w, line.status, body)
}

// ipfSetRetry says when to come back: Retry-After (RFC 9110 section 10.2.3), and
// for a throttled caller the two headers that the SDK reads.
func ipfSetRetry(h http.Header, e *token.Error) {
	if e.Kind != token.Throttled && e.Kind != token.Unavailable {
		return
	}
	seconds := int64(e.RetrySeconds())
	h.Set("Retry-After", strconv.FormatInt(seconds, 10))
	if e.Kind == token.Throttled {
		h.Set("X-RateLimit-Remaining", "0")
		h.Set("X-RateLimit-Reset", strconv.FormatInt(time.Now().Unix()+seconds, 10))
	}
}

// wholeSeconds rounds up: one who comes back at the time told must be let in.
func wholeSeconds(d time.Duration) int64 {
	seconds := int64(d / time.Second)
	if d%time.Second > 0 {
		seconds++
	}
	return seconds
}

// <- failure, spoken

// ipfCode is what a code looks like that may stand in a log.
var ipfCode = regexp.MustCompile(`^API_[A-Z_]{1,60}$`)

// ipfLocalAuth recognises a backend with app.enableLocalAuthentication false.
// The vendor's code for it is not public, so the message must do. [I]
var ipfLocalAuth = regexp.MustCompile(`(?i)local[ -]?auth`)

// ipfReadError gives meaning to a backend's failure: the code decides, else the
// status. An outage (5xx) never says anything about a credential.
func ipfReadError(status int, h http.Header, body []byte) *token.Error {
	cause := fmt.Errorf("backend answered %d", status)
	if status >= 500 {
		return ipfRetryLater(token.Unavailable, h, cause)
	}
	if status == http.StatusTooManyRequests {
		return ipfRetryLater(token.Throttled, h, cause)
	}
	if isHTML(h, body) {
		return token.Fail(token.BadGateway, "The backend answered HTML, not its API; check its URL in the gateway's configuration", cause)
	}
	o, err := parseObject(body)
	if err != nil {
		return ipfByStatus(status, errors.Join(cause, err))
	}
	code, message := ipfErrorText(o)
	if ipfCode.MatchString(code) {
		cause = fmt.Errorf("backend answered %d %s", status, code)
	}
	if line, ok := ipfErrorOfCode(code); ok {
		return token.Fail(line.kind, line.msg, cause)
	}
	if (status == 401 || status == 403) && ipfLocalAuth.MatchString(message) {
		return ipfFail(token.LocalAuthOff, cause)
	}
	return ipfByStatus(status, cause)
}

// ipfErrorText returns code and message; empty where they are no strings.
func ipfErrorText(o object) (code, message string) {
	code, codeErr := o.text("code")
	message, msgErr := o.text("message")
	if codeErr != nil || msgErr != nil {
		return "", ""
	}
	return code, message
}

// ipfErrorOfCode returns what a code means. Those of our own outages mean
// nothing in an answer that is none.
func ipfErrorOfCode(code string) (ipfError, bool) {
	for _, line := range ipfErrors {
		if line.code == code && code != "" && line.status < 500 {
			return line, true
		}
	}
	return ipfError{}, false
}

// ipfByStatus is for answers whose code says nothing. 401 is InvalidAccess, not
// InvalidRefresh: only the exact code may end a backend session.
func ipfByStatus(status int, cause error) *token.Error {
	for _, line := range ipfErrors {
		if line.status != status || line.code == "" {
			continue
		}
		switch line.kind {
		case token.InvalidAccess, token.Denied, token.NotFound, token.Malformed, token.MethodNotAllowed,
			token.Gone, token.TooLarge, token.UnsupportedMedia, token.Misdirected:
			return ipfFail(line.kind, cause)
		}
	}
	return ipfFail(token.BadGateway, cause)
}

// ipfFail makes an error with the table's own message: a backend's text is not
// passed on.
func ipfFail(k token.Kind, cause error) *token.Error {
	return token.Fail(k, ipfErrorOf(k).msg, cause)
}

func ipfRetryLater(k token.Kind, h http.Header, cause error) *token.Error {
	e := ipfFail(k, cause)
	e.RetryAfter = ipfRetryAfter(h)
	return e
}

// ipfRetryAfter returns how long a backend asks to wait, 0 if it does not say:
// until X-RateLimit-Reset (epoch seconds, as the SDK reads it), else as
// Retry-After says. At least a second once it asks; the caller bounds it.
func ipfRetryAfter(h http.Header) time.Duration {
	if at, err := strconv.ParseInt(strings.TrimSpace(h.Get("X-RateLimit-Reset")), 10, 64); err == nil && 0 < at && at <= maxTime {
		return max(time.Second, time.Until(time.Unix(at, 0)))
	}
	return retryAfter(h)
}

// ipfMayExpire: an expired access token is answered 401, as the SDK relies on.
func ipfMayExpire(status int) bool { return status == http.StatusUnauthorized }
