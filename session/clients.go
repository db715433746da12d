package session

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"slices"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// The grants that a client may be allowed.
const (
	GrantPassword = "password"
	GrantCode     = "authorization_code"
	GrantRefresh  = "refresh_token"
)

// Client is an OAuth client that the operator has listed.
type Client struct {
	ID           string
	Secret       token.Secret // zero for a public client
	Public       bool         // it cannot keep a secret (RFC 6749 section 2.1)
	Grants       []string
	RedirectURIs []string // compared byte for byte
	Scopes       []string // what it may have; a grant that names none gets them all
	AccessTTL    time.Duration
	NeverAs      time.Duration // see token.Set.NeverAs
	IDTokenTTL   time.Duration // 0: the vendor's
}

// Clients are the clients of an OAuth server. They never change and are safe for
// concurrent use.
type Clients struct {
	key  []byte // of the digests of secrets; ends with the process
	byID map[string]*known
}

type known struct {
	Client
	digest []byte // of its secret
}

// NewClients returns the clients of a list whose ids differ.
func NewClients(list []Client) *Clients {
	c := &Clients{key: make([]byte, 32), byID: map[string]*known{}}
	rand.Read(c.key)
	for _, one := range list {
		c.byID[one.ID] = &known{Client: one, digest: c.digest(one.Secret)}
	}
	return c
}

func (c *Clients) digest(secret token.Secret) []byte {
	h := hmac.New(sha256.New, c.key)
	h.Write([]byte(secret.Reveal()))
	return h.Sum(nil)
}

// find returns the client of an id, without proof.
func (c *Clients) find(given *token.Client) (*Client, bool) {
	if c == nil || given == nil {
		return nil, false
	}
	k, ok := c.byID[given.ID]
	if !ok {
		return nil, false
	}
	return &k.Client, true
}

// prove returns the client that has named and proved itself. Nobody is asked for
// it, and an unknown id costs what a wrong secret does. A secret for a public
// client is wrong: it has none.
func (c *Clients) prove(given *token.Client) (*Client, error) {
	if given == nil {
		return nil, errInvalidClient
	}
	k, ok := c.byID[given.ID]
	want := c.key // no digest of anything
	if ok {
		want = k.digest
	}
	if !hmac.Equal(c.digest(given.Secret), want) || !ok {
		return nil, errInvalidClient
	}
	return &k.Client, nil
}

// may reports whether a client may use a grant.
func (c *Client) may(grant string) bool { return slices.Contains(c.Grants, grant) }

// scopes returns what a grant gives to a client that asks for some scopes, or
// for none in particular. Further ones may be asked for besides the client's.
func (c *Client) scopes(asked []string, further ...string) ([]string, error) {
	if asked == nil {
		return c.Scopes, nil
	}
	for _, s := range asked {
		if !slices.Contains(c.Scopes, s) && !slices.Contains(further, s) {
			return nil, errInvalidScope
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(asked))), nil
}

// as returns the issuer as one client meets it.
func (i *Issuer) as(c *Client) *Issuer {
	own := *i
	own.AccessTTL, own.client = c.AccessTTL, c
	return &own
}

// clientID names the client that an issuer was met by; empty for none.
func (i *Issuer) clientID() string {
	if i.client == nil {
		return ""
	}
	return i.client.ID
}

// accessTTL is the life of access tokens that a client got; false if there is no
// such client any more.
func (i *Issuer) accessTTL(client string) (time.Duration, bool) {
	if i.Clients == nil {
		return i.AccessTTL, true
	}
	c, ok := i.Clients.find(&token.Client{ID: client})
	if !ok {
		return 0, false
	}
	return c.AccessTTL, true
}

// forGrant returns the issuer as the client of a grant meets it, once the client
// has proved itself and may use such a grant; the issuer itself where the API
// knows no clients.
func (i *Issuer) forGrant(g token.Grant, grant string) (*Issuer, error) {
	if i.Clients == nil {
		return i, nil
	}
	c, err := i.Clients.prove(g.Client)
	if err != nil {
		return nil, err
	}
	if !c.may(grant) {
		return nil, errUnauthorizedClient
	}
	return i.as(c), nil
}

// scopesOf returns what the client of an issuer gets for a grant; nil where there
// is none.
func (i *Issuer) scopesOf(g token.Grant) ([]string, error) {
	if i.client == nil {
		return nil, nil
	}
	return i.client.scopes(g.Scopes)
}

// otherRealm reports whether a user of a realm that has to be named was not.
func (i *Issuer) otherRealm(g token.Grant, id token.Identity) bool {
	return i.DefaultRealm != "" && g.Realm == "" && id.Realm != "" && id.Realm != i.DefaultRealm
}

var (
	errInvalidClient      = token.Fail(token.InvalidClient, "Unknown client or wrong client secret.", nil)
	errUnauthorizedClient = token.Fail(token.UnauthorizedClient, "This client may not use this grant; allow it in the configuration of the gateway.", nil)
	errInvalidScope       = token.Fail(token.InvalidScope, "The client asks for scopes that it may not have.", nil)
)

// clientFault reports whether a client itself was refused, before anything was
// asked about what it presents.
func clientFault(err error) bool {
	switch token.KindOf(err) {
	case token.InvalidClient, token.UnauthorizedClient, token.InvalidScope, token.UnsupportedGrant:
		return true
	}
	return false
}
