// Package dialect holds the token APIs of the legacy systems that Gatehouse
// knows, one file a vendor. Each is used in two directions: served (the gateway
// is the issuer and the vendor's own clients work unchanged) and spoken (the
// gateway is the client of the backend). Both directions of a message stand
// side by side, and the vectors in testdata check them against each other.
//
// The functions of a dialect move bytes and return plain errors, or a
// *token.Error where the vendor's page gives the failure a meaning. They know
// neither sessions nor policy.
package dialect

import (
	"crypto/rsa"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// A Family is one vendor's token API in all its profiles.
type Family struct {
	Name     string   // as in configuration and metric labels
	Doc      string   // product, versions and the vendor's page
	Profiles []string // oldest first
	Default  string   // the profile of a name without one
	Open     func(profile string, s Settings) (*Dialect, error)
}

// All lists every family. A further dialect is one line here, one file and one
// vector file.
var All = []Family{ipfabric, oracleSBC, facFabric, facOAuth, itempath}

// Names returns "name/profile" of every profile of every family, for messages.
func Names() []string {
	var names []string
	for _, f := range All {
		for _, p := range f.Profiles {
			names = append(names, f.Name+"/"+p)
		}
	}
	return names
}

// Open returns the dialect that name ("ipfabric/7.0", or "ipfabric" for its
// default profile) stands for. The error names what is known.
func Open(name string, s Settings) (*Dialect, error) {
	vendor, profile, _ := strings.Cut(name, "/")
	for _, f := range All {
		if f.Name != vendor {
			continue
		}
		if profile == "" {
			profile = f.Default
		}
		for _, p := range f.Profiles {
			if p == profile {
				return f.open(profile, s)
			}
		}
		return nil, fmt.Errorf("dialect: %s has no profile %q; it has %s", vendor, profile, strings.Join(f.Profiles, ", "))
	}
	return nil, fmt.Errorf("dialect: no dialect %q; there are %s", name, strings.Join(Names(), ", "))
}

// open opens a profile that there is. A setting that keeps plain http out must not
// be forgotten.
func (f Family) open(profile string, s Settings) (*Dialect, error) {
	d, err := f.Open(profile, s)
	if err == nil && s.HTTPSOnly && !d.Tokens.HTTPSOnly {
		return nil, fmt.Errorf("dialect: %s: the vendor does not refuse plain http by itself", d.ID())
	}
	return d, err
}

// Settings are what an operator may set of a served dialect. The zero value is
// the vendor's default everywhere.
type Settings struct {
	AccessTTL        time.Duration // life of an access token
	RefreshTTL       time.Duration // life of a refresh token since its last use
	RefreshLength    int           // characters of a refresh token, where the vendor lets one set it
	MissingTokenCode string        // the error code of a call without any credential
	LocalAuthOff     bool          // login and Basic are refused; API tokens still work
	HTTPSOnly        bool          // calls without TLS are refused, where the vendor does so
	VendorDiscovery  bool          // FortiAuthenticator's discovery documents as its page has them, broken as they are

	// Of a spoken dialect: which versions of the API to speak, and the name of the
	// form field that carries the token to be renewed, where the page does not say.
	Versions     []string
	RenewalField string
}

// Dialect is one profile of one vendor's token API, as a table. What a vendor
// lacks is absent.
type Dialect struct {
	Name    string // "ipfabric"
	Profile string // "7.0"
	Doc     string

	Calls    []Call    // in the page's order
	Carriers []Carried // where an ordinary call may carry a credential, the first present decides

	Tokens Tokens
	Errors Errors

	// TokenCookies names the cookies in which the vendor's tokens travel. A
	// backend's own never reach a client, a client's never reach a backend.
	TokenCookies []string

	// Admit refuses a request for a reason of the dialect's own (an API version
	// that is not served), before anything else. Nil: nothing to refuse.
	Admit func(*http.Request) *token.Error
	// Decorate adds the headers that the vendor puts on every answer (7.5's
	// X-API-Version-Used, Deprecation), where the answer lacks them. Nil: none.
	Decorate func(*http.Request, http.Header)

	// Versions are those of the API that the gateway may speak ("1.2"), the
	// preferred one first: a login that is answered 404 is tried once under the next. Nil: the
	// profile's alone.
	Versions []string
	// Pin is what the backend ties to an access token. Nil: nothing.
	Pin *Pin

	// Clients says that every grant names an OAuth client, which must be one of
	// those that the operator has listed.
	Clients bool
	// SecondFactor says what a login does about a user who has one.
	SecondFactor token.FactorRule
	// Permit refuses a user whose password is right: the vendor lets only some
	// have tokens. Nil: everybody may.
	Permit func(token.Identity) *token.Error
}

// Pin is something that a backend gives to one access token and takes back when
// that token ends: a lock on its configuration. Who holds it must go on with
// that token or, where the vendor has such a renewal, with its successors, and
// nobody else may use them meanwhile.
type Pin struct {
	// Step says what a request does about the pin if the backend answers it with
	// a success.
	Step func(*http.Request) PinStep
	// Release is the call that gives the pin back, under a version of the API;
	// it is sent with the token that holds it.
	Release func(version string) (method, path string)
}

// PinStep is what a request does about a pin.
type PinStep uint8

// The steps.
const (
	PinNone PinStep = iota
	PinTake
	PinRelease
)

// ID returns "name/profile".
func (d *Dialect) ID() string { return d.Name + "/" + d.Profile }

// Tokens says how the dialect's own tokens look and live when it is served.
type Tokens struct {
	AccessTTL    time.Duration // 0: never expires
	RefreshTTL   time.Duration // since last use; 0: never expires
	Rotates      bool          // a refresh yields a new refresh token and voids the old one
	Cookies      bool          // tokens travel as Secure cookies, so serving needs TLS in front
	LocalAuthOff bool
	HTTPSOnly    bool // a call that did not come over TLS is refused
	// VoidsAccess says that a refresh or renewal ends the access tokens made before
	// it.
	VoidsAccess bool

	// ChosenAPITokens says that a caller may choose the text of an API token, of
	// at least this many characters. 0: refused.
	ChosenAPITokens int

	// MintAccess makes the text of an access token. core is for opaque ones.
	MintAccess func(k Keys, a token.Access, core token.Core) (token.Secret, error)
	// ParseAccess reads it back. A self-proving token (a JWT) is verified here
	// and core is nil; for an opaque one only the core is returned, which the
	// caller must verify. Failures are *token.Error of kind InvalidAccess, or
	// ExpiredAccess, with which the Access is returned too, if it is one. It asks nobody.
	ParseAccess func(k Keys, text token.Secret) (token.Access, *token.Core, error)
	// MintRefresh gives a core the vendor's shape. It and ParseRefresh are nil
	// where the vendor has no refresh tokens.
	MintRefresh func(core token.Core, id token.Identity) token.Secret
	// ParseRefresh reads it back, strictly: one spelling a token.
	ParseRefresh func(text token.Secret) (token.Core, bool)
	// SignRefresh and OpenRefresh are in the place of those two where a refresh
	// token proves itself, as a JWT does. a.ExpiresAt is when it ends. Failures of
	// OpenRefresh are *token.Error of kind InvalidRefresh, or WrongToken for a good
	// token of another kind. It asks nobody.
	SignRefresh func(k Keys, a token.Access) (token.Secret, error)
	OpenRefresh func(k Keys, text token.Secret) (token.Access, error)
	// MintID makes an id_token; nil where the vendor has none.
	MintID func(k Keys, t token.IDToken) (token.Secret, error)
	IDTTL  time.Duration // life of what MintID makes, where the client has none of its own
}

// Shape is how a dialect's tokens look, with the keys that sign them.
type Shape struct {
	tokens Tokens
	keys   Keys
}

// Shape returns the shape of the dialect's tokens under k.
func (d *Dialect) Shape(k Keys) Shape { return Shape{tokens: d.Tokens, keys: k} }

// MintAccess makes the text of an access token; see Tokens.MintAccess.
func (s Shape) MintAccess(a token.Access, core token.Core) (token.Secret, error) {
	return s.tokens.MintAccess(s.keys, a, core)
}

// ParseAccess reads an access token; see Tokens.ParseAccess.
func (s Shape) ParseAccess(text token.Secret) (token.Access, *token.Core, error) {
	return s.tokens.ParseAccess(s.keys, text)
}

// MintRefresh makes the text of a refresh token, none where the vendor has none;
// see Tokens.MintRefresh and Tokens.SignRefresh.
func (s Shape) MintRefresh(a token.Access, core token.Core) (token.Secret, error) {
	switch {
	case s.tokens.SignRefresh != nil:
		return s.tokens.SignRefresh(s.keys, a)
	case s.tokens.MintRefresh != nil:
		return s.tokens.MintRefresh(core, a.Identity), nil
	}
	return token.Secret{}, nil
}

// ParseRefresh reads a refresh token. Like ParseAccess it verifies one that
// proves itself, and of an opaque one returns the core, which the caller must
// verify; see Tokens.OpenRefresh and Tokens.ParseRefresh.
func (s Shape) ParseRefresh(text token.Secret) (token.Access, *token.Core, error) {
	if s.tokens.OpenRefresh != nil {
		a, err := s.tokens.OpenRefresh(s.keys, text)
		return a, nil, err
	}
	if s.tokens.ParseRefresh != nil {
		if core, ok := s.tokens.ParseRefresh(text); ok {
			return token.Access{}, &core, nil
		}
	}
	return token.Access{}, nil, token.Fail(token.InvalidRefresh, "", nil)
}

// Keys is where self-signed tokens get their keys.
type Keys interface {
	// Signing returns the key that signs now and its id (RFC 7638 thumbprint).
	Signing() (kid string, key *rsa.PrivateKey)
	// Public returns the key of an id that may still verify. A *token.Error of kind
	// Unavailable says that it could not be asked; any other error, that there is
	// no such key.
	Public(kid string) (*rsa.PublicKey, error)
	// SignHMAC returns the HMAC-SHA-256 of HS256, under the key that signs now.
	SignHMAC(signed []byte) []byte
	// VerifyHMAC reports whether mac is the HMAC of signed, under any key that may
	// still verify.
	VerifyHMAC(signed, mac []byte) bool
}

// Errors is the vendor's table of failures, read both ways.
type Errors struct {
	// Write answers a failure of any kind in the vendor's form.
	Write func(http.ResponseWriter, *http.Request, *token.Error)
	// Read gives meaning to a backend's answer that is not a success: kind,
	// message and RetryAfter. body is at most 16 KiB of it. It never returns nil;
	// what it does not know is BadGateway, or Unavailable for 5xx and 429.
	Read func(status int, h http.Header, body []byte) *token.Error
	// MayExpire reports whether an answer of this status may mean that the
	// access token has expired, so that its body must be read to know.
	MayExpire func(status int) bool
	// EndsRefresh reports whether what Read made of the answer to a refresh call
	// is the vendor's exact word that the refresh token is no good, for a vendor
	// who has the same words about access tokens. Nil: the kind InvalidRefresh
	// alone says so.
	EndsRefresh func(*token.Error) bool
}

// Call is one call of the token API, with both directions of both messages.
// WriteRequest and ReadResponse are nil where the gateway never speaks the call
// itself.
type Call struct {
	Op token.Op
	// Also are operations that the same request line may ask for besides; which
	// one, ReadRequest finds in header and body and says in the grant.
	Also   []token.Op
	Method string
	// Paths are the patterns under which it is served; the first is the one
	// spoken. {version} stands for a segment like v7 or v7.0, {id} for any one
	// segment.
	Paths []string
	// Public calls need no credential and are passed on to a backend that speaks
	// the same dialect.
	Public bool

	ReadRequest   func(*http.Request) (token.Grant, error)   // -> served; path values are set on the request
	WriteRequest  func(*http.Request, token.Grant) error     // -> spoken; URL and method are set before
	WriteResponse func(http.ResponseWriter, token.Set) error // <- served
	// ReadResponse is for answers of 2xx; the caller closes the body. A *token.Error
	// means that the backend said no in one of them.
	ReadResponse func(*http.Response) (token.Set, error) // <- spoken
}

// Call returns the call of an operation, or nil if the vendor has none.
func (d *Dialect) Call(op token.Op) *Call {
	for i := range d.Calls {
		if c := &d.Calls[i]; c.Op == op || slices.Contains(c.Also, op) {
			return c
		}
	}
	return nil
}
