package dialect

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// -> GET /api/v1/oauth/authorize/

// facReadAuthorize reads RFC 6749 section 4.1.1 with RFC 7636 and the nonce of
// OpenID Connect. What cannot be read goes to no address: it could be anybody's.
func facReadAuthorize(r *http.Request) (token.Grant, error) {
	p, err := facQuery(r)
	if err != nil {
		return token.Grant{}, err
	}
	g := token.Grant{Op: token.OpAuthorize, Scopes: p.scopes(), Code: &token.CodeRequest{
		ResponseType: p.text("response_type"), RedirectURI: p.text("redirect_uri"), State: p.text("state"),
		Nonce: p.text("nonce"), Challenge: p.text("code_challenge"), ChallengeMethod: p.text("code_challenge_method"),
	}}
	id := p.text("client_id")
	if id == "" {
		return token.Grant{}, errors.New("dialect: read the request: client_id is needed")
	}
	g.Client = &token.Client{ID: id}
	return g, nil
}

// <- 302

// facRedirectErrors are the codes of RFC 6749 section 4.1.2.1.
var facRedirectErrors = map[token.Kind]string{
	token.Malformed:          "invalid_request",
	token.UnauthorizedClient: "unauthorized_client",
	token.UnsupportedGrant:   "unsupported_response_type",
	token.InvalidScope:       "invalid_scope",
	token.Denied:             "access_denied",
	token.Unavailable:        "temporarily_unavailable",
}

// facWriteRedirect sends the browser to the client's own address with a code or
// an error. Both are parameters of the URL, so nothing in them is ever markup.
func facWriteRedirect(w http.ResponseWriter, s token.Set) error {
	if s.Redirect == nil {
		return errors.New("dialect: write the redirect: no address")
	}
	to, err := url.Parse(s.Redirect.URI)
	if err != nil {
		return errors.New("dialect: write the redirect: the address is no URL")
	}
	query := url.Values{}
	if e := s.Redirect.Err; e != nil {
		query.Set("error", cmp.Or(facRedirectErrors[e.Kind], "server_error"))
		query.Set("error_description", facErrorOf(e).msg)
	} else {
		query.Set("code", s.Redirect.Code.Reveal())
	}
	if s.Redirect.State != "" {
		query.Set("state", s.Redirect.State)
	}
	if to.RawQuery != "" { // what is registered stays as it is, and first
		to.RawQuery += "&"
	}
	to.RawQuery += query.Encode()
	h := w.Header()
	h.Set("Location", to.String())
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Length", "0")
	w.WriteHeader(http.StatusFound)
	return nil
}

// facIDTTL is the life of an id_token: in the page's example exp is iat plus
// 36000 where the access token lives 3600.
const facIDTTL = 36000 * time.Second

// facIDClaims are the claims of the page's example, and the nonce that OpenID
// Connect Core section 3.1.3.7 has a client look for.
type facIDClaims struct {
	Aud    string `json:"aud"`
	Iat    int64  `json:"iat"`
	AtHash string `json:"at_hash"`
	Sub    string `json:"sub"`
	Iss    string `json:"iss"`
	Exp    int64  `json:"exp"`
	Jti    string `json:"jti"`
	Nonce  string `json:"nonce,omitempty"`
}

// mintID makes an id_token.
func (v fac) mintID(k Keys, t token.IDToken) (token.Secret, error) {
	issued := t.IssuedAt.Unix()
	return signJWT(k, facIDClaims{
		Aud: t.Client, Iat: issued, AtHash: facAtHash(t.Access), Sub: t.Subject, Iss: v.issuer(t.Origin),
		Exp: issued + int64(cmp.Or(t.TTL, facIDTTL)/time.Second), Jti: uuid4(), Nonce: t.Nonce,
	})
}

// facAtHash is the left half of the SHA-256 of an access token (OpenID Connect
// Core section 3.1.3.6).
func facAtHash(access token.Secret) string {
	sum := sha256.Sum256([]byte(access.Reveal()))
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}

// uuid4 draws a UUID (RFC 9562 section 5.4).
func uuid4() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// issuer is what id_tokens name as iss: below the gateway's own URL, as OpenID
// Connect Discovery wants it, or as the vendor's page has it.
func (v fac) issuer(origin string) string {
	if v.VendorDiscovery {
		return facOAPI
	}
	return origin + facOAPI
}

// <- GET /api/v1/oauth/.well-known/…

// facMetadata is OpenID Connect Discovery section 3 and RFC 8414 section 2 in
// one; both documents hold it.
type facMetadata struct {
	Issuer        string   `json:"issuer"`
	Authorization string   `json:"authorization_endpoint"`
	Token         string   `json:"token_endpoint"`
	Userinfo      string   `json:"userinfo_endpoint"`
	Revocation    string   `json:"revocation_endpoint"`
	Introspection string   `json:"introspection_endpoint"`
	Keys          string   `json:"jwks_uri"`
	Responses     []string `json:"response_types_supported"`
	Grants        []string `json:"grant_types_supported"`
	Subjects      []string `json:"subject_types_supported"`
	IDAlgs        []string `json:"id_token_signing_alg_values_supported"`
	Auth          []string `json:"token_endpoint_auth_methods_supported"`
	Challenges    []string `json:"code_challenge_methods_supported"`
	Scopes        []string `json:"scopes_supported"`
	Claims        []string `json:"claims_supported"`
}

// writeDiscovery writes absolute URLs. The vendor's documents name an issuer
// without a host and endpoints with their path doubled, which no client can use;
// who needs them so may set it.
func (v fac) writeDiscovery(w http.ResponseWriter, s token.Set) error {
	base := v.issuer(s.Origin)
	if v.VendorDiscovery {
		base += facOAPI
	}
	at := func(call string) string { return base + call }
	return facWriteJSON(w, http.StatusOK, facMetadata{
		Issuer: v.issuer(s.Origin), Authorization: at("/authorize/"), Token: at("/token/"), Userinfo: at("/userinfo/"),
		Revocation: at("/revoke_token/"), Introspection: at("/introspect/"), Keys: at("/.well-known/keys/"),
		Responses: []string{"code"}, Grants: []string{facCode, facRefresh, facPassword},
		Subjects: []string{"public"}, IDAlgs: []string{"RS256"},
		Auth: []string{"client_secret_post", "client_secret_basic"}, Challenges: []string{"S256"},
		Scopes: []string{"openid", "read"},
		Claims: strings.Fields("aud iat at_hash sub iss exp jti nonce"),
	})
}

func facWriteKeys(w http.ResponseWriter, s token.Set) error {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(s.Keys)))
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	_, err := w.Write(s.Keys)
	return err
}
