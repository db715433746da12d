package dialect

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// The grant types of the token endpoint.
const (
	facPassword = "password"
	facRefresh  = "refresh_token"
	facCode     = "authorization_code"
)

// -> POST /api/v1/oauth/token/

// facReadToken reads the three grants of the token endpoint. Parameters that a
// grant does not know are ignored, as the page's own example needs: it redeems a
// code with a user name and a password beside it.
func facReadToken(r *http.Request) (token.Grant, error) {
	p, err := facBody(r)
	if err != nil {
		return token.Grant{}, err
	}
	g := token.Grant{Scopes: p.scopes()}
	if g.Client, err = p.client(r); err != nil {
		return token.Grant{}, err
	}
	switch p.text("grant_type") {
	case facPassword:
		err = p.readPassword(&g)
	case facRefresh:
		g.Op, g.Refresh = token.OpRefresh, p.secret("refresh_token")
		if g.Refresh.IsZero() {
			err = errors.New("dialect: read the refresh: refresh_token is needed")
		}
	case facCode:
		g.Op, g.Code = token.OpCode, &token.CodeRequest{
			RedirectURI: p.text("redirect_uri"), Code: p.secret("code"), Verifier: p.secret("code_verifier"),
		}
		if g.Code.Code.IsZero() {
			err = errors.New("dialect: read the redemption: code is needed")
		}
	case "":
		err = errors.New("dialect: read the grant: grant_type is needed")
	default:
		err = token.Fail(token.UnsupportedGrant, "The grant types are password, refresh_token and authorization_code.", nil)
	}
	if p.err != nil { // what is not a string counts before what is missing
		err = p.err
	}
	if err != nil {
		return token.Grant{}, err
	}
	return g, nil
}

func (p *facParams) readPassword(g *token.Grant) error {
	g.Op, g.Username, g.Realm, g.Password = token.OpLogin, p.text("username"), p.text("realm"), p.secret("password")
	f := token.Factor{
		Challenge: p.text("challenge"), Method: p.text("method"), Session: p.text("session"), Response: p.secret("challenge_response"),
	}
	if f.Challenge != "" || f.Session != "" || !f.Response.IsZero() {
		g.Factor = &f
	}
	if g.Username == "" || g.Password.IsZero() {
		return errors.New("dialect: read the login: username and password are both needed")
	}
	return nil
}

// facGrant is a request to the token endpoint as JSON.
type facGrant struct {
	Username     string  `json:"username,omitempty"`
	Password     string  `json:"password,omitempty"`
	Realm        string  `json:"realm,omitempty"`
	GrantType    string  `json:"grant_type"`
	ClientID     string  `json:"client_id,omitempty"`
	ClientSecret *string `json:"client_secret,omitempty"` // "" for a public client, as the vendor's own clients send it
	RefreshToken string  `json:"refresh_token,omitempty"`
	Scope        string  `json:"scope,omitempty"`
	Challenge    string  `json:"challenge,omitempty"`
	Response     string  `json:"challenge_response,omitempty"`
	Method       string  `json:"method,omitempty"`
	Session      string  `json:"session,omitempty"`
}

// facWriteToken speaks a login or a refresh: JSON, which the vendor takes and a
// form it may not.
func facWriteToken(r *http.Request, g token.Grant) error {
	out := facGrant{Scope: strings.Join(g.Scopes, " ")}
	if g.Client != nil {
		secret := g.Client.Secret.Reveal()
		out.ClientID, out.ClientSecret = g.Client.ID, &secret
	}
	switch g.Op {
	case token.OpLogin:
		out.GrantType, out.Username, out.Password, out.Realm = facPassword, g.Username, g.Password.Reveal(), g.Realm
		if f := g.Factor; f != nil {
			out.Challenge, out.Method, out.Session, out.Response = f.Challenge, f.Method, f.Session, f.Response.Reveal()
		}
	case token.OpRefresh:
		out.GrantType, out.RefreshToken = facRefresh, g.Refresh.Reveal()
	default:
		return fmt.Errorf("dialect: write the grant: %s is not spoken", g.Op)
	}
	return setJSON(r, out)
}

// <- 200

type facTokens struct {
	AccessToken  string `json:"access_token"`
	ExpiresIn    *int64 `json:"expires_in,omitempty"` // 0 is never
	Message      string `json:"message,omitempty"`
	RefreshToken string `json:"refresh_token"` // always a string: clients fail on null
	Scope        string `json:"scope"`
	Status       string `json:"status,omitempty"`
	TokenType    string `json:"token_type"`
	IDToken      string `json:"id_token,omitempty"`
}

// facSuccess is the status of every success, and the one that clients ask for.
const facSuccess = "success"

// facWriteTokens writes what the page shows: a message after a plain login and
// after a refresh, none after a challenge, and after a code neither message nor
// status.
func facWriteTokens(w http.ResponseWriter, s token.Set) error {
	out := facTokens{
		AccessToken: s.Access.Reveal(), ExpiresIn: facExpiresIn(s), RefreshToken: s.Refresh.Reveal(),
		Scope: strings.Join(s.Scopes, " "), Status: facSuccess, TokenType: "Bearer", IDToken: s.IDToken.Reveal(),
	}
	switch {
	case s.Op == token.OpCode:
		out.Status = ""
	case s.Op == token.OpRefresh:
		out.Message = "Token has been refreshed successfully"
	case !s.Factor:
		out.Message = "successfully authenticated"
	}
	return facWriteJSON(w, http.StatusOK, out)
}

// facExpiresIn returns what is told of a token's life, in whole seconds; nil for
// nothing.
func facExpiresIn(s token.Set) *int64 {
	seconds := int64(max(s.ExpiresIn, time.Second) / time.Second)
	if s.ExpiresIn == 0 {
		if s.NeverAs < 0 {
			return nil
		}
		seconds = int64(s.NeverAs / time.Second)
	}
	return &seconds
}

// facWriteJSON is writeJSON with the second header that RFC 6749 section 5.1 asks
// for.
func facWriteJSON(w http.ResponseWriter, status int, v any) error {
	w.Header().Set("Pragma", "no-cache")
	return writeJSON(w, status, v)
}

// facLongest is the longest life that is believed, in seconds: what a signed 32
// bit number holds, which some servers send for never.
const facLongest = 1<<31 - 1

// facReadTokens reads a success strictly: a life that is a string, negative or
// absurd, a status other than success, or another type of token is an error. A
// life that is not told is none.
func facReadTokens(resp *http.Response) (token.Set, error) {
	o, err := answerObject(resp)
	if err != nil {
		return token.Set{}, err
	}
	p := &facParams{o: o}
	set := token.Set{Scopes: p.scopes()}
	switch status, kind := p.text("status"), p.text("token_type"); {
	case p.err != nil:
		return token.Set{}, p.err
	case status != "" && status != facSuccess:
		return token.Set{}, errors.New("dialect: the backend's answer: its status is not success")
	case !strings.EqualFold(kind, "Bearer"):
		return token.Set{}, errors.New("dialect: the backend's answer: token_type is not Bearer")
	}
	if !o.isNull("expires_in") {
		n, err := o.integer("expires_in")
		if err != nil || n < 0 || n > facLongest {
			return token.Set{}, errors.New("dialect: the backend's answer: expires_in is no number of seconds")
		}
		set.ExpiresIn = time.Duration(n) * time.Second
	}
	if set.Access, err = o.secret("access_token"); err != nil {
		return token.Set{}, err
	}
	for key, to := range map[string]*token.Secret{"refresh_token": &set.Refresh, "id_token": &set.IDToken} {
		if p.text(key) == "" {
			continue // none; what is not a string is found below
		}
		if *to, err = o.secret(key); err != nil {
			return token.Set{}, err
		}
	}
	return set, p.err
}
