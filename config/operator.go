package config

import (
	"net/url"
	"strings"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// The length of an admin token, in characters. One that is drawn at random cannot
// be guessed at the lower bound; the upper one leaves room in a request's head.
const (
	minAdminToken = 16
	maxAdminToken = 4096
)

// Operator is what the commands that call a running gateway need. They run where
// the gateway's own configuration may not be.
type Operator struct {
	URL    *url.URL // nil: not set
	Listen string   // ADMIN_LISTEN of the gateway on this host
	Token  token.Secret
}

// LoadOperator reads ADMIN_URL, ADMIN_LISTEN and ADMIN_TOKEN from the environment,
// as os.Environ gives it, and no other setting.
func LoadOperator(environ []string) (Operator, Faults) {
	l := &loader{}
	l.readVariables(environ)
	o := Operator{
		URL: l.adminURL(l.vars.Process.AdminURL), Token: l.adminToken(l.vars.Process.AdminToken),
		Listen: l.address(prefix+"ADMIN_LISTEN", l.vars.Door.AdminListen),
	}
	var faults Faults
	for _, f := range l.faults {
		if strings.HasPrefix(f.Place, prefix+"ADMIN_") {
			faults = append(faults, f)
		}
	}
	return o, faults
}

// adminToken refuses a token that could be guessed, or not be sent in a header.
func (l *loader) adminToken(t token.Secret) token.Secret {
	const place, remedy = prefix + "ADMIN_TOKEN", "make one with: openssl rand -hex 32"
	text := t.Reveal()
	switch {
	case t.IsZero():
	case len(text) < minAdminToken, len(text) > maxAdminToken:
		l.fault(place, "it does not have 16 to 4096 characters", remedy)
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }):
		l.fault(place, "it holds a space or a character that is not printable ASCII", remedy)
	case strings.Trim(text, text[:1]) == "":
		l.fault(place, "it is one character over and over", remedy)
	}
	return t
}

func (l *loader) adminURL(text string) *url.URL {
	if text == "" {
		return nil
	}
	return l.httpURL(prefix+"ADMIN_URL", text)
}
