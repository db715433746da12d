package session

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// Times of authorization codes.
const (
	codeLife = time.Minute      // RFC 6749 section 4.1.2 allows ten
	codeKept = 10 * time.Minute // how long a redeemed one is recognised
	codeLen  = 30               // characters, as on the vendor's page
	maxNonce = 1024
)

// Code is what the store keeps of an authorization code: to whom it was given,
// and for whom. The code itself is not in it.
type Code struct {
	Client      string         `json:"client"`
	RedirectURI string         `json:"redirect_uri"`
	Scopes      []string       `json:"scopes"`
	Nonce       string         `json:"nonce,omitempty"`
	Challenge   string         `json:"challenge,omitempty"` // S256, RFC 7636; empty: none
	Identity    token.Identity `json:"identity"`
	AMR         []string       `json:"amr,omitempty"` // how the user proved himself
	TakenBy     token.SID      `json:"-"`             // the session made of it; zero: none yet
	Made        time.Time      `json:"-"`             // by the store's clock
}

// Codes keeps authorization codes by keyed digests of 32 hex digits. Every method
// is one atomic change, and a repeat of it changes nothing.
type Codes interface {
	// PutCode keeps a code for so long.
	PutCode(ctx context.Context, digest string, c Code, life time.Duration) error
	// FindCode reads a code, also one that was taken while the store still keeps
	// it, or returns ErrNotFound.
	FindCode(ctx context.Context, digest string) (Code, error)
	// TakeCode notes which session is made of a code and returns the one noted
	// first: by itself, if nobody else was. The code is then kept for so long
	// from now. ErrNotFound if there is no such code.
	TakeCode(ctx context.Context, digest string, by token.SID, keep time.Duration) (token.SID, error)
}

// What clients are told of a code, all causes alike.
var errInvalidCode = token.Fail(token.InvalidRefresh, "The authorization code is not valid any more, or belongs to another request.", nil)

// Authorize makes an authorization code for a client and the user of a browser
// session (RFC 6749 section 4.1). Where the answer may go to the client's
// address it is a Redirect, with a code or an error in it. An unknown client or
// address is a *token.Error of kind Malformed and goes nowhere; no browser
// session is Missing.
func (m *Manager) Authorize(ctx context.Context, iss *Issuer, by *Session, g token.Grant) (token.Set, error) {
	if by == nil || by.Kind != KindPortal || by.Source != iss.Source {
		return token.Set{}, token.Fail(token.Missing, "Sign in with a browser first.", nil)
	}
	c, ok := iss.Clients.find(g.Client)
	if !ok {
		return token.Set{}, token.Fail(token.Malformed, "The application that sent you here is not known to the gateway.", nil)
	}
	uri, ok := c.redirectURI(g.Code.RedirectURI)
	if !ok {
		return token.Set{}, token.Fail(token.Malformed, "The application that sent you here gave an address to come back to that is not registered for it.", nil)
	}
	back := &token.Redirect{URI: uri, State: g.Code.State}
	code, err := m.issueCode(ctx, iss, c, Code{
		Client: c.ID, RedirectURI: uri, Nonce: g.Code.Nonce, Challenge: g.Code.Challenge, Identity: by.Identity, AMR: by.AMR,
	}, g)
	if err != nil {
		e, ok := errors.AsType[*token.Error](err)
		if !ok {
			e = token.Fail(token.Internal, "", err)
		}
		m.o.Log.InfoContext(ctx, "no authorization code was made", "client", c.ID, "error", err)
		back.Err = e
	}
	back.Code = code
	return token.Set{Redirect: back}, nil
}

// redirectURI returns the registered address that is meant: the one named, or
// the only one.
func (c *Client) redirectURI(named string) (string, bool) {
	if named == "" && len(c.RedirectURIs) == 1 {
		return c.RedirectURIs[0], true
	}
	return named, slices.Contains(c.RedirectURIs, named)
}

// issueCode checks a request whose answer may go to the client, and keeps the
// code that it gets.
func (m *Manager) issueCode(ctx context.Context, iss *Issuer, c *Client, kept Code, g token.Grant) (token.Secret, error) {
	if err := m.checkCodeRequest(iss, c, g.Code); err != nil {
		return token.Secret{}, err
	}
	scopes, err := c.scopes(g.Scopes, "openid")
	if err != nil {
		return token.Secret{}, err
	}
	kept.Scopes = scopes
	code := token.NewSecret((rand.Text() + rand.Text())[:codeLen]) // 5 random bits a character
	digest := m.codes.grants.Digest(codeName(iss, code))[0]
	err = m.ask(ctx, "put code", func(ctx context.Context) error {
		return m.o.Codes.PutCode(ctx, digest, kept, codeLife)
	})
	if err != nil {
		return token.Secret{}, err
	}
	return code, nil
}

// codeName is what is digested of a code: it is good at the issuer that made it,
// for users of the one source.
func codeName(iss *Issuer, code token.Secret) string {
	return strings.Join([]string{iss.Name, iss.Source, code.Reveal()}, "\x00")
}

func (m *Manager) checkCodeRequest(iss *Issuer, c *Client, r *token.CodeRequest) error {
	switch {
	case m.o.Codes == nil || iss.Backend != nil || !c.may(GrantCode):
		return errUnauthorizedClient
	case r.ResponseType == "":
		return token.Fail(token.Malformed, "response_type is needed.", nil)
	case r.ResponseType != "code":
		return token.Fail(token.UnsupportedGrant, "The only response_type is code.", nil)
	case len(r.Nonce) > maxNonce:
		return token.Fail(token.Malformed, "The nonce has more than 1024 bytes.", nil)
	case r.Challenge == "" && r.ChallengeMethod == "" && !c.Public:
		return nil
	case r.ChallengeMethod != "S256" || !isSHA256(r.Challenge):
		return token.Fail(token.Malformed, "A code_challenge of method S256 is needed.", nil)
	}
	return nil
}

// isSHA256 reports whether s is a SHA-256 in unpadded base64url.
func isSHA256(s string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(b) == sha256.Size && base64.RawURLEncoding.EncodeToString(b) == s
}

// Redeem trades an authorization code for the tokens of a new session (RFC 6749
// section 4.1.3). A code is good once: used again by its own client it ends the
// session that was made of it (RFC 9700 section 4.5).
//
// Errors are *token.Error: InvalidClient, UnauthorizedClient, Unavailable, and
// InvalidRefresh for every code that is no good.
func (m *Manager) Redeem(ctx context.Context, iss *Issuer, g token.Grant) (token.Set, error) {
	set, err := m.redeem(ctx, iss, g)
	m.o.Recorder.Login(iss.Dialect, loginOutcome(err))
	return set, err
}

func (m *Manager) redeem(ctx context.Context, iss *Issuer, g token.Grant) (token.Set, error) {
	iss, err := iss.forGrant(g, GrantCode)
	if err != nil {
		return token.Set{}, err
	}
	if m.o.Codes == nil || iss.client == nil || iss.Backend != nil {
		return token.Set{}, errUnauthorizedClient
	}
	code, digest, err := m.findCode(ctx, iss, g.Code.Code)
	if err != nil {
		return token.Set{}, err
	}
	if code.Client != iss.client.ID {
		return token.Set{}, errInvalidCode // and its own client may still use it
	}
	if !code.TakenBy.IsZero() {
		return token.Set{}, m.codeReused(ctx, code.TakenBy)
	}
	if !code.fits(g.Code) {
		return token.Set{}, errInvalidCode
	}
	return m.openByCode(ctx, iss, code, digest, g.Origin)
}

// findCode asks the store about a code that could be one of ours.
func (m *Manager) findCode(ctx context.Context, iss *Issuer, text token.Secret) (code Code, digest string, err error) {
	if s := text.Reveal(); len(s) != codeLen || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" {
		return code, "", errInvalidCode
	}
	for _, digest := range m.codes.grants.Digest(codeName(iss, text)) {
		err := m.ask(ctx, "find code", func(ctx context.Context) (err error) {
			code, err = m.o.Codes.FindCode(ctx, digest)
			return err
		})
		if !errors.Is(err, ErrNotFound) {
			return code, digest, err
		}
	}
	return code, "", errInvalidCode
}

// fits reports whether a redemption goes with the request that the code was made
// for. The address may be left out, as on the vendor's page. A verifier without a
// challenge is refused: somebody took the challenge away (RFC 9700 section 4.8).
func (c *Code) fits(r *token.CodeRequest) bool {
	if r.RedirectURI != "" && r.RedirectURI != c.RedirectURI {
		return false
	}
	verifier := r.Verifier.Reveal()
	if c.Challenge == "" || verifier == "" {
		return c.Challenge == verifier // both are empty
	}
	if len(verifier) < 43 || len(verifier) > 128 { // RFC 7636 section 4.1
		return false
	}
	sum := sha256.Sum256([]byte(verifier))
	return subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(c.Challenge)) == 1
}

// openByCode makes the session of a code. It is written before the code is taken
// for it, so that whoever comes second finds a session to end.
func (m *Manager) openByCode(ctx context.Context, iss *Issuer, code Code, digest, origin string) (token.Set, error) {
	rec := Record{SID: token.NewSID(), Identity: code.Identity, Origin: Origin{
		Kind: KindLogin, Issuer: iss.Name, Source: iss.Source, Client: code.Client, Scopes: code.Scopes, AMR: code.AMR, Proved: code.Made,
	}}
	id, ok := m.current(&rec)
	if !ok {
		return token.Set{}, errInvalidCode
	}
	if iss.Permit != nil {
		if refused := iss.Permit(id); refused != nil {
			return token.Set{}, refused
		}
	}
	rec.Identity = id
	rec, err := m.create(ctx, rec, lifeOf(iss, KindLogin))
	if err != nil {
		return token.Set{}, err
	}
	var first token.SID
	err = m.ask(ctx, "take code", func(ctx context.Context) (err error) {
		first, err = m.o.Codes.TakeCode(ctx, digest, rec.SID, codeKept)
		return err
	})
	switch {
	case errors.Is(err, ErrNotFound):
		return token.Set{}, m.abandon(ctx, &rec, errInvalidCode)
	case err != nil:
		return token.Set{}, m.abandon(ctx, &rec, err)
	case first != rec.SID:
		_ = m.abandon(ctx, &rec, nil) // it logs what goes wrong
		return token.Set{}, m.codeReused(ctx, first)
	}
	return m.handOutByCode(ctx, iss, &rec, code, origin)
}

// handOutByCode mints the tokens of a session made of a code, with an id_token
// where the client asked for one.
func (m *Manager) handOutByCode(ctx context.Context, iss *Issuer, rec *Record, code Code, origin string) (token.Set, error) {
	err := m.bound(ctx, rec)
	if errors.Is(err, ErrOutdated) {
		err = errInvalidCode
	}
	if err != nil {
		return token.Set{}, m.abandon(ctx, rec, err)
	}
	set, err := m.mint(iss, rec, rec.Identity, rec.Made)
	if err == nil && iss.MintID != nil && slices.Contains(code.Scopes, "openid") {
		set.IDToken, err = iss.MintID(token.IDToken{
			Origin: origin, Subject: rec.Identity.ID, Client: code.Client, Nonce: code.Nonce,
			Access: set.Access, IssuedAt: rec.Made, TTL: iss.client.IDTokenTTL,
		})
	}
	if err != nil {
		return token.Set{}, m.abandon(ctx, rec, token.Fail(token.Internal, "", err))
	}
	m.o.Recorder.Opened()
	return set, nil
}

// codeReused ends the session that was made of a code that was used again.
func (m *Manager) codeReused(ctx context.Context, sid token.SID) error {
	m.o.Log.WarnContext(ctx, "authorization code was used again", "session", sid.Short())
	if err := m.End(ctx, sid, reasonReuse); err != nil {
		return err
	}
	return errInvalidCode
}
