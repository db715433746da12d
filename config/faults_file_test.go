package config_test

import "testing"

func TestFaultsOfTheFile(t *testing.T) {
	testFaults(t, []faultCase{
		{"yaml syntax", backendVars(), "routes:\n  - {path: /\n", []string{
			"gate.yaml:3: did not find expected ',' or '}': is the indentation right, and are quotes and brackets closed?",
		}},
		{"yaml two documents", backendVars(), "routes: []\n---\nroutes: []\n", []string{"gate.yaml: expected single document, found multiple"}},
		{"yaml unknown keys", backendVars(), "route: []\nbackends:\n  x: {ulr: https://x, url: https://x, speak: ipfabric}\nroutes:\n  - {path: /x, backend: x, quux: 1}\n", []string{
			"gate.yaml:1 route: there is no such key: did you mean routes?",
			"gate.yaml:3 backends.x.ulr: there is no such key: there are account, ca_file, call_timeout, client_id, client_secret_env, client_secret_file, header_timeout, identity_headers, insecure_skip_verify, jwt, lease, max_sessions, preserve_host, renewal_field, server_name, speak, static, url, versions",
			"gate.yaml:5 routes[0].quux: there is no such key: there are access_ttl, backend, default_realm, discovery, encoded_slash, host, https_only, local_auth, logout, max_body, missing_token_code, name, on_reuse, path, refresh_grace, refresh_length, refresh_ttl, serve",
		}},
		{"yaml literal secrets", backendVars("GATEHOUSE_USERS_FILE=users.yaml"), "secret: hunter2\nbackends:\n  x:\n    url: https://x\n    speak: ipfabric\n    password: hunter2\n    account:\n      username: svc\n      password: hunter2\nroutes: [{path: /x, backend: x}]\n", []string{
			"gate.yaml:1 secret: this file names secrets and does not hold them: set GATEHOUSE_SECRET_FILE to the name of a file",
			"gate.yaml:6 backends.x.password: this file names secrets and does not hold them: use password_file or api_token_file of the backend's account",
			"gate.yaml:9 backends.x.account.password: this file names secrets and does not hold them: use password_file with the name of a file, or password_env with that of a variable",
		}},
		{"yaml duplicate key", backendVars(), "policy: []\npolicy: []\n", []string{"gate.yaml:2 policy: it is given twice: take one out"}},
		{"yaml merge key", backendVars(), "identity:\n  <<: {users_file: x}\n", []string{
			"gate.yaml:2 identity: keys must be words; merging with << is not taken: write the values out",
		}},
		{"yaml kinds", backendVars(), "backends: [x]\nroutes: {a: b}\npolicy: 1\nidentity: {users_file: [x]}\n", []string{
			"gate.yaml:1 backends: it is not a map: write keys with their values",
			"gate.yaml:2 routes: it is not a list: write it like [one, two], or one a line behind a -",
			"gate.yaml:3 policy: it is not a list: write it like [one, two], or one a line behind a -",
			"gate.yaml:4 identity.users_file: it is not a single value: write one word or number",
		}},
		{"yaml null in a rule", backendVars(), "policy:\n  - {path: /x, groups: }\n  - {path: /x, users: [~]}\n", []string{
			"gate.yaml:2 policy[0].groups: it has no value: give it one or take it out",
			"gate.yaml:3 policy[1].users[0]: it has no value: give it one or take it out",
		}},
		{"yaml bool", backendVars(), "policy:\n  - {path: /x, admin: maybe}\n", []string{"gate.yaml:2: cannot construct !!str `maybe` into bool"}},
		{"two backends of one name", backendVars(), "backends:\n  backend: {url: https://x, speak: ipfabric}\n", []string{
			"gate.yaml:2 backends.backend: the environment has a backend of this name: rename it, or unset GATEHOUSE_BACKEND_URL",
		}},
		{"backend name", backendVars(), "backends:\n  'a b': {url: https://x, speak: ipfabric}\nroutes: [{path: /x, backend: a b}]\n", []string{
			`gate.yaml:2 backends.a b: "a b" is no good name: use 1 to 64 letters, digits and . _ -, beginning with a letter or digit`,
		}},
		{"backend lacks all", backendVars(), "backends:\n  x: {}\nroutes: [{path: /x, backend: x}]\n", []string{
			"gate.yaml:2 backends.x.url: it is missing: set it to where the backend is, like https://fabric.example.com",
			"gate.yaml:2 backends.x.speak: it is missing: name the backend's token API, one of " + dialectNames + ", or jwt, static, none",
		}},
		{"backend unused", backendVars(), "backends:\n  x: {url: https://x, speak: ipfabric}\n", []string{
			"gate.yaml:2 backends.x: no route leads to it: add one under routes, like {path: /, backend: x}",
		}},
		{"file without backends", nil, "policy: []\n", []string{
			"GATEHOUSE_BACKEND_URL: there is no backend: set it to where one is, like https://fabric.example.com",
			"GATEHOUSE_BACKEND_SPEAK: its token API is not told: set it to one of " + dialectNames + ", or jwt, static, none",
			"GATEHOUSE_CONFIG: there is no file with backends and routes either: name one, or see it all at work first with: gatehouse demo",
		}},
		{"secrets of the file", backendVars("GATEHOUSE_USERS_FILE=users.yaml"), "backends:\n  x: {url: https://x, speak: ipfabric, account: {username: svc, password_file: absent}}\n  y: {url: https://x, speak: ipfabric, account: {username: svc, password_env: UNSET}}\n  z: {url: https://x, speak: ipfabric, account: {username: svc, password_env: UNSET, password_file: empty}}\n  w: {url: https://x, speak: ipfabric, account: {}}\nroutes: [{path: /x, backend: x}, {path: /y, backend: y}, {path: /z, backend: z}, {path: /w, backend: w}]\n", []string{
			"gate.yaml:2 backends.x.account.password_file: there is no file absent: is it mounted, and the path right?",
			"gate.yaml:3 backends.y.account.password_env: the variable UNSET is not set: set it, or name a file",
			"gate.yaml:4 backends.z.account.password_env: the secret is named as a file too: take one out",
			"gate.yaml:5 backends.w.account.username: the account has no user name: give it one and a password, or an API token",
		}},
		{"unknown backend", backendVars(), "backends:\n  fabric: {url: https://x, speak: ipfabric}\nroutes:\n  - {path: /x, backend: fabrik}\n  - {path: /y}\n  - {backend: fabric}\n", []string{
			`gate.yaml:4 routes[0].backend: there is no backend "fabrik": did you mean fabric?`,
			"gate.yaml:5 routes[1].backend: it is missing: name the backend that the route leads to",
			"gate.yaml:6 routes[2].path: it is missing: write / for everything",
		}},
		{"collision", backendVars(), "backends:\n  x: {url: https://x, speak: ipfabric}\nroutes:\n  - {host: A.example.com, path: /x, backend: x}\n  - {host: a.example.com., path: /x/, backend: x}\n  - {path: /, backend: x}\n", []string{
			`gate.yaml:5 routes[1].path: it collides with route "x": both take a.example.com/x: change host or path of one`,
			`GATEHOUSE_BACKEND_URL: it collides with route "x-3": both take any host /: change host or path of one`,
		}},
		{"route names", backendVars(), "routes:\n  - {name: a, path: /x, backend: backend}\n  - {name: a, path: /y, backend: backend}\n  - {name: '-', path: /z, backend: backend}\n", []string{
			`gate.yaml:3 routes[1].name: another route is called "a": give each a name of its own`,
			`gate.yaml:4 routes[2].name: "-" is no good name: use 1 to 64 letters, digits and . _ -, beginning with a letter or digit`,
		}},
		{"route host and path", backendVars(), "routes:\n  - {host: 'a:80', path: x, backend: backend}\n  - {path: /x/**, backend: backend}\n  - {path: /a//b, backend: backend}\n", []string{
			`gate.yaml:2 routes[0].host: host must be a name like "api.example.com" or "*.example.com", without scheme, port or path`,
			`gate.yaml:2 routes[0].path: path must begin with "/": write a prefix like / or /api; everything below belongs to the route`,
			`gate.yaml:3 routes[1].path: "/x/**" holds a * or a %: write a prefix like / or /api; everything below belongs to the route`,
			"gate.yaml:4 routes[2].path: path has an empty segment: write a prefix like / or /api; everything below belongs to the route",
		}},
		{"route settings", backendVars(), "routes:\n  - path: /\n    backend: backend\n    serve: [netbox]\n    access_ttl: soon\n    refresh_grace: 61s\n    on_reuse: x\n    max_body: lots\n    encoded_slash: maybe\n", []string{
			`gate.yaml:5 routes[0].access_ttl: "soon" is no time: write a number with its unit, like 90s, 30m or 12h`,
			"gate.yaml:6 routes[0].refresh_grace: 61s is out of range: take 0s to 1m",
			`gate.yaml:7 routes[0].on_reuse: "x" is not known: use revoke or refuse`,
			`gate.yaml:9 routes[0].encoded_slash: "maybe" is neither true nor false: write true or false`,
			`gate.yaml:8 routes[0].max_body: "lots" is no size: write bytes, or a number with KiB, MiB or GiB; leave it out for no limit`,
			`gate.yaml:4 routes[0].serve[0]: no dialect "netbox"; there are ` + dialectNames,
		}},
		{"route refresh length", backendVars(), "routes:\n  - path: /\n    backend: backend\n    refresh_length: 12\n", []string{
			"gate.yaml:4 routes[0].refresh_length: ipfabric/7.0: a refresh token of 12 characters cannot hold what it must; the length is 49 to 1024, the vendor's 80",
		}},
		{"https only", backendVars(), "backends:\n  sbc: {url: https://x, speak: oracle-sbc}\nroutes:\n  - {path: /, backend: backend, https_only: true}\n  - {path: /s, backend: sbc, https_only: true}\n  - {path: /n, backend: sbc, serve: [], https_only: true}\n", []string{
			"gate.yaml:4 routes[0].https_only: ipfabric/7.0: the vendor does not refuse plain http by itself",
			"gate.yaml:6 routes[2].https_only: the route serves no token API that knows it: leave it out",
		}},
		{"serve in vain", backendVars("GATEHOUSE_SERVE=ipfabric/6.1"), "routes: [{path: /, backend: backend}]\n", []string{
			"GATEHOUSE_SERVE: routes of the file lead to the backend of the environment: write serve into them",
		}},
		{"policy", backendVars(), "policy:\n  - {path: /a, methods: [get]}\n  - name: ops\n    when: user.admn\n  - {users: []}\n", []string{
			`gate.yaml:2 policy[0]: method "get" is not one: methods are upper-case words like GET`,
			"gate.yaml:3 policy[1]: when: type policy.user has no field admn (1:6)",
			" | user.admn",
			" | .....^",
			"gate.yaml:5 policy[2]: an empty list of methods, users, groups or scopes holds for nobody: leave it out for any",
		}},
		{"users twice", backendVars("GATEHOUSE_USERS_FILE=users.yaml"), "identity: {users_file: users.yaml}\n", []string{
			"GATEHOUSE_USERS_FILE: gate.yaml:1 identity.users_file names one too: take one out",
		}},
		{"users of the file absent", backendVars(), "identity:\n  users_file: absent\n", []string{
			"gate.yaml:2 identity.users_file: there is no file absent: is it mounted, and the path right?",
		}},
		{"spoken side of the file", backendVars("GATEHOUSE_USERS_FILE=users.yaml"), `backends:
  x:
    url: https://x
    speak: ipfabric
    versions: [v1.2, 1.2, x, v1.]
    renewal_field: "a=b"
    account: {username: svc, password_file: s, totp_secret_file: s, application_token: true}
  y:
    url: https://x
    speak: none
    versions: [v1.2]
    renewal_field: accessToken
  z:
    url: https://x
    speak: ipfabric
    account: {username: svc, password: hunter2, totp_secret: hunter2}
routes: [{path: /x, backend: x}, {path: /y, backend: y}, {path: /z, backend: z}]
`, []string{
			"gate.yaml:16 backends.z.account.password: this file names secrets and does not hold them: use password_file with the name of a file, or password_env with that of a variable",
			"gate.yaml:16 backends.z.account.totp_secret: this file names secrets and does not hold them: use totp_secret_file with the name of a file, or totp_secret_env with that of a variable",
			`gate.yaml:6 backends.x.renewal_field: "a=b" is no name of a form field: use 1 to 64 letters, digits, _ and -`,
			"gate.yaml:5 backends.x.versions[1]: 1.2 is there twice: take one out",
			`gate.yaml:5 backends.x.versions[2]: "x" is no version: write one like v1.2`,
			`gate.yaml:5 backends.x.versions[3]: "v1." is no version: write one like v1.2`,
			"gate.yaml:7 backends.x.account.totp_secret: it is not base32 of at least 16 characters: write the letters A to Z and digits 2 to 7 that the backend shows when the factor is set up",
			"gate.yaml:7 backends.x.account.application_token: ipfabric/7.0 has no application tokens: take it out",
			"gate.yaml:12 backends.y.renewal_field: none sends no token to have it renewed: take it out",
			"gate.yaml:11 backends.y.versions: none has no versions to choose from: take it out",
		}},
		{"header timeout", backendVars(), "backends:\n  x: {url: https://x, speak: ipfabric, header_timeout: 2h}\nroutes: [{path: /x, backend: x}]\n", []string{
			"gate.yaml:2 backends.x.header_timeout: 2h is out of range: take 1ms to 1h",
		}},
		{"keeping under its bounds", backendVars(), "backends:\n  x: {url: https://x, speak: ipfabric, call_timeout: 99ms, lease: 999ms, max_sessions: 0}\nroutes: [{path: /x, backend: x}]\n", []string{
			"gate.yaml:2 backends.x.call_timeout: 99ms is out of range: take 100ms to 5m",
			"gate.yaml:2 backends.x.lease: 999ms is out of range: take 1s to 1m",
			`gate.yaml:2 backends.x.max_sessions: "0" is no number from 1 to 1000000: correct it or leave it out`,
		}},
		{"keeping over its bounds", backendVars(), "backends:\n  x: {url: https://x, speak: ipfabric, call_timeout: 5m1ms, lease: 1m1ms, max_sessions: 1000001}\nroutes: [{path: /x, backend: x}]\n", []string{
			"gate.yaml:2 backends.x.call_timeout: 5m1ms is out of range: take 100ms to 5m",
			"gate.yaml:2 backends.x.lease: 1m1ms is out of range: take 1s to 1m",
			`gate.yaml:2 backends.x.max_sessions: "1000001" is no number from 1 to 1000000: correct it or leave it out`,
		}},
		{"keeping where there is nothing to keep", backendVars(), "backends:\n  x: {url: https://x, speak: none, lease: 2s}\nroutes: [{path: /x, backend: x}]\n", []string{
			"gate.yaml:2 backends.x.speak: none has no sessions at the backend, so call_timeout, lease and max_sessions have no meaning: take them out",
			"GATEHOUSE_USERS_FILE: it is missing, and backend x cannot check clients: name a file of users; gatehouse hash-password makes the hashes",
		}},
	})
}
