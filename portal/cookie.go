package portal

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// CookieName is the cookie of a session. The prefix makes browsers refuse
// it unless it is Secure, for this host alone and for every path (RFC 6265bis
// section 4.1.3.2), so that no neighbouring host can plant one.
const CookieName = "__Host-gatehouse"

// setCookie hands the browser an access token. See the package comment for the
// lifetime.
func setCookie(w http.ResponseWriter, access token.Secret) {
	c := cookie()
	c.Value = access.Reveal()
	http.SetCookie(w, c)
}

// expireCookie drops the cookie. Its attributes are those it was set with:
// others would name another cookie.
func expireCookie(w http.ResponseWriter) {
	c := cookie()
	c.MaxAge = -1
	http.SetCookie(w, c)
}

func cookie() *http.Cookie {
	return &http.Cookie{Name: CookieName, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
}

// cookieValues returns the different values of one of our cookies. It reads the header
// itself because Request.Cookies returns none at all when there are more than
// 3000 of them, takes a name with a tab before it for ours, and unquotes.
func cookieValues(r *http.Request, name string) []string {
	var values []string
	for _, line := range r.Header["Cookie"] {
		for pair := range strings.SplitSeq(line, ";") {
			value, ok := strings.CutPrefix(strings.TrimLeft(pair, " "), name+"=")
			if ok && !slices.Contains(values, value) {
				values = append(values, value)
			}
		}
	}
	return values
}
