// Package portal serves the HTML pages of the gateway: sign-in, second factor,
// sign-out, the page after it, and errors shown to people. There is no script on any of them;
// everything is compiled into the binary.
//
// A browser that signs in gets one cookie, CookieName, with an opaque access
// token in it. The cookie has no Max-Age: the browser drops it when it is
// closed, and how long the session lives is the issuer's RefreshTTL counted
// from its last use, which only the store knows. A Max-Age fixed at sign-in
// would sign out people who are busy.
//
// A store that fails never signs anybody out: the answer is 503 and the cookie
// stays as it is. Protection against cross-origin calls is applied before the
// handlers of this package run; SameSite=Lax stands behind it.
package portal

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// DefaultBasePath is where the pages live unless Options say otherwise.
const DefaultBasePath = "/.gatehouse"

// Sessions is what the pages need of the session rules. Failures are
// *token.Error; Unavailable means that it could not be asked.
type Sessions interface {
	// Login proves the grant and opens a session.
	Login(ctx context.Context, iss *session.Issuer, kind session.Kind, g token.Grant) (token.Set, error)
	// Resume goes on with a sign-in that a Login of kind portal left at a second
	// factor, by the Ticket of its Challenge.
	Resume(ctx context.Context, iss *session.Issuer, ticket token.Secret, g token.Grant) (token.Set, error)
	// Check finds the session of an access token made by one of the issuers.
	Check(ctx context.Context, issuers []*session.Issuer, access token.Secret) (*session.Session, error)
	// End ends a session. One that has ended before is no error.
	End(ctx context.Context, sid token.SID, reason string) error
}

// Options say how a Portal works. Only Sessions is needed.
type Options struct {
	Sessions Sessions
	// BasePath is the folder of the pages, with a slash in front and none
	// behind. Empty: DefaultBasePath.
	BasePath string
	// ClientIP tells the caller's address, for the login throttle. Nil: the
	// address of the connection.
	ClientIP func(*http.Request) string
	// Insecure reports that the request came in a way in which the browser would
	// refuse the cookie: plain http, not on loopback, and no https PUBLIC_URL.
	// The sign-in page then says so instead of asking. Nil: never.
	Insecure func(*http.Request) bool
	// Outward reports that a path may send the browser on to another site. A page
	// is then shown between the form and that path. Nil: none does.
	Outward func(path string) bool
	// Log gets the causes of failures. Nil: nothing is logged.
	Log *slog.Logger
}

// Portal makes the pages. It is safe for concurrent use.
type Portal struct{ o Options }

// New returns a Portal.
func New(o Options) *Portal {
	if o.BasePath == "" {
		o.BasePath = DefaultBasePath
	}
	if o.ClientIP == nil {
		o.ClientIP = connectionIP
	}
	if o.Insecure == nil {
		o.Insecure = func(*http.Request) bool { return false }
	}
	if o.Outward == nil {
		o.Outward = func(string) bool { return false }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Portal{o: o}
}

func connectionIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	return host
}

// Owns reports whether a path lies in the portal's folder. Such a path never
// reaches a backend; what is not a page there is 404.
func (p *Portal) Owns(path string) bool { return under(p.o.BasePath, path) }

func under(base, path string) bool {
	rest, ok := strings.CutPrefix(path, base)
	return ok && (rest == "" || rest[0] == '/')
}

// SignInURL returns where a browser goes that needs a session: the sign-in
// page, which sends it on to returnTo afterwards. A returnTo that is not a
// local path is left out.
func (p *Portal) SignInURL(returnTo string) string {
	to := p.returnPath(returnTo)
	if to == "/" {
		return p.url("/sign-in")
	}
	return p.url("/sign-in?return_to=" + url.QueryEscape(to))
}

func (p *Portal) url(page string) string { return p.o.BasePath + page }

// site is the pages as one route shows them.
type site struct {
	*Portal
	iss   *session.Issuer
	title string
}

// Handler returns the pages of one route: GET and POST sign-in, GET and POST
// second-factor, POST sign-out, GET signed-out, and the style sheet, all in the base path. title names what
// lies behind the gate, for people. Requests for a path outside Owns are 404.
//
// A person who is signed in already is sent from the sign-in page straight to
// the return path, so the handler must be that of the route which that path
// belongs to.
func (p *Portal) Handler(iss *session.Issuer, title string) http.Handler {
	return &site{Portal: p, iss: iss, title: title}
}

// ServeHTTP finds the page. http.ServeMux is not used because it redirects
// what it takes for unclean paths.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	page, ok := strings.CutPrefix(r.URL.Path, s.o.BasePath)
	if !ok {
		page = ""
	}
	switch page {
	case "/sign-in":
		s.only(w, r, s.signIn, http.MethodGet, http.MethodHead, http.MethodPost)
	case factorPath:
		s.only(w, r, s.secondFactor, http.MethodGet, http.MethodPost)
	case "/sign-out":
		s.only(w, r, s.signOut, http.MethodPost)
	case "/signed-out":
		s.only(w, r, s.signedOut, http.MethodGet, http.MethodHead)
	case "/" + styleName:
		s.only(w, r, serveStyle, http.MethodGet, http.MethodHead)
	default:
		s.fail(w, r, http.StatusNotFound, "There is no such page.")
	}
}

// only calls h for the methods given and answers 405 for every other.
func (s *site) only(w http.ResponseWriter, r *http.Request, h http.HandlerFunc, methods ...string) {
	for _, m := range methods {
		if r.Method == m {
			h(w, r)
			return
		}
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	s.fail(w, r, http.StatusMethodNotAllowed, "This page does not take that method.")
}
