package dialect

import (
	"crypto/rand"
	"strings"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// BackendJWT makes the JWTs by which a backend without a token API learns who is
// calling. They are for that backend alone: no dialect takes one for an access
// token of its own.
type BackendJWT struct {
	Keys     Keys
	Issuer   string        // iss: the backend is told to expect it
	Audience string        // aud: likewise
	TTL      time.Duration // how long a JWT is good; at least a second
}

// backendClaims are the claims of RFC 7519 section 4.1, preferred_username and
// email of OpenID Connect Core section 5.1, groups of RFC 9068 section 2.2.3.1,
// and scope of RFC 8693 section 4.2. There is no name: that is a person's full
// name, which is not known. What is empty is left out.
type backendClaims struct {
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"` // the id of the user
	Audience string   `json:"aud"`
	Expires  int64    `json:"exp"`
	Earliest int64    `json:"nbf"`
	Issued   int64    `json:"iat"`
	ID       string   `json:"jti"` // at random
	Username string   `json:"preferred_username"`
	Email    string   `json:"email,omitempty"`
	Groups   []string `json:"groups,omitempty"`
	Scope    string   `json:"scope,omitempty"` // separated by spaces
}

// Mint makes a JWT about a caller, good from now on for TTL, rounded up to a
// whole second. It fails for somebody with so many groups that the JWT would be
// over 8 KiB.
func (b BackendJWT) Mint(c token.Caller) (token.Secret, error) {
	now := time.Now()
	return signJWT(b.Keys, backendClaims{
		Issuer:   b.Issuer,
		Subject:  c.Identity.ID,
		Audience: b.Audience,
		Expires:  now.Add(b.TTL + time.Second - 1).Unix(),
		Earliest: now.Unix(),
		Issued:   now.Unix(),
		ID:       rand.Text(),
		Username: c.Identity.Name,
		Email:    c.Identity.Email,
		Groups:   c.Identity.Groups,
		Scope:    strings.Join(c.Scopes, " "),
	})
}
