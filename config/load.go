package config

import (
	"crypto/tls"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// loader carries what is known while a configuration is read.
type loader struct {
	cfg     Config
	faults  Faults
	environ map[string]string // without empty ones
	vars    variables
	file    *file
	files   Files // that were read, or should have been
}

// Load reads the configuration from the environment, as os.Environ gives it, and
// from the file it names. No faults mean that it is good; with faults, all of
// them, there is no Config. Relative paths in the file are relative to its own
// folder. Load reads files and touches nothing else.
func Load(environ []string) (*Config, Faults) {
	c, _, faults := Read(environ)
	return c, faults
}

// Read is Load and also says, with faults or without, from which files it read
// or tried to read.
func Read(environ []string) (*Config, Files, Faults) {
	l := &loader{}
	l.readVariables(environ)
	l.readYAML()
	l.process()
	l.frontDoor()
	l.cfg.Tokens = l.tokens(l.vars.Tokens, Tokens{}, inEnvironment)
	l.clients()
	l.backends()
	l.routes()
	l.policy()
	l.secondFactor()
	l.users()
	if len(l.faults) > 0 {
		return nil, l.files, l.faults
	}
	l.warn()
	return &l.cfg, l.files, nil
}

func (l *loader) fault(place, msg, remedy string) {
	l.faults = append(l.faults, Fault{Place: place, Msg: msg, Remedy: remedy})
}

// process reads what concerns the process itself.
func (l *loader) process() {
	v, c := &l.vars.Process, &l.cfg
	c.AdminToken, c.DataDir = l.adminToken(v.AdminToken), v.DataDir
	l.adminURL(v.AdminURL)
	c.RedisURL = l.redisURL(v.RedisURL)
	c.Secrets = l.secrets(v.Secret)
	c.DegradedFor = l.duration(prefix+"DEGRADED_FOR", v.DegradedFor, 0, maxDegraded)
	c.ReloadEvery = l.reloadEvery(v.ReloadEvery)
	c.Drain.Delay = l.duration(prefix+"DRAIN_DELAY", v.DrainDelay, 0, maxDrain)
	c.Drain.Timeout = l.duration(prefix+"DRAIN_TIMEOUT", v.DrainTimeout, 0, maxDrain)
	c.Keys = Keys{
		Heartbeat:  l.duration(prefix+"HEARTBEAT", v.Heartbeat, minHeartbeat, maxHeartbeat),
		PublishFor: l.duration(prefix+"KEY_PUBLISH_FOR", v.KeyPublishFor, time.Second, maxPublish),
		KeepFor:    l.duration(prefix+"KEY_KEEP_FOR", v.KeyKeepFor, time.Second, maxTTL),
	}
	c.Drain.LogoutBackends = l.boolean(prefix+"LOGOUT_AT_DRAIN", v.LogoutBackends)
	if err := c.Log.Level.UnmarshalText([]byte(v.LogLevel)); err != nil {
		l.fault(prefix+"LOG_LEVEL", fmt.Sprintf("%q is no level", v.LogLevel), "use debug, info, warn or error")
	}
	c.Log.Format = l.oneOf(prefix+"LOG_FORMAT", v.LogFormat, "json", "text")
	l.folder(prefix+"DATA_DIR", v.DataDir)
}

// reloadEvery reads how often files are looked at: they are read each time.
func (l *loader) reloadEvery(text string) time.Duration {
	const place = prefix + "RELOAD_EVERY"
	d := l.duration(place, text, 0, maxReloadEvery)
	if d != 0 && d < minReloadEvery {
		l.fault(place, text+" is too often", "take 100ms or more; 0 looks at no file")
	}
	return d
}

// frontDoor reads what concerns the listeners.
func (l *loader) frontDoor() {
	v, c := &l.vars.Door, &l.cfg
	c.Listen = l.address(prefix+"LISTEN", v.Listen)
	c.AdminListen = l.address(prefix+"ADMIN_LISTEN", v.AdminListen)
	c.TrustedProxies = l.networks(prefix+"TRUSTED_PROXIES", v.TrustedProxies)
	c.PagesPath = l.pagesPath(prefix+"PAGES_PATH", v.PagesPath)
	c.PublicURL = l.publicURL(prefix+"PUBLIC_URL", v.PublicURL)
	c.TLS = l.certificate(v.CertFile, v.KeyFile)
}

func (l *loader) publicURL(place, text string) *url.URL {
	if text == "" {
		return nil
	}
	u := l.httpURL(place, text)
	if u == nil {
		return nil
	}
	if u.Path != "" && u.Path != "/" {
		l.fault(place, "it has a path", "write scheme and host only, like https://gate.example.com")
		return nil
	}
	u.Path = ""
	return u
}

// certificate checks that the pair of files is one.
func (l *loader) certificate(certFile, keyFile string) TLS {
	const certPlace, keyPlace = prefix + "TLS_CERT_FILE", prefix + "TLS_KEY_FILE"
	switch {
	case certFile == "" && keyFile == "":
		return TLS{}
	case keyFile == "":
		l.fault(certPlace, "it is set without "+keyPlace, "set both or neither")
		return TLS{}
	case certFile == "":
		l.fault(keyPlace, "it is set without "+certPlace, "set both or neither")
		return TLS{}
	}
	cert, okCert := l.readFile(certPlace, certFile, maxPEM)
	key, okKey := l.readFile(keyPlace, keyFile, maxPEM)
	if !okCert || !okKey {
		return TLS{}
	}
	if _, err := tls.X509KeyPair(cert, key); err != nil {
		l.fault(certPlace, fmt.Sprintf("%s and %s are no pair: %v", certFile, keyFile, err), "name a PEM certificate chain and the key it was made with")
	}
	return TLS{CertFile: certFile, KeyFile: keyFile}
}

// secrets reads the list of root secrets, which a file may also hold one a line.
func (l *loader) secrets(list token.Secret) []token.Secret {
	const place = prefix + "SECRET"
	if list.IsZero() {
		if !l.cfg.RedisURL.IsZero() && !l.faulty(place) {
			l.fault(place, "it is missing, and sessions in Redis need it", "set it to the output of: openssl rand -hex 32")
		}
		return nil
	}
	var secrets []token.Secret
	for i, text := range splitList(list.Reveal()) {
		if len(text) < minSecret {
			l.fault(place, fmt.Sprintf("secret %d of the list has %d bytes; at least %d are needed", i+1, len(text), minSecret), "make one with: openssl rand -hex 32")
		}
		secrets = append(secrets, token.NewSecret(text))
	}
	if len(secrets) == 0 {
		l.fault(place, "it holds no secret", "set it to the output of: openssl rand -hex 32")
	}
	return secrets
}

// inFile makes a path of the file absolute in the way Load documents.
func (l *loader) inFile(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(l.file.path), path)
}
