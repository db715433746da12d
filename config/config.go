// Package config turns environment and one YAML file into a Config that every
// other room can rely on, or into the list of all that is wrong with them.
//
// There are two layers and no third: the environment (prefix GATEHOUSE_, every
// secret also as the name of a file that holds it) for the process, and the file
// that GATEHOUSE_CONFIG names for what stands behind the gate. The file names
// secrets and never holds them. A backend and its route may come from the
// environment alone.
package config

import (
	"log/slog"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-gateway/gatehouse/policy"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// Config is a checked configuration. It never changes after Load.
type Config struct {
	Listen         string // host:port, the front door
	AdminListen    string // host:port, health, metrics and operator calls
	AdminToken     token.Secret
	PublicURL      *url.URL       // scheme and host that callers use; nil: not told
	RedisURL       token.Secret   // it may hold a password; zero: the embedded store
	Secrets        []token.Secret // the one that makes first; empty: draw one
	DataDir        string         // empty: nothing is kept on disk
	TrustedProxies []netip.Prefix
	DegradedFor    time.Duration // how long checked sessions are believed while the store is silent
	Log            Log
	TLS            TLS
	PagesPath      string // "/.gatehouse", without a trailing slash
	Tokens         Tokens // what routes that say nothing get
	Drain          Drain
	UsersFile      string // empty: no users of our own
	SecondFactor   SecondFactor
	Clients        []Client // OAuth clients, for the APIs that know some
	Backends       []Backend
	Routes         []Route
	Policy         []policy.Rule // they compile
	HasPolicy      bool          // false: policy.SignedIn holds; true with no rules: everything is refused
	Warnings       []string      // one line each, to be said loudly at start
}

// Log says what is logged and how.
type Log struct {
	Level  slog.Level
	Format string // "json" or "text"
}

// TLS is the front door's certificate. Both empty: plain HTTP.
type TLS struct{ CertFile, KeyFile string }

// Drain says how the process ends.
type Drain struct {
	Timeout time.Duration // how long requests under way may take
	// LogoutBackends logs out of backends at the end, where nobody can use the
	// sessions afterwards.
	LogoutBackends bool
}

// Tokens are the settings of our own tokens on one route.
type Tokens struct {
	AccessTTL, RefreshTTL time.Duration // 0: the dialect's
	RefreshGrace          time.Duration // how long a used refresh token gets the same successor; 0 to 60 s
	RefuseReuse           bool          // a reused refresh token is refused; false: it ends the session
	VendorLogout          bool          // logout lets access tokens live out their time; false: it ends the session at once
	LocalAuthOff          bool          // login and Basic are refused
	HTTPSOnly             bool          // calls without TLS are refused, in a vendor's words
	MissingTokenCode      string        // error code of a call without credential; empty: the dialect's
	RefreshLength         int           // characters; 0: the dialect's
	DefaultRealm          string        // whose users need not name it; empty: nobody needs to name his
	VendorDiscovery       bool          // discovery documents as on the vendor's page
}

// Client is an OAuth client.
type Client struct {
	ID           string
	Secret       token.Secret // zero: it is public
	Public       bool
	Grants       []string // password, authorization_code, refresh_token
	RedirectURIs []string
	Scopes       []string
	AccessTTL    time.Duration // 0: never expires
	NeverAs      time.Duration // what expires_in says of that; below 0: nothing
	IDTokenTTL   time.Duration // 0: the vendor's
}

// Backend is a system behind the gate.
type Backend struct {
	Name               string
	URL                *url.URL // http or https, without user info, query and fragment; a path is kept
	Speak              string   // "ipfabric/7.0", or SpeakJWT, SpeakStatic, SpeakNone
	Versions           []string // of the API that may be spoken, "1.2", the preferred one first; nil: the dialect's
	RenewalField       string   // form field that carries the token to be renewed; empty: the dialect's
	Account            *Account // nil: each client's own credentials
	JWT                *JWT     // with SpeakJWT
	Static             *Static  // with SpeakStatic
	Identity           IdentityHeaders
	ClientID           string // the OAuth client as which the gateway speaks; empty: none
	ClientSecret       token.Secret
	CAFile, ServerName string
	Insecure           bool // the certificate is not checked
	PreserveHost       bool // the client's Host goes to the backend
	HeaderTimeout      time.Duration
	Keeping            Keeping
}

// Keeping is how the gateway keeps its sessions at a backend. What is 0 has its
// default.
type Keeping struct {
	CallTimeout time.Duration // of one login, renewal or logout
	Lease       time.Duration // for how long a renewal is another gateway's once that one is gone
	MaxSessions int           // how many may be open at the backend
}

// Account is what the gateway logs in with, or the API token it uses instead.
type Account struct {
	Username   string
	Password   token.Secret
	APIToken   token.Secret
	TOTPSecret token.Secret // base32 (RFC 4648), of the second factor
	// ApplicationToken: log in only to get a token that never expires.
	ApplicationToken bool
}

// Route leads from the front door to a backend.
type Route struct {
	Name    string
	Host    string // lower case, without port; "*.example.com" for all below; empty: any
	Path    string // a prefix by whole segments: "/", "/api"
	Backend string
	Serve   []string // dialect profiles, "ipfabric/7.0"
	Tokens  Tokens
	// EncodedSlash lets %2F in a path through.
	EncodedSlash bool
	MaxBody      int64 // bytes; 0: no limit
}

// Fault is one thing that is wrong.
type Fault struct {
	Place  string // a variable, or file:line and key
	Msg    string // what is wrong
	Remedy string // what to do; may be empty
}

// String returns "place: what is wrong: what to do".
func (f Fault) String() string {
	s := f.Place + ": " + f.Msg
	if f.Remedy != "" {
		s += ": " + f.Remedy
	}
	return s
}

// Faults is everything that is wrong.
type Faults []Fault

// Error returns a line for each fault. A fault in a when has the drawing that
// shows the place below its line.
func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}
