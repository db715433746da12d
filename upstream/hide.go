package upstream

import (
	"net/http"
	"slices"
	"strings"
)

// hide takes the backend's token cookies out of an answer: its tokens are the
// gateway's affair, and the client's cookies of the same names are others.
func (b *Backend) hide(resp *http.Response) {
	lines := resp.Header["Set-Cookie"]
	if len(lines) == 0 || b.cfg.Dialect == nil {
		return
	}
	lines = slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
		name, _, _ := strings.Cut(line, "=")
		return slices.Contains(b.cfg.Dialect.TokenCookies, strings.TrimSpace(name))
	})
	if len(lines) == 0 {
		delete(resp.Header, "Set-Cookie")
		return
	}
	resp.Header["Set-Cookie"] = lines
}
