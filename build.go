package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/gatehouse-gateway/gatehouse/admin"
	"github.com/gatehouse-gateway/gatehouse/config"
	"github.com/gatehouse-gateway/gatehouse/deliver"
	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/identity"
	"github.com/gatehouse-gateway/gatehouse/journal"
	"github.com/gatehouse-gateway/gatehouse/metrics"
	"github.com/gatehouse-gateway/gatehouse/policy"
	"github.com/gatehouse-gateway/gatehouse/portal"
	"github.com/gatehouse-gateway/gatehouse/proxy"
	"github.com/gatehouse-gateway/gatehouse/redisstore"
	"github.com/gatehouse-gateway/gatehouse/seal"
	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream"
)

// stores are the views of one store that the parts need.
type stores struct {
	sessions session.Store
	index    session.Index
	roll     session.Roll
	throttle session.Throttle
	keys     session.KeyStore
	replicas session.Replicas // nil: nobody else uses the store
	sealed   session.Sealed   // nil: nothing that is sealed can be counted
	codes    session.Codes
	feed     session.Feed
	notices  upstream.Notices
	tries    session.Tries
	pushes   session.Pushes
	backends upstream.Store
	pins     upstream.Pins
	duties   upstream.Duties
	asked    upstream.Challenges
}

// outside is what a gateway is given that its configuration does not hold.
type outside struct {
	stores    stores
	users     *identity.Users   // nil: there are none
	directory session.Directory // the users there are now, once others have taken their place; nil: users
	factors   session.Factors   // the users' second factors; nil: those of the users file
	drawn     *seal.Keyring     // where no secret is configured; nil: one is drawn
	metrics   *metrics.Metrics
	log       *slog.Logger
	journal   *journal.Journal // nil: there is none
	// self is this process as other replicas see it.
	self session.Replica
	// beside says that another gateway of this process is at work, which speaks for
	// it until this one joins.
	beside bool
	// places has one for each connection to a backend that may be open; nil: no bound.
	places chan struct{}
	// transports stand in for the network towards backends of these names.
	transports map[string]http.RoundTripper
}

// gateway is everything behind the listeners.
type gateway struct {
	front    *proxy.Proxy
	options  proxy.Options // what front was made of
	sessions *session.Manager
	keeper   *session.Keeper
	backends []*upstream.Backend
	journal  *journal.Journal // nil: there is none
	ring     *seal.Keyring
	replayed func(context.Context, journal.Record) error
	links    []*http.Transport // to the backends
	declare  func()            // makes the names of the configuration known to metrics
	// join has this gateway speak for the process.
	join func(context.Context) error
}

// build makes the parts and puts them together, and joins the other replicas
// unless it is made beside a gateway at work. It asks the store for the signing keys
// and the other replicas, so it fails while the store cannot be asked.
func build(ctx context.Context, cfg *config.Config, o outside) (*gateway, error) {
	ring, err := keyring(cfg, o.drawn)
	if err != nil {
		return nil, err
	}
	g := &gateway{keeper: newKeeper(cfg, o, ring), ring: ring}
	keys, err := g.keeper.Open(ctx)
	if err != nil {
		return nil, err
	}
	rules, err := rules(cfg)
	if err != nil {
		return nil, err
	}
	opts, err := sessionOptions(cfg, o, ring)
	if err != nil {
		return nil, err
	}
	opts.OnEnd, opts.OnKeys = g.ended, g.keeper.Changed
	g.sessions = session.NewManager(opts)
	b := &builder{
		cfg: cfg, outside: o, ring: ring, keys: keys, gateway: g, edge: proxy.NewEdge(cfg.TrustedProxies, cfg.PublicURL),
		clients: clients(cfg), made: map[string]made{},
	}
	b.portal = portal.New(portal.Options{
		Sessions: g.sessions, BasePath: cfg.PagesPath, ClientIP: b.edge.ClientIP, Insecure: b.edge.Insecure, Outward: b.outward, Log: o.log,
	})
	routes, err := b.routes()
	if err != nil {
		return nil, err
	}
	g.declare = func() {
		o.metrics.Declare(declared(routes, rules))
		for _, c := range cfg.Backends {
			o.metrics.SetInsecureBackend(c.Name, c.Insecure)
		}
	}
	g.declare()
	g.options = proxy.Options{
		Routes: routes, Sessions: g.sessions, Policy: rules, Pages: b.portal, Keys: proxy.KeySet{Path: cfg.PagesPath + "/jwks.json", JWKS: keys.JWKS},
		Edge: b.edge, Recorder: o.metrics, Log: o.log,
	}
	g.front = proxy.New(g.options)
	g.join = func(ctx context.Context) error { return g.keeper.Join(ctx, lives(cfg, routes)) }
	if !o.beside {
		if err := g.join(ctx); err != nil {
			return nil, err
		}
	}
	g.replay(o)
	return g, nil
}

// alone is a front door with only the route of that name, under any host.
func (g *gateway) alone(route string) *proxy.Proxy {
	o := g.options
	o.Routes = nil
	for _, rt := range g.options.Routes {
		if rt.Name == route {
			only := *rt
			only.Host = ""
			o.Routes = []*proxy.Route{&only}
		}
	}
	return proxy.New(o)
}

// rules compiles the policy; none configured means signed-in users, every path.
func rules(cfg *config.Config) (policy.Rules, error) {
	if !cfg.HasPolicy {
		return policy.SignedIn(), nil
	}
	rules, errs := policy.Compile(cfg.Policy)
	if len(errs) > 0 {
		return rules, errs[0]
	}
	return rules, nil
}

func sessionOptions(cfg *config.Config, o outside, ring *seal.Keyring) (session.Options, error) {
	opts := session.Options{
		Store: o.stores.sessions, Feed: o.stores.feed, Index: o.stores.index, Roll: o.stores.roll, Keyring: ring, Throttle: o.stores.throttle,
		Codes: o.stores.codes, Factors: o.factors, Tries: o.stores.tries, Pushes: o.stores.pushes,
		Recorder: o.metrics, Log: o.log, DegradedFor: cfg.DegradedFor,
	}
	if o.users == nil {
		return opts, nil
	}
	opts.Directory = o.users
	if o.directory != nil {
		opts.Directory = o.directory
	}
	if opts.Factors == nil {
		c, err := courier(cfg.SecondFactor)
		if err != nil {
			return opts, err
		}
		opts.Factors = o.users.Factors(c)
	}
	return opts, nil
}

// courier makes what brings codes to users; without a way it brings none.
func courier(c config.SecondFactor) (*deliver.Courier, error) {
	var mail *deliver.SMTP
	var hook *deliver.Webhook
	if s := c.SMTP; s != nil {
		mail = &deliver.SMTP{
			Address: s.Address, From: s.From, Username: s.Username, Password: s.Password,
			TLS: s.TLS, CAFile: s.CAFile, Timeout: s.Timeout,
		}
	}
	if w := c.Webhook; w != nil {
		hook = &deliver.Webhook{URL: w.URL, Secret: w.Secret, CAFile: w.CAFile, Timeout: w.Timeout}
	}
	return deliver.New(mail, hook, session.ChallengeLife)
}

// builder makes the routes and the backends behind them.
type builder struct {
	outside
	cfg     *config.Config
	ring    *seal.Keyring
	keys    *session.Keys
	gateway *gateway
	edge    *proxy.Edge
	portal  *portal.Portal
	clients *session.Clients
	made    map[string]made
	served  []*dialect.Dialect // on some route
}

// made is a backend that some route leads to already.
type made struct {
	config.Backend
	spoken  *dialect.Dialect
	backend *upstream.Backend
}

func (b *builder) routes() ([]*proxy.Route, error) {
	for _, c := range b.cfg.Backends {
		if err := b.backend(c); err != nil {
			return nil, err
		}
	}
	var routes []*proxy.Route
	for _, c := range b.cfg.Routes {
		rt, err := b.route(c)
		if err != nil {
			return nil, fmt.Errorf("route %s: %w", c.Name, err)
		}
		routes = append(routes, rt)
	}
	return routes, nil
}

func (b *builder) backend(c config.Backend) error {
	m := made{Backend: c}
	if c.HasTokenAPI() {
		d, err := dialect.Open(c.Speak, dialect.Settings{Versions: c.Versions, RenewalField: c.RenewalField})
		if err != nil {
			return err
		}
		m.spoken = d
	}
	transport, err := b.transport(c)
	if err != nil {
		return err
	}
	m.backend = upstream.New(upstream.Config{
		Name: c.Name, URL: c.URL, Dialect: m.spoken, Account: account(c.Account), Client: client(c), Transport: transport,
		Store: b.stores.backends, Pins: b.stores.pins, Duties: b.stores.duties, Challenges: b.stores.asked, Keyring: b.ring, Recorder: b.metrics, Log: b.log,
		Notices: b.stores.notices, Limits: limits(c), LastAlive: b.lastAlive(),
		LogoutAtDrain: b.cfg.Drain.LogoutBackends, Mint: b.mint(c.JWT), Static: static(c.Static), Journal: b.journaled(),
	})
	b.gateway.backends = append(b.gateway.backends, m.backend)
	b.made[c.Name] = m
	return nil
}

func (b *builder) transport(c config.Backend) (http.RoundTripper, error) {
	if t, ok := b.transports[c.Name]; ok {
		return t, nil
	}
	t, err := upstream.NewTransport(upstream.TransportConfig{
		CAFile: c.CAFile, ServerName: c.ServerName, InsecureSkipVerify: c.Insecure, HeaderTimeout: c.HeaderTimeout,
		Places: b.places, Full: b.gateway.closeIdle,
	})
	if err != nil {
		return nil, err
	}
	b.gateway.links = append(b.gateway.links, t)
	return t, nil
}

func account(a *config.Account) *upstream.Account {
	if a == nil {
		return nil
	}
	return &upstream.Account{
		Username: a.Username, Password: a.Password, APIToken: a.APIToken,
		TOTPSecret: a.TOTPSecret, ApplicationToken: a.ApplicationToken,
	}
}

func limits(c config.Backend) upstream.Limits {
	return upstream.Limits{Call: c.Keeping.CallTimeout, Lease: c.Keeping.Lease, Sessions: c.Keeping.MaxSessions}
}

// mint makes the JWTs for a backend that is spoken to by them.
func (b *builder) mint(c *config.JWT) *upstream.Mint {
	if c == nil {
		return nil
	}
	j := dialect.BackendJWT{Keys: b.keys, Issuer: c.Issuer, Audience: c.Audience, TTL: c.TTL}
	return &upstream.Mint{Make: j.Mint, TTL: c.TTL}
}

func static(c *config.Static) *upstream.Static {
	if c == nil {
		return nil
	}
	return &upstream.Static{Header: c.Header, Value: c.Value}
}

// route makes one route. Before an account, and before a backend that is not
// spoken to, clients are checked against the users file; otherwise their login
// is the backend's own.
func (b *builder) route(c config.Route) (*proxy.Route, error) {
	m := b.made[c.Backend]
	rt := &proxy.Route{
		Name: c.Name, Host: c.Host, Path: c.Path, Backend: m.Name, Target: m.URL, Transport: m.backend, Spoken: m.spoken,
		Forwarding: proxy.Forwarding{PreserveHost: m.PreserveHost, EncodedSlash: c.EncodedSlash, MaxBody: c.MaxBody},
		Identity:   proxy.IdentityHeaders(m.Identity),
	}
	if m.Static != nil {
		rt.Private = []string{m.Static.Header}
	}
	base := session.Issuer{
		LocalAuthOff: c.Tokens.LocalAuthOff, VendorLogout: c.Tokens.VendorLogout,
		Grace: c.Tokens.RefreshGrace, RefuseReuse: c.Tokens.RefuseReuse,
	}
	if m.Account != nil || m.spoken == nil {
		base.Source, base.Verifier = session.SourceUsers, b.users
	} else {
		base.Source, base.Verifier, base.Backend = "backend:"+m.Name, m.backend, m.backend
		rt.Own = m.backend.WhoAmI
		b.gateway.sessions.Know(&base)
	}
	for _, name := range c.Serve {
		served, err := b.serve(name, c.Tokens, base)
		if err != nil {
			return nil, err
		}
		rt.Serve = append(rt.Serve, served)
	}
	rt.Portal = portalIssuer(base)
	rt.Pages = b.portal.Handler(rt.Portal, m.Name)
	return rt, nil
}

func (b *builder) serve(name string, t config.Tokens, base session.Issuer) (proxy.Served, error) {
	d, err := dialect.Open(name, dialect.Settings{
		AccessTTL: t.AccessTTL, RefreshTTL: t.RefreshTTL, RefreshLength: t.RefreshLength,
		MissingTokenCode: t.MissingTokenCode, LocalAuthOff: t.LocalAuthOff, HTTPSOnly: t.HTTPSOnly, VendorDiscovery: t.VendorDiscovery,
	})
	if err != nil {
		return proxy.Served{}, err
	}
	iss := base
	iss.Name, iss.Dialect = d.ID(), d.Name
	iss.AccessTTL, iss.RefreshTTL = d.Tokens.AccessTTL, d.Tokens.RefreshTTL
	iss.Rotates, iss.VoidsAccess = d.Tokens.Rotates, d.Tokens.VoidsAccess
	iss.Shape, iss.SecondFactor, iss.Permit = d.Shape(b.keys.For(d.Name, iss.Source)), d.SecondFactor, d.Permit
	iss.DefaultRealm = t.DefaultRealm
	if d.Clients {
		iss.Clients = b.clients
	}
	if mint := d.Tokens.MintID; mint != nil {
		iss.MintID = func(id token.IDToken) (token.Secret, error) { return mint(b.keys, id) }
	}
	b.served = append(b.served, d)
	return proxy.Served{Dialect: d, Issuer: &iss}, nil
}

// portalLife is how long a browser session lasts without use.
const portalLife = 12 * time.Hour

func portalIssuer(base session.Issuer) *session.Issuer {
	iss := base
	iss.Name, iss.Dialect, iss.Shape, iss.RefreshTTL = "portal", "portal", portal.Shape{}, portalLife
	iss.SecondFactor = token.FactorAsked
	return &iss
}

func declared(routes []*proxy.Route, rules policy.Rules) metrics.Declared {
	d := metrics.Declared{
		Rules: append(rules.Names(), proxy.VendorRule), StoreOps: redisstore.Ops(),
		Routes: []metrics.Route{{Name: proxy.NoRoute, Backend: proxy.NoRoute}},
	}
	for _, rt := range routes {
		d.Backends = append(d.Backends, rt.Backend)
		d.Routes = append(d.Routes, metrics.Route{Name: rt.Name, Backend: rt.Backend})
		for _, s := range rt.Serve {
			d.Dialects = append(d.Dialects, s.Dialect.Name)
		}
	}
	return d
}

// ended tells the backends that a session is over. Those that clients log in to
// themselves hear of their own sessions from the issuer.
func (g *gateway) ended(sid token.SID) {
	for _, b := range g.backends {
		if b.Parts() {
			b.End(sid)
		}
	}
}

// Backends implements admin.Backends.
func (g *gateway) Backends(ctx context.Context) []admin.Backend {
	list := make([]admin.Backend, len(g.backends))
	for i, b := range g.backends {
		list[i] = admin.Backend(b.Status(ctx))
	}
	return list
}

// RetryBackend implements admin.Backends.
func (g *gateway) RetryBackend(ctx context.Context, name string) error {
	for _, b := range g.backends {
		if b.Name() != name {
			continue
		}
		if ok, err := b.Retry(ctx); ok {
			return err
		}
	}
	return admin.NoBackend(name)
}

// run keeps the background work going until ctx ends, and waits for it.
func (g *gateway) run(ctx context.Context, log *slog.Logger) {
	var wg sync.WaitGroup
	wg.Go(func() { logEnd(ctx, log, "sessions", g.sessions.Run(ctx)) })
	wg.Go(func() { logEnd(ctx, log, "keys", g.keeper.Run(ctx)) })
	for _, b := range g.backends {
		wg.Go(func() { logEnd(ctx, log, "backend", b.Run(ctx)) })
	}
	if g.journal != nil {
		wg.Go(func() { logEnd(ctx, log, "journal", g.journal.Run(ctx, g.replayed)) })
	}
	wg.Wait()
}

func logEnd(ctx context.Context, log *slog.Logger, part string, err error) {
	if err != nil && ctx.Err() == nil {
		log.Error("background work ended", "part", part, "error", err)
	}
}

// drain has the backends finish what is under way, and ends those sessions there
// that nobody can use afterwards.
func (g *gateway) drain(ctx context.Context, log *slog.Logger) {
	g.leave(log, func(b *upstream.Backend) error { return b.Drain(ctx) })
	if _, err := g.keeper.Leave(ctx); err != nil {
		log.Warn("other replicas were not told of the end; they find out after three heartbeats", "error", err)
	}
}

// retire has the backends finish what is under way, for another gateway that
// goes on with their sessions.
func (g *gateway) retire(ctx context.Context, log *slog.Logger) {
	g.leave(log, func(b *upstream.Backend) error { return b.Retire(ctx) })
}

// leave does what has to be done at all backends at once: one that hangs must
// not take the time of the others.
func (g *gateway) leave(log *slog.Logger, do func(*upstream.Backend) error) {
	var wg sync.WaitGroup
	for _, b := range g.backends {
		wg.Go(func() {
			if err := do(b); err != nil {
				log.Warn("a backend was not left in good order", "error", err)
			}
		})
	}
	wg.Wait()
	g.closeIdle()
}

// closeIdle closes the connections to backends that nothing is under way on.
func (g *gateway) closeIdle() {
	for _, t := range g.links {
		t.CloseIdleConnections()
	}
}

// logForm makes log lines as the configuration asks for.
func logForm(c config.Log) func(io.Writer) slog.Handler {
	opts := &slog.HandlerOptions{Level: c.Level}
	if c.Format == "text" {
		return func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, opts) }
	}
	return func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, opts) }
}
