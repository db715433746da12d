package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// shape says what may stand at a place of the file. The zero shape is a single
// value.
type shape struct {
	keys  map[string]shape // a map with these keys
	any   *shape           // a map with keys of the operator's own
	items *shape           // a list
}

var (
	single = shape{}
	words  = shape{items: &single}
)

func mapOf(keys ...string) map[string]shape {
	m := map[string]shape{}
	for _, k := range keys {
		m[k] = single
	}
	return m
}

// fileShape is the whole language of the file.
func fileShape() shape {
	account := shape{keys: mapOf("username", "password_file", "password_env", "api_token_file", "api_token_env",
		"totp_secret_file", "totp_secret_env", "application_token")}
	backend := shape{keys: mapOf("url", "speak", "client_id", "client_secret_file", "client_secret_env", "ca_file", "server_name",
		"insecure_skip_verify", "preserve_host", "header_timeout", "call_timeout", "lease", "max_sessions", "renewal_field")}
	backend.keys["account"] = account
	backend.keys["versions"] = words
	backend.keys["jwt"] = shape{keys: mapOf("issuer", "audience", "ttl")}
	backend.keys["static"] = shape{keys: mapOf("header", "value_file", "value_env", "username", "password_file", "password_env", "bearer_file", "bearer_env")}
	backend.keys["identity_headers"] = shape{keys: mapOf("user", "id", "email", "groups", "scopes")}
	route := shape{keys: mapOf("name", "host", "path", "backend", "access_ttl", "refresh_ttl", "refresh_grace", "on_reuse",
		"logout", "local_auth", "https_only", "missing_token_code", "refresh_length", "default_realm", "discovery", "encoded_slash", "max_body")}
	route.keys["serve"] = words
	rule := shape{keys: mapOf("name", "host", "path", "admin", "public", "inject", "deny", "require", "when")}
	for _, k := range []string{"methods", "users", "groups", "scopes"} {
		rule.keys[k] = words
	}
	second := shape{keys: map[string]shape{
		"smtp":    {keys: mapOf("address", "from", "username", "password_file", "password_env", "tls", "ca_file", "timeout")},
		"webhook": {keys: mapOf("url", "secret_file", "secret_env", "ca_file", "timeout")},
	}}
	client := shape{keys: mapOf("id", "type", "secret_file", "secret_env", "access_ttl", "never_as", "id_token_ttl")}
	for _, k := range []string{"grants", "redirect_uris", "scopes"} {
		client.keys[k] = words
	}
	return shape{keys: map[string]shape{
		"clients":  {items: &client},
		"backends": {any: &backend},
		"routes":   {items: &route},
		"policy":   {items: &rule},
		"identity": {keys: mapOf("users_file")},

		"second_factor": second,
	}}
}

// walker compares the file with its shape and notes the lines. What it lets
// pass, the library can load.
type walker struct {
	*loader
	values int
}

// bad reports what makes the file unreadable as a whole.
func (w *walker) bad(n *yaml.Node, key, msg, remedy string) {
	w.file.broken = true
	w.fault(strings.TrimSpace(w.file.line(n.Line)+" "+key), msg, remedy)
}

func (w *walker) walk(n *yaml.Node, s shape, key string) {
	w.values++
	if w.values > maxValues {
		if w.values == maxValues+1 {
			w.bad(n, key, fmt.Sprintf("the file comes to more than %d values", maxValues), "follow fewer aliases")
		}
		return
	}
	switch {
	case n.Kind == yaml.DocumentNode && len(n.Content) == 1:
		w.walk(n.Content[0], s, key)
	case n.Kind == yaml.AliasNode && n.Alias != nil:
		w.walk(n.Alias, s, key)
	case n.ShortTag() == "!!null":
		w.null(n, key)
	case s.keys != nil || s.any != nil:
		w.mapping(n, s, key)
	case s.items != nil:
		w.list(n, s, key)
	case n.Kind != yaml.ScalarNode:
		w.bad(n, key, "it is not a single value", "write one word or number")
	}
}

// null lets a section at the top be empty. Elsewhere a value that is forgotten
// would count as absent, which in a rule means anybody.
func (w *walker) null(n *yaml.Node, key string) {
	if strings.ContainsAny(key, ".[") {
		w.bad(n, key, "it has no value", "give it one or take it out")
	}
}

func (w *walker) list(n *yaml.Node, s shape, key string) {
	if n.Kind != yaml.SequenceNode {
		w.bad(n, key, "it is not a list", "write it like [one, two], or one a line behind a -")
		return
	}
	for i, item := range n.Content {
		at := fmt.Sprintf("%s[%d]", key, i)
		w.file.lines[at] = item.Line
		w.walk(item, *s.items, at)
	}
}

func (w *walker) mapping(n *yaml.Node, s shape, key string) {
	if n.Kind != yaml.MappingNode {
		w.bad(n, key, "it is not a map", "write keys with their values")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		switch {
		case k.Kind != yaml.ScalarNode || k.Value == "<<":
			w.bad(k, key, "keys must be words; merging with << is not taken", "write the values out")
			return
		case seen[k.Value]:
			w.bad(k, join(key, k.Value), "it is given twice", "take one out")
		}
		seen[k.Value] = true
		w.entry(k, v, s, key)
	}
}

// entry checks one key of a map. A secret is never repeated, nor anything below
// an unknown key.
func (w *walker) entry(k, v *yaml.Node, s shape, key string) {
	at := join(key, k.Value)
	w.file.lines[at] = k.Line
	if s.any != nil {
		w.file.names = append(w.file.names, k.Value)
		w.walk(v, *s.any, at)
		return
	}
	below, known := s.keys[k.Value]
	if known {
		w.walk(v, below, at)
		return
	}
	place := w.file.line(k.Line) + " " + at
	if slices.Contains(literalSecrets, k.Value) {
		w.fault(place, "this file names secrets and does not hold them", secretRemedy(s, k.Value))
		return
	}
	names := slices.Sorted(maps.Keys(s.keys))
	w.fault(place, "there is no such key", didYouMean(k.Value, names, "there are "+strings.Join(names, ", ")))
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

// literalSecrets are keys under which people would write a secret itself.
var literalSecrets = []string{
	"password", "api_token", "secret", "token", "admin_token", "redis_url", "client_secret",
	"totp_secret", "value", "bearer",
}

func secretRemedy(s shape, name string) string {
	if _, ok := s.keys[name+"_file"]; ok {
		return fmt.Sprintf("use %s_file with the name of a file, or %s_env with that of a variable", name, name)
	}
	for _, v := range []string{"SECRET", "ADMIN_TOKEN", "REDIS_URL"} {
		if name == strings.ToLower(v) {
			return "set " + prefix + v + "_FILE to the name of a file"
		}
	}
	return "use password_file or api_token_file of the backend's account"
}
