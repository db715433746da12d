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
)

// MintsOrLists reports whether a call of this kind hands out or lists
// credentials. In account mode such a call never reaches the backend.
func (op Op) MintsOrLists() bool {
	switch op {
	case OpLogin, OpRefresh, OpListAPITokens, OpCreateAPIToken:
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
	Access   Secret // the access token, for a spoken OpLogout or OpWhoAmI
	Address  string // the caller's IP address, for throttling and audit; never sent

	APIToken *APITokenRequest // for the three API token operations
}

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
	Access           Secret
	Refresh          Secret        // empty: unchanged, or the vendor has none
	ExpiresIn        time.Duration // of Access; 0: never
	RefreshExpiresIn time.Duration // of Refresh; 0: never or not told
	Identity         Identity
	APITokens        []APIToken // for the API token operations; one, for create
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
