package config

import (
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/identity"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// SecondFactor says how codes of second factors are sent.
type SecondFactor struct {
	SMTP    *SMTP    // nil: mail goes to the webhook
	Webhook *Webhook // nil: no text messages
}

// SMTP is a mail server that takes codes for email addresses.
type SMTP struct {
	Address  string // host:port
	From     string // an address
	Username string // empty: no authentication
	Password token.Secret
	TLS      string // "starttls", "implicit" or "off"
	CAFile   string
	Timeout  time.Duration // of one mail as a whole
}

// Webhook is a service of the operator's that takes codes for phones.
type Webhook struct {
	URL     *url.URL     // https, or http to this machine
	Secret  token.Secret // signs the calls
	CAFile  string
	Timeout time.Duration
}

type rawSecondFactor struct {
	SMTP *struct {
		Address      string `yaml:"address"`
		From         string `yaml:"from"`
		Username     string `yaml:"username"`
		PasswordFile string `yaml:"password_file"`
		PasswordEnv  string `yaml:"password_env"`
		TLS          string `yaml:"tls"`
		CAFile       string `yaml:"ca_file"`
		Timeout      string `yaml:"timeout"`
	} `yaml:"smtp"`
	Webhook *struct {
		URL        string `yaml:"url"`
		SecretFile string `yaml:"secret_file"`
		SecretEnv  string `yaml:"secret_env"`
		CAFile     string `yaml:"ca_file"`
		Timeout    string `yaml:"timeout"`
	} `yaml:"webhook"`
}

const (
	tlsStart, tlsImplicit, tlsOff = "starttls", "implicit", "off"

	defaultSendTimeout = 10 * time.Second
	maxSendTimeout     = 30 * time.Second
	minHookSecret      = 16 // bytes
)

// secondFactor reads how codes are sent.
func (l *loader) secondFactor() {
	l.smtp()
	l.webhook()
}

func (l *loader) smtp() {
	raw := l.file.raw.SecondFactor.SMTP
	if raw == nil {
		return
	}
	at := func(key string) string { return l.file.place("second_factor.smtp." + key) }
	s := &SMTP{Address: raw.Address, From: raw.From, Username: raw.Username, TLS: tlsStart}
	if host, port, err := net.SplitHostPort(raw.Address); err != nil || host == "" || !goodPort(port) {
		l.fault(at("address"), "it is no address of a mail server", "write host:port, like mail.example.net:587")
	}
	if a, err := mail.ParseAddress(raw.From); err != nil || a.Address != raw.From {
		l.fault(at("from"), "it is no mail address", "write one without a name, like gate@example.net")
	}
	if raw.TLS != "" {
		s.TLS = l.oneOf(at("tls"), raw.TLS, tlsStart, tlsImplicit, tlsOff)
	}
	s.Password = l.namedSecret(raw.PasswordFile, raw.PasswordEnv, func(form string) string { return at("password" + form) })
	switch {
	case (s.Username == "") != s.Password.IsZero() && !l.faulty(at("password")):
		l.fault(at("username"), "user name and password belong together", "give both or neither")
	case s.Username != "" && s.TLS == tlsOff:
		l.fault(at("tls"), "a password would go out in the clear", "use starttls or implicit")
	}
	s.CAFile = l.authorities(at("ca_file"), l.inFile(raw.CAFile))
	s.Timeout = l.sendTimeout(at("timeout"), raw.Timeout)
	l.cfg.SecondFactor.SMTP = s
}

func (l *loader) sendTimeout(place, text string) time.Duration {
	if text == "" {
		return defaultSendTimeout
	}
	return l.duration(place, text, time.Second, maxSendTimeout)
}

func (l *loader) webhook() {
	raw := l.file.raw.SecondFactor.Webhook
	if raw == nil {
		return
	}
	at := func(key string) string { return l.file.place("second_factor.webhook." + key) }
	w := &Webhook{}
	if raw.URL == "" {
		l.fault(at("url"), "it is missing", "set it to where codes are to be posted")
	} else if w.URL = l.httpURL(at("url"), raw.URL); w.URL != nil && w.URL.Scheme != "https" && !loopback(w.URL.Hostname()) {
		l.fault(at("url"), "codes would go out in the clear", "use https; http is for this machine alone")
	}
	w.Secret = l.namedSecret(raw.SecretFile, raw.SecretEnv, func(form string) string { return at("secret" + form) })
	if len(w.Secret.Reveal()) < minHookSecret && !l.faulty(at("secret")) {
		l.fault(at("secret_file"), "the secret that signs the calls is missing or shorter than 16 bytes", "name a file with the output of: openssl rand -hex 32")
	}
	w.CAFile = l.authorities(at("ca_file"), l.inFile(raw.CAFile))
	w.Timeout = l.sendTimeout(at("timeout"), raw.Timeout)
	l.cfg.SecondFactor.Webhook = w
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// factorsOf checks that codes of the users' methods can be sent, and that the
// dialects exist which they may use without.
func (l *loader) factorsOf(users *identity.Users, place string) {
	sms, email := users.Needs()
	if sms && l.cfg.SecondFactor.Webhook == nil {
		l.fault(place, "some user gets codes by sms or dual, and nothing sends them", "set second_factor.webhook in the file of "+prefix+"CONFIG")
	}
	if email && l.cfg.SecondFactor.Webhook == nil && l.cfg.SecondFactor.SMTP == nil {
		l.fault(place, "some user gets codes by email or dual, and nothing sends them", "set second_factor.smtp in the file of "+prefix+"CONFIG")
	}
	known := make([]string, len(dialect.All))
	for i, f := range dialect.All {
		known[i] = f.Name
	}
	for _, name := range users.Lifted() {
		l.oneOfDialects(place, name, known)
	}
}

func (l *loader) oneOfDialects(place, name string, known []string) {
	for _, k := range known {
		if k == name {
			return
		}
	}
	l.fault(place, "allow_without_factor names "+name+", which is no token API", didYouMean(name, known, "there are "+strings.Join(known, ", ")))
}
