package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"

	"github.com/gatehouse-gateway/gatehouse/identity"
	"github.com/gatehouse-gateway/gatehouse/policy"
)

// policy checks the rules of the file. A section that is there and empty is a
// policy that refuses everything.
func (l *loader) policy() {
	_, l.cfg.HasPolicy = l.file.lines["policy"]
	l.cfg.Policy = l.file.raw.Policy
	_, errs := policy.Compile(l.cfg.Policy)
	for _, err := range errs {
		if re, ok := errors.AsType[*policy.RuleError](err); ok {
			l.fault(l.file.place(fmt.Sprintf("policy[%d]", re.Index)), re.Err.Error(), "")
		}
	}
}

// users checks the users file, and that there is one where it is needed.
func (l *loader) users() {
	inEnv, inYAML := l.vars.Process.UsersFile, l.file.raw.Identity.UsersFile
	place := prefix + "USERS_FILE"
	switch {
	case inEnv != "" && inYAML != "":
		l.fault(place, l.file.place("identity.users_file")+" names one too", "take one out")
		return
	case inYAML != "":
		place = l.file.place("identity.users_file")
		inEnv = l.inFile(inYAML)
	case inEnv == "":
		l.needUsers()
		return
	}
	l.cfg.UsersFile = inEnv
	users, err := identity.ReadUsers(inEnv, l.usersFile)
	if err != nil {
		l.userFaults(place, inEnv, err)
		return
	}
	l.factorsOf(users, place)
}

func (l *loader) userFaults(place, path string, err error) {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		l.unreadable(place, path, pe)
		return
	}
	list := []error{err}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		list = many.Unwrap()
	}
	for _, e := range list {
		if fe, ok := errors.AsType[*identity.FileError](e); ok {
			l.fault((&file{path: fe.Path}).line(fe.Line), fe.Msg, "")
		} else {
			l.fault(place, e.Error(), "")
		}
	}
}

// needUsers finds backends whose clients nobody could check.
func (l *loader) needUsers() {
	for _, b := range l.cfg.Backends {
		var why string
		switch {
		case b.Account != nil:
			why = "clients share the account of backend " + b.Name
		case b.Speak == SpeakStatic:
			why = "clients share the credential of backend " + b.Name
		case b.Speak == SpeakJWT:
			why = "the JWTs for backend " + b.Name + " are about them"
		case b.Speak == SpeakNone:
			why = "backend " + b.Name + " cannot check clients"
		default:
			continue
		}
		l.fault(prefix+"USERS_FILE", "it is missing, and "+why, "name a file of users; gatehouse hash-password makes the hashes")
	}
}

// warn notes what is allowed and should not go unnoticed.
func (l *loader) warn() {
	say := func(text string) { l.cfg.Warnings = append(l.cfg.Warnings, text) }
	if l.cfg.RedisURL.IsZero() {
		say("sessions live in this process alone and end with it: set " + prefix + "REDIS_URL to keep them")
	}
	for _, b := range l.cfg.Backends {
		if b.Insecure {
			say("the certificate of backend " + b.Name + " is not checked: whoever stands between can read and change everything; use ca_file instead")
		}
	}
	if s := l.cfg.SecondFactor.SMTP; s != nil && s.TLS == tlsOff {
		say("mails with sign-in codes leave this gateway in the clear: set second_factor.smtp.tls to starttls or implicit")
	}
	l.warnOfPolicy(say)
	if !l.cfg.secureInFront() {
		say("callers reach this gateway over plain http, where browsers do not keep secure cookies: browser sign-in and cookie profiles " +
			"will work from this machine only; set " + prefix + "TLS_CERT_FILE, or " + prefix + "PUBLIC_URL to the https address of what stands in front")
	}
}

// secureInFront reports whether cookies marked Secure will come back: over TLS,
// here or in front, or from the same machine.
func (c *Config) secureInFront() bool {
	if c.TLS.CertFile != "" || c.PublicURL != nil && c.PublicURL.Scheme == "https" {
		return true
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
