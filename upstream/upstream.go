// Package upstream is the backend side of the gateway: it logs in to a backend
// in the token API that the backend speaks, keeps the tokens and renews them,
// puts the right one on every request, and makes a refused request a second
// time where that is safe.
//
// A backend session is what the gateway holds at a backend: the tokens, sealed,
// of one client session (pass-through) or of one account that all clients
// share. A Store keeps it, with the version that a change must name and the
// lease that lets one gateway at a time talk to the backend about it. Every
// change of tokens runs once in a process, apart from the client's request, so
// that a client who goes away ends nothing; what the backend answered is stored
// before it is used.
//
// "Could not ask" is never "not allowed": as long as a token is good it is
// sent, whatever failed, and after that the caller is told to try again.
package upstream

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/seal"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// Account is how the gateway itself proves who it is to a backend.
type Account struct {
	Username string
	Password token.Secret
	// APIToken is a long-lived token that is sent as it is. With one there is
	// nothing to log in to, and Username and Password are not looked at.
	APIToken   token.Secret
	TOTPSecret token.Secret // base32 (RFC 4648), of the account's second factor
	// ApplicationToken says that a login is only made to get a token that never
	// expires, which is then sent as long as the backend takes it.
	ApplicationToken bool
}

// Config says what a Backend is made of. URL and Transport are needed always;
// Store, Pins, Duties and Keyring as soon as there is something to log in to.
type Config struct {
	Name      string           // as in configuration, keys, logs and metrics
	URL       *url.URL         // scheme, host and base path
	Dialect   *dialect.Dialect // nil: speaks nothing, nothing is injected
	Account   *Account         // nil: pass-through, each client's own credentials
	Client    *token.Client    // as which OAuth client the gateway speaks; nil: the API knows none
	Mint      *Mint            // with neither account nor dialect: tokens about the caller; nil: none
	Static    *Static          // with none of the three: the same header always; nil: none
	Transport http.RoundTripper
	Store     Store
	Pins      Pins
	Duties    Duties
	// Challenges is needed in pass-through where the API has second factors.
	Challenges Challenges
	Keyring    *seal.Keyring
	Journal    Journal      // nil: what a backend gave is in memory only until the store has it
	Recorder   Recorder     // nil: nobody is told
	Log        *slog.Logger // nil: nothing is logged
	// LogoutAtDrain has Drain log out whatever is still logged in, if nobody can use
	// the tokens after this process.
	LogoutAtDrain bool
	// LastAlive is asked at Drain, with LogoutAtDrain only, whether that is so: other
	// replicas may live on, and use the tokens. Nil: nobody else does.
	LastAlive func(context.Context) bool
	Notices   Notices // nil: news of commits is found by asking
	Limits    Limits
}

// Limits are times and sizes that a configuration may change. What is 0 has its
// default.
type Limits struct {
	Call     time.Duration // of one login, renewal or logout; 10 s
	Lease    time.Duration // of a change, renewed while it is under way, at most MaxLease; 6 s
	Sweep    time.Duration // how often Run looks for duties; 5 s
	Sessions int           // how many may be logged in for the account, or in all in pass-through; no limit
}

// Defaults of Config.
const (
	defaultCall  = 10 * time.Second
	defaultLease = 6 * time.Second
	defaultSweep = 5 * time.Second
)

// filled returns l with its defaults.
func (l Limits) filled() Limits {
	if l.Call <= 0 {
		l.Call = defaultCall
	}
	if l.Lease <= 0 {
		l.Lease = defaultLease
	}
	if l.Sweep <= 0 {
		l.Sweep = defaultSweep
	}
	return l
}

// Recorder is told what happened, for metrics. The outcomes are closed lists.
type Recorder interface {
	// UpstreamLogin: ok, rejected, local_auth_off, misconfigured, factor_needed
	// (a second factor was asked for, which the account could not prove, or of the
	// client), stopped, full (as many are logged in as may be), unavailable.
	UpstreamLogin(backend, outcome string)
	// UpstreamRenewal: ok, dead, unavailable.
	UpstreamRenewal(backend, outcome string)
	// UpstreamReplay: replayed, unsafe (the request cannot be made twice), held
	// (a new token was refused on its first use), failed (no new token).
	UpstreamReplay(backend, outcome string)
	// UpstreamPin: taken, released (both by a client), ended (given back by the
	// gateway, since the client's session had ended), lost.
	UpstreamPin(backend, outcome string)
	// UpstreamWait: how long a request waited for tokens.
	UpstreamWait(d time.Duration)
	// UpstreamTokenExpiry: when the shared account's access token expires. It is
	// not told for pass-through, where there are as many as sessions.
	UpstreamTokenExpiry(backend string, at time.Time)
}

// Backend is one backend with all that the gateway holds there. It is safe for
// concurrent use. It implements http.RoundTripper, and session.Verifier and
// session.Backend for pass-through.
type Backend struct {
	cfg      Config
	log      *slog.Logger
	rec      Recorder
	crew     crew
	shared   *held  // the account's; nil in pass-through
	pool     string // the duties of this backend and account
	with     string // digest of the address and the account, to whose failures a back off belongs
	names    names
	book     book
	known    *identities
	minted   *minted // nil: none are made
	alarm    alarm
	draining chan struct{} // closed by Retire and Drain
	offering chan struct{} // holds one while the store is offered what it has not taken yet
	drain    sync.Once     // closes draining

	coded   atomic.Int64 // the last time step whose code was sent
	version atomic.Int32 // which of the dialect's versions the backend took last
	shaken  atomic.Int64 // Unix ns until which the store may lack what others know
	outage  outage       // of the store
	blind   atomic.Int64 // Unix ns until which the store is not asked for sessions' own

	mu      sync.RWMutex
	clients map[token.SID]*held // guarded by mu: one for each session in use that has its own
}

// New returns the Backend that c describes.
func New(c Config) *Backend {
	c.Limits = c.Limits.filled()
	b := &Backend{cfg: c, log: c.Log, rec: c.Recorder, pool: ownPool, clients: map[token.SID]*held{}, known: newIdentities(), draining: make(chan struct{}), offering: make(chan struct{}, 1)}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	b.log = b.log.With("backend", c.Name)
	if b.rec == nil {
		b.rec = silent{}
	}
	b.book = book{journal: c.Journal, log: b.log, slots: map[slotKey]*slot{}}
	if c.Keyring != nil {
		b.names = newNames(c.Keyring, c.Name)
		b.with = b.names.address(&c)
	}
	if c.Mint != nil {
		b.minted = newMinted(*c.Mint)
	}
	if b.mode() == modeShared {
		b.pool = b.names.account(c.Account, c.Client)
		b.shared = &held{settling: make(chan struct{}, 1), ref: Ref{Owner: b.pool, Backend: c.Name}}
	}
	if c.Notices != nil {
		c.Notices.Hear(b.heard)
	}
	return b
}

// Trouble says why the shared account's tokens cannot be had just now; empty if
// they can, and in pass-through, where it is each client's own affair.
func (b *Backend) Trouble() string {
	if b.shared == nil {
		return ""
	}
	b.shared.mu.Lock()
	defer b.shared.mu.Unlock()
	if b.shared.why == nil || !time.Now().Before(b.shared.hold) {
		return ""
	}
	return b.cfg.Name + ": " + b.shared.why.Msg
}

// mode says where the credential of an ordinary request comes from.
type mode uint8

const (
	modeNone   mode = iota // nothing is injected
	modeHeader             // a header from configuration
	modeMinted             // a token about the caller, of the gateway's making
	modeStatic             // an API token from configuration
	modeShared             // an account's backend session, shared by all clients but those with a pin
	modeOwn                // pass-through: the client session's own backend session
)

func (b *Backend) mode() mode {
	switch {
	case b.cfg.Dialect == nil && b.cfg.Mint != nil:
		return modeMinted
	case b.cfg.Dialect == nil && b.cfg.Static != nil:
		return modeHeader
	case b.cfg.Dialect == nil:
		return modeNone
	case b.cfg.Account == nil:
		return modeOwn
	case !b.cfg.Account.APIToken.IsZero():
		return modeStatic
	}
	return modeShared
}

// silent is the Recorder of who wants none.
type silent struct{}

func (silent) UpstreamLogin(string, string)          {}
func (silent) UpstreamRenewal(string, string)        {}
func (silent) UpstreamReplay(string, string)         {}
func (silent) UpstreamPin(string, string)            {}
func (silent) UpstreamWait(time.Duration)            {}
func (silent) UpstreamTokenExpiry(string, time.Time) {}

// detached returns a context for a call that must outlive the request which
// caused it. It takes over nothing of the request's context: neither the
// client's going away nor the httptrace hooks of a reverse proxy, through which
// 1xx answers to the gateway's own calls would reach a client.
func detached(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}
