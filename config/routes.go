package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/policy"
)

// routes reads those of the file, and makes one for the backend of the
// environment unless the file leads there.
func (l *loader) routes() {
	for i, raw := range l.file.raw.Routes {
		l.addRoute(raw, l.below(fmt.Sprintf("routes[%d]", i)))
	}
	if l.vars.Backend.URL != "" {
		l.defaultRoute()
	}
	for _, b := range l.cfg.Backends {
		if !l.leadsTo(b.Name) && !l.leadsAstray() {
			l.fault(l.file.place("backends."+b.Name), "no route leads to it", "add one under routes, like {path: /, backend: "+b.Name+"}")
		}
	}
}

// defaultRoute is the one of the environment.
func (l *loader) defaultRoute() {
	if l.leadsTo(envBackend) {
		if l.vars.Serve != "" {
			l.fault(prefix+"SERVE", "routes of the file lead to the backend of the environment", "write serve into them")
		}
		return
	}
	raw := rawRoute{Name: "default", Path: "/", Backend: envBackend}
	if l.vars.Serve != "" {
		serve := splitList(l.vars.Serve)
		raw.Serve = &serve
	}
	l.addRoute(raw, inRouteVars)
}

// inRouteVars places what the default route takes for granted at the variable
// that makes it.
func inRouteVars(key string) string {
	switch key {
	case "name", "host", "path", "backend":
		return inBackendVars("url")
	}
	return inEnvironment(key)
}

// leadsAstray reports whether a route names a backend that is not there: it may
// be meant for any that seems to have none.
func (l *loader) leadsAstray() bool {
	return slices.ContainsFunc(l.cfg.Routes, func(r Route) bool {
		_, known := l.backend(r.Backend)
		return !known
	})
}

func (l *loader) leadsTo(backend string) bool {
	return slices.ContainsFunc(l.cfg.Routes, func(r Route) bool { return r.Backend == backend })
}

func (l *loader) addRoute(raw rawRoute, at placer) {
	r := Route{
		Name: raw.Name, Backend: raw.Backend,
		Host:         l.routeHost(at("host"), raw.Host),
		Path:         l.routePath(at("path"), raw.Path),
		Tokens:       l.tokens(raw.Tokens, l.cfg.Tokens, at),
		EncodedSlash: l.boolean(at("encoded_slash"), raw.EncodedSlash),
		MaxBody:      l.size(at("max_body"), raw.MaxBody),
	}
	b, known := l.backend(raw.Backend)
	switch {
	case raw.Backend == "":
		l.fault(at("backend"), "it is missing", "name the backend that the route leads to")
	case !known:
		l.fault(at("backend"), fmt.Sprintf("there is no backend %q", raw.Backend), didYouMean(raw.Backend, l.backendNames(), "add it under backends"))
	}
	r.Serve = l.serve(raw.Serve, b.Speak, at)
	l.checkSettings(r, raw.Tokens, at)
	r.Name = l.routeName(raw, at)
	l.checkCollision(r, at)
	l.cfg.Routes = append(l.cfg.Routes, r)
}

func (l *loader) backendNames() []string {
	names := make([]string, len(l.cfg.Backends))
	for i, b := range l.cfg.Backends {
		names[i] = b.Name
	}
	return names
}

// routeName returns the route's own name, or that of its backend with a number
// where it is taken.
func (l *loader) routeName(raw rawRoute, at placer) string {
	taken := func(name string) bool {
		return slices.ContainsFunc(l.cfg.Routes, func(r Route) bool { return r.Name == name })
	}
	if raw.Name != "" {
		l.name(at("name"), raw.Name)
		if taken(raw.Name) {
			l.fault(at("name"), fmt.Sprintf("another route is called %q", raw.Name), "give each a name of its own")
		}
		return raw.Name
	}
	name := raw.Backend
	for i := 2; taken(name); i++ {
		name = fmt.Sprintf("%s-%d", raw.Backend, i)
	}
	return name
}

// checkCollision finds a route of which it could not be told from another when
// it is meant.
func (l *loader) checkCollision(r Route, at placer) {
	for _, o := range l.cfg.Routes {
		if o.Host == r.Host && o.Path == r.Path {
			l.fault(at("path"), fmt.Sprintf("it collides with route %q: both take %s%s", o.Name, orAny(r.Host), r.Path), "change host or path of one")
		}
	}
}

func orAny(host string) string {
	if host == "" {
		return "any host "
	}
	return host
}

// routeHost checks a host as policy does, so that rules can name what routes
// name.
func (l *loader) routeHost(place, host string) string {
	if _, errs := policy.Compile([]policy.Rule{{Host: host}}); len(errs) > 0 {
		l.fault(place, errors.Unwrap(errs[0]).Error(), "")
	}
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

// routePath checks a prefix of paths and drops a slash at its end.
func (l *loader) routePath(place, path string) string {
	if path == "" {
		l.fault(place, "it is missing", "write / for everything")
		return ""
	}
	const remedy = "write a prefix like / or /api; everything below belongs to the route"
	if strings.ContainsAny(path, "*%") {
		l.fault(place, fmt.Sprintf("%q holds a * or a %%", path), remedy)
	} else if _, errs := policy.Compile([]policy.Rule{{Path: path}}); len(errs) > 0 {
		l.fault(place, errors.Unwrap(errs[0]).Error(), remedy)
	}
	if path != "/" {
		path = strings.TrimSuffix(path, "/")
	}
	return path
}

// serve returns the full names of the dialects a route serves. Two profiles of
// one vendor would claim the same paths.
func (l *loader) serve(names *[]string, spoken string, at placer) []string {
	if names == nil {
		if !isDialect(spoken) {
			return nil
		}
		return []string{spoken}
	}
	ids, vendors := []string{}, map[string]string{}
	for i, name := range *names {
		place := at(fmt.Sprintf("serve[%d]", i))
		d := l.dialect(place, name)
		if d == nil {
			continue
		}
		if other, twice := vendors[d.Name]; twice {
			l.fault(place, fmt.Sprintf("%s claims the paths of %s", d.ID(), other), "serve one profile of a vendor on one route")
		}
		vendors[d.Name] = d.ID()
		ids = append(ids, d.ID())
	}
	return ids
}

// tokens reads the settings that are given; the others are those of base.
func (l *loader) tokens(raw rawTokens, base Tokens, at placer) Tokens {
	t := base
	if raw.AccessTTL != "" {
		t.AccessTTL = l.duration(at("access_ttl"), raw.AccessTTL, 0, maxTTL)
	}
	if raw.RefreshTTL != "" {
		t.RefreshTTL = l.duration(at("refresh_ttl"), raw.RefreshTTL, 0, maxTTL)
	}
	if raw.RefreshGrace != "" {
		t.RefreshGrace = l.duration(at("refresh_grace"), raw.RefreshGrace, 0, maxGrace)
	}
	if raw.OnReuse != "" {
		t.RefuseReuse = l.oneOf(at("on_reuse"), raw.OnReuse, "revoke", "refuse") == "refuse"
	}
	if raw.Logout != "" {
		t.VendorLogout = l.oneOf(at("logout"), raw.Logout, "end", "vendor") == "vendor"
	}
	if raw.LocalAuth != "" {
		t.LocalAuthOff = !l.boolean(at("local_auth"), raw.LocalAuth)
	}
	if raw.HTTPSOnly != "" {
		t.HTTPSOnly = l.boolean(at("https_only"), raw.HTTPSOnly)
	}
	if raw.MissingTokenCode != "" {
		t.MissingTokenCode = raw.MissingTokenCode
	}
	if raw.RefreshLength != "" {
		t.RefreshLength = l.number(at("refresh_length"), raw.RefreshLength, maxLength)
	}
	if raw.DefaultRealm != "" {
		t.DefaultRealm = raw.DefaultRealm
	}
	if raw.Discovery != "" {
		t.VendorDiscovery = l.oneOf(at("discovery"), raw.Discovery, "absolute", "vendor") == "vendor"
	}
	return t
}

// checkSettings asks each served dialect whether it can live with each setting,
// one at a time, so that the fault names the right one.
func (l *loader) checkSettings(r Route, own rawTokens, at placer) {
	t := r.Tokens
	if t.HTTPSOnly && own.HTTPSOnly != "" && len(r.Serve) == 0 {
		l.fault(at("https_only"), "the route serves no token API that knows it", "leave it out")
	}
	for _, name := range r.Serve {
		l.needsClients(name, at("serve"))
		for _, try := range []struct {
			key, own string
			settings dialect.Settings
		}{
			{"access_ttl", own.AccessTTL, dialect.Settings{AccessTTL: t.AccessTTL}},
			{"refresh_ttl", own.RefreshTTL, dialect.Settings{RefreshTTL: t.RefreshTTL}},
			{"refresh_length", own.RefreshLength, dialect.Settings{RefreshLength: t.RefreshLength}},
			{"https_only", own.HTTPSOnly, dialect.Settings{HTTPSOnly: t.HTTPSOnly}},
			{"missing_token_code", own.MissingTokenCode, dialect.Settings{MissingTokenCode: t.MissingTokenCode}},
		} {
			place := inEnvironment(try.key)
			if try.own != "" {
				place = at(try.key)
			}
			if _, err := dialect.Open(name, try.settings); err != nil {
				l.fault(place, strings.TrimPrefix(err.Error(), "dialect: "), "")
			}
		}
	}
}
