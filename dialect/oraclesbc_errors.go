package dialect

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// sbcUnauthorized is the one message for every credential that is not good, of
// the page "Error messages".
const sbcUnauthorized = "Client not authorized."

// sbcError is one line of the table of failures.
type sbcError struct {
	kind   token.Kind
	status int
	msg    string
	// fixed says that msg is always the answer. Failures of a credential never
	// tell their causes apart.
	fixed bool
}

func (e sbcError) of() token.Kind { return e.kind }

// sbcErrors is the table, read both ways; reading, the first line of a status
// counts. The statuses 400 to 426 are those of the page "Status codes", and so
// are the messages of 401 and 426. The others are ours. [I]
var sbcErrors = []sbcError{
	{token.Malformed, 400, "The request cannot be understood.", false},
	{token.InvalidAccess, 401, sbcUnauthorized, true},
	{token.ExpiredAccess, 401, sbcUnauthorized, true},
	{token.Missing, 401, sbcUnauthorized, true},
	{token.BadCredentials, 401, sbcUnauthorized, true},
	{token.InvalidRefresh, 401, sbcUnauthorized, true},
	{token.InvalidAPIToken, 401, sbcUnauthorized, true},
	{token.ExpiredAPIToken, 401, sbcUnauthorized, true},
	{token.FactorNeeded, 401, sbcUnauthorized + " A second factor is needed, which this API cannot ask for.", true},
	{token.LocalAuthOff, 401, sbcUnauthorized, true},
	{token.Denied, 403, "Client has no permission for this.", false},
	{token.CrossOrigin, 403, "Calls from another origin are refused.", false},
	{token.NotFound, 404, "No such resource.", false},
	{token.MethodNotAllowed, 405, "Method not allowed.", false},
	{token.NotAcceptable, 406, "Media types supported: application/xml.", false},
	{token.Gone, 410, "This version is no longer served.", false},
	{token.TooLarge, 413, "The request body is too large.", false},
	{token.UnsupportedMedia, 415, "The content type of the request body is not supported.", false},
	{token.Misdirected, 421, "Nothing is served under this host name.", false},
	// Read only: somebody else has the configuration lock. It says nothing of the
	// credential.
	{token.Denied, 423, "User does not have the lock.", false},
	{token.UpgradeRequired, 426, "Client must connect with HTTPS.", true},
	{token.Throttled, 429, "Too many requests; try again later.", false},
	{token.Internal, 500, "Internal error.", true},
	{token.BadGateway, 502, "The backend gave an answer that cannot be used.", false},
	{token.Unavailable, 503, "Temporarily unavailable; try again later.", false},
	{token.GatewayTimeout, 504, "The backend did not answer in time.", false},
}

// sbcErrorOf returns the line of a kind, or of the one that stands for it; that
// of Internal for an unknown one.
func sbcErrorOf(k token.Kind) sbcError { return lineOf(sbcErrors, plainKind(k)) }

// <- failure, served

func sbcWriteError(w http.ResponseWriter, r *http.Request, e *token.Error) {
	line := sbcErrorOf(e.Kind)
	if e.Msg != "" && !line.fixed {
		line.msg = e.Msg
	}
	h := w.Header()
	switch line.kind {
	case token.Throttled, token.Unavailable:
		h.Set("Retry-After", strconv.Itoa(e.RetrySeconds()))
	case token.UpgradeRequired: // RFC 9110 section 15.5.22 asks for both
		h.Set("Upgrade", "TLS/1.2")
		h.Set("Connection", "Upgrade")
	}
	body := ""
	if r.Method != http.MethodHead {
		body = sbcEnvelope("", "", line.msg)
	}
	// The caller is gone when this fails, and nobody is left to be told.
	_ = sbcWrite(w, line.status, body)
}

// The envelope of every answer, with the declaration as the page has it.
const (
	sbcHead = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>` + "<response>"
	sbcTail = "<links/></response>"
)

// sbcEnvelope makes an answer with one element of data or one error message.
func sbcEnvelope(element, text, message string) string {
	data, messages := "<data/>", "<messages/>"
	if element != "" {
		data = "<data><" + element + ">" + escapeXML(text) + "</" + element + "></data>"
	}
	if message != "" {
		messages = "<messages><errorMessage>" + escapeXML(message) + "</errorMessage></messages>"
	}
	return sbcHead + data + messages + sbcTail
}

func escapeXML(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a Builder takes everything
	return b.String()
}

// sbcWrite answers with XML, which no cache may keep. An empty body is that of
// an answer to HEAD.
func sbcWrite(w http.ResponseWriter, status int, body string) error {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "application/xml")
	if body != "" {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(status)
	_, err := w.Write([]byte(body))
	return err
}

// <- failure, spoken

// sbcReadError gives meaning to a backend's failure, which is in its status. An
// outage (5xx) never says anything about a credential. The body's text is not
// passed on.
func sbcReadError(status int, h http.Header, _ []byte) *token.Error {
	cause := fmt.Errorf("backend answered %d", status)
	e := token.Fail(token.BadGateway, sbcErrorOf(token.BadGateway).msg, cause)
	switch {
	case status >= 500:
		e = token.Fail(token.Unavailable, sbcErrorOf(token.Unavailable).msg, cause)
		e.RetryAfter = retryAfter(h)
		return e
	case status < 400:
		return e
	}
	for _, line := range sbcErrors {
		if line.status == status {
			e = token.Fail(line.kind, line.msg, cause)
			break
		}
	}
	if e.Kind == token.Throttled {
		e.RetryAfter = retryAfter(h)
	}
	return e
}

// sbcMayExpire: an expired access token is answered 401.
func sbcMayExpire(status int) bool { return status == http.StatusUnauthorized }
