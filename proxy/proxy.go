// Package proxy is the front door: it checks every request at the edge, answers
// the calls of a served token API, finds out who is calling, asks policy, and
// passes the rest on to the backend with httputil.ReverseProxy.
//
// It knows neither Redis nor how a backend is logged in to: sessions are a
// session.Manager, and each route is handed an http.RoundTripper that injects
// the backend's credential by itself.
package proxy

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/policy"
	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// Options are the parts of a front door. All are required but Keys and Log.
type Options struct {
	Routes   []*Route
	Sessions *session.Manager
	Policy   policy.Rules
	Pages    Pages
	Keys     KeySet // the zero one: they are not published
	Edge     *Edge
	Recorder Recorder
	Log      *slog.Logger // nil: discarded
}

// Pages are the gateway's own pages for browsers.
type Pages interface {
	// Owns reports whether a path belongs to the gateway and never to a backend.
	Owns(path string) bool
	// SignInURL is where a browser without a session is sent, to come back to
	// returnTo, a local path with its query.
	SignInURL(returnTo string) string
	// ErrorPage answers a browser's navigation that failed.
	ErrorPage(w http.ResponseWriter, r *http.Request, status int, msg, requestID string)
}

// Recorder is told what happened, for metrics.
type Recorder interface {
	// Route resolves the meters of one route once.
	Route(route, backend string) Meter
	// Decision reports which rule decided and how: allowed, denied or anonymous.
	Decision(rule, outcome string)
}

// NoRoute names, to the Recorder, the route and backend of requests that the edge
// refuses or no route takes.
const NoRoute = "none"

// VendorRule names, to the Recorder and in the log, what lets the vendor's own
// open calls through where no rule of the policy decides.
const VendorRule = "vendor"

// Meter measures the requests of one route. It is an alias, so that whoever
// implements Recorder need not import this package.
type Meter = interface {
	Begin()
	Done(method string, code int, d time.Duration)
}

// Route is one way through the gate: which requests it takes, the token APIs it
// serves, and the backend behind it.
type Route struct {
	Name string
	Host string // lower case, without port; "*.example.com" for all below; empty: any
	Path string // prefix of whole segments; "/" or empty: all

	Serve  []Served        // token APIs served here, the first gives errors their form
	Portal *session.Issuer // the issuer of browser sessions
	Pages  http.Handler    // the sign-in pages of this route

	Backend   string            // its name, for logs and metrics
	Target    *url.URL          // its base URL
	Transport http.RoundTripper // injects the backend's credential
	Spoken    *dialect.Dialect  // what the backend speaks; nil: no dialect
	// Own tells whose a credential of the backend's own making is; nil in
	// account mode, where only the gateway's own credentials count.
	Own func(context.Context, token.Secret) (token.Identity, error)

	Forwarding Forwarding
	Identity   IdentityHeaders
	// Private are names of headers that only the gateway sends to the backend,
	// besides those of Identity and those that carry credentials of a dialect.
	Private []string
}

// Forwarding is how requests of a route are passed on.
type Forwarding struct {
	PreserveHost bool  // send the client's Host; false: the backend's own
	EncodedSlash bool  // let %2F through in paths
	MaxBody      int64 // bytes of a request's body; 0: no limit
}

// Served is a token API that a route serves, with the issuer of its tokens.
type Served struct {
	Dialect *dialect.Dialect
	Issuer  *session.Issuer
}

// account reports whether the backend is logged in to by one service account.
func (rt *Route) account() bool { return rt.Own == nil }

// Proxy is the front door. It is safe for concurrent use.
type Proxy struct {
	o       Options
	routes  []*passage // most specific first
	none    Meter      // of requests that no route takes
	log     *slog.Logger
	streams streams
}

// A passage is a route with what was worked out from it once.
type passage struct {
	*Route
	issuers  []*session.Issuer  // of the served dialects
	carriers []carried          // where a credential is looked for, in order
	strip    []dialect.Carrier  // where none may be left before forwarding
	folded   []string           // headers that are the gateway's alone, folded
	own      map[string]bool    // names of cookies that a backend must not set
	guards   []*dialect.Dialect // those whose token API must not reach the backend by itself
	forward  *httputil.ReverseProxy
	meter    Meter
}

// New returns a front door over the routes.
func New(o Options) *Proxy {
	p := &Proxy{o: o, none: o.Recorder.Route(NoRoute, NoRoute), log: o.Log}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	for _, rt := range o.Routes {
		p.routes = append(p.routes, p.passage(rt))
	}
	sortRoutes(p.routes)
	return p
}

// ServeHTTP takes one request through the gate and writes its line in the log.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := p.begin(w, r)
	defer p.end(x)
	x.watchBody()
	if err := p.serve(x); err != nil {
		p.fail(x, err)
	}
}

// serve is the whole way of a request, top to bottom.
func (p *Proxy) serve(x *exchange) error {
	if err := p.o.Edge.admit(x.r); err != nil {
		return err
	}
	if p.o.Keys.Path != "" && x.r.URL.Path == p.o.Keys.Path {
		return p.keys(x)
	}
	if x.route = p.find(x.r); x.route == nil {
		return token.Fail(token.Misdirected, "no route of this gateway takes this host and path", nil)
	}
	x.measure(x.route.meter)
	if len(x.route.Serve) > 0 {
		x.served = &x.route.Serve[0]
	}
	if err := cleanPath(x.r, x.route.Forwarding.EncodedSlash); err != nil {
		return err
	}
	if p.o.Pages.Owns(x.r.URL.Path) {
		return p.page(x)
	}
	for i := range x.route.Serve {
		if err := p.admitDialect(x, &x.route.Serve[i]); err != nil {
			return err
		}
	}
	call, served, err := p.tokenCall(x)
	if err != nil {
		return err
	}
	if err := p.authorize(x, call); err != nil {
		return err
	}
	if call != nil {
		return p.exchange(x, served, call)
	}
	return p.pass(x)
}

// page serves the gateway's own pages.
func (p *Proxy) page(x *exchange) error {
	if err := p.o.Edge.sameOrigin(x.r); err != nil {
		return err
	}
	x.route.Pages.ServeHTTP(x.w, x.r)
	return nil
}

// admitDialect lets a served dialect refuse the request for reasons of its own.
func (p *Proxy) admitDialect(x *exchange, s *Served) error {
	if s.Dialect.Tokens.HTTPSOnly && p.o.Edge.Scheme(x.r) != "https" {
		x.served = s
		return token.Fail(token.UpgradeRequired, "connect with https", nil)
	}
	if s.Dialect.Admit == nil {
		return nil
	}
	if err := s.Dialect.Admit(x.r); err != nil {
		x.served = s
		return err
	}
	return nil
}

// Issuers returns the issuers of every token API that is served, in the order
// of the routes given.
func (p *Proxy) Issuers() []*session.Issuer {
	var all []*session.Issuer
	for _, rt := range p.o.Routes {
		for _, s := range rt.Serve {
			all = append(all, s.Issuer)
		}
	}
	return all
}
