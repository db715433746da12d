package dialect

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// maxAnswer bounds what is read of a backend's answer to a token call.
const maxAnswer = 1 << 20

// Bounds of a token's text. The longest header line that common servers take is
// 8 KiB.
const maxToken = 8 << 10

// object is a JSON object by its exact keys. encoding/json folds letter case
// when it fills a struct, so that ACCESS_TOKEN would be taken for access_token,
// and lets the last of two equal keys win; two parsers that differ in that are
// an attack.
type object map[string]json.RawMessage

// parseObject reads one JSON object and nothing after it.
func parseObject(b []byte) (object, error) {
	if !utf8.Valid(b) {
		return nil, errors.New("not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	o := object{}
	for dec.More() {
		if err := o.member(dec); err != nil {
			return nil, err
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, errors.New("JSON object does not end")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more after the JSON object")
	}
	return o, nil
}

func (o object) member(dec *json.Decoder) error {
	t, err := dec.Token()
	key, ok := t.(string)
	if err != nil || !ok {
		return errors.New("malformed JSON")
	}
	if _, twice := o[key]; twice {
		return errors.New("a JSON key twice")
	}
	var value json.RawMessage
	if err := dec.Decode(&value); err != nil {
		return errors.New("malformed JSON")
	}
	o[key] = value
	return nil
}

// isNull reports whether the key is absent or null.
func (o object) isNull(key string) bool {
	v, ok := o[key]
	return !ok || string(v) == "null"
}

// text returns a string; empty for none. key is always one of ours, so it may
// stand in an error.
func (o object) text(key string) (string, error) {
	if o.isNull(key) {
		return "", nil
	}
	var s string
	if err := json.Unmarshal(o[key], &s); err != nil {
		return "", fmt.Errorf("%s is not a string", key)
	}
	return s, nil
}

// texts returns an array of strings; nil for none.
func (o object) texts(key string) ([]string, error) {
	if o.isNull(key) {
		return nil, nil
	}
	var list []*string
	if err := json.Unmarshal(o[key], &list); err != nil {
		return nil, fmt.Errorf("%s is not an array of strings", key)
	}
	ss := make([]string, 0, len(list))
	for _, s := range list {
		if s == nil {
			return nil, fmt.Errorf("%s is not an array of strings", key)
		}
		ss = append(ss, *s)
	}
	return ss, nil
}

// integer returns a number written as digits alone: no fraction, no exponent.
func (o object) integer(key string) (int64, error) {
	n, err := strconv.ParseInt(string(o[key]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s is not an integer", key)
	}
	return n, nil
}

// truth returns a boolean.
func (o object) truth(key string) (bool, error) {
	switch string(o[key]) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("%s is not a boolean", key)
}

// requestObject reads the JSON object in a request's body. An empty body is an
// empty object where emptyOK says so. The caller limits the body by
// http.MaxBytesReader, whose error comes back wrapped.
func requestObject(r *http.Request, emptyOK bool) (object, error) {
	body, err := readAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("dialect: read the body: %w", err)
	}
	if emptyOK && len(bytes.TrimSpace(body)) == 0 {
		return object{}, nil
	}
	if !isJSON(r.Header) {
		return nil, token.Fail(token.UnsupportedMedia, "The body must be JSON: send Content-Type: application/json and no Content-Encoding", nil)
	}
	o, err := parseObject(body)
	if err != nil {
		return nil, fmt.Errorf("dialect: read the body: %w", err)
	}
	return o, nil
}

// login reads the login of the APIs that take {"username","password"}.
func (o object) login() (token.Grant, error) {
	user, userErr := o.text("username")
	password, passErr := o.text("password")
	if err := errors.Join(userErr, passErr); err != nil {
		return token.Grant{}, fmt.Errorf("dialect: read the login: %w", err)
	}
	if user == "" || password == "" {
		return token.Grant{}, errors.New("dialect: read the login: username and password are both needed")
	}
	return token.Grant{Op: token.OpLogin, Username: user, Password: token.NewSecret(password)}, nil
}

func readAll(body io.Reader) ([]byte, error) {
	if body == nil {
		return nil, nil
	}
	return io.ReadAll(body)
}

// isJSON reports whether a body is said to be plain JSON, or not said to be
// anything.
func isJSON(h http.Header) bool {
	if coding := h.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return false
	}
	kind := h.Get("Content-Type")
	if kind == "" {
		return true
	}
	media, _, err := mime.ParseMediaType(kind)
	return err == nil && (media == "application/json" || strings.HasSuffix(media, "+json"))
}

// setJSON makes v the body of a request to a backend, which may be sent again.
func setJSON(r *http.Request, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("dialect: write the body: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.ContentLength = int64(len(b))
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
	r.Body, _ = r.GetBody()
	return nil
}

// plainJSON is json.Marshal without the escapes that it makes for the sake of
// HTML: vendors write < and > as they are, and some clients look for such words.
func plainJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// writeJSON answers with v, which no cache may keep.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	b, err := plainJSON(v)
	if err != nil {
		return fmt.Errorf("dialect: write the answer: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, err = w.Write(b)
	return err
}

// answerObject reads the JSON object in a backend's answer. What is not one is
// an error that says what came instead.
func answerObject(resp *http.Response) (object, error) {
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("dialect: read the backend's answer: %w", err)
	case len(b) > maxAnswer:
		return nil, fmt.Errorf("dialect: the backend's answer is over %d bytes", maxAnswer)
	case len(bytes.TrimSpace(b)) == 0:
		return nil, errors.New("dialect: the backend's answer is empty")
	case isHTML(resp.Header, b):
		return nil, errors.New("dialect: the backend answered HTML, not its API; check the backend's URL")
	}
	o, err := parseObject(b)
	if err != nil {
		return nil, fmt.Errorf("dialect: the backend's answer: %w", err)
	}
	return o, nil
}

// isHTML reports whether an answer is a web page: a sign-in form, a proxy's
// error, an appliance that is starting.
func isHTML(h http.Header, body []byte) bool {
	media, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	return media == "text/html" || media == "application/xhtml+xml" || bytes.HasPrefix(bytes.TrimSpace(body), []byte("<"))
}

// secret reads a token out of a backend's answer. Empty is an error: ask isNull
// where a token may be absent.
func (o object) secret(key string) (token.Secret, error) {
	s, err := o.text(key)
	if err != nil {
		return token.Secret{}, fmt.Errorf("dialect: the backend's answer: %w", err)
	}
	return checkToken(key, s)
}

// checkToken takes a text that can travel both in a header and in a cookie: 1 to
// maxToken characters of RFC 6265's cookie-octet, which leaves out spaces,
// control characters, quotes, comma, semicolon and backslash.
func checkToken(name, text string) (token.Secret, error) {
	if text == "" || len(text) > maxToken {
		return token.Secret{}, fmt.Errorf("dialect: the backend's answer: %s has %d characters; expected 1 to %d", name, len(text), maxToken)
	}
	if !isVisible(text) || strings.ContainsAny(text, "\",;\\") {
		return token.Secret{}, fmt.Errorf("dialect: the backend's answer: %s has characters that no token has", name)
	}
	return token.NewSecret(text), nil
}

// answerCookie returns the one cookie of that name which an answer sets. One
// that only expires an older cookie does not count; two that differ are an
// error.
func answerCookie(resp *http.Response, name string) (*http.Cookie, error) {
	var found *http.Cookie
	for _, c := range resp.Cookies() {
		if c.Name != name || c.Value == "" || c.MaxAge < 0 {
			continue
		}
		if found != nil && found.Value != c.Value {
			return nil, fmt.Errorf("dialect: the backend's answer: two different cookies %s", name)
		}
		found = c
	}
	return found, nil
}

// cookieLife is how long a cookie lives from now: by its Max-Age, else by its
// Expires against the answer's own Date, else as long as the vendor says.
func cookieLife(resp *http.Response, c *http.Cookie, otherwise time.Duration) time.Duration {
	if c.MaxAge > 0 {
		return time.Duration(min(c.MaxAge, maxAge)) * time.Second
	}
	if c.Expires.IsZero() {
		return otherwise
	}
	now, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	if life := c.Expires.Sub(now); life > 0 {
		return min(life, maxAge*time.Second)
	}
	return otherwise
}

// maxAge is the longest life that a cookie is believed to have, in seconds: the
// 400 days of the revised cookie standard.
const maxAge = 400 * 86400

// retryAfter returns how long a backend asks to wait, 0 if it does not say:
// Retry-After in seconds or as a date (RFC 9110 section 10.2.3). At least a
// second once it asks; the caller bounds it.
func retryAfter(h http.Header) time.Duration {
	after := strings.TrimSpace(h.Get("Retry-After"))
	if n, err := strconv.ParseInt(after, 10, 32); err == nil && n >= 0 {
		return max(time.Second, time.Duration(n)*time.Second)
	}
	if at, err := http.ParseTime(after); err == nil {
		return max(time.Second, time.Until(at))
	}
	return 0
}

// plainKind returns the kind that stands for one of OAuth's in an API that knows
// neither clients nor grants nor kinds of token; any other kind is its own.
func plainKind(k token.Kind) token.Kind {
	switch k {
	case token.WrongToken:
		return token.InvalidAccess
	case token.InvalidClient:
		return token.BadCredentials
	case token.UnauthorizedClient, token.UnsupportedGrant, token.InvalidScope:
		return token.Malformed
	}
	return k
}

// lineOf returns the first line of a kind in a vendor's table of failures; that
// of Internal for a kind that has none.
func lineOf[L interface{ of() token.Kind }](table []L, k token.Kind) L {
	var last L
	for _, line := range table {
		if line.of() == k {
			return line
		}
		if line.of() == token.Internal {
			last = line
		}
	}
	return last
}
