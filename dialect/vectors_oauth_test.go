package dialect_test

import (
	"encoding/base64"
	"encoding/json"
	"math/big"
	"time"

	"github.com/gatehouse-gateway/gatehouse/dialect/vectors"
	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// decide notes what a person's telephone does.
func (s *stage) decide(to vectors.Switches) {
	switch {
	case to.Approve != "":
		s.challenge = "success"
	case to.Deny != "":
		s.challenge = "denied"
	}
}

// granted is what the session rules add to the tokens of an OAuth client.
func (s *stage) granted(g token.Grant, set *token.Set) {
	if !s.d.Clients {
		return
	}
	if g.Client != nil {
		s.client = g.Client.ID
	}
	for _, c := range s.fixtures.Clients {
		if c.ClientID == s.client {
			set.ExpiresIn = c.AccessTTL.Duration()
		}
	}
	set.Scopes, set.Factor = []string{"read"}, g.Factor != nil
}

// oauth makes what the gateway would answer to a call of an OAuth server.
func (s *stage) oauth(g token.Grant) token.Set {
	s.Helper()
	const origin = "https://gate.example.com"
	id := s.identity()
	switch g.Op {
	case token.OpCode:
		set := s.tokens(id)
		set.Op = g.Op
		s.granted(g, &set)
		set.Scopes = []string{"openid"}
		var err error
		set.IDToken, err = s.d.Tokens.MintID(testKeys(), token.IDToken{
			Origin: origin, Subject: "1", Client: g.Client.ID, Nonce: s.nonce, Access: set.Access, IssuedAt: time.Now(),
		})
		if err != nil {
			s.Fatal(err)
		}
		return set
	case token.OpAuthorize:
		s.nonce = g.Code.Nonce
		return token.Set{Redirect: &token.Redirect{URI: g.Code.RedirectURI, State: g.Code.State, Code: token.NewSecret("04yjZyQNtsRKe9yzFBnmj9gf4wCdsY")}}
	case token.OpPoll:
		c := &token.Challenge{Challenge: "otp", Method: "ftm-push", Session: g.Factor.Session, Status: "pending"}
		if s.challenge != "" {
			c.Status = s.challenge
		}
		if c.Status == "success" {
			c.Response = token.NewSecret("3njPWHp6LgXtRwwXabEN")
		}
		return token.Set{Challenge: c}
	case token.OpVerify:
		return token.Set{Identity: id, ExpiresIn: time.Hour}
	case token.OpKeys:
		return token.Set{Keys: publicKeys(s)}
	case token.OpDiscovery:
		return token.Set{Origin: origin}
	}
	return token.Set{}
}

// publicKeys is the JWKS of the test's key.
func publicKeys(s *stage) []byte {
	s.Helper()
	_, key := testKeys().Signing()
	b64 := base64.RawURLEncoding.EncodeToString
	b, err := json.Marshal(map[string]any{"keys": []map[string]string{{
		"kty": "RSA", "alg": "RS256", "use": "sig", "kid": session.Thumbprint(&key.PublicKey),
		"n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes()),
	}}})
	if err != nil {
		s.Fatal(err)
	}
	return b
}
