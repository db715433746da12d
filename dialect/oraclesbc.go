package dialect

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// oracleSBC is the token call of Oracle's session border controllers, after the
// vendor's page "Request an access token" and, where that is silent, the pages
// "Send requests", "Status codes" and "Error messages" of the same book. What
// none settles is marked [I] where it is decided.
var oracleSBC = Family{
	Name: "oracle-sbc",
	Doc:  sbcDoc,
	// The version of the API that is spoken first. Every profile serves all three.
	Profiles: []string{
		"1.0",
		"1.1", // the newest of release 8.3
		"1.2", // from 8.4 on
	},
	Default: "1.2",
	Open:    sbcOpen,
}

const sbcDoc = "Oracle SBC, ECB and Enterprise SBC (once Acme Packet) 8.3 to 10.1, REST API: Request an access token"

// sbcVersions are the versions that are served, oldest first.
var sbcVersions = []string{"v1.0", "v1.1", "v1.2"}

// sbcAccessTTL is the life of a token: ten minutes, which use does not prolong.
const sbcAccessTTL = 600 * time.Second

// sbcField is the form field of the token that is renewed, which no page names. [I]
const sbcField = "accessToken"

func sbcOpen(profile string, s Settings) (*Dialect, error) {
	s.AccessTTL = cmp.Or(s.AccessTTL, sbcAccessTTL)
	s.RenewalField = cmp.Or(s.RenewalField, sbcField)
	versions, err := sbcSpoken(profile, s.Versions)
	if err = errors.Join(err, sbcCheck(s)); err != nil {
		return nil, fmt.Errorf("dialect: oracle-sbc/%s: %w", profile, err)
	}
	return &Dialect{
		Name: "oracle-sbc", Profile: profile, Doc: sbcDoc,
		Calls: []Call{
			{
				Op: token.OpLogin, Also: []token.Op{token.OpRenew}, Method: "POST", Paths: []string{"/rest/{version}/auth/token"},
				ReadRequest: sbcReadToken, WriteRequest: sbcWriteToken(s.RenewalField),
				WriteResponse: sbcWriteTokens, ReadResponse: sbcReadTokens,
			}, {
				Op: token.OpVersions, Method: "GET", Paths: []string{"/rest/api/supportedversions"},
				ReadRequest: sbcReadVersions, WriteResponse: sbcWriteVersions,
			},
		},
		Carriers: []Carried{{Carrier: Bearer{}, Use: UseAccess}},
		Tokens: Tokens{
			// The session ends with its token, since nothing else belongs to it.
			AccessTTL: s.AccessTTL, RefreshTTL: s.AccessTTL,
			VoidsAccess: true, LocalAuthOff: s.LocalAuthOff, HTTPSOnly: s.HTTPSOnly,
			MintAccess: sbcMintAccess, ParseAccess: sbcParseAccess,
		},
		Errors:   Errors{Write: sbcWriteError, Read: sbcReadError, MayExpire: sbcMayExpire},
		Versions: versions,
		Pin:      &Pin{Step: sbcPinStep, Release: sbcPinRelease},
	}, nil
}

func sbcCheck(s Settings) error {
	switch {
	case s.AccessTTL < time.Second || s.AccessTTL%time.Second != 0:
		return errors.New("tokens live for whole seconds, one at least")
	case strings.ContainsFunc(s.RenewalField, func(c rune) bool { return !isNameRune(c) }):
		return errors.New("the name of the renewal's field must be letters, digits, _ and -")
	}
	return nil
}

func isNameRune(c rune) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || c == '_' || c == '-'
}

// sbcSpoken returns the versions to speak, without their v: those that are set,
// else the profile's.
func sbcSpoken(profile string, set []string) ([]string, error) {
	if len(set) == 0 {
		return []string{profile}, nil
	}
	var spoken []string
	for _, v := range set {
		number := strings.TrimPrefix(v, "v")
		if !isVersion("v"+number) || !strings.Contains(number, ".") {
			return nil, fmt.Errorf("version %q does not look like v1.2", v)
		}
		if slices.Contains(spoken, number) {
			return nil, fmt.Errorf("version %q twice", v)
		}
		spoken = append(spoken, number)
	}
	return spoken, nil
}

// -> POST /rest/{version}/auth/token
// -> Authorization: Basic <user:password>
// -> (renewal) Content-Type: x-www-form-urlencoded, the current token in the body

// sbcReadToken reads a login or, with a token in the body, a renewal.
func sbcReadToken(r *http.Request) (token.Grant, error) {
	if !slices.Contains(sbcVersions, r.PathValue("version")) {
		return token.Grant{}, token.Fail(token.NotFound, "Unsupported versionId in URI.", nil)
	}
	if !acceptsXML(r.Header) {
		return token.Grant{}, errSBCNotAcceptable
	}
	pair, ok := Basic{}.Get(r)
	if !ok || pair.IsZero() {
		return token.Grant{}, token.Fail(token.Malformed,
			"The Authorization header is missing, is malformed, or does not contain a value that can be decoded into a username and password.", nil)
	}
	user, password, _ := strings.Cut(pair.Reveal(), ":")
	g := token.Grant{Op: token.OpLogin, Username: user, Password: token.NewSecret(password)}
	body, err := readAll(r.Body)
	if err != nil {
		return token.Grant{}, fmt.Errorf("dialect: read the body: %w", err)
	}
	if body = bytes.TrimSpace(body); len(body) == 0 {
		return g, nil
	}
	if !isForm(r.Header) {
		return token.Grant{}, token.Fail(token.UnsupportedMedia,
			"A body is the token to renew; send it with Content-Type: x-www-form-urlencoded.", nil)
	}
	g.Op = token.OpRenew
	g.Access, err = sbcBodyToken(string(body))
	return g, err
}

// isForm reports whether a body is said to be a form: by the name that the page
// gives, which net/http does not know and reads as an empty form, or the right
// one.
func isForm(h http.Header) bool {
	if h.Get("Content-Encoding") != "" {
		return false
	}
	media, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && (media == "x-www-form-urlencoded" || media == "application/x-www-form-urlencoded")
}

// sbcBodyToken takes the token to renew under any field name, or bare, escaped
// or not: no page names the field. Padding aside, a bare token has no "=". A
// "+" stays what it is, since unescaped tokens are sent too. [I]
func sbcBodyToken(body string) (token.Secret, error) {
	value := body
	if strings.Contains(strings.TrimRight(body, "="), "=") {
		_, value, _ = strings.Cut(body, "=")
	}
	text, err := url.PathUnescape(value)
	if err != nil || text == "" || strings.Contains(value, "&") || len(text) > maxToken || !isVisible(text) {
		return token.Secret{}, errors.New("dialect: the body is not one form field with the current access token in it")
	}
	return token.NewSecret(text), nil
}

// sbcWriteToken returns the writer of logins and renewals.
func sbcWriteToken(field string) func(*http.Request, token.Grant) error {
	return func(r *http.Request, g token.Grant) error {
		pair := g.Username + ":" + g.Password.Reveal()
		if !isUserPass(pair) || strings.Contains(g.Username, ":") {
			return errors.New("dialect: write the login: a user name must not be empty nor hold a colon, and neither it nor the password control characters")
		}
		Basic{}.Set(r, token.NewSecret(pair))
		r.Header.Set("Accept", "application/xml")
		if g.Op != token.OpRenew {
			return nil
		}
		if g.Access.IsZero() {
			return errors.New("dialect: write the renewal: there is no token to renew")
		}
		body := field + "=" + url.QueryEscape(g.Access.Reveal())
		r.Header.Set("Content-Type", "x-www-form-urlencoded")
		r.ContentLength = int64(len(body))
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil }
		r.Body, _ = r.GetBody()
		return nil
	}
}

// <- 200 application/xml

func sbcWriteTokens(w http.ResponseWriter, s token.Set) error {
	return sbcWrite(w, http.StatusOK, sbcEnvelope("accessToken", s.Access.Reveal(), ""))
}

// sbcReadTokens reads the one thing that the answer says. How long the token
// lives it does not tell.
func sbcReadTokens(resp *http.Response) (token.Set, error) {
	text, err := answerXML(resp, "response/data/accessToken")
	if err != nil {
		return token.Set{}, err
	}
	access, err := checkToken("accessToken", text)
	return token.Set{Access: access, ExpiresIn: sbcAccessTTL}, err
}

// -> GET /rest/api/supportedversions
// <- 200 application/xml

func sbcReadVersions(r *http.Request) (token.Grant, error) {
	if !acceptsXML(r.Header) {
		return token.Grant{}, errSBCNotAcceptable
	}
	return token.Grant{Op: token.OpVersions}, nil
}

func sbcWriteVersions(w http.ResponseWriter, _ token.Set) error {
	latest := len(sbcVersions) - 1
	var others strings.Builder
	for _, v := range sbcVersions[:latest] {
		others.WriteString("<version>" + v + "</version>")
	}
	return sbcWrite(w, http.StatusOK, sbcHead+"<data><supportedVersions><latestVersion>"+sbcVersions[latest]+"</latestVersion><otherVersions>"+
		others.String()+"</otherVersions></supportedVersions></data><messages/>"+sbcTail)
}

var errSBCNotAcceptable = token.Fail(token.NotAcceptable, "Media types supported: application/xml.", nil)

// acceptsXML reports whether a client takes application/xml (RFC 9110 section
// 12.5.1): without an Accept, or if the most specific range that holds it has a
// weight.
func acceptsXML(h http.Header) bool {
	field := strings.Join(h.Values("Accept"), ",")
	if strings.Trim(field, ", \t") == "" {
		return true
	}
	specific, takes := 0, false
	for entry := range strings.SplitSeq(field, ",") {
		media, params, _ := strings.Cut(entry, ";")
		rank := map[string]int{"*": 1, "*/*": 1, "application/*": 2, "application/xml": 3}[strings.ToLower(strings.TrimSpace(media))]
		if rank > specific {
			specific, takes = rank, weighs(params)
		} else if rank == specific && rank > 0 {
			takes = takes || weighs(params)
		}
	}
	return takes
}

// weighs reports whether the parameters of a media range leave it a weight. One
// that cannot be read counts as 1.
func weighs(params string) bool {
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
		if q, err := strconv.ParseFloat(strings.TrimSpace(value), 64); strings.EqualFold(strings.TrimSpace(name), "q") && err == nil {
			return q > 0
		}
	}
	return true
}

// The configuration lock is tied to the token that took it: the page. A renewal
// carries it over, another login does not get it.

// sbcPinStep recognises the lock's two calls under any version and below any
// prefix, and in every spelling that the backend might take.
func sbcPinStep(r *http.Request) PinStep {
	if r.Method != http.MethodPost {
		return PinNone
	}
	head, call := path.Split(path.Clean(plainPath(r.URL.Path)))
	head, inConfiguration := strings.CutSuffix(head, "/configuration/")
	if !inConfiguration || !isVersion(path.Base(head)) || path.Base(path.Dir(head)) != "rest" {
		return PinNone
	}
	switch call {
	case "lock":
		return PinTake
	case "unlock":
		return PinRelease
	}
	return PinNone
}

func sbcPinRelease(version string) (method, path string) {
	return http.MethodPost, "/rest/v" + strings.TrimPrefix(version, "v") + "/configuration/unlock"
}
