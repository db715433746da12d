package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-gateway/gatehouse/config"
	"github.com/gatehouse-gateway/gatehouse/dialect"
)

// dialectNames are those that a fault tells of.
var dialectNames = strings.Join(dialect.Names(), ", ")

// faultCase is a configuration with faults, and each of them as its exact line.
// Words that are secret begin with hunter2, and no line may hold them.
type faultCase struct {
	name string
	vars []string
	file string // the YAML file, if any
	want []string
}

func testFaults(t *testing.T, tests []faultCase) {
	t.Helper()
	cert, key := certificate(t)
	_, other := certificate(t)
	files := map[string]string{
		"cert.pem": cert, "key.pem": key, "other.pem": other, "users.yaml": usersYML, "empty": "", "s": secret32,
		"bad-users.yaml": "- name: a\n  hash: x\n- name: b\n  hash: '" + hash + "'\n  groop: [x]\n",
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			folder(t, files)
			vars := tt.vars
			if tt.file != "" {
				write(t, "gate.yaml", tt.file)
				vars = append(vars, "GATEHOUSE_CONFIG=gate.yaml")
			}
			c, faults := config.Load(vars)
			if diff := cmp.Diff(strings.Split(faults.Error(), "\n"), tt.want); diff != "" {
				t.Errorf("Load (-got +want):\n%s", diff)
			}
			if c != nil {
				t.Error("there is a Config in spite of faults")
			}
			if strings.Contains(faults.Error(), "hunter2") {
				t.Error("a fault shows a secret")
			}
		})
	}
}

func TestFaultsOfTheEnvironment(t *testing.T) {
	testFaults(t, []faultCase{
		{"nothing at all", nil, "", []string{
			"GATEHOUSE_BACKEND_URL: there is no backend: set it to where one is, like https://fabric.example.com",
			"GATEHOUSE_BACKEND_SPEAK: its token API is not told: set it to one of " + dialectNames + ", or jwt, static, none",
			"GATEHOUSE_CONFIG: there is no file with backends and routes either: name one, or see it all at work first with: gatehouse demo",
		}},
		{"misspelt variable", backendVars("GATEHOUSE_LISTN=:1"), "", []string{
			"GATEHOUSE_LISTN: there is no such setting: did you mean GATEHOUSE_LISTEN?",
		}},
		{"unknown variable", backendVars("GATEHOUSE_XYZZY=1"), "", []string{"GATEHOUSE_XYZZY: there is no such setting: gatehouse --help lists them all"}},
		{"missing secret", backendVars("GATEHOUSE_REDIS_URL=redis://r"), "", []string{
			"GATEHOUSE_SECRET: it is missing, and sessions in Redis need it: set it to the output of: openssl rand -hex 32",
		}},
		{"short secret", backendVars("GATEHOUSE_SECRET=" + secret32 + ",hunter2hunter2hunter2hunter2hun"), "", []string{
			"GATEHOUSE_SECRET: secret 2 of the list has 31 bytes; at least 32 are needed: make one with: openssl rand -hex 32",
		}},
		{"blank secret", backendVars("GATEHOUSE_SECRET=,"), "", []string{
			"GATEHOUSE_SECRET: it holds no secret: set it to the output of: openssl rand -hex 32",
		}},
		{"secret twice", backendVars("GATEHOUSE_SECRET="+secret32, "GATEHOUSE_SECRET_FILE=s"), "", []string{
			"GATEHOUSE_SECRET_FILE: GATEHOUSE_SECRET is set too: unset one of them",
		}},
		{"secret file absent", backendVars("GATEHOUSE_REDIS_URL=redis://r", "GATEHOUSE_SECRET_FILE=absent"), "", []string{
			"GATEHOUSE_SECRET_FILE: there is no file absent: is it mounted, and the path right?",
		}},
		{"secret file empty", backendVars("GATEHOUSE_SECRET_FILE=empty"), "", []string{"GATEHOUSE_SECRET_FILE: empty is empty: write the secret into it"}},
		{"secret file is a folder", backendVars("GATEHOUSE_SECRET_FILE=."), "", []string{"GATEHOUSE_SECRET_FILE: . is a folder: name a file"}},
		{"redis scheme", backendVars("GATEHOUSE_REDIS_URL=http://u:hunter2@r", "GATEHOUSE_SECRET="+secret32), "", []string{
			"GATEHOUSE_REDIS_URL: its scheme is none of redis, rediss, redis+sentinel, rediss+sentinel, redis+cluster, rediss+cluster: write redis://host:6379/0, rediss://…, redis+sentinel://master@host1,host2/0 or redis+cluster://host1,host2",
		}},
		{"redis host", backendVars("GATEHOUSE_REDIS_URL=redis://u:hunter2@/0", "GATEHOUSE_SECRET="+secret32), "", []string{
			"GATEHOUSE_REDIS_URL: it has no host: write redis://host:6379/0, rediss://…, redis+sentinel://master@host1,host2/0 or redis+cluster://host1,host2",
		}},
		{"admin token with a space", backendVars("GATEHOUSE_ADMIN_TOKEN=hunter2 hunter2 hunter2"), "", []string{
			"GATEHOUSE_ADMIN_TOKEN: it holds a space or a character that is not printable ASCII: make one with: openssl rand -hex 32",
		}},
		{"admin token of one character", backendVars("GATEHOUSE_ADMIN_TOKEN=aaaaaaaaaaaaaaaaaaaa"), "", []string{
			"GATEHOUSE_ADMIN_TOKEN: it is one character over and over: make one with: openssl rand -hex 32",
		}},
		{"admin url", backendVars("GATEHOUSE_ADMIN_URL=127.0.0.1:9090"), "", []string{
			"GATEHOUSE_ADMIN_URL: it is no URL: write one like https://host.example.com",
		}},
		{"listen", backendVars("GATEHOUSE_LISTEN=8080"), "", []string{
			`GATEHOUSE_LISTEN: "8080" is no address to listen on: write host:port, or :port for all interfaces`,
		}},
		{"listen port", backendVars("GATEHOUSE_LISTEN=:65536"), "", []string{
			`GATEHOUSE_LISTEN: ":65536" is no address to listen on: write host:port, or :port for all interfaces`,
		}},
		{"public url scheme", backendVars("GATEHOUSE_PUBLIC_URL=gate.example.com"), "", []string{
			"GATEHOUSE_PUBLIC_URL: its scheme is neither http nor https: write one like https://host.example.com",
		}},
		{"public url path", backendVars("GATEHOUSE_PUBLIC_URL=https://a/b"), "", []string{
			"GATEHOUSE_PUBLIC_URL: it has a path: write scheme and host only, like https://gate.example.com",
		}},
		{"proxies", backendVars("GATEHOUSE_TRUSTED_PROXIES=10.0.0.1/8,x"), "", []string{
			`GATEHOUSE_TRUSTED_PROXIES: "10.0.0.1/8" has bits beyond its prefix: did you mean 10.0.0.0/8?`,
			`GATEHOUSE_TRUSTED_PROXIES: "x" is neither an address nor a network: write a list like 10.0.0.0/8,192.0.2.7`,
		}},
		{"degraded", backendVars("GATEHOUSE_DEGRADED_FOR=60"), "", []string{
			`GATEHOUSE_DEGRADED_FOR: "60" is no time: write a number with its unit, like 90s, 30m or 12h`,
		}},
		{"degraded too long", backendVars("GATEHOUSE_DEGRADED_FOR=10m1s"), "", []string{"GATEHOUSE_DEGRADED_FOR: 10m1s is out of range: take 0s to 10m"}},
		{"log", backendVars("GATEHOUSE_LOG_LEVEL=loud", "GATEHOUSE_LOG_FORMAT=xml"), "", []string{
			`GATEHOUSE_LOG_LEVEL: "loud" is no level: use debug, info, warn or error`,
			`GATEHOUSE_LOG_FORMAT: "xml" is not known: use json or text`,
		}},
		{"data dir", backendVars("GATEHOUSE_DATA_DIR=users.yaml"), "", []string{
			"GATEHOUSE_DATA_DIR: users.yaml is not a folder: name one that the gateway may write to",
		}},
		{"pages path", backendVars("GATEHOUSE_PAGES_PATH=/"), "", []string{
			`GATEHOUSE_PAGES_PATH: "/" is no path for pages: write one like /.gatehouse, of letters, digits and . _ ~ -`,
		}},
		{"pages path dots", backendVars("GATEHOUSE_PAGES_PATH=/a/.."), "", []string{
			`GATEHOUSE_PAGES_PATH: "/a/.." is no path for pages: write one like /.gatehouse, of letters, digits and . _ ~ -`,
		}},
		{"grace", backendVars("GATEHOUSE_REFRESH_GRACE=61s"), "", []string{"GATEHOUSE_REFRESH_GRACE: 61s is out of range: take 0s to 1m"}},
		{"negative time", backendVars("GATEHOUSE_ACCESS_TTL=-1s"), "", []string{"GATEHOUSE_ACCESS_TTL: -1s is out of range: take 0s to 9600h"}},
		{"reuse and logout", backendVars("GATEHOUSE_ON_REUSE=ignore", "GATEHOUSE_LOGOUT=now", "GATEHOUSE_LOCAL_AUTH=no"), "", []string{
			`GATEHOUSE_ON_REUSE: "ignore" is not known: use revoke or refuse`,
			`GATEHOUSE_LOGOUT: "now" is not known: use end or vendor`,
			`GATEHOUSE_LOCAL_AUTH: "no" is neither true nor false: write true or false`,
		}},
		{"drain", backendVars("GATEHOUSE_DRAIN_TIMEOUT=-1s", "GATEHOUSE_LOGOUT_AT_DRAIN=1"), "", []string{
			"GATEHOUSE_DRAIN_TIMEOUT: -1s is out of range: take 0s to 10m",
			`GATEHOUSE_LOGOUT_AT_DRAIN: "1" is neither true nor false: write true or false`,
		}},
		{"refresh length", backendVars("GATEHOUSE_REFRESH_LENGTH=12"), "", []string{
			"GATEHOUSE_REFRESH_LENGTH: ipfabric/7.0: a refresh token of 12 characters cannot hold what it must; the length is 49 to 1024, the vendor's 80",
		}},
		{"refresh length no number", backendVars("GATEHOUSE_REFRESH_LENGTH=long"), "", []string{
			`GATEHOUSE_REFRESH_LENGTH: "long" is no number from 1 to 4096: correct it or leave it out`,
		}},
		{"access ttl for the dialect", backendVars("GATEHOUSE_ACCESS_TTL=10ms"), "", []string{
			"GATEHOUSE_ACCESS_TTL: ipfabric/7.0: tokens must live for a second at least",
		}},
		{"missing token code", backendVars("GATEHOUSE_MISSING_TOKEN_CODE=no spaces"), "", []string{
			"GATEHOUSE_MISSING_TOKEN_CODE: ipfabric/7.0: the code for a missing token must look like API_EXPIRED_ACCESS_TOKEN",
		}},
		{"https only for the dialect", backendVars("GATEHOUSE_HTTPS_ONLY=true"), "", []string{
			"GATEHOUSE_HTTPS_ONLY: ipfabric/7.0: the vendor does not refuse plain http by itself",
		}},
		{"https only, neither", backendVars("GATEHOUSE_HTTPS_ONLY=yes"), "", []string{
			`GATEHOUSE_HTTPS_ONLY: "yes" is neither true nor false: write true or false`,
		}},
		{"certificate alone", backendVars("GATEHOUSE_TLS_CERT_FILE=cert.pem"), "", []string{
			"GATEHOUSE_TLS_CERT_FILE: it is set without GATEHOUSE_TLS_KEY_FILE: set both or neither",
		}},
		{"key alone", backendVars("GATEHOUSE_TLS_KEY_FILE=key.pem"), "", []string{
			"GATEHOUSE_TLS_KEY_FILE: it is set without GATEHOUSE_TLS_CERT_FILE: set both or neither",
		}},
		{"no pair", backendVars("GATEHOUSE_TLS_CERT_FILE=cert.pem", "GATEHOUSE_TLS_KEY_FILE=other.pem"), "", []string{
			"GATEHOUSE_TLS_CERT_FILE: cert.pem and other.pem are no pair: tls: private key does not match public key: name a PEM certificate chain and the key it was made with",
		}},
		{"key absent", backendVars("GATEHOUSE_TLS_CERT_FILE=cert.pem", "GATEHOUSE_TLS_KEY_FILE=absent"), "", []string{
			"GATEHOUSE_TLS_KEY_FILE: there is no file absent: is it mounted, and the path right?",
		}},
		{"backend without url", []string{"GATEHOUSE_BACKEND_SPEAK=ipfabric/7.0"}, "", []string{
			"GATEHOUSE_BACKEND_URL: it is missing, and other settings of the backend are there: set it to where the backend is",
		}},
		{"backend without speak", []string{"GATEHOUSE_BACKEND_URL=https://x"}, "", []string{
			"GATEHOUSE_BACKEND_SPEAK: it is missing: name the backend's token API, one of " + dialectNames + ", or jwt, static, none",
		}},
		{"backend url scheme", []string{"GATEHOUSE_BACKEND_URL=ftp://x", "GATEHOUSE_BACKEND_SPEAK=ipfabric"}, "", []string{
			"GATEHOUSE_BACKEND_URL: its scheme is neither http nor https: write one like https://host.example.com",
		}},
		{"backend url without host", []string{"GATEHOUSE_BACKEND_URL=https:///x", "GATEHOUSE_BACKEND_SPEAK=ipfabric"}, "", []string{
			"GATEHOUSE_BACKEND_URL: it has no host: write one like https://host.example.com",
		}},
		{"backend url with password", []string{"GATEHOUSE_BACKEND_URL=https://u:hunter2@x", "GATEHOUSE_BACKEND_SPEAK=ipfabric"}, "", []string{
			"GATEHOUSE_BACKEND_URL: it holds a user name or a password: take it out of the URL; the gateway logs in with its account",
		}},
		{"backend url nonsense", []string{"GATEHOUSE_BACKEND_URL=https://hunter2:x y", "GATEHOUSE_BACKEND_SPEAK=ipfabric"}, "", []string{
			"GATEHOUSE_BACKEND_URL: it is no URL: write one like https://host.example.com",
		}},
		{"backend url port", []string{"GATEHOUSE_BACKEND_URL=https://x:70000", "GATEHOUSE_BACKEND_SPEAK=ipfabric"}, "", []string{
			"GATEHOUSE_BACKEND_URL: its port is out of range: write one like https://host.example.com",
		}},
		{"backend url query", []string{"GATEHOUSE_BACKEND_URL=https://x?y", "GATEHOUSE_BACKEND_SPEAK=ipfabric"}, "", []string{
			"GATEHOUSE_BACKEND_URL: it has a query or a fragment: write one like https://host.example.com",
		}},
		{"unknown dialect", []string{"GATEHOUSE_BACKEND_URL=https://x", "GATEHOUSE_BACKEND_SPEAK=netbox"}, "", []string{
			`GATEHOUSE_BACKEND_SPEAK: no dialect "netbox"; there are ` + dialectNames,
		}},
		{"unknown profile", []string{"GATEHOUSE_BACKEND_URL=https://x", "GATEHOUSE_BACKEND_SPEAK=ipfabric/9"}, "", []string{
			`GATEHOUSE_BACKEND_SPEAK: ipfabric has no profile "9"; it has 5.0, 6.1, 7.0, 7.5`,
		}},
		{"serve unknown", backendVars("GATEHOUSE_SERVE=ipfabric/7.0,netbox"), "", []string{
			`GATEHOUSE_SERVE: no dialect "netbox"; there are ` + dialectNames,
		}},
		{"serve twice", backendVars("GATEHOUSE_SERVE=ipfabric/7.0,ipfabric/6.1"), "", []string{
			"GATEHOUSE_SERVE: ipfabric/6.1 claims the paths of ipfabric/7.0: serve one profile of a vendor on one route",
		}},
		{"account without users", backendVars("GATEHOUSE_BACKEND_USERNAME=svc", "GATEHOUSE_BACKEND_PASSWORD=x"), "", []string{
			"GATEHOUSE_USERS_FILE: it is missing, and clients share the account of backend backend: name a file of users; gatehouse hash-password makes the hashes",
		}},
		{"none without users", []string{"GATEHOUSE_BACKEND_URL=https://x", "GATEHOUSE_BACKEND_SPEAK=none"}, "", []string{
			"GATEHOUSE_USERS_FILE: it is missing, and backend backend cannot check clients: name a file of users; gatehouse hash-password makes the hashes",
		}},
		{"account without password", backendVars("GATEHOUSE_BACKEND_USERNAME=svc", "GATEHOUSE_USERS_FILE=users.yaml"), "", []string{
			"GATEHOUSE_BACKEND_PASSWORD: the account has no password: give it one; without an account each client logs in with its own",
		}},
		{"account without user", backendVars("GATEHOUSE_BACKEND_PASSWORD=hunter2", "GATEHOUSE_USERS_FILE=users.yaml"), "", []string{
			"GATEHOUSE_BACKEND_USERNAME: the account has no user name: give it one and a password, or an API token",
		}},
		{"account with both", backendVars("GATEHOUSE_BACKEND_USERNAME=svc", "GATEHOUSE_BACKEND_API_TOKEN=hunter2", "GATEHOUSE_USERS_FILE=users.yaml"), "", []string{
			"GATEHOUSE_BACKEND_API_TOKEN: the account has an API token and a user name or password: use one or the other",
		}},
		{"account with both ways to log in", backendVars("GATEHOUSE_BACKEND_TOTP_SECRET=JBSWY3DPEHPK3PXP", "GATEHOUSE_BACKEND_API_TOKEN=hunter2", "GATEHOUSE_USERS_FILE=users.yaml"), "", []string{
			"GATEHOUSE_BACKEND_API_TOKEN: the account has an API token and settings for logging in: use one or the other",
		}},
		{"spoken side of the environment", backendVars("GATEHOUSE_BACKEND_VERSIONS=v7.0", "GATEHOUSE_BACKEND_RENEWAL_FIELD=accessToken", "GATEHOUSE_BACKEND_APPLICATION_TOKEN=yes", "GATEHOUSE_USERS_FILE=users.yaml"), "", []string{
			`GATEHOUSE_BACKEND_APPLICATION_TOKEN: "yes" is neither true nor false: write true or false`,
			"GATEHOUSE_BACKEND_RENEWAL_FIELD: ipfabric/7.0 sends no token to have it renewed: take it out",
			"GATEHOUSE_BACKEND_VERSIONS: ipfabric/7.0 has no versions to choose from: take it out",
			"GATEHOUSE_BACKEND_USERNAME: the account has no user name: give it one and a password, or an API token",
		}},
		{"TOTP secret", backendVars("GATEHOUSE_BACKEND_USERNAME=svc", "GATEHOUSE_BACKEND_PASSWORD=x", "GATEHOUSE_BACKEND_TOTP_SECRET=hunter2-1890", "GATEHOUSE_USERS_FILE=users.yaml"), "", []string{
			"GATEHOUSE_BACKEND_TOTP_SECRET: it is not base32 of at least 16 characters: write the letters A to Z and digits 2 to 7 that the backend shows when the factor is set up",
		}},
		{"account of none", []string{"GATEHOUSE_BACKEND_URL=https://x", "GATEHOUSE_BACKEND_SPEAK=none", "GATEHOUSE_BACKEND_API_TOKEN=hunter2", "GATEHOUSE_USERS_FILE=users.yaml"}, "", []string{
			"GATEHOUSE_BACKEND_USERNAME: there is an account for a backend that is not spoken to: take it out, or say what the backend speaks",
		}},
		{"password file absent", backendVars("GATEHOUSE_BACKEND_USERNAME=svc", "GATEHOUSE_BACKEND_PASSWORD_FILE=absent", "GATEHOUSE_USERS_FILE=users.yaml"), "", []string{
			"GATEHOUSE_BACKEND_PASSWORD_FILE: there is no file absent: is it mounted, and the path right?",
		}},
		{"ca file", backendVars("GATEHOUSE_BACKEND_CA_FILE=users.yaml"), "", []string{
			"GATEHOUSE_BACKEND_CA_FILE: users.yaml holds no certificate: name a file of PEM certificates",
		}},
		{"insecure", backendVars("GATEHOUSE_BACKEND_INSECURE=yes"), "", []string{
			`GATEHOUSE_BACKEND_INSECURE: "yes" is neither true nor false: write true or false`,
		}},
		{"users file absent", backendVars("GATEHOUSE_USERS_FILE=absent"), "", []string{
			"GATEHOUSE_USERS_FILE: there is no file absent: is it mounted, and the path right?",
		}},
		{"users file faults", backendVars("GATEHOUSE_USERS_FILE=bad-users.yaml"), "", []string{
			`bad-users.yaml:5: unknown key "groop"; a user has name, hash, id, email, realm, groups, scopes, admin, kind, permissions, disabled, second_factor, allow_without_factor`,
			`bad-users.yaml:1: user #1 "a": only argon2id hashes are taken ($argon2id$v=19$…); make one with gatehouse hash-password`,
		}},
		{"users file empty", backendVars("GATEHOUSE_USERS_FILE=empty"), "", []string{"empty: the file is empty"}},
		{"config absent", backendVars("GATEHOUSE_CONFIG=absent"), "", []string{
			"GATEHOUSE_CONFIG: there is no file absent: is it mounted, and the path right?",
		}},
		{"config absent, no backend", []string{"GATEHOUSE_CONFIG=absent"}, "", []string{
			"GATEHOUSE_CONFIG: there is no file absent: is it mounted, and the path right?",
		}},
		{"config empty, no backend", []string{"GATEHOUSE_CONFIG=empty"}, "", []string{
			"GATEHOUSE_BACKEND_URL: there is no backend: set it to where one is, like https://fabric.example.com",
			"GATEHOUSE_BACKEND_SPEAK: its token API is not told: set it to one of " + dialectNames + ", or jwt, static, none",
			"GATEHOUSE_CONFIG: there is no file with backends and routes either: name one, or see it all at work first with: gatehouse demo",
		}},
		{"name of a folder", backendVars("GATEHOUSE_CONFIG=."), "", []string{"GATEHOUSE_CONFIG: . is a folder: name a file"}},
	})
}
