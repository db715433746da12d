package dialect

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// facFabric is the token API by which FortiOS joins a FortiAuthenticator to the
// Security Fabric, after the vendor's page "Fabric authenticate
// (/fabric/authenticate)" of the REST API Solution Guide. What the page does not
// say is marked [I] where it is decided.
var facFabric = Family{
	Name:     "fac-fabric",
	Doc:      facfDoc,
	Profiles: []string{"6.x"},
	Default:  "6.x",
	Open:     facfOpen,
}

const facfDoc = "FortiAuthenticator 6.x, REST API Solution Guide: Fabric authenticate (/fabric/authenticate)"

func facfOpen(profile string, s Settings) (*Dialect, error) {
	if err := facfCheck(s); err != nil {
		return nil, fmt.Errorf("dialect: fac-fabric/%s: %w", profile, err)
	}
	return &Dialect{
		Name: "fac-fabric", Profile: profile, Doc: facfDoc,
		// The page's path has no slash at its end. Django, which the appliance is
		// built on, is at home with one. [I]
		Calls: []Call{{
			Op: token.OpLogin, Also: []token.Op{token.OpRefresh},
			Method: "POST", Paths: []string{"/api/fabric/authenticate", "/api/fabric/authenticate/"},
			ReadRequest: facfReadRequest, WriteRequest: facfWriteRequest,
			WriteResponse: facfWriteTokens, ReadResponse: facfReadTokens,
		}},
		Carriers: []Carried{{Carrier: Bearer{}, Use: UseAccess}},
		Tokens: Tokens{
			AccessTTL: s.AccessTTL, RefreshTTL: s.RefreshTTL, // the page: neither expires
			Rotates:      true, // [I] as django-oauth-toolkit does
			LocalAuthOff: s.LocalAuthOff,
			MintAccess:   facfMintAccess, ParseAccess: facfParseAccess,
			MintRefresh: facfMintRefresh, ParseRefresh: facfParseRefresh,
		},
		Errors: Errors{Write: facfWriteError, Read: facfReadError, MayExpire: facfMayExpire, EndsRefresh: facfEndsRefresh},
		// "If the user requires multi-factor authentication, this is bypassed."
		SecondFactor: token.FactorSkipped,
		Permit:       facfPermit,
	}, nil
}

// facfCheck refuses lives that expires_in cannot tell. 0 is the vendor's
// default, for ever.
func facfCheck(s Settings) error {
	for _, d := range []time.Duration{s.AccessTTL, s.RefreshTTL} {
		if d < 0 || d%time.Second != 0 || d > facfLongest*time.Second {
			return fmt.Errorf("tokens live for whole seconds, at most %d of them, or for ever with 0", facfLongest)
		}
	}
	return nil
}

// -> POST /api/fabric/authenticate, for tokens by password

type facfLogin struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// -> POST /api/fabric/authenticate, for tokens by refresh token

type facfRefresh struct {
	GrantType    string `json:"grant_type"`
	RefreshToken string `json:"refresh_token"`
}

// The values of grant_type. The page has the second one alone, and the field
// "if refreshing token" only.
const (
	facfGrantPassword = "password" // [I] says no more than none
	facfGrantRefresh  = "refresh_token"
)

// facfReadRequest takes JSON, with or without a Content-Type; the page shows
// nothing else, so a form is refused [I]. grant_type alone says which of the
// two is asked for, and fields of the other one do not count.
func facfReadRequest(r *http.Request) (token.Grant, error) {
	o, err := requestObject(r, false)
	if err != nil {
		return token.Grant{}, err
	}
	grant, err := o.text("grant_type")
	if err != nil {
		return token.Grant{}, fmt.Errorf("dialect: read the request: %w", err)
	}
	switch grant {
	case "", facfGrantPassword:
		return facfReadLogin(o)
	case facfGrantRefresh:
		return facfReadRefresh(o)
	}
	return token.Grant{}, token.Fail(token.UnsupportedGrant, "grant_type is refresh_token, or absent for a login by username and password", nil)
}

// facfReadLogin leaves the user name whole. The page: "If your username is in
// email address format ... ensure that you specify the realm. E.g.
// user@name.com@realm". What of it is a realm, only those know who know the
// users.
func facfReadLogin(o object) (token.Grant, error) {
	g, err := o.login()
	g.RealmInName = err == nil
	return g, err
}

func facfReadRefresh(o object) (token.Grant, error) {
	text, err := o.text("refresh_token")
	if err != nil {
		return token.Grant{}, fmt.Errorf("dialect: read the refresh: %w", err)
	}
	if text == "" {
		return token.Grant{}, errors.New("dialect: read the refresh: refresh_token is needed")
	}
	return token.Grant{Op: token.OpRefresh, Refresh: token.NewSecret(text)}, nil
}

// facfWriteRequest sends the fields of the page's two examples and no others. A
// realm that the login named by itself goes behind the name.
func facfWriteRequest(r *http.Request, g token.Grant) error {
	if g.Op == token.OpRefresh {
		return setJSON(r, facfRefresh{facfGrantRefresh, g.Refresh.Reveal()})
	}
	user := g.Username
	if g.Realm != "" {
		user += "@" + g.Realm
	}
	return setJSON(r, facfLogin{user, g.Password.Reveal()})
}

// <- 200 of both

// facfBody has the page's fields in the page's order. success is a string,
// expires_in a number; 0 is never.
type facfBody struct {
	AccessToken  string `json:"access_token"`
	ExpiresIn    int64  `json:"expires_in"`
	Message      string `json:"message"`
	RefreshToken string `json:"refresh_token"`
	Scope        string `json:"scope"`
	Success      string `json:"success"`
	TokenType    string `json:"token_type"`
}

const (
	facfLoggedIn  = "successfully authenticated"
	facfRefreshed = "Token has been refreshed successfully"
)

func facfWriteTokens(w http.ResponseWriter, s token.Set) error {
	message := facfLoggedIn
	if s.Op == token.OpRefresh {
		message = facfRefreshed
	}
	return writeJSON(w, http.StatusOK, facfBody{
		AccessToken: s.Access.Reveal(), ExpiresIn: wholeSeconds(s.ExpiresIn), Message: message,
		RefreshToken: s.Refresh.Reveal(), Scope: "read", Success: "true", TokenType: "Bearer",
	})
}

// facfReadTokens takes a 200 for a failed login unless success is the string
// "true". That a user has tokens says that he has the permission for them.
func facfReadTokens(resp *http.Response) (token.Set, error) {
	o, err := answerObject(resp)
	if err != nil {
		return token.Set{}, err
	}
	if success, err := o.text("success"); err != nil || success != "true" {
		return token.Set{}, facfFail(token.BadCredentials, errors.New(`backend answered 200 without "success": "true"`))
	}
	set := token.Set{Identity: token.Identity{Permissions: []string{facfWidget}}}
	if set.Access, err = o.secret("access_token"); err != nil {
		return token.Set{}, err
	}
	if set.ExpiresIn, err = facfLife(o); err != nil {
		return token.Set{}, err
	}
	if refresh, err := o.text("refresh_token"); err == nil && refresh == "" {
		return set, nil
	}
	if set.Refresh, err = o.secret("refresh_token"); err != nil {
		return token.Set{}, err
	}
	return set, nil
}

// facfLongest is the longest life that an answer may tell, in seconds: what
// fits in the integer of Django's database. [I]
const facfLongest = 1<<31 - 1

// facfLife returns how long the access token lives: 0, or no such field [I], is
// for ever.
func facfLife(o object) (time.Duration, error) {
	if o.isNull("expires_in") {
		return 0, nil
	}
	seconds, err := o.integer("expires_in")
	if err != nil {
		return 0, fmt.Errorf("dialect: the backend's answer: %w", err)
	}
	if seconds < 0 || seconds > facfLongest {
		return 0, fmt.Errorf("dialect: the backend's answer: expires_in is out of range; expected 0 to %d", facfLongest)
	}
	return time.Duration(seconds) * time.Second, nil
}

// Both tokens are 30 letters and digits, as in the page's examples. They are
// told apart by their authentication codes, which session makes and checks.

func facfMintAccess(_ Keys, _ token.Access, core token.Core) (token.Secret, error) {
	return facfText(core), nil
}

func facfParseAccess(_ Keys, text token.Secret) (token.Access, *token.Core, error) {
	core, ok := parseCore(text.Reveal())
	if !ok {
		return token.Access{}, nil, facfFail(token.InvalidAccess, nil)
	}
	return token.Access{}, &core, nil
}

func facfMintRefresh(core token.Core, _ token.Identity) token.Secret { return facfText(core) }

func facfParseRefresh(text token.Secret) (token.Core, bool) { return parseCore(text.Reveal()) }

func facfText(core token.Core) token.Secret {
	return token.NewSecret(string(appendCore(make([]byte, 0, coreLen), core)))
}

// facfWidget is the permission of the page: "must have Widget read/write
// permissions or full permissions".
const facfWidget = "widget"

// facfPermit answers a user without the permission as it does a wrong password:
// the page has one 401 for both.
func facfPermit(id token.Identity) *token.Error {
	if id.Admin || slices.Contains(id.Permissions, facfWidget) {
		return nil
	}
	return facfFail(token.BadCredentials, errors.New("the user has neither the permission widget nor full permissions"))
}

// facfError is one line of the table of failures.
type facfError struct {
	kind   token.Kind
	status int
	msg    string
	// fixed says that msg is always the answer. Failures of a credential never
	// tell their causes apart.
	fixed bool
}

func (e facfError) of() token.Kind { return e.kind }

// facfErrors is the table, read both ways: of an answer only the status counts,
// and the first line that has it. The page gives 401 for a login that fails; the
// other statuses are those of "General API response codes" and HTTP's own, the
// messages are ours. [I]
var facfErrors = []facfError{
	{token.Malformed, 400, "The request cannot be understood", false},
	{token.InvalidAccess, 401, "Invalid access token", true},
	{token.ExpiredAccess, 401, "Invalid access token", true},
	{token.Missing, 401, "Authentication credentials were not provided", true},
	{token.BadCredentials, 401, "Invalid credentials, or user improperly configured", true},
	{token.FactorNeeded, 401, "A second factor is needed, which this API cannot ask for", true},
	{token.InvalidRefresh, 401, "Invalid refresh token", true},
	{token.InvalidAPIToken, 401, "Invalid API token", true},
	{token.ExpiredAPIToken, 401, "Invalid API token", true},
	{token.Denied, 403, "Permission denied", false},
	{token.LocalAuthOff, 403, "Signing in by password is disabled", false},
	{token.CrossOrigin, 403, "Calls from another origin are refused", false},
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
}

// facfErrorOf returns the line of a kind, or of the one that stands for it; that
// of Internal for an unknown one.
func facfErrorOf(k token.Kind) facfError { return lineOf(facfErrors, plainKind(k)) }

// facfErrorBody is a failure on the wire: the answer's own two words, and never
// an access_token, which some clients look for before they look at the status.
// Its form is not public. [I]
type facfErrorBody struct {
	Message string `json:"message"`
	Success string `json:"success"`
}

// <- failure, served

func facfWriteError(w http.ResponseWriter, r *http.Request, e *token.Error) {
	line := facfErrorOf(e.Kind)
	if e.Msg != "" && !line.fixed {
		line.msg = e.Msg
	}
	if e.Kind == token.Throttled || e.Kind == token.Unavailable {
		w.Header().Set("Retry-After", strconv.Itoa(e.RetrySeconds()))
	}
	if r.Method == http.MethodHead {
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(line.status)
		return
	}
	// The caller is gone when this fails, and nobody is left to be told.
	_ = writeJSON(w, line.status, facfErrorBody{Message: line.msg, Success: "false"})
}

// <- failure, spoken

// facfReadError gives meaning to a backend's failure by its status, there being
// no codes. An outage (5xx) never says anything about a credential, and neither
// does what has not the API's form: a JSON object, or no body at all.
func facfReadError(status int, h http.Header, body []byte) *token.Error {
	cause := fmt.Errorf("backend answered %d", status)
	switch {
	case status >= 500:
		return facfLater(token.Unavailable, h, cause)
	case status == http.StatusTooManyRequests:
		return facfLater(token.Throttled, h, cause)
	case isHTML(h, body):
		return token.Fail(token.BadGateway, "The backend answered HTML, not its API; check its URL in the gateway's configuration", cause)
	}
	o, err := facfFailure(body)
	if err != nil {
		return facfFail(token.BadGateway, errors.Join(cause, err))
	}
	// The word of the OAuth server underneath (RFC 6749 section 5.2), should it
	// come through. [I]
	if word, err := o.text("error"); err == nil && word == "invalid_grant" {
		return facfFail(token.BadCredentials, fmt.Errorf("backend answered %d %s", status, word))
	}
	for _, line := range facfErrors {
		if line.status == status {
			return facfFail(line.kind, cause)
		}
	}
	return facfFail(token.BadGateway, cause)
}

// facfFailure reads the body of a failure; none is an empty object.
func facfFailure(body []byte) (object, error) {
	if len(body) == 0 {
		return object{}, nil
	}
	return parseObject(body)
}

// facfFail makes an error with the table's own message: a backend's text is not
// passed on.
func facfFail(k token.Kind, cause error) *token.Error {
	return token.Fail(k, facfErrorOf(k).msg, cause)
}

func facfLater(k token.Kind, h http.Header, cause error) *token.Error {
	e := facfFail(k, cause)
	e.RetryAfter = retryAfter(h)
	return e
}

// facfMayExpire: a token that is no longer good is answered 401. [I]
func facfMayExpire(status int) bool { return status == http.StatusUnauthorized }

// facfEndsRefresh: no code tells a refresh token that is no good from anything
// else, so a refresh that is refused with 401, or without "success": "true", is
// the vendor's word for it.
func facfEndsRefresh(e *token.Error) bool {
	return e.Kind == token.InvalidAccess || e.Kind == token.BadCredentials
}
