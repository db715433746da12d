package config

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// rawClient is an OAuth client as the file has it.
type rawClient struct {
	ID           string   `yaml:"id"`
	Type         string   `yaml:"type"`
	SecretFile   string   `yaml:"secret_file"`
	SecretEnv    string   `yaml:"secret_env"`
	Grants       []string `yaml:"grants"`
	RedirectURIs []string `yaml:"redirect_uris"`
	Scopes       []string `yaml:"scopes"`
	AccessTTL    string   `yaml:"access_ttl"`
	NeverAs      string   `yaml:"never_as"`
	IDTokenTTL   string   `yaml:"id_token_ttl"`
}

// What clients get that are not told otherwise, and their bounds.
const (
	clientTTL       = 10 * time.Hour // the vendor's 36000 s
	minClientSecret = 16             // characters: wrong ones are not counted
	maxNeverAs      = 1<<31 - 1      // seconds
)

// The grants, as OAuth names them.
const (
	grantPassword = "password"
	grantCode     = "authorization_code"
	grantRefresh  = "refresh_token"
)

var (
	goodClientID = regexp.MustCompile(`^[A-Za-z0-9._~-]{1,128}$`)
	goodScope    = regexp.MustCompile(`^[!#-\[\]-~]{1,128}$`) // RFC 6749 section 3.3
)

// clients reads the OAuth clients of the file.
func (l *loader) clients() {
	for i, raw := range l.file.raw.Clients {
		at := l.below(fmt.Sprintf("clients[%d]", i))
		c := Client{
			ID: raw.ID, Public: l.clientType(at("type"), raw.Type) == "public",
			RedirectURIs: raw.RedirectURIs,
			Scopes:       l.clientScopes(at, raw.Scopes),
			AccessTTL:    clientTTL,
		}
		l.clientID(at("id"), raw.ID)
		l.clientSecret(&c, raw, at)
		l.clientLives(&c, raw, at)
		for n, uri := range raw.RedirectURIs {
			l.redirectURI(at(fmt.Sprintf("redirect_uris[%d]", n)), uri)
		}
		c.Grants = l.clientGrants(raw, at)
		l.cfg.Clients = append(l.cfg.Clients, c)
	}
}

func (l *loader) clientID(place, id string) {
	switch {
	case id == "":
		l.fault(place, "it is missing", "give each client an id, like the one it has at the vendor's server")
	case !goodClientID.MatchString(id):
		l.fault(place, fmt.Sprintf("%q is no client id", id), "use 1 to 128 letters, digits and . _ ~ -")
	case slices.ContainsFunc(l.cfg.Clients, func(c Client) bool { return c.ID == id }):
		l.fault(place, fmt.Sprintf("another client has the id %q", id), "give each one of its own")
	}
}

func (l *loader) clientType(place, text string) string {
	if text == "" {
		return "confidential"
	}
	return l.oneOf(place, text, "confidential", "public")
}

func (l *loader) clientSecret(c *Client, raw rawClient, at placer) {
	named := raw.SecretFile != "" || raw.SecretEnv != ""
	switch {
	case c.Public && named:
		l.fault(at("secret_file"), "a public client has a secret", "take it out, or make the client confidential")
	case c.Public:
	case !named:
		l.fault(at("secret_file"), "it is missing", "name the file of the client's secret; a client that cannot keep one is type: public")
	default:
		c.Secret = l.namedSecret(raw.SecretFile, raw.SecretEnv, func(form string) string { return at("secret" + form) })
		if n := len(c.Secret.Reveal()); n > 0 && n < minClientSecret {
			l.fault(at("secret_file"), fmt.Sprintf("the secret has %d characters; at least %d are needed", n, minClientSecret), "make one with: openssl rand -hex 64")
		}
	}
}

// clientLives reads how long the tokens of a client live and what it is told.
func (l *loader) clientLives(c *Client, raw rawClient, at placer) {
	if raw.AccessTTL != "" {
		c.AccessTTL = l.wholeSeconds(at("access_ttl"), raw.AccessTTL, 0)
	}
	if raw.IDTokenTTL != "" {
		c.IDTokenTTL = l.wholeSeconds(at("id_token_ttl"), raw.IDTokenTTL, time.Second)
	}
	if raw.NeverAs == "" {
		return
	}
	if c.AccessTTL != 0 {
		l.fault(at("never_as"), "the client's tokens do expire", "take it out, or set access_ttl: 0s")
	}
	if raw.NeverAs == "omitted" {
		c.NeverAs = -1
		return
	}
	n, err := strconv.ParseInt(raw.NeverAs, 10, 64)
	if err != nil || n < 0 || n > maxNeverAs {
		l.fault(at("never_as"), fmt.Sprintf("%q is not known", raw.NeverAs), fmt.Sprintf("write omitted, or a number of seconds up to %d; 0 is the vendor's", maxNeverAs))
		return
	}
	c.NeverAs = time.Duration(n) * time.Second
}

// wholeSeconds reads a life that clients are told in seconds.
func (l *loader) wholeSeconds(place, text string, least time.Duration) time.Duration {
	d := l.duration(place, text, least, maxTTL)
	if d%time.Second != 0 {
		l.fault(place, fmt.Sprintf("%s is no number of whole seconds", text), "clients are told seconds")
	}
	return d
}

func (l *loader) clientScopes(at placer, scopes []string) []string {
	if scopes == nil {
		return []string{"read"} // the vendor's
	}
	for i, s := range scopes {
		if !goodScope.MatchString(s) {
			l.fault(at(fmt.Sprintf("scopes[%d]", i)), fmt.Sprintf("%q is no scope", s), "use printable characters without spaces, quotes and backslashes")
		}
	}
	return scopes
}

// clientGrants reads what a client may use. Passwords are for clients that are
// listed for them, and codes need an address to go to.
func (l *loader) clientGrants(raw rawClient, at placer) []string {
	if raw.Grants == nil {
		if len(raw.RedirectURIs) == 0 {
			l.fault(at("grants"), "the client could not get a token", "give it redirect_uris, or grants: [password, refresh_token] if its users type their passwords into it")
		}
		return []string{grantCode, grantRefresh}
	}
	for i, g := range raw.Grants {
		l.oneOf(at(fmt.Sprintf("grants[%d]", i)), g, grantPassword, grantCode, grantRefresh)
	}
	if codes := slices.Contains(raw.Grants, grantCode); codes != (len(raw.RedirectURIs) > 0) {
		if codes {
			l.fault(at("redirect_uris"), "they are missing, and the grant authorization_code needs one", "list the addresses to which the client may have codes sent")
		} else {
			l.fault(at("grants"), "the client has redirect_uris and may not use authorization_code", "add the grant, or take the addresses out")
		}
	}
	return raw.Grants
}

// redirectURI checks an address that codes are sent to: over TLS, to this
// machine, or to an app by a scheme of its own (RFC 8252 section 7). It is
// compared byte for byte, so there are no patterns.
func (l *loader) redirectURI(place, text string) {
	u, err := url.Parse(text)
	const remedy = "write the whole address, like https://app.example.com/callback"
	switch {
	case err != nil || !u.IsAbs() || strings.ContainsAny(text, " *\\"):
		l.fault(place, "it is no absolute URL", remedy)
	case u.Fragment != "" || strings.Contains(text, "#"):
		l.fault(place, "it has a fragment", "take it out: codes travel in the query")
	case u.User != nil:
		l.fault(place, "it holds a user name or a password", remedy)
	case u.Scheme == "https" && u.Hostname() != "", u.Scheme == "http" && isLoopback(u.Hostname()):
	case u.Scheme == "http":
		l.fault(place, "codes would travel over plain http", "use https; http is for this machine only")
	case !strings.Contains(u.Scheme, "."):
		l.fault(place, fmt.Sprintf("the scheme %q is not taken", u.Scheme), "use https, or for an app a scheme of its own like com.example.app")
	}
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// needsClients finds a token API that nobody could use.
func (l *loader) needsClients(dialectName, place string) {
	d, err := dialect.Open(dialectName, dialect.Settings{})
	if err == nil && d.Clients && len(l.file.raw.Clients) == 0 {
		l.fault(place, dialectName+" is for OAuth clients, and there are none", "list them under clients")
	}
}

// speaksAs reads the OAuth client as which the gateway speaks to a backend.
func (l *loader) speaksAs(b *Backend, id string, secret token.Secret, at placer) {
	b.ClientID, b.ClientSecret = id, secret
	d, err := dialect.Open(b.Speak, dialect.Settings{})
	switch {
	case id == "" && secret.IsZero():
		if err == nil && d.Clients {
			l.fault(at("client_id"), "it is missing, and "+b.Speak+" is for OAuth clients", "name the client that the backend knows the gateway by")
		}
	case id == "":
		l.fault(at("client_id"), "it is missing, and there is a client secret", "name the client that has it")
	case b.Speak != "" && (err != nil || !d.Clients):
		l.fault(at("client_id"), "the backend's token API knows no clients", "take it out")
	}
}
