package dialect

import (
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// A Carrier is a place in a request where a credential travels.
type Carrier interface {
	// Get returns the credential and whether the place is filled at all. A place
	// filled with something unreadable gives an empty secret and true.
	Get(*http.Request) (token.Secret, bool)
	// Set puts the credential there.
	Set(*http.Request, token.Secret)
	// Del empties the place and leaves everything else of the request alone.
	Del(*http.Request)
}

// Use says what kind of credential a carrier carries.
type Use uint8

// The uses.
const (
	UseAccess   Use = iota // an access token
	UseAPIToken            // a long-lived API token
	UseBasic               // user name and password, RFC 7617; the secret is "user:password"
)

// Carried is a carrier with what it carries. Cookie says that a browser sends
// it by itself, so that calls authenticated by it need CSRF protection.
type Carried struct {
	Carrier
	Use    Use
	Cookie bool
}

// Bearer is "Authorization: Bearer <token>", RFC 6750 section 2.1. The scheme's
// letter case does not count. Another scheme in the header is not its place.
type Bearer struct{}

// Get implements Carrier.
func (Bearer) Get(r *http.Request) (token.Secret, bool) {
	text, ok := authorization(r, "Bearer")
	if !isVisible(text) {
		text = ""
	}
	return token.NewSecret(text), ok
}

// Set implements Carrier. It replaces any other scheme: there is one
// Authorization header.
func (Bearer) Set(r *http.Request, s token.Secret) {
	r.Header.Set("Authorization", "Bearer "+s.Reveal())
}

// Del implements Carrier.
func (Bearer) Del(r *http.Request) { delAuthorization(r, "Bearer") }

// Basic is "Authorization: Basic <base64>", RFC 7617. The secret is
// "user:password".
type Basic struct{}

// Get implements Carrier. Spaces inside the base64 are dropped: Python's
// encodebytes folds a long value, and HTTP joins the folds with spaces.
func (Basic) Get(r *http.Request) (token.Secret, bool) {
	text, ok := authorization(r, "Basic")
	if !ok {
		return token.Secret{}, false
	}
	text = strings.NewReplacer(" ", "", "\t", "").Replace(text)
	pair, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || !isUserPass(string(pair)) {
		return token.Secret{}, true
	}
	return token.NewSecret(string(pair)), true
}

// Set implements Carrier.
func (Basic) Set(r *http.Request, s token.Secret) {
	r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(s.Reveal())))
}

// Del implements Carrier.
func (Basic) Del(r *http.Request) { delAuthorization(r, "Basic") }

// isUserPass reports whether s is a user name, a colon and a password without
// control characters (RFC 7617 section 2).
func isUserPass(s string) bool {
	user, _, ok := strings.Cut(s, ":")
	return ok && user != "" && !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f })
}

// authorization returns what follows the scheme in the Authorization header.
// Several such headers are one that cannot be read.
func authorization(r *http.Request, scheme string) (string, bool) {
	lines := r.Header.Values("Authorization")
	found := ""
	ok := false
	for _, line := range lines {
		if value, is := cutScheme(line, scheme); is {
			found, ok = value, true
		}
	}
	if len(lines) > 1 {
		return "", ok
	}
	return found, ok
}

func cutScheme(line, scheme string) (string, bool) {
	got, value, _ := strings.Cut(strings.Trim(line, " \t"), " ")
	return strings.Trim(value, " \t"), strings.EqualFold(got, scheme)
}

func delAuthorization(r *http.Request, scheme string) {
	var keep []string
	for _, line := range r.Header.Values("Authorization") {
		if _, is := cutScheme(line, scheme); !is {
			keep = append(keep, line)
		}
	}
	setLines(r, "Authorization", keep)
}

// setLines replaces the lines of a header; none removes it. The old slice, which
// another request may share, stays as it was.
func setLines(r *http.Request, name string, lines []string) {
	if len(lines) == 0 {
		r.Header.Del(name)
		return
	}
	r.Header[http.CanonicalHeaderKey(name)] = lines
}

// Header is a header of its own, X-API-Token say, that holds nothing else.
type Header struct{ Name string }

// Get implements Carrier. Lines that differ are one that cannot be read.
func (h Header) Get(r *http.Request) (token.Secret, bool) {
	lines := r.Header.Values(h.Name)
	if len(lines) == 0 {
		return token.Secret{}, false
	}
	for _, line := range lines {
		if line != lines[0] {
			return token.Secret{}, true
		}
	}
	if !isVisible(lines[0]) {
		return token.Secret{}, true
	}
	return token.NewSecret(lines[0]), true
}

// Set implements Carrier.
func (h Header) Set(r *http.Request, s token.Secret) { r.Header.Set(h.Name, s.Reveal()) }

// Del implements Carrier.
func (h Header) Del(r *http.Request) { r.Header.Del(h.Name) }

// Cookie is the cookie of that exact name, RFC 6265 section 4.2. It reads the
// header itself, since net/http drops cookies that it finds malformed and
// writes the others anew; legacy backends set some that must come back as they
// were.
type Cookie struct{ Name string }

// Get implements Carrier. Cookies of the one name that differ are one that
// cannot be read: no order among them can be relied on.
func (c Cookie) Get(r *http.Request) (token.Secret, bool) {
	text, ok := "", false
	for _, line := range r.Header["Cookie"] {
		for part := range strings.SplitSeq(line, ";") {
			value, is := c.cut(part)
			switch {
			case !is:
			case ok && value != text:
				return token.Secret{}, true
			default:
				text, ok = value, true
			}
		}
	}
	if !isVisible(text) {
		text = ""
	}
	return token.NewSecret(text), ok
}

// cut returns the value of one part of a Cookie header, if it is this cookie.
func (c Cookie) cut(part string) (string, bool) {
	name, value, _ := strings.Cut(part, "=")
	return strings.Trim(value, " \t"), strings.Trim(name, " \t") == c.Name
}

// Set implements Carrier. The other cookies stay as they are.
func (c Cookie) Set(r *http.Request, s token.Secret) {
	c.Del(r)
	pair := c.Name + "=" + s.Reveal()
	if line := strings.Join(r.Header["Cookie"], "; "); line != "" {
		pair = line + "; " + pair
	}
	r.Header["Cookie"] = []string{pair}
}

// Del implements Carrier. Every byte of the other cookies stays.
func (c Cookie) Del(r *http.Request) {
	var keep []string
	for _, line := range r.Header["Cookie"] {
		if line = c.without(line); line != "" {
			keep = append(keep, line)
		}
	}
	setLines(r, "Cookie", keep)
}

// without returns the line less this cookie; a line that lacks it comes back
// untouched.
func (c Cookie) without(line string) string {
	var keep []string
	found := false
	for part := range strings.SplitSeq(line, ";") {
		if _, is := c.cut(part); is {
			found = true
			continue
		}
		keep = append(keep, part)
	}
	if !found {
		return line
	}
	return strings.Trim(strings.Join(keep, ";"), " \t")
}

// isVisible reports whether s is visible ASCII and nothing else, as every
// credential in a header of its own is.
func isVisible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}
