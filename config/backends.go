package config

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/token"
)

const (
	envBackend    = "backend" // the name of the backend from the environment
	headerTimeout = 120 * time.Second
)

// placer names the place of a key: a variable, or a line of the file.
type placer func(key string) string

// inEnvironment places a key in the environment, where names are the same in
// capitals.
func inEnvironment(key string) string {
	name, _, _ := strings.Cut(key, "[") // a list is one variable
	return prefix + strings.ToUpper(name)
}

// inBackendVars places a key of the backend from the environment.
func inBackendVars(key string) string {
	key = strings.TrimPrefix(strings.TrimPrefix(key, "account."), "static.")
	switch key {
	case "insecure_skip_verify":
		key = "insecure"
	case "value", "bearer":
		key = "api_token"
	case "static":
		key = "speak"
	}
	return inEnvironment("backend_" + key)
}

// backends reads those of the environment and of the file.
func (l *loader) backends() {
	l.backendFromVars()
	if l.file.broken {
		return
	}
	for _, name := range l.file.names {
		at := l.below("backends." + name)
		l.name(l.file.place("backends."+name), name)
		if _, taken := l.backend(name); taken {
			l.fault(l.file.place("backends."+name), "the environment has a backend of this name", "rename it, or unset "+prefix+"BACKEND_URL")
			continue
		}
		raw := l.file.raw.Backends[name]
		raw.CAFile = l.inFile(raw.CAFile)
		raw.parts = l.staticFromFile(raw.Static, at)
		raw.secret = l.namedSecret(raw.SecretFile, raw.SecretEnv, func(form string) string { return at("client_secret" + form) })
		l.addBackend(name, raw, l.accountFromFile(raw.Account, at), at)
	}
	if len(l.cfg.Backends) == 0 && !l.hasBackendVars() {
		l.noBackend()
	}
}

// below places keys under a key of the file.
func (l *loader) below(key string) placer {
	return func(k string) string { return l.file.place(key + "." + k) }
}

// noBackend tells a newcomer in three lines what is needed.
func (l *loader) noBackend() {
	l.fault(prefix+"BACKEND_URL", "there is no backend", "set it to where one is, like https://fabric.example.com")
	l.fault(prefix+"BACKEND_SPEAK", "its token API is not told", "set it to one of "+strings.Join(dialect.Names(), ", ")+", or jwt, static, none")
	l.fault(prefix+"CONFIG", "there is no file with backends and routes either", "name one, or see it all at work first with: gatehouse demo")
}

func (l *loader) hasBackendVars() bool {
	v := l.vars.Backend
	texts := v.URL + v.Speak + v.ClientID + v.Header + v.CAFile + v.ServerName + v.Versions + v.Renewal + v.CallTimeout + v.Lease + v.MaxSessions
	return texts+l.vars.Serve != "" || !v.Secret.IsZero() || v.hasAccount()
}

func (l *loader) backendFromVars() {
	v := l.vars.Backend
	if v.URL == "" {
		if l.hasBackendVars() {
			l.fault(inBackendVars("url"), "it is missing, and other settings of the backend are there", "set it to where the backend is")
		}
		return
	}
	raw := rawBackend{
		URL: v.URL, Speak: v.Speak, CAFile: v.CAFile, ServerName: v.ServerName, Insecure: v.Insecure,
		Versions: splitList(v.Versions), RenewalField: v.Renewal, ClientID: v.ClientID, secret: v.Secret,
		CallTimeout: v.CallTimeout, Lease: v.Lease, MaxSessions: v.MaxSessions,
	}
	var account *Account
	switch {
	case v.Speak == SpeakStatic:
		raw.parts = v.static()
	case v.Header != "":
		l.fault(inBackendVars("static.header"), "it is for a backend that is spoken to by static", "set "+prefix+"BACKEND_SPEAK to static, or unset it")
	case v.hasAccount():
		account = &Account{
			Username: v.Username, Password: v.Password, APIToken: v.APIToken, TOTPSecret: v.TOTP,
			ApplicationToken: l.boolean(inBackendVars("application_token"), v.AppToken),
		}
	}
	l.addBackend(envBackend, raw, account, inBackendVars)
}

// hasAccount reports whether some part of an account is set.
func (v *backendVars) hasAccount() bool {
	for _, s := range []token.Secret{v.Password, v.APIToken, v.TOTP} {
		if !s.IsZero() {
			return true
		}
	}
	return v.Username != "" || v.AppToken != "false"
}

// addBackend checks a backend from either layer.
func (l *loader) addBackend(name string, raw rawBackend, account *Account, at placer) {
	b := Backend{
		Name: name, Account: account, ServerName: raw.ServerName, HeaderTimeout: headerTimeout,
		Insecure:     l.boolean(at("insecure_skip_verify"), raw.Insecure),
		PreserveHost: l.boolean(at("preserve_host"), raw.PreserveHost),
		Identity:     raw.Identity,
	}
	if raw.URL == "" {
		l.fault(at("url"), "it is missing", "set it to where the backend is, like https://fabric.example.com")
	} else {
		b.URL = l.httpURL(at("url"), raw.URL)
	}
	b.Speak = l.speak(at("speak"), raw.Speak)
	b.RenewalField = l.renewalField(at("renewal_field"), raw.RenewalField, b.Speak)
	b.Versions = l.versions(at, raw.Versions, b)
	b.CAFile = l.authorities(at("ca_file"), raw.CAFile)
	if raw.HeaderTimeout != "" {
		b.HeaderTimeout = l.duration(at("header_timeout"), raw.HeaderTimeout, time.Millisecond, maxHeaderWait)
	}
	b.Keeping = l.keeping(raw, at, b)
	l.ways(&b, raw, at)
	l.speaksAs(&b, raw.ClientID, raw.secret, at)
	l.checkAccount(b, at)
	l.identityHeaders(b, at)
	l.cfg.Backends = append(l.cfg.Backends, b)
}

// speak returns the full name of what a backend speaks.
func (l *loader) speak(place, name string) string {
	switch {
	case name == "":
		l.fault(place, "it is missing", "name the backend's token API, one of "+strings.Join(dialect.Names(), ", ")+", or "+strings.Join(otherWays, ", "))
		return ""
	case slices.Contains(otherWays, name):
		return name
	}
	d := l.dialect(place, name)
	if d == nil {
		return ""
	}
	return d.ID()
}

// isDialect reports whether what a backend speaks has a token API.
func isDialect(speak string) bool { return speak != "" && !slices.Contains(otherWays, speak) }

func (l *loader) dialect(place, name string) *dialect.Dialect {
	d, err := dialect.Open(name, dialect.Settings{})
	if err != nil {
		l.fault(place, strings.TrimPrefix(err.Error(), "dialect: "), "")
		return nil
	}
	return d
}

// authorities checks a file of certificates that a backend's is checked against.
func (l *loader) authorities(place, path string) string {
	if path == "" {
		return ""
	}
	pem, ok := l.readFile(place, path, maxPEM)
	if ok && !x509.NewCertPool().AppendCertsFromPEM(pem) {
		l.fault(place, path+" holds no certificate", "name a file of PEM certificates")
	}
	return path
}

// checkAccount finds an account that could not log in.
func (l *loader) checkAccount(b Backend, at placer) {
	a := b.Account
	switch {
	case a == nil:
		return
	case b.Speak == SpeakJWT, b.Speak == SpeakStatic:
		l.fault(at("account.username"), "there is an account, and with speak "+b.Speak+" the gateway logs in to nothing", "take it out; a static credential is written under static")
	case b.Speak == SpeakNone:
		l.fault(at("account.username"), "there is an account for a backend that is not spoken to", "take it out, or say what the backend speaks")
	case !a.APIToken.IsZero() && (a.Username != "" || !a.Password.IsZero()):
		l.fault(at("account.api_token"), "the account has an API token and a user name or password", "use one or the other")
	case !a.APIToken.IsZero() && (!a.TOTPSecret.IsZero() || a.ApplicationToken):
		l.fault(at("account.api_token"), "the account has an API token and settings for logging in", "use one or the other")
	case !a.APIToken.IsZero() || l.faulty(at("account.api_token")):
		return
	case a.Username == "":
		l.fault(at("account.username"), "the account has no user name", "give it one and a password, or an API token")
	case a.Password.IsZero() && !l.faulty(at("account.password")):
		l.fault(at("account.password"), "the account has no password", "give it one; without an account each client logs in with its own")
	}
	l.checkLogin(b, at)
}

// faulty reports whether a secret that is missing was found wrong already, in
// any of its forms.
func (l *loader) faulty(place string) bool {
	return slices.ContainsFunc(l.faults, func(f Fault) bool { return strings.HasPrefix(keyOf(f.Place), keyOf(place)) })
}

// keyOf returns a place without file and line.
func keyOf(place string) string { return place[strings.LastIndexByte(place, ' ')+1:] }

// accountFromFile fetches the secrets that the file names.
func (l *loader) accountFromFile(raw *rawAccount, at placer) *Account {
	if raw == nil {
		return nil
	}
	return &Account{
		Username: raw.Username,
		Password: l.namedSecret(raw.PasswordFile, raw.PasswordEnv, func(form string) string { return at("account.password" + form) }),
		APIToken: l.namedSecret(raw.APITokenFile, raw.APITokenEnv, func(form string) string { return at("account.api_token" + form) }),
		TOTPSecret: l.namedSecret(raw.TOTPSecretFile, raw.TOTPSecretEnv,
			func(form string) string { return at("account.totp_secret" + form) }),
		ApplicationToken: l.boolean(at("account.application_token"), raw.ApplicationToken),
	}
}

// namedSecret reads a secret from the file or from the variable that is named.
func (l *loader) namedSecret(path, variable string, at placer) token.Secret {
	switch {
	case path != "" && variable != "":
		l.fault(at("_env"), "the secret is named as a file too", "take one out")
	case path != "":
		return l.readSecret(at("_file"), l.inFile(path))
	case variable != "":
		if text := l.environ[variable]; text != "" {
			return token.NewSecret(text)
		}
		l.fault(at("_env"), fmt.Sprintf("the variable %s is not set", variable), "set it, or name a file")
	}
	return token.Secret{}
}

// backend finds one by name.
func (l *loader) backend(name string) (Backend, bool) {
	for _, b := range l.cfg.Backends {
		if b.Name == name {
			return b, true
		}
	}
	return Backend{}, false
}
