package config

import (
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/gatehouse-gateway/gatehouse/policy"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// Bounds of the file: its size in bytes, and how many values it may come to when
// its aliases are followed.
const (
	maxYAML   = 1 << 20
	maxValues = 100_000
)

// file is the YAML file as text, with the line of every value.
type file struct {
	path   string
	lines  map[string]int // by key, "routes[0].path"
	names  []string       // of the backends, in order
	broken bool           // it could not be read as a whole: say nothing of what it lacks
	raw    rawFile
}

type rawFile struct {
	Backends map[string]rawBackend `yaml:"backends"`
	Clients  []rawClient           `yaml:"clients"`
	Routes   []rawRoute            `yaml:"routes"`
	Policy   []policy.Rule         `yaml:"policy"`
	Identity struct {
		UsersFile string `yaml:"users_file"`
	} `yaml:"identity"`
	SecondFactor rawSecondFactor `yaml:"second_factor"`
}

type rawBackend struct {
	URL           string          `yaml:"url"`
	Speak         string          `yaml:"speak"`
	Versions      []string        `yaml:"versions"`
	RenewalField  string          `yaml:"renewal_field"`
	ClientID      string          `yaml:"client_id"`
	SecretFile    string          `yaml:"client_secret_file"`
	SecretEnv     string          `yaml:"client_secret_env"`
	Account       *rawAccount     `yaml:"account"`
	JWT           *rawJWT         `yaml:"jwt"`
	Static        *rawStatic      `yaml:"static"`
	Identity      IdentityHeaders `yaml:"identity_headers"`
	CAFile        string          `yaml:"ca_file"`
	ServerName    string          `yaml:"server_name"`
	Insecure      string          `yaml:"insecure_skip_verify"`
	PreserveHost  string          `yaml:"preserve_host"`
	HeaderTimeout string          `yaml:"header_timeout"`
	CallTimeout   string          `yaml:"call_timeout"`
	Lease         string          `yaml:"lease"`
	MaxSessions   string          `yaml:"max_sessions"`

	parts  *staticParts // of Static, or of the environment; nil: none
	secret token.Secret // of the client
}

type rawAccount struct {
	Username     string `yaml:"username"`
	PasswordFile string `yaml:"password_file"`
	PasswordEnv  string `yaml:"password_env"`
	APITokenFile string `yaml:"api_token_file"`
	APITokenEnv  string `yaml:"api_token_env"`

	TOTPSecretFile   string `yaml:"totp_secret_file"`
	TOTPSecretEnv    string `yaml:"totp_secret_env"`
	ApplicationToken string `yaml:"application_token"`
}

type rawRoute struct {
	Name         string    `yaml:"name"`
	Host         string    `yaml:"host"`
	Path         string    `yaml:"path"`
	Backend      string    `yaml:"backend"`
	Serve        *[]string `yaml:"serve"` // nil: what the backend speaks
	Tokens       rawTokens `yaml:",inline"`
	EncodedSlash string    `yaml:"encoded_slash"`
	MaxBody      string    `yaml:"max_body"`
}

// readYAML fills in l.file. Without GATEHOUSE_CONFIG it is empty.
func (l *loader) readYAML() {
	l.file = &file{path: l.vars.Process.Config, lines: map[string]int{}}
	if l.file.path == "" {
		return
	}
	text, ok := l.readFile(prefix+"CONFIG", l.file.path, maxYAML)
	if !ok {
		l.file.broken = true
		return
	}
	if blank(string(text)) {
		return
	}
	var doc yaml.Node
	if err := yaml.Load(text, &doc); err != nil {
		l.yamlFaults(err)
		return
	}
	w := &walker{loader: l}
	w.walk(&doc, fileShape(), "")
	if l.file.broken {
		return
	}
	if err := doc.Load(&l.file.raw); err != nil {
		l.yamlFaults(err)
	}
}

// blank reports whether a file holds nothing but comments.
func blank(text string) bool {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			return false
		}
	}
	return true
}

// yamlFaults turns what the library says into faults with lines.
func (l *loader) yamlFaults(err error) {
	l.file.broken = true
	if list, ok := errors.AsType[*yaml.LoadErrors](err); ok {
		for _, e := range list.Errors {
			l.fault(l.file.line(e.Mark.Line), strings.TrimPrefix(e.Message, "yaml: "), "")
		}
		return
	}
	if e, ok := errors.AsType[*yaml.LoadError](err); ok {
		l.fault(l.file.line(e.Mark.Line), e.Message, "is the indentation right, and are quotes and brackets closed?")
		return
	}
	l.fault(l.file.path, err.Error(), "")
}

// line names a line of the file; 0 is the file as a whole.
func (f *file) line(n int) string {
	if n == 0 {
		return f.path
	}
	return fmt.Sprintf("%s:%d", f.path, n)
}

// place names a key of the file with its line, or with that of what should hold
// it.
func (f *file) place(key string) string {
	for k := key; ; {
		if n, ok := f.lines[k]; ok {
			return f.line(n) + " " + key
		}
		i := strings.LastIndexAny(k, ".[")
		if i < 0 {
			return f.path + " " + key
		}
		k = k[:i]
	}
}
