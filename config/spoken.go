package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// spoken opens what a backend speaks; nil if that is nothing, or was found wrong
// already.
func spoken(b Backend) *dialect.Dialect {
	if b.Speak == "" || !b.HasTokenAPI() {
		return nil
	}
	d, err := dialect.Open(b.Speak, dialect.Settings{RenewalField: b.RenewalField})
	if err != nil {
		return nil
	}
	return d
}

// Bounds of Keeping: a lease is renewed three times while it lasts, and stores
// believe no longer one than a minute.
const (
	minCall, maxCall   = 100 * time.Millisecond, 5 * time.Minute
	minLease, maxLease = time.Second, time.Minute
	maxSessions        = 1_000_000
)

// keeping reads how sessions at a backend are kept.
func (l *loader) keeping(raw rawBackend, at placer, b Backend) Keeping {
	var k Keeping
	if raw.CallTimeout+raw.Lease+raw.MaxSessions != "" && b.Speak != "" && !b.HasTokenAPI() {
		l.fault(at("speak"), b.Speak+" has no sessions at the backend, so call_timeout, lease and max_sessions have no meaning", "take them out")
		return k
	}
	if raw.CallTimeout != "" {
		k.CallTimeout = l.duration(at("call_timeout"), raw.CallTimeout, minCall, maxCall)
	}
	if raw.Lease != "" {
		k.Lease = l.duration(at("lease"), raw.Lease, minLease, maxLease)
	}
	if raw.MaxSessions != "" {
		k.MaxSessions = l.number(at("max_sessions"), raw.MaxSessions, maxSessions)
	}
	return k
}

// hasCall reports whether the gateway can make a call of that kind.
func hasCall(d *dialect.Dialect, op token.Op) bool {
	c := d.Call(op)
	return c != nil && c.WriteRequest != nil
}

// checkLogin finds settings of an account that its backend has no use for.
func (l *loader) checkLogin(b Backend, at placer) {
	a := b.Account
	l.base32Secret(at("account.totp_secret"), a.TOTPSecret)
	if d := spoken(b); a.ApplicationToken && d != nil && !hasCall(d, token.OpApplicationToken) {
		l.fault(at("account.application_token"), b.Speak+" has no application tokens", "take it out")
	}
}

// base32Secret checks the secret of a second factor.
func (l *loader) base32Secret(place string, s token.Secret) {
	if s.IsZero() {
		return
	}
	if _, err := token.ParseSeed(s); err != nil {
		l.fault(place, "it is not base32 of at least 16 characters", "write the letters A to Z and digits 2 to 7 that the backend shows when the factor is set up")
	}
}

var goodField = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// renewalField checks the name of a form field.
func (l *loader) renewalField(place, name, speak string) string {
	if name == "" {
		return ""
	}
	if !goodField.MatchString(name) {
		l.fault(place, fmt.Sprintf("%q is no name of a form field", name), "use 1 to 64 letters, digits, _ and -")
		return ""
	}
	if d := spoken(Backend{Speak: speak}); speak != "" && !(Backend{Speak: speak}).HasTokenAPI() || d != nil && !hasCall(d, token.OpRenew) {
		l.fault(place, speak+" sends no token to have it renewed", "take it out")
	}
	return name
}

var goodVersion = regexp.MustCompile(`^v?([0-9]{1,4}(?:\.[0-9]{1,4})?)$`)

// versions reads the versions of an API, v1.2 or 1.2, and asks the dialect whether
// it has such.
func (l *loader) versions(at placer, list []string, b Backend) []string {
	var versions []string
	faults := len(l.faults)
	for i, text := range list {
		place := at(fmt.Sprintf("versions[%d]", i))
		m := goodVersion.FindStringSubmatch(text)
		switch {
		case m == nil:
			l.fault(place, fmt.Sprintf("%q is no version", text), "write one like v1.2")
		case slices.Contains(versions, m[1]):
			l.fault(place, text+" is there twice", "take one out")
		default:
			versions = append(versions, m[1])
		}
	}
	if len(list) == 0 || len(l.faults) > faults {
		return nil
	}
	d := spoken(b)
	switch {
	case b.Speak != "" && !b.HasTokenAPI(), d != nil && d.Versions == nil:
		l.fault(at("versions"), b.Speak+" has no versions to choose from", "take it out")
	case d != nil:
		if _, err := dialect.Open(b.Speak, dialect.Settings{Versions: versions}); err != nil {
			l.fault(at("versions"), strings.TrimPrefix(err.Error(), "dialect: "), "")
		}
	}
	return versions
}
