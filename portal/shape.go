package portal

import (
	"encoding/base64"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// Shape is how the portal's tokens look: the access token is the core in
// unpadded base64url (RFC 4648 section 5), 30 characters; there are no refresh
// tokens.
type Shape struct{}

var _ session.Shape = Shape{}

var accessLength = base64.RawURLEncoding.EncodedLen(len(token.Core{}))

// MintAccess writes the core.
func (Shape) MintAccess(_ token.Access, core token.Core) (token.Secret, error) {
	return token.NewSecret(base64.RawURLEncoding.EncodeToString(core[:])), nil
}

// ParseAccess reads the core back, with the session id and the generation in
// it. The core is not verified. Any text but the one that MintAccess writes is
// a *token.Error of kind InvalidAccess.
func (Shape) ParseAccess(text token.Secret) (token.Access, *token.Core, error) {
	core, ok := parseCore(text.Reveal())
	if !ok {
		return token.Access{}, nil, token.Fail(token.InvalidAccess, "The sign-in cookie is not valid. Sign in again.", nil)
	}
	a := token.Access{Generation: uint32(core[8])<<16 | uint32(core[9])<<8 | uint32(core[10])}
	copy(a.SID[:], core[:8])
	return a, &core, nil
}

// parseCore is strict: encoding/base64 skips line ends, and the last character
// has four bits that say nothing, so what was read must write back the same.
func parseCore(s string) (core token.Core, ok bool) {
	if len(s) != accessLength {
		return core, false
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || base64.RawURLEncoding.EncodeToString(b) != s {
		return core, false
	}
	return token.Core(b), true
}

// MintRefresh returns no token.
func (Shape) MintRefresh(token.Access, token.Core) (token.Secret, error) { return token.Secret{}, nil }

// ParseRefresh takes no token.
func (Shape) ParseRefresh(token.Secret) (token.Access, *token.Core, error) {
	return token.Access{}, nil, token.Fail(token.InvalidRefresh, "", nil)
}
