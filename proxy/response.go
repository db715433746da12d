package proxy

import (
	"net/http"
	"net/url"
	"strings"
)

// modify makes a backend's answer fit to leave the gateway: places it names are
// named as clients know them, its cookies are kept to this host, and none of
// its tokens goes along.
func (p *Proxy) modify(ps *passage, res *http.Response) error {
	x := exchangeOf(res.Request.Context())
	origin := p.o.Edge.origin(x.r)
	for _, name := range []string{"Location", "Content-Location"} {
		if v := res.Header.Get(name); v != "" {
			res.Header.Set(name, relocate(v, ps.Target, origin))
		}
	}
	if v := res.Header.Get("Refresh"); v != "" {
		res.Header.Set("Refresh", relocateRefresh(v, ps.Target, origin))
	}
	if cookies := res.Header["Set-Cookie"]; len(cookies) > 0 {
		res.Header["Set-Cookie"] = rewriteCookies(cookies, ps, origin)
	}
	res.Header.Del(requestIDHeader) // ours is there already
	if x.session != nil && res.Header.Get("Cache-Control") == "" {
		// What one caller may see is not for a cache that others share.
		res.Header.Set("Cache-Control", "private, no-cache")
	}
	x.decorateTo(res.Header)
	p.hold(x, res)
	return nil
}

// relocate returns a reference that names the backend as one that names the
// gateway. Others come back as they are.
func relocate(ref string, target, origin *url.URL) string {
	u, err := url.Parse(ref)
	if err != nil || u.Opaque != "" || u.Host == "" && !strings.HasPrefix(u.Path, "/") {
		return ref
	}
	if u.Host != "" {
		if !sameHost(u, target) {
			return ref
		}
		u.Scheme, u.Host, u.User = origin.Scheme, origin.Host, nil
	}
	if path, ok := withoutBase(target.EscapedPath(), u.EscapedPath()); ok {
		if u.Path, err = url.PathUnescape(path); err != nil {
			return ref
		}
		u.RawPath = path
	}
	return u.String()
}

// withoutBase takes a backend's base path off a path. What is left begins with
// one slash: with two it would name another host.
func withoutBase(base, path string) (string, bool) {
	base = strings.TrimSuffix(base, "/")
	if base == "" || !under(base, path) {
		return path, false
	}
	return "/" + strings.TrimLeft(path[len(base):], "/"), true
}

// sameHost reports whether a reference names the backend, whichever of http and
// https it says: legacy systems behind a proxy are often wrong about that.
func sameHost(u, target *url.URL) bool {
	return strings.EqualFold(u.Hostname(), target.Hostname()) && (port(u) == port(target) || u.Port() == "")
}

func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// relocateRefresh does for `Refresh: 5; url=…` what relocate does for Location.
func relocateRefresh(v string, target, origin *url.URL) string {
	i := strings.Index(strings.ToLower(v), "url=")
	if i < 0 {
		return v
	}
	return v[:i+4] + relocate(strings.Trim(v[i+4:], `"' `), target, origin)
}

// rewriteCookies keeps a backend's cookies to the gateway's host: a Domain that
// is another's goes, Secure comes where the client speaks TLS, and cookies that
// carry tokens, or claim to be the gateway's, are dropped.
func rewriteCookies(lines []string, ps *passage, origin *url.URL) []string {
	kept := make([]string, 0, len(lines))
	for _, line := range lines {
		name, _, _ := strings.Cut(line, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		if name == "" || ps.own[name] { // without a name, its value would be read as a cookie of its own
			continue
		}
		kept = append(kept, rewriteCookie(line, ps, origin))
	}
	return kept
}

func rewriteCookie(line string, ps *passage, origin *url.URL) string {
	parts := strings.Split(line, ";")
	out, secure := parts[:1], false
	for _, part := range parts[1:] {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch strings.ToLower(key) {
		case "domain":
			continue // a cookie without Domain belongs to exactly the host that set it
		case "secure":
			secure = true
		case "path":
			if path, ok := withoutBase(ps.Target.EscapedPath(), value); ok {
				part = " Path=" + path
			}
		}
		out = append(out, part)
	}
	if origin.Scheme == "https" && !secure {
		out = append(out, " Secure")
	}
	return strings.Join(out, ";")
}
