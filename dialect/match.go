package dialect

import (
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// Match returns the call that r asks for and sets its path values (version, id)
// on r. A HEAD asks for the GET call. With no call, known says whether the path
// belongs to one under another method, so that 405 is the answer and not 404.
// Letter case counts and a trailing slash is another path; for what an appliance
// might still take for one of its own calls, see Guards.
func (d *Dialect) Match(r *http.Request) (c *Call, known bool) {
	for i := range d.Calls {
		c := &d.Calls[i]
		pattern, ok := c.pattern(r.URL.Path)
		if !ok {
			continue
		}
		known = true
		if c.Method == r.Method || c.Method == http.MethodGet && r.Method == http.MethodHead {
			follow(pattern, r.URL.Path, r.SetPathValue)
			return c, true
		}
	}
	return nil, known
}

// Guards reports whether path is one of the dialect's own calls that need a
// credential, or lies below one, in whatever spelling an appliance might accept:
// any version or none, any prefix of up to four segments, any letter case,
// further slashes, escapes, dots and parameters. In account mode such a path
// must never reach the appliance, where it would speak about the service
// account. op is the operation of the longest match; where several share the
// path, the first in the page's order.
func (d *Dialect) Guards(path string) (op token.Op, ok bool) {
	path = plainPath(path)
	best := -1
	for i := range d.Calls {
		c := &d.Calls[i]
		if c.Public {
			continue
		}
		for _, pattern := range c.Paths {
			tail := strings.ToLower(callTail(pattern)) // as plainPath writes
			if len(tail) > best && endsIn(path, tail) {
				best, op = len(tail), c.Op
			}
		}
	}
	return op, best >= 0
}

// SpokenPath returns the path under which the gateway itself makes the call:
// the first pattern with the version of the API ("7.0", which becomes v7.0; the
// profile or one of Dialect.Versions) for {version} and the id of the grant's
// API token for {id}.
func (c *Call) SpokenPath(version string, g token.Grant) string {
	p := strings.Replace(c.Paths[0], "{version}", "v"+version, 1)
	if g.APIToken != nil {
		p = strings.Replace(p, "{id}", url.PathEscape(g.APIToken.ID), 1)
	}
	return p
}

// pattern returns the pattern of the call that path follows to its end.
func (c *Call) pattern(path string) (string, bool) {
	for _, p := range c.Paths {
		if rest, ok := follow(p, path, nil); ok && rest == "" {
			return p, true
		}
	}
	return "", false
}

// follow walks along path as far as pattern goes, segment by segment, and
// returns what is left of path. It tells set, unless nil, what the placeholders
// stood for.
func follow(pattern, path string, set func(name, value string)) (rest string, ok bool) {
	for pattern != "" {
		if pattern == "/" { // a slash at the end is part of the path
			rest, ok = strings.CutPrefix(path, "/")
			return rest, ok
		}
		var want, got string
		if want, pattern, ok = segment(pattern); !ok {
			return "", false
		}
		if got, path, ok = segment(path); !ok || !fits(want, got) {
			return "", false
		}
		if set != nil && want[0] == '{' {
			set(want[1:len(want)-1], got)
		}
	}
	return path, true
}

// segment splits "/a/b" into "a" and "/b". An empty segment is none.
func segment(path string) (first, rest string, ok bool) {
	if len(path) < 2 || path[0] != '/' || path[1] == '/' {
		return "", "", false
	}
	if i := strings.IndexByte(path[1:], '/'); i >= 0 {
		return path[1 : i+1], path[i+1:], true
	}
	return path[1:], "", true
}

func fits(want, got string) bool {
	switch want {
	case "{version}":
		return isVersion(got)
	case "{id}":
		return true
	}
	return want == got
}

// isVersion reports whether s is v and one or two numbers: v7, v7.0.
func isVersion(s string) bool {
	if len(s) < 2 || s[0] != 'v' {
		return false
	}
	major, minor, two := strings.Cut(s[1:], ".")
	return isDigits(major) && (!two || isDigits(minor))
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// callTail is what remains of a pattern without the parts that vary between
// versions of a product: /api/{version}/users/me gives /users/me.
func callTail(pattern string) string {
	for _, prefix := range [...]string{"/api", "/rest"} {
		if tail, ok := strings.CutPrefix(pattern, prefix); ok && strings.HasPrefix(tail, "/") {
			pattern = tail
		}
	}
	if first, tail, ok := segment(pattern); ok && tail != "" && (first == "{version}" || isVersion(first)) {
		return tail
	}
	return pattern
}

// maxPrefix is how many segments may stand before a call's tail: a prefix and a
// version, whatever they are, and two more of a proxy in between.
const maxPrefix = 4

// endsIn reports whether path, less up to maxPrefix leading segments, begins
// with the segments of tail.
func endsIn(path, tail string) bool {
	for range maxPrefix + 1 {
		if _, ok := follow(tail, path, nil); ok {
			return true
		}
		var ok bool
		if _, path, ok = segment(path); !ok {
			return false
		}
	}
	return false
}

// plainPath undoes what servers are known to undo: repeated escapes, letter
// case, backslashes, dot segments, parameters after a semicolon, and spaces and
// dots at the end of a segment.
func plainPath(p string) string {
	if isPlain(p) {
		return p
	}
	for range 4 {
		u, err := url.PathUnescape(p)
		if err != nil || u == p {
			break
		}
		p = u
	}
	p = strings.ToLower(strings.ReplaceAll(p, `\`, "/"))
	segments := strings.Split(path.Clean("/"+p), "/")
	for i, s := range segments {
		s, _, _ = strings.Cut(s, ";")
		if s != ".." {
			s = strings.TrimRight(s, ". \t")
		}
		segments[i] = s
	}
	return path.Clean(strings.Join(segments, "/"))
}

// isPlain reports whether plainPath has nothing to undo, which is so for nearly
// every request.
func isPlain(p string) bool {
	before := byte(0)
	for i := range len(p) {
		c := p[i]
		switch {
		case c <= ' ' || c >= 0x7f || 'A' <= c && c <= 'Z' || c == '%' || c == ';' || c == '\\':
			return false
		case (before == '/' || before == '.') && (c == '/' || c == '.'):
			return false
		}
		before = c
	}
	return before != '.' && strings.HasPrefix(p, "/")
}
