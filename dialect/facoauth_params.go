package dialect

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// facParams are the parameters of a request's body. The first one that is not a
// string stays in err.
type facParams struct {
	o   object
	err error
}

// facBody reads parameters from JSON, as the page has them, or from a form, as
// RFC 6749 has them. Those in the URL do not count (section 3.2).
func facBody(r *http.Request) (*facParams, error) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" || r.Header.Get("Content-Encoding") != "" {
		o, err := requestObject(r, false)
		if err != nil {
			return nil, err
		}
		return &facParams{o: o}, nil
	}
	body, err := readAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("dialect: read the body: %w", err)
	}
	o, err := facForm(string(body))
	if err != nil {
		return nil, err
	}
	return &facParams{o: o}, nil
}

// facForm reads a form or a query. No parameter may come twice (RFC 6749
// section 3.2): whoever checks one of two may not be who uses it.
func facForm(text string) (object, error) {
	form, err := url.ParseQuery(text)
	if err != nil {
		return nil, errors.New("dialect: read the parameters: malformed form")
	}
	o := object{}
	for key, values := range form {
		switch {
		case len(values) > 1:
			return nil, errors.New("dialect: read the parameters: one of them comes twice")
		case !utf8.ValidString(values[0]):
			return nil, errors.New("dialect: read the parameters: not UTF-8")
		}
		if o[key], err = json.Marshal(values[0]); err != nil {
			return nil, fmt.Errorf("dialect: read the parameters: %w", err)
		}
	}
	return o, nil
}

func (p *facParams) text(key string) string {
	s, err := p.o.text(key)
	if err != nil && p.err == nil {
		p.err = fmt.Errorf("dialect: read the parameters: %w", err)
	}
	return s
}

func (p *facParams) secret(key string) token.Secret { return token.NewSecret(p.text(key)) }

// scopes returns the scopes asked for; nil for none.
func (p *facParams) scopes() []string {
	list := strings.Fields(p.text("scope"))
	if len(list) == 0 {
		return nil
	}
	return list
}

// client reads how the client names and proves itself: in the body, or by HTTP
// Basic, whose two parts are form-encoded (RFC 6749 section 2.3.1); never both.
// Nil: not at all. An empty secret in the body is none: clients of public
// applications send one.
func (p *facParams) client(r *http.Request) (*token.Client, error) {
	id, secret := p.text("client_id"), p.secret("client_secret")
	basic, ok := Basic{}.Get(r)
	switch {
	case !ok && id == "":
		return nil, p.err
	case !ok:
		return &token.Client{ID: id, Secret: secret}, p.err
	case !secret.IsZero():
		return nil, errors.New("dialect: read the client: it proves itself in the header and in the body; one is enough")
	}
	user, password, _ := strings.Cut(basic.Reveal(), ":")
	name, nameErr := url.QueryUnescape(user)
	text, textErr := url.QueryUnescape(password)
	if errors.Join(nameErr, textErr) != nil || name == "" || !utf8.ValidString(name+text) {
		return nil, token.Fail(token.InvalidClient, "The client's Authorization header cannot be read.", nil)
	}
	if id != "" && id != name {
		return nil, errors.New("dialect: read the client: header and body name two")
	}
	return &token.Client{ID: name, Secret: token.NewSecret(text)}, p.err
}
