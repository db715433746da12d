package proxy

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-gateway/gatehouse/dialect"
)

// sortRoutes puts the more specific route first: one host before many before
// any, then the longer path.
func sortRoutes(routes []*passage) {
	slices.SortStableFunc(routes, func(a, b *passage) int {
		return cmp.Or(
			cmp.Compare(breadth(a.Host), breadth(b.Host)),
			cmp.Compare(len(b.Host), len(a.Host)),
			cmp.Compare(len(b.Path), len(a.Path)))
	})
}

// find returns the route of a request, nil if there is none. It looks at the
// path as it came: one that is spelt to look like another is refused by
// cleanPath right after, whatever route it fell to, and a route is found again
// nowhere.
func (p *Proxy) find(r *http.Request) *passage {
	host := hostName(r.Host)
	for _, rt := range p.routes {
		if takesHost(rt.Host, host) && under(rt.Path, r.URL.Path) {
			return rt
		}
	}
	if p.o.Pages.Owns(r.URL.Path) {
		return p.pagesOf(host)
	}
	return nil
}

// pagesOf returns the route whose pages a host shows: the one that takes every
// path, else the narrowest. One host has one browser session.
func (p *Proxy) pagesOf(host string) *passage {
	var first *passage
	for _, rt := range p.routes {
		if !takesHost(rt.Host, host) {
			continue
		}
		if strings.Trim(rt.Path, "/") == "" {
			return rt
		}
		if first == nil {
			first = rt
		}
	}
	return first
}

// takesHost reports whether a route's host, exact, *.suffix or empty for any,
// takes a host name.
func takesHost(pattern, host string) bool {
	if suffix, wild := strings.CutPrefix(pattern, "*"); wild {
		return strings.HasSuffix(host, suffix) && len(host) > len(suffix)
	}
	return pattern == "" || pattern == host
}

// Takes reports whether a route takes a request by its host and its prefix of
// paths, which are as for Route.
func Takes(host, prefix string, r *http.Request) bool {
	return takesHost(host, hostName(r.Host)) && under(prefix, r.URL.Path)
}

// breadth orders the ways a route may name hosts, the narrowest first.
func breadth(pattern string) int {
	switch {
	case pattern == "":
		return 2
	case strings.HasPrefix(pattern, "*"):
		return 1
	}
	return 0
}

// under reports whether a path lies under a prefix of whole segments.
func under(prefix, path string) bool {
	prefix = strings.TrimSuffix(prefix, "/")
	return strings.HasPrefix(path, prefix) && (len(path) == len(prefix) || path[len(prefix)] == '/')
}

// passage works out once what every request of a route needs.
func (p *Proxy) passage(rt *Route) *passage {
	ps := &passage{Route: rt, own: map[string]bool{}, meter: p.o.Recorder.Route(rt.Name, rt.Backend)}
	for i := range rt.Serve {
		s := &rt.Serve[i]
		ps.issuers = append(ps.issuers, s.Issuer)
		for _, c := range s.Dialect.Carriers {
			ps.carriers = append(ps.carriers, carried{c, s.Issuer})
		}
		ps.keepOff(s.Dialect)
	}
	ps.carriers = append(ps.carriers, carried{dialect.Carried{Carrier: portalCookie, Use: dialect.UseAccess, Cookie: true}, rt.Portal})
	slices.SortStableFunc(ps.carriers, func(a, b carried) int { return cmp.Compare(precedence(a), precedence(b)) })
	ps.strip = append(ps.strip, portalCookie, factorCookie)
	ps.folded = append(ps.folded, "authorization")
	ps.own[strings.ToLower(portalCookie.Name)], ps.own[strings.ToLower(factorCookie.Name)] = true, true
	if rt.Spoken != nil {
		ps.keepOff(rt.Spoken)
	}
	for _, name := range slices.Concat(rt.Identity.names(), rt.Private) {
		ps.folded = append(ps.folded, fold(name))
	}
	ps.forward = p.reverseProxy(ps)
	return ps
}

// keepOff notes the places where credentials of a dialect travel, so that a
// client's never reach the backend and the backend's never reach a client.
func (ps *passage) keepOff(d *dialect.Dialect) {
	if !slices.ContainsFunc(ps.guards, func(g *dialect.Dialect) bool { return g.ID() == d.ID() }) {
		ps.guards = append(ps.guards, d)
	}
	for _, c := range d.Carriers {
		ps.strip = append(ps.strip, c.Carrier)
		if h, ok := c.Carrier.(dialect.Header); ok {
			ps.folded = append(ps.folded, fold(h.Name))
		}
		if k, ok := c.Carrier.(dialect.Cookie); ok {
			ps.own[strings.ToLower(k.Name)] = true
		}
	}
	for _, name := range d.TokenCookies {
		ps.strip = append(ps.strip, dialect.Cookie{Name: name})
		ps.own[strings.ToLower(name)] = true
	}
}
