package upstream

import (
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-gateway/gatehouse/seal"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// ownPool is the pool of duties of a pass-through backend, whose sessions
// belong to no account of ours.
const ownPool = "own"

// names makes what is stored in place of account names and credentials, and
// seals tokens. Its digests are keyed: who reads the store cannot try names or
// passwords against them.
type names struct {
	backend    string
	keyring    *seal.Keyring
	owner      seal.MAC
	credential seal.MAC
	challenge  seal.MAC
}

func newNames(k *seal.Keyring, backend string) names {
	return names{
		backend: backend, keyring: k,
		owner: k.MAC("backend account"), credential: k.MAC("backend credential"), challenge: k.MAC("backend challenge"),
	}
}

// account returns the owner that an account's record is kept under. Tokens belong
// to an OAuth client too, and one of an application token is of another kind.
func (n names) account(a *Account, c *token.Client) string {
	text := fmt.Sprintf("%q %q", n.backend, a.Username)
	if c != nil || a.ApplicationToken {
		text = fmt.Sprintf("%s %q %v", text, clientOf(c).ID, a.ApplicationToken)
	}
	return "a." + n.owner.Digest(text)[0]
}

// user returns the owner under which the login attempts of a pass-through user
// are counted. It is never the owner of tokens.
func (n names) user(g token.Grant) string {
	return "a." + n.owner.Digest(fmt.Sprintf("user %q %q %q", n.backend, g.Realm, g.Username))[0]
}

// digest returns what stands for a user name with its password, the client that
// sends them, and the answer to a challenge.
func (n names) digest(g token.Grant) string {
	text := fmt.Sprintf("%q %q %q %q", n.backend, g.Realm, g.Username, g.Password.Reveal())
	if c := g.Client; c != nil {
		text = fmt.Sprintf("%s %q %q", text, c.ID, c.Secret.Reveal())
	}
	if f := g.Factor; f != nil {
		text = fmt.Sprintf("%s factor %q %q %q %q", text, f.Challenge, f.Method, f.Session, f.Response.Reveal())
	}
	return n.credential.Digest(text)[0]
}

// address returns what stands for where the gateway logs in, how, and as whom.
func (n names) address(cfg *Config) string {
	a, c, d := cfg.Account, clientOf(cfg.Client), cfg.Dialect
	if a == nil {
		a = &Account{}
	}
	text := fmt.Sprintf("address %q %q %q %q %q %q %v", cfg.URL, a.Username, a.Password.Reveal(),
		c.ID, c.Secret.Reveal(), a.TOTPSecret.Reveal(), a.ApplicationToken)
	if d != nil {
		text = fmt.Sprintf("%s %q %q", text, d.ID(), d.Versions)
	}
	return n.credential.Digest(text)[0]
}

func place(r Ref, field string, version uint64) seal.Place {
	return seal.Place{Owner: r.Owner, Backend: r.Backend, Field: field, Version: version}
}

// seal turns tokens into the record that is committed now: what is left of
// their life is counted from now.
func (n names) seal(r Ref, t *tokens) Record {
	rec := Record{Version: t.version, Life: t.life}
	if t.life > 0 {
		rec.Left = time.Until(t.expires)
	}
	rec.Access = n.keyring.Seal(place(r, "access", t.version), []byte(t.access.Reveal()))
	if !t.refresh.IsZero() {
		rec.Refresh = n.keyring.Seal(place(r, "refresh", t.version), []byte(t.refresh.Reveal()))
	}
	return rec
}

// open reads a record back. The error is seal.ErrUnsealable or says that the
// record holds no tokens.
func (n names) open(r Ref, rec Record) (*tokens, error) {
	if rec.Access == "" {
		return nil, errNoTokens
	}
	access, err := n.keyring.Open(place(r, "access", rec.Version), rec.Access)
	if err != nil {
		return nil, fmt.Errorf("upstream: stored access token: %w", err)
	}
	var refresh []byte
	if rec.Refresh != "" {
		if refresh, err = n.keyring.Open(place(r, "refresh", rec.Version), rec.Refresh); err != nil {
			return nil, fmt.Errorf("upstream: stored refresh token: %w", err)
		}
	}
	t := &tokens{version: rec.Version, access: token.NewSecret(string(access)), refresh: token.NewSecret(string(refresh))}
	t.times(rec.Life, rec.Left)
	return t, nil
}

// errNoTokens says that a record holds no tokens: none were committed yet, or
// they were logged out.
var errNoTokens = errors.New("upstream: no tokens are stored")

// clientOf returns the client, or one without a name for none.
func clientOf(c *token.Client) token.Client {
	if c == nil {
		return token.Client{}
	}
	return *c
}
