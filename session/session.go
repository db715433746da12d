// Package session holds the rules of Gatehouse's own sessions: opening one when
// a login is proved, checking the credential of every call, rotating refresh
// tokens (RFC 9700 section 4.14), API tokens, and ending it all. It knows
// neither HTTP nor Redis.
//
// Nothing that could be used is stored. A refresh token is session id,
// generation and authentication code in the vendor's shape; the store keeps
// only the generation, so a token of any age is recognised for the session's
// whole life and its successor can be made again for a caller who lost the
// answer.
//
// "Not found" and "could not ask" are different errors all the way up:
// a failed store is token.Unavailable and never ends a session.
package session

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// Kind says how a session came to be.
type Kind string

// The kinds of session.
const (
	KindLogin    Kind = "login"     // a login in a dialect's token API
	KindPortal   Kind = "portal"    // the browser sign-in page
	KindBasic    Kind = "basic"     // HTTP Basic on an ordinary call
	KindAPIToken Kind = "api_token" // an API token: a session of its own
)

// Session is a checked session: who is calling, and by what right.
type Session struct {
	SID      token.SID
	Kind     Kind
	Issuer   string // "ipfabric/7.0", "portal": tokens belong to what issued them
	Source   string // identity source: "users", or "backend:<name>"
	Identity token.Identity
	// Scopes of the credential presented: those of the identity, or fewer for
	// an API token.
	Scopes  []string
	Expires time.Time // of the access credential; zero: not by itself
	// AMR is how the user proved himself, RFC 8176: pwd, and otp after a second
	// factor. An API token has that of the session it was made from.
	AMR    []string
	Client string // the OAuth client that has the credential; empty: none
}

// Issuer is what the rules need to know of the dialect profile, on one route,
// that issues tokens.
type Issuer struct {
	Name       string        // "ipfabric/7.0" or "portal"
	Dialect    string        // "ipfabric" or "portal": the label of metrics
	Source     string        // see Session.Source
	AccessTTL  time.Duration // 0: never expires
	RefreshTTL time.Duration // since last use; 0: never expires
	Rotates    bool
	// VendorLogout makes logout close only refreshing; access tokens live out
	// their time. False: logout ends the session at once.
	VendorLogout bool
	// VoidsAccess makes a refresh or renewal end the access tokens made before it.
	VoidsAccess bool
	// Grace is how long a replaced refresh token gets its successor again, at most
	// 60 s; 0: not at all.
	Grace time.Duration
	// RefuseReuse makes a reused refresh token be refused only; false: it ends the
	// session.
	RefuseReuse  bool
	LocalAuthOff bool // login and Basic are refused
	// Clients are the OAuth clients, one of which every grant must name; nil: the
	// API knows none. AccessTTL is then each client's own.
	Clients *Clients
	// DefaultRealm is the realm whose users need not name it. Users without a realm
	// never need to; empty: nobody does.
	DefaultRealm string
	// MintID makes an id_token; nil: the API has none.
	MintID func(token.IDToken) (token.Secret, error)
	client *Client // by whom the issuer was met; nil: nobody yet
	// SecondFactor says what a login does about a user who has one.
	SecondFactor token.FactorRule
	// Permit refuses, with a *token.Error, a user whose password is right; nil:
	// everybody may have tokens.
	Permit   func(token.Identity) *token.Error
	Shape    Shape    // how its tokens look
	Verifier Verifier // who checks a login
	Backend  Backend  // pass-through: the backend session that belongs to the session; nil otherwise
}

// Shape gives tokens the dialect's form and reads them back; see the fields of
// the same names of dialect.Tokens.
type Shape interface {
	MintAccess(a token.Access, core token.Core) (token.Secret, error)
	ParseAccess(text token.Secret) (token.Access, *token.Core, error)
	MintRefresh(a token.Access, core token.Core) (token.Secret, error)
	ParseRefresh(text token.Secret) (token.Access, *token.Core, error)
}

// Verifier proves a login. Failures are *token.Error: BadCredentials when the
// caller is wrong, FactorNeeded with a Challenge when a backend asks for more,
// which the grant's Factor answers, Unavailable when it could not be asked.
type Verifier interface {
	// Verify checks the grant for the session that is about to be opened under
	// sid. In pass-through mode it logs in at the backend and keeps the tokens
	// under sid.
	Verify(ctx context.Context, sid token.SID, g token.Grant) (token.Identity, error)
}

// Backend is the backend session that belongs to a pass-through session.
type Backend interface {
	// Renew renews the backend's tokens as a client's refresh or renewal asks. An
	// error of kind InvalidRefresh means that the backend session is dead.
	//
	// With OpRenew g holds the client's own user name and password. The backend
	// must then be asked whatever the age of its tokens, for nobody else checks the
	// password; one that it refuses is BadCredentials, and ends nothing.
	Renew(ctx context.Context, sid token.SID, g token.Grant) error
	// End logs out at the backend, now or as a duty later. It does not wait.
	End(sid token.SID)
	// Poll says how far a challenge of the Verifier's is, by its Session. Errors:
	// NotFound and Unavailable.
	Poll(ctx context.Context, session string) (token.Challenge, error)
}

// Directory answers from memory who a user is now. Sessions of a user it does
// not know any more are dead.
type Directory interface {
	Current(id string) (token.Identity, bool)
}

// Throttle counts failed logins in the store, by account and by address.
type Throttle interface {
	// Allow returns 0, or for how long logins of this account or address are
	// refused, and what time it is by the store's clock. Both are keyed digests in
	// hex, fit for the name of a key.
	Allow(ctx context.Context, account, address string) (retryAfter time.Duration, now time.Time, err error)
	// Fail counts one failed login.
	Fail(ctx context.Context, account, address string) error
}

// Recorder is told what happened, for metrics. Outcomes are from closed lists.
type Recorder interface {
	// Login: ok, bad_credentials, throttled, local_auth_off, unavailable, malformed,
	// factor_needed, client_refused.
	Login(dialect, outcome string)
	Refresh(dialect, outcome string)    // rotated, grace, reused, healed, expired, refused, unavailable
	Opened()                            // a session was opened
	Ended(reason string)                // logout, reuse, revoked, evicted, user_gone, backend_dead
	TokenCheck(dialect, outcome string) // ok, invalid, expired, revoked, unavailable
}

// Errors of a Store. Any other error means that the store could not be asked.
var (
	// ErrNotFound says that there is no such session: it never was, it expired,
	// or it ended.
	ErrNotFound = errors.New("session: not found")
	// ErrExists says that Create met another session under the same id.
	ErrExists = errors.New("session: id is taken")
	// ErrOutdated says that all that the owner had proved by then was ended since.
	ErrOutdated = errors.New("session: outdated")
	// ErrRefused is wrapped by the error of a store that answered and would not do
	// this one thing, because it is full or takes no changes. To callers that is
	// a store which could not be asked, but other questions are worth asking.
	ErrRefused = errors.New("session: the store refused")
)
