package dialect

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// facReadOp is for calls that carry nothing.
func facReadOp(op token.Op) func(*http.Request) (token.Grant, error) {
	return func(*http.Request) (token.Grant, error) { return token.Grant{Op: op}, nil }
}

// -> GET /api/v1/pushpoll/?s=

func facReadPoll(r *http.Request) (token.Grant, error) {
	p, err := facQuery(r)
	if err != nil {
		return token.Grant{}, err
	}
	session := p.text("s")
	if session == "" {
		return token.Grant{}, errors.New("dialect: read the poll: the session is missing; send it as s")
	}
	return token.Grant{Op: token.OpPoll, Factor: &token.Factor{Session: session}}, nil
}

func facQuery(r *http.Request) (*facParams, error) {
	o, err := facForm(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	return &facParams{o: o}, nil
}

func facWritePoll(r *http.Request, g token.Grant) error {
	if g.Factor == nil || g.Factor.Session == "" {
		return errors.New("dialect: write the poll: no session")
	}
	r.URL.RawQuery = url.Values{"s": {g.Factor.Session}}.Encode()
	return nil
}

// facChallenge is a challenge on the wire: the body of a 406 and of a poll.
type facChallenge struct {
	Challenge string `json:"challenge"`
	Response  string `json:"challenge_response,omitempty"`
	Method    string `json:"method"`
	Session   string `json:"session,omitempty"`
	Status    string `json:"status"`
}

func facChallengeOf(c token.Challenge) facChallenge {
	return facChallenge{Challenge: c.Challenge, Response: c.Response.Reveal(), Method: c.Method, Session: c.Session, Status: c.Status}
}

func facWriteChallenge(w http.ResponseWriter, s token.Set) error {
	if s.Challenge == nil {
		return errors.New("dialect: write the poll: no challenge")
	}
	return facWriteJSON(w, http.StatusOK, facChallengeOf(*s.Challenge))
}

// facReadChallenge takes the values as they are: there are more challenges and
// methods than the page names.
func facReadChallenge(o object) (*token.Challenge, error) {
	p := &facParams{o: o}
	c := &token.Challenge{
		Challenge: p.text("challenge"), Method: p.text("method"), Session: p.text("session"),
		Status: p.text("status"), Response: p.secret("challenge_response"),
	}
	if p.err == nil && c.Challenge == "" {
		p.err = errors.New("dialect: the backend's answer holds no challenge")
	}
	return c, p.err
}

func facReadPolled(resp *http.Response) (token.Set, error) {
	o, err := answerObject(resp)
	if err != nil {
		return token.Set{}, err
	}
	c, err := facReadChallenge(o)
	if err != nil {
		return token.Set{}, err
	}
	return token.Set{Challenge: c}, nil
}

// -> GET /api/v1/oauth/verify_token/?client_id=

func facReadVerify(r *http.Request) (token.Grant, error) {
	p, err := facQuery(r)
	if err != nil {
		return token.Grant{}, err
	}
	id := p.text("client_id")
	if id == "" {
		return token.Grant{}, errors.New("dialect: read the verification: client_id is needed")
	}
	access, _ := Bearer{}.Get(r)
	return token.Grant{Op: token.OpVerify, Access: access, Client: &token.Client{ID: id}}, nil
}

type facVerified struct {
	Username  string `json:"username"`
	ExpiresIn int64  `json:"expires_in"` // always a number; 0 is never
}

func facWriteVerified(w http.ResponseWriter, s token.Set) error {
	out := facVerified{Username: s.Identity.Name}
	if n := facExpiresIn(s); n != nil {
		out.ExpiresIn = *n
	}
	return facWriteJSON(w, http.StatusOK, out)
}

// -> POST /api/v1/oauth/revoke_token/

// facReadRevoke reads RFC 7009's request. The hint about the token's kind does
// not matter: each kind proves itself.
func facReadRevoke(r *http.Request) (token.Grant, error) { return facReadOwn(r, token.OpRevoke) }

// facReadOwn reads what a client asks about a token.
func facReadOwn(r *http.Request, op token.Op) (token.Grant, error) {
	p, err := facBody(r)
	if err != nil {
		return token.Grant{}, err
	}
	g := token.Grant{Op: op, Access: p.secret("token")}
	if g.Client, err = p.client(r); err != nil {
		return token.Grant{}, err
	}
	if p.err == nil && g.Access.IsZero() {
		p.err = errors.New("dialect: read the request: token is needed")
	}
	return g, p.err
}

type facRevocation struct {
	ClientID     string `json:"client_id,omitempty"`
	ClientSecret string `json:"client_secret"`
	Token        string `json:"token"`
}

// facWriteRevoke speaks the logout: the vendor has no other.
func facWriteRevoke(r *http.Request, g token.Grant) error {
	if g.Access.IsZero() {
		return errors.New("dialect: write the revocation: no access token")
	}
	out := facRevocation{Token: g.Access.Reveal()}
	if g.Client != nil {
		out.ClientID, out.ClientSecret = g.Client.ID, g.Client.Secret.Reveal()
	}
	return setJSON(r, out)
}

// facWriteNothing answers 200 with an empty object; what the vendor's body is is
// not public. [I]
func facWriteNothing(w http.ResponseWriter, _ token.Set) error {
	return facWriteJSON(w, http.StatusOK, struct{}{})
}

// facReadNothing takes any success: there is nothing in it to learn.
func facReadNothing(*http.Response) (token.Set, error) { return token.Set{}, nil }

// -> GET /api/v1/oauth/userinfo/

func facReadWhoAmI(r *http.Request) (token.Grant, error) {
	access, _ := Bearer{}.Get(r)
	return token.Grant{Op: token.OpWhoAmI, Access: access}, nil
}

func facWriteWhoAmI(r *http.Request, g token.Grant) error {
	access := g.Access
	if g.APIToken != nil && !g.APIToken.Chosen.IsZero() {
		access = g.APIToken.Chosen
	}
	if access.IsZero() {
		return errors.New("dialect: write the who-am-I: no token")
	}
	Bearer{}.Set(r, access)
	return nil
}

type facUserinfo struct {
	Sub      string `json:"sub"`
	Email    string `json:"email"`
	Username string `json:"username"`
	Groups   string `json:"groups"` // names with commas between them
}

func facWriteUserinfo(w http.ResponseWriter, s token.Set) error {
	return facWriteJSON(w, http.StatusOK, facUserinfo{
		Sub: s.Identity.ID, Email: s.Identity.Email, Username: s.Identity.Name, Groups: strings.Join(s.Identity.Groups, ","),
	})
}

func facReadUserinfo(resp *http.Response) (token.Set, error) {
	o, err := answerObject(resp)
	if err != nil {
		return token.Set{}, err
	}
	p := &facParams{o: o}
	id := token.Identity{ID: p.text("sub"), Email: p.text("email"), Name: p.text("username")}
	if groups := p.text("groups"); groups != "" {
		id.Groups = strings.Split(groups, ",")
	}
	if p.err == nil && (id.ID == "" || id.Name == "") {
		p.err = errors.New("dialect: the backend's answer names no user")
	}
	if p.err != nil {
		return token.Set{}, p.err
	}
	return token.Set{Identity: id}, nil
}

// -> POST /api/v1/oauth/introspect/

func facReadIntrospect(r *http.Request) (token.Grant, error) {
	return facReadOwn(r, token.OpIntrospect)
}

// facIntrospected is RFC 7662 section 2.2. Of a token that is not active nothing
// else is told.
type facIntrospected struct {
	Active    bool   `json:"active"`
	Scope     string `json:"scope,omitempty"`
	ClientID  string `json:"client_id,omitempty"`
	Username  string `json:"username,omitempty"`
	TokenType string `json:"token_type,omitempty"`
	Exp       int64  `json:"exp,omitempty"`
	Sub       string `json:"sub,omitempty"`
}

func facWriteIntrospected(w http.ResponseWriter, s token.Set) error {
	if !s.Active {
		return facWriteJSON(w, http.StatusOK, facIntrospected{})
	}
	out := facIntrospected{
		Active: true, Scope: strings.Join(s.Scopes, " "), ClientID: s.Client,
		Username: s.Identity.Name, TokenType: "Bearer", Sub: s.Identity.ID,
	}
	if s.ExpiresIn > 0 {
		out.Exp = time.Now().Add(s.ExpiresIn).Unix()
	}
	return facWriteJSON(w, http.StatusOK, out)
}
