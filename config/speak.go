package config

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// Ways to speak to a backend besides the dialects.
const (
	SpeakNone   = "none"   // nothing is injected
	SpeakJWT    = "jwt"    // a JWT about the caller, of the gateway's making
	SpeakStatic = "static" // a header that is always the same
)

var otherWays = []string{SpeakJWT, SpeakStatic, SpeakNone}

// JWT says what the JWTs are like that a backend gets.
type JWT struct {
	Issuer, Audience string
	TTL              time.Duration // 1 s to 24 h
}

// Static is a header that goes with every request to a backend.
type Static struct {
	Header string
	Value  token.Secret // the whole value, with the scheme
}

// HasTokenAPI reports whether what the backend speaks is a dialect.
func (b Backend) HasTokenAPI() bool { return isDialect(b.Speak) }

// Settings of JWTs that say nothing of their own, and their bounds.
const (
	jwtTTL    = 5 * time.Minute
	minJWTTTL = time.Second
	maxJWTTTL = 24 * time.Hour
)

type rawJWT struct {
	Issuer   string `yaml:"issuer"`
	Audience string `yaml:"audience"`
	TTL      string `yaml:"ttl"`
}

type rawStatic struct {
	Header       string `yaml:"header"`
	ValueFile    string `yaml:"value_file"`
	ValueEnv     string `yaml:"value_env"`
	Username     string `yaml:"username"`
	PasswordFile string `yaml:"password_file"`
	PasswordEnv  string `yaml:"password_env"`
	BearerFile   string `yaml:"bearer_file"`
	BearerEnv    string `yaml:"bearer_env"`
}

// staticParts is what a static credential is made of, from either layer.
type staticParts struct {
	header, username        string
	value, password, bearer token.Secret
}

// ways checks what belongs to the ways of speaking that are no dialects.
func (l *loader) ways(b *Backend, raw rawBackend, at placer) {
	if b.Speak == SpeakJWT {
		b.JWT = l.jwt(b.Name, raw.JWT, at)
	} else if raw.JWT != nil && b.Speak != "" {
		l.fault(at("jwt"), "it is there, and the backend is not spoken to by jwt", "set speak: jwt, or take it out")
	}
	if b.Speak == SpeakStatic {
		b.Static = l.static(raw.parts, at)
	} else if raw.parts != nil && b.Speak != "" {
		l.fault(at("static.header"), "a static credential is there, and the backend is not spoken to by static", "set speak to static, or take it out")
	}
}

// jwt reads the settings of a backend's JWTs. Issuer is the public URL of the
// gateway, audience the name of the backend, unless something else is said.
func (l *loader) jwt(backend string, raw *rawJWT, at placer) *JWT {
	if raw == nil {
		raw = &rawJWT{}
	}
	j := &JWT{Issuer: raw.Issuer, Audience: raw.Audience, TTL: jwtTTL}
	if j.Audience == "" {
		j.Audience = backend
	}
	switch {
	case j.Issuer != "":
	case l.cfg.PublicURL != nil:
		j.Issuer = l.cfg.PublicURL.String()
	case !l.faulty(prefix + "PUBLIC_URL"):
		l.fault(prefix+"PUBLIC_URL", "it is missing, and it is the issuer of the JWTs for backend "+backend, "set it to scheme and host of the gateway, or issuer under jwt in the file")
	}
	l.claim(at("jwt.issuer"), raw.Issuer)
	l.claim(at("jwt.audience"), raw.Audience)
	if raw.TTL != "" {
		j.TTL = l.duration(at("jwt.ttl"), raw.TTL, minJWTTTL, maxJWTTTL)
	}
	return j
}

// claim checks who a JWT says that it is from or for.
func (l *loader) claim(place, text string) {
	if len(text) > 256 || strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
		l.fault(place, "it is no good name", "write a URL or a word of at most 256 ASCII characters, without spaces")
	}
}

// staticFromFile fetches the secrets that the file names.
func (l *loader) staticFromFile(raw *rawStatic, at placer) *staticParts {
	if raw == nil {
		return nil
	}
	secret := func(key, path, variable string) token.Secret {
		return l.namedSecret(path, variable, func(form string) string { return at("static." + key + form) })
	}
	return &staticParts{
		header: raw.Header, username: raw.Username,
		value:    secret("value", raw.ValueFile, raw.ValueEnv),
		password: secret("password", raw.PasswordFile, raw.PasswordEnv),
		bearer:   secret("bearer", raw.BearerFile, raw.BearerEnv),
	}
}

// static makes user name and password a Basic credential, and the API
// token one in the header that is named, or else a Bearer token.
func (v backendVars) static() *staticParts {
	p := &staticParts{header: v.Header, username: v.Username, password: v.Password}
	if v.Header != "" {
		p.value = v.APIToken
	} else {
		p.bearer = v.APIToken
	}
	return p
}

const staticForms = "give it one of: header and value_file, username and password_file, bearer_file; a variable is named by _env instead of _file"

// staticVars says the same of the environment.
const staticVars = "set " + prefix + "BACKEND_USERNAME and _PASSWORD_FILE, or _API_TOKEN_FILE, and beside it _HEADER where it is not a Bearer token"

// static makes the header of a static credential of exactly one of the three
// kinds.
func (l *loader) static(p *staticParts, at placer) *Static {
	if p == nil {
		p = &staticParts{}
	}
	missing := func(key string, s token.Secret) bool { return s.IsZero() && !l.faulty(at("static."+key)) }
	header := p.header != "" || !p.value.IsZero()
	basic := p.username != "" || !p.password.IsZero()
	bearer := !p.bearer.IsZero()
	switch {
	case header && basic || header && bearer || basic && bearer:
		l.fault(at("static"), "it has credentials of more than one kind", staticForms)
	case header && p.header == "":
		l.fault(at("static.header"), "the value has no header", "name the header that it goes in")
	case header && missing("value", p.value):
		l.fault(at("static.value"), "the header has no value", "name the file or the variable that holds it")
	case basic && (p.username == "" || strings.Contains(p.username, ":")):
		l.fault(at("static.username"), "a password needs a user name without a colon", "give it one")
	case basic && missing("password", p.password):
		l.fault(at("static.password"), "the user has no password", "name the file or the variable that holds it")
	case header:
		l.headerName(at("static.header"), p.header, "authorization")
		return l.sendable(at("static.value"), &Static{Header: p.header, Value: p.value})
	case basic:
		pair := base64.StdEncoding.EncodeToString([]byte(p.username + ":" + p.password.Reveal()))
		return &Static{Header: "Authorization", Value: token.NewSecret("Basic " + pair)}
	case bearer:
		return l.sendable(at("static.bearer"), &Static{Header: "Authorization", Value: token.NewSecret("Bearer " + p.bearer.Reveal())})
	case !l.faulty(at("static")) && !l.faulty(at("static.bearer")):
		forms := staticForms
		if strings.HasPrefix(at("static"), prefix) {
			forms = staticVars
		}
		l.fault(at("static"), "there is no credential to send", forms)
	}
	return nil
}

// sendable checks that a secret can be the value of a header field (RFC 9110
// section 5.5), in visible ASCII.
func (l *loader) sendable(place string, s *Static) *Static {
	text := s.Value.Reveal()
	if text != strings.TrimSpace(text) || strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c >= 0x7f }) {
		l.fault(place, "the secret cannot be sent in a header", "it must be one line of ASCII characters without spaces around it")
	}
	return s
}

// IdentityHeaders are the names of the headers by which a backend is told who is
// calling. An empty one is not sent.
type IdentityHeaders struct {
	User   string `yaml:"user"`
	ID     string `yaml:"id"`
	Email  string `yaml:"email"`
	Groups string `yaml:"groups"`
	Scopes string `yaml:"scopes"`
}

// identityHeaders checks that none of the names means something else already,
// in any spelling that a backend might take for the same.
func (l *loader) identityHeaders(b Backend, at placer) {
	taken := map[string]string{}
	if b.Static != nil {
		taken[fold(b.Static.Header)] = "the static credential"
	}
	if d, err := dialect.Open(b.Speak, dialect.Settings{}); err == nil {
		for _, c := range d.Carriers {
			if h, ok := c.Carrier.(dialect.Header); ok {
				taken[fold(h.Name)] = "a credential of " + d.Name
			}
		}
	}
	h := b.Identity
	for _, one := range [...]struct{ key, name string }{
		{"user", h.User}, {"id", h.ID}, {"email", h.Email}, {"groups", h.Groups}, {"scopes", h.Scopes},
	} {
		if one.name == "" {
			continue
		}
		place := at("identity_headers." + one.key)
		l.headerName(place, one.name)
		if what, twice := taken[fold(one.name)]; twice {
			l.fault(place, fmt.Sprintf("%s carries %s already", one.name, what), "give it a header of its own")
		}
		taken[fold(one.name)] = one.key
	}
}

// fold is how careless backends read a header's name.
func fold(name string) string { return strings.ReplaceAll(strings.ToLower(name), "_", "-") }

var goodHeader = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,63}$`)

// meant are names, folded, of headers that mean something to everybody on the
// way: about the connection, the message, its body, the client's credentials,
// and what the gateway says of where it came from. Those that end in - are
// prefixes.
var meant = []string{
	"authorization", "cookie", "set-cookie", "host", "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
	"http2-settings", "expect", "date", "via", "range", "origin", "referer", "user-agent", "cache-control", "pragma", "accept", "forwarded",
	"x-request-id", "idempotency-key", "x-idempotency-key", "proxy-", "content-", "x-forwarded-", "sec-", "if-", "accept-", "x-http-method-",
}

// headerName checks the name of a header of the gateway's own towards a backend;
// except are names that are fit here though they have a meaning.
func (l *loader) headerName(place, name string, except ...string) {
	f := fold(name)
	switch {
	case !goodHeader.MatchString(name):
		l.fault(place, fmt.Sprintf("%q is no name of a header", name), "use 1 to 64 letters, digits, - and _, beginning with a letter, like X-Remote-User")
	case slices.Contains(except, f):
	case slices.ContainsFunc(meant, func(m string) bool {
		return f == m || strings.HasSuffix(m, "-") && strings.HasPrefix(f, m)
	}):
		l.fault(place, name+" has a meaning of its own", "use another, like X-Remote-User")
	}
}
