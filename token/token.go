// Package token is the vocabulary that every other room shares: what a caller
// presents (Grant), what an issuer answers (Set), who somebody is (Identity),
// what went wrong (Error), and a string that does not print itself (Secret).
//
// It holds no rules and imports only the standard library.
package token

import "time"

// Op names what a call of a token API asks for.
type Op string

// The operations of the token APIs that Gatehouse knows. A dialect lacks those
// its vendor lacks.
const (
	OpLogin          Op = "login"            // user name and password for a pair of tokens
	OpRefresh        Op = "refresh"          // a refresh token for new tokens (RFC 6749 section 6)
	OpLogout         Op = "logout"           // end the session
	OpWhoAmI         Op = "whoami"           // who the credential belongs to
	OpVersion        Op = "version"          // the unauthenticated product version
	OpListAPITokens  Op = "list_api_tokens"  // the caller's API tokens, never their text
	OpCreateAPIToken Op = "create_api_token" // a further API token, its text shown once
	OpDeleteAPIToken Op = "delete_api_token" // revoke one API token by its id

	OpRenew            Op = "renew"             // password and current access token for its successor
	OpApplicationToken Op = "application_token" // a refresh token for an access token that never expires
	OpVersions         Op = "versions"          // the versions of the API, for signed-in callers
	OpAuthorize        Op = "authorize"         // an authorization code for a client (RFC 6749 section 4.1.1)
	OpCode             Op = "code"              // an authorization code for tokens (RFC 6749 section 4.1.3)
	OpPoll             Op = "poll"              // how far a pending second factor is
	OpVerify           Op = "verify"            // whether an access token is good, for a client
	OpRevoke           Op = "revoke"            // end a token (RFC 7009)
	OpIntrospect       Op = "introspect"        // what a token is good for (RFC 7662)
	OpKeys             Op = "keys"              // the public keys of signed tokens (RFC 7517)
	OpDiscovery        Op = "discovery"         // what the issuer can do and where (RFC 8414)
)

// MintsOrLists reports whether a call of this kind hands out or lists
// credentials. In account mode such a call never reaches the backend.
func (op Op) MintsOrLists() bool {
	switch op {
	case OpLogin, OpRefresh, OpListAPITokens, OpCreateAPIToken, OpRenew, OpApplicationToken, OpAuthorize, OpCode:
		return true
	}
	return false
}

// ProvesItself reports whether a call of this kind brings its own proof of who
// calls (a password, a refresh token, a client's secret), or needs none: nobody
// is signed in when it comes, and no policy decides about it.
func (op Op) ProvesItself() bool {
	switch op {
	case OpLogin, OpRefresh, OpRenew, OpApplicationToken, OpCode, OpPoll, OpRevoke, OpIntrospect, OpKeys, OpDiscovery:
		return true
	}
	return false
}

// Grant is what a caller presents to get tokens: RFC 6749's authorization
// grant, in the fields that the five vendors use. Fields that an operation does
// not use are zero.
type Grant struct {
	Op       Op
	Username string // as received, not folded
	Realm    string
	Password Secret
	Refresh  Secret // the refresh token, for OpRefresh
	Access   Secret // the access token, for a spoken OpLogout or OpWhoAmI; the token, of either kind, for OpRevoke and OpIntrospect
	Address  string // the caller's IP address, for throttling and audit; never sent

	APIToken *APITokenRequest // for the three API token operations
	Client   *Client          // the OAuth client that asks; nil: the API knows no clients
	Scopes   []string         // asked for; nil: what the client has
	Code     *CodeRequest     // for OpAuthorize and OpCode
	Origin   string           // the gateway's URL as the caller knows it, scheme and host; never sent
	Factor   *Factor          // the answer to a Challenge, with OpLogin; the poll of one, with OpPoll

	// RealmInName says that the API writes a realm behind the last @ of the user
	// name. What stands there is one only if nobody has the whole for his name.
	RealmInName bool
}

// Client is how an OAuth client names and proves itself (RFC 6749 section 2.3).
type Client struct {
	ID     string
	Secret Secret // zero: none was sent
}

// CodeRequest asks for an authorization code, or redeems one.
type CodeRequest struct {
	ResponseType    string // "code"
	RedirectURI     string // empty: not told
	State           string // as received; it goes back with the answer
	Nonce           string // for the id_token, OpenID Connect Core section 3.1.2.1
	Challenge       string // code_challenge, RFC 7636 section 4.3; empty: none
	ChallengeMethod string
	Code            Secret // to redeem
	Verifier        Secret // code_verifier, RFC 7636 section 4.5; zero: none was sent
}

// A Redirect is an answer that goes by the browser to the client's own address,
// which was checked.
type Redirect struct {
	URI   string
	State string
	Code  Secret // zero: Err says why there is none
	Err   *Error
}

// IDToken is what an id_token says (OpenID Connect Core section 2).
type IDToken struct {
	Origin   string // of the issuer, as Grant.Origin
	Subject  string // Identity.ID
	Client   string // whom it is for
	Nonce    string // as asked; empty: none
	Access   Secret // the access token that goes with it
	IssuedAt time.Time
	TTL      time.Duration // 0: the vendor's
}

// Challenge asks for a second factor, in the words of FortiAuthenticator's token
// endpoint. Values that a backend made up itself are passed on as they are.
type Challenge struct {
	Challenge string // what is asked for: otp
	Method    string // how it is proved: ftm, ftm-push, ftk, sms, email, dual
	Session   string // names the challenge; empty: nothing has to be named
	Status    string // pending; of a poll also success and what else ends it
	Response  Secret // of a poll that succeeded: what to answer with
	Ticket    Secret // for the sign-in page alone: that the password was proved; never sent by an API
}

// Factor is a caller's answer to a Challenge.
type Factor struct {
	Challenge string // as received
	Method    string
	Session   string
	Response  Secret
}

// FactorRule says what a token API does about a user with a second factor.
type FactorRule uint8

// The rules. The zero one lets nobody in with half a proof.
const (
	FactorRefused FactorRule = iota // it cannot ask: the login fails
	FactorAsked                     // it asks
	FactorSkipped                   // the vendor's own page lets the password do
)

// APITokenRequest asks for an API token, or names the one to delete.
type APITokenRequest struct {
	ID          string    // which one to delete; the id that a new one is to have, empty: any
	Description string    // free text, shown in lists
	Scopes      []string  // nil: those of the maker; empty: none
	Expires     time.Time // zero: never
	Chosen      Secret    // a text chosen by the caller, where the vendor allows it
}

// APIToken is an API token as lists show it. Text is set only in the answer to
// the call that made it.
type APIToken struct {
	ID          string
	Text        Secret
	Description string
	Scopes      []string
	MaxScopes   []string  // those of the owner: the most this token could have
	Expires     time.Time // zero: never
	Expired     bool
	LastUsed    time.Time // zero: not yet; written at most once an hour
	Usage       int64
	UserID      string
	Username    string
}

// Set is what an issuer answers to a grant. In the served direction it is what
// the dialect writes, in the spoken direction what it read.
type Set struct {
	Op               Op // what it answers, where one call stands for several operations
	Access           Secret
	Refresh          Secret        // empty: unchanged, or the vendor has none
	ExpiresIn        time.Duration // of Access; 0: never
	RefreshExpiresIn time.Duration // of Refresh; 0: never or not told
	Identity         Identity
	APITokens        []APIToken // for the API token operations; one, for create

	// Of an OAuth server.
	Scopes    []string      // granted
	NeverAs   time.Duration // what a client is told where ExpiresIn is 0; below 0: nothing
	IDToken   Secret        // zero: none
	Factor    bool          // the grant answered a challenge
	Challenge *Challenge    // for OpPoll
	Redirect  *Redirect     // for OpAuthorize
	Origin    string        // for OpDiscovery, as Grant.Origin
	Keys      []byte        // for OpKeys: RFC 7517 section 5
	Active    bool          // for OpIntrospect; false: nothing else is told
	Client    string        // for OpIntrospect
}

// Identity is who somebody is, as the identity source knows it.
type Identity struct {
	Name   string   `json:"name"`
	ID     string   `json:"id"` // the id shown on the wire, digits in IP Fabric
	Email  string   `json:"email,omitempty"`
	Realm  string   `json:"realm,omitempty"`
	Groups []string `json:"groups,omitempty"`
	Scopes []string `json:"scopes,omitempty"`
	Admin  bool     `json:"admin,omitempty"`
	// Kind is the vendor's type of user: "application" may have tokens that never
	// expire. Empty: a person.
	Kind string `json:"kind,omitempty"`
	// Permissions are the vendor's own, by name: "widget".
	Permissions []string `json:"permissions,omitempty"`
}

// Access is what a self-describing access token says. A dialect with opaque
// access tokens fills only SID and Generation.
type Access struct {
	Identity   Identity
	SID        SID
	Generation uint32
	IssuedAt   time.Time
	ExpiresAt  time.Time // zero: never
}
