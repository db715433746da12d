package config

import "slices"

// Setting describes one environment variable, for --help and the reference page.
type Setting struct {
	Name    string // with the prefix
	Default string // empty: none
	Secret  bool   // also settable as Name_FILE, the name of a file that holds it
	Doc     string // one sentence
}

// Reference returns every environment variable in the order they are explained
// best. Names and defaults are those of the parser itself.
func Reference() []Setting {
	params := parameters()
	list := make([]Setting, 0, len(docs))
	for _, d := range docs {
		for _, p := range params {
			if p.Key != prefix+d.name {
				continue
			}
			list = append(list, Setting{
				Name: p.Key, Default: p.DefaultValue, Secret: slices.Contains(secretNames, d.name), Doc: d.doc,
			})
		}
	}
	return list
}

// docs explains each variable once.
var docs = []struct{ name, doc string }{
	{"BACKEND_URL", "Where the backend is; http or https, a path is kept."},
	{"BACKEND_SPEAK", "The token API of the backend, like ipfabric/7.0; jwt, static or none for a backend that has none."},
	{"BACKEND_USERNAME", "The account that all clients share; without one each client logs in to the backend with its own."},
	{"BACKEND_PASSWORD", "The password of the account."},
	{"BACKEND_API_TOKEN", "An API token of the backend, instead of user name and password."},
	{"BACKEND_CLIENT_ID", "The OAuth client as which the gateway speaks to the backend, where its token API knows clients."},
	{"BACKEND_CLIENT_SECRET", "The secret of that client; none for a public one."},
	{"BACKEND_TOTP_SECRET", "The base32 secret of the account's second factor (RFC 6238)."},
	{"BACKEND_APPLICATION_TOKEN", "true: the account logs in only to get a token that never expires, where the backend gives such."},
	{"BACKEND_VERSIONS", "Versions of the backend's API that may be spoken, the preferred one first, like v1.2,v1.1; where there are several."},
	{"BACKEND_RENEWAL_FIELD", "The form field that carries the token to be renewed, where the vendor does not say."},
	{"BACKEND_HEADER", "With static, the header that the API token is sent in as it is; without it goes as a Bearer token."},
	{"BACKEND_CA_FILE", "PEM certificates that the backend's certificate is checked against, instead of the system's."},
	{"BACKEND_SERVER_NAME", "The name in the backend's certificate, where it is not that of the URL."},
	{"BACKEND_INSECURE", "true: the backend's certificate is not checked."},
	{"BACKEND_CALL_TIMEOUT", "How long one login, renewal or logout at the backend may take, 100ms to 5m; 10s if it is not set."},
	{"BACKEND_LEASE", "For how long a renewal is left to a gateway that is gone, 1s to 1m; 6s if it is not set."},
	{"BACKEND_MAX_SESSIONS", "How many sessions may be open at the backend for the account, or in all where clients log in themselves; by default any number."},
	{"SERVE", "Token APIs that clients may use, separated by commas; by default the one that the backend speaks."},
	{"USERS_FILE", "YAML file of users with argon2id hashes; needed with an account."},
	{"CONFIG", "YAML file with backends, routes, policy and identity."},
	{"LISTEN", "The address of the front door."},
	{"ADMIN_LISTEN", "The address of health, metrics and operator calls; not for the public."},
	{"ADMIN_TOKEN", "The bearer token of operator calls, 16 to 4096 characters; without it there are none. The commands sessions, tokens, challenges and backends send it."},
	{"ADMIN_URL", "Where these commands find the gateway; by default on this host, at the port of ADMIN_LISTEN."},
	{"PUBLIC_URL", "Scheme and host that callers use, where something stands in front."},
	{"TLS_CERT_FILE", "PEM certificate chain of the front door; without it the front door speaks plain HTTP."},
	{"TLS_KEY_FILE", "The key of the certificate."},
	{"TRUSTED_PROXIES", "Addresses and networks whose X-Forwarded-For is believed, separated by commas."},
	{"PAGES_PATH", "The path under which our own pages are."},
	{"REDIS_URL", "redis://, rediss://, redis+sentinel://master@h1,h2/0 or redis+cluster://h1,h2; without it sessions end with the process."},
	{"SECRET", "Root secrets of at least 32 bytes, separated by commas, the one in use first; needed with Redis."},
	{"DATA_DIR", "A folder of the gateway's own; this version keeps nothing there."},
	{"DEGRADED_FOR", "How long checked sessions are believed while Redis does not answer, at most 10m."},
	{"ACCESS_TTL", "The life of access tokens; by default the vendor's."},
	{"REFRESH_TTL", "The life of refresh tokens since their last use; by default the vendor's."},
	{"REFRESH_GRACE", "How long a refresh token that was used once more gets the same answer, at most 60s."},
	{"REFRESH_LENGTH", "The length of refresh tokens in characters, where the vendor lets one set it."},
	{"ON_REUSE", "What a reused refresh token does: revoke ends its session, refuse only refuses it."},
	{"LOGOUT", "What a logout does: end ends the session at once, vendor lets access tokens live out their time."},
	{"LOCAL_AUTH", "false: logins by password are refused, API tokens still work."},
	{"HTTPS_ONLY", "true: calls that did not come over TLS are refused, where the vendor's own API can do so (oracle-sbc)."},
	{"MISSING_TOKEN_CODE", "The error code of a call without credentials; by default the vendor's."},
	{"DEFAULT_REALM", "The realm whose users need not name it when they log in; without one nobody needs to."},
	{"DISCOVERY", "fac-oauth's discovery documents: absolute URLs, or vendor for those of the vendor's page."},
	{"DRAIN_TIMEOUT", "How long requests under way may take when the process is told to end, at most 10m."},
	{"LOGOUT_AT_DRAIN", "true: log out of backends at the end what nobody can use afterwards."},
	{"LOG_LEVEL", "debug, info, warn or error."},
	{"LOG_FORMAT", "json or text."},
}
