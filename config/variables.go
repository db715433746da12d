package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// prefix begins the name of every variable.
const prefix = "GATEHOUSE_"

// variables is the environment as text: each value is read by the same code as
// its twin in the file, which names the variable or the line in its faults.
type variables struct {
	Process processVars
	Door    doorVars
	Tokens  rawTokens
	Backend backendVars `envPrefix:"BACKEND_"`
	Serve   string      `env:"SERVE"`
}

type processVars struct {
	AdminToken     token.Secret `env:"ADMIN_TOKEN"`
	RedisURL       token.Secret `env:"REDIS_URL"`
	Secret         token.Secret `env:"SECRET"`
	DataDir        string       `env:"DATA_DIR"`
	AdminURL       string       `env:"ADMIN_URL"`
	Config         string       `env:"CONFIG"`
	UsersFile      string       `env:"USERS_FILE"`
	DegradedFor    string       `env:"DEGRADED_FOR" envDefault:"60s"`
	LogLevel       string       `env:"LOG_LEVEL" envDefault:"info"`
	LogFormat      string       `env:"LOG_FORMAT" envDefault:"json"`
	DrainTimeout   string       `env:"DRAIN_TIMEOUT" envDefault:"25s"`
	LogoutBackends string       `env:"LOGOUT_AT_DRAIN" envDefault:"false"`
}

type doorVars struct {
	Listen         string `env:"LISTEN" envDefault:":8080"`
	AdminListen    string `env:"ADMIN_LISTEN" envDefault:"127.0.0.1:9090"`
	PublicURL      string `env:"PUBLIC_URL"`
	TrustedProxies string `env:"TRUSTED_PROXIES"`
	CertFile       string `env:"TLS_CERT_FILE"`
	KeyFile        string `env:"TLS_KEY_FILE"`
	PagesPath      string `env:"PAGES_PATH" envDefault:"/.gatehouse"`
}

type backendVars struct {
	URL        string       `env:"URL"`
	Speak      string       `env:"SPEAK"`
	Username   string       `env:"USERNAME"`
	Password   token.Secret `env:"PASSWORD"`
	APIToken   token.Secret `env:"API_TOKEN"`
	ClientID   string       `env:"CLIENT_ID"`
	Secret     token.Secret `env:"CLIENT_SECRET"`
	TOTP       token.Secret `env:"TOTP_SECRET"`
	AppToken   string       `env:"APPLICATION_TOKEN" envDefault:"false"`
	Versions   string       `env:"VERSIONS"`
	Renewal    string       `env:"RENEWAL_FIELD"`
	Header     string       `env:"HEADER"`
	CAFile     string       `env:"CA_FILE"`
	ServerName string       `env:"SERVER_NAME"`
	Insecure   string       `env:"INSECURE" envDefault:"false"`

	CallTimeout string `env:"CALL_TIMEOUT"`
	Lease       string `env:"LEASE"`
	MaxSessions string `env:"MAX_SESSIONS"`
}

// rawTokens are the settings of Tokens as text. In the file they are keys of a
// route; in the environment the same names in capitals.
type rawTokens struct {
	AccessTTL        string `env:"ACCESS_TTL" yaml:"access_ttl"`
	RefreshTTL       string `env:"REFRESH_TTL" yaml:"refresh_ttl"`
	RefreshGrace     string `env:"REFRESH_GRACE" envDefault:"10s" yaml:"refresh_grace"`
	OnReuse          string `env:"ON_REUSE" envDefault:"revoke" yaml:"on_reuse"`
	Logout           string `env:"LOGOUT" envDefault:"end" yaml:"logout"`
	LocalAuth        string `env:"LOCAL_AUTH" envDefault:"true" yaml:"local_auth"`
	HTTPSOnly        string `env:"HTTPS_ONLY" envDefault:"false" yaml:"https_only"`
	MissingTokenCode string `env:"MISSING_TOKEN_CODE" yaml:"missing_token_code"`
	RefreshLength    string `env:"REFRESH_LENGTH" yaml:"refresh_length"`
	DefaultRealm     string `env:"DEFAULT_REALM" yaml:"default_realm"`
	Discovery        string `env:"DISCOVERY" envDefault:"absolute" yaml:"discovery"`
}

// secretNames are the variables that may also name a file, as NAME_FILE.
var secretNames = []string{
	"ADMIN_TOKEN", "REDIS_URL", "SECRET", "BACKEND_PASSWORD", "BACKEND_API_TOKEN",
	"BACKEND_CLIENT_SECRET", "BACKEND_TOTP_SECRET",
}

// maxSecretFile is the largest file of a secret, in bytes.
const maxSecretFile = 64 << 10

// readVariables fills in l.vars. An empty variable counts as unset.
func (l *loader) readVariables(environ []string) {
	l.environ = map[string]string{}
	for name, value := range env.ToMap(environ) {
		if value != "" {
			l.environ[name] = value
		}
	}
	l.checkNames()
	ours := maps.Clone(l.environ)
	for _, name := range secretNames {
		l.readSecretFile(ours, prefix+name)
	}
	// Every field is text, so parsing can fail only on a mistake of ours.
	if err := env.ParseWithOptions(&l.vars, env.Options{Environment: ours, Prefix: prefix}); err != nil {
		l.fault("environment", err.Error(), "")
	}
}

// readSecretFile puts the content of NAME_FILE in the place of NAME.
func (l *loader) readSecretFile(vars map[string]string, name string) {
	path, given := vars[name+"_FILE"]
	if !given {
		return
	}
	if _, both := vars[name]; both {
		l.fault(name+"_FILE", name+" is set too", "unset one of them")
		return
	}
	text := l.readSecret(name+"_FILE", path)
	vars[name] = text.Reveal()
}

// readSecret reads a secret from a file, without the line end that editors add.
func (l *loader) readSecret(place, path string) token.Secret {
	b, ok := l.readFile(place, path, maxSecretFile)
	if !ok {
		return token.Secret{}
	}
	text := strings.Trim(string(b), "\r\n")
	if text == "" {
		l.fault(place, path+" is empty", "write the secret into it")
	}
	return token.NewSecret(text)
}

// checkNames finds variables that nothing reads: a misspelt one would otherwise
// be a setting that silently does not hold.
func (l *loader) checkNames() {
	known := variableNames()
	for _, name := range slices.Sorted(maps.Keys(l.environ)) {
		if strings.HasPrefix(name, prefix) && !slices.Contains(known, name) {
			l.fault(name, "there is no such setting", didYouMean(name, known, "gatehouse --help lists them all"))
		}
	}
}

// variableNames returns every variable that is read, with the _FILE forms.
func variableNames() []string {
	names := make([]string, 0, 64)
	for _, p := range parameters() {
		names = append(names, p.Key)
	}
	for _, s := range secretNames {
		names = append(names, prefix+s+"_FILE")
	}
	return names
}

// parameters lists the fields of variables. The call cannot fail: its only error
// is a tag it does not know.
func parameters() []env.FieldParams {
	params, err := env.GetFieldParamsWithOptions(&variables{}, env.Options{Prefix: prefix})
	if err != nil {
		panic("config: " + err.Error())
	}
	return params
}
