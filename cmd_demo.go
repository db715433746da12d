package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-gateway/gatehouse/config"
	"github.com/gatehouse-gateway/gatehouse/demo"
	"github.com/gatehouse-gateway/gatehouse/identity"
	"github.com/gatehouse-gateway/gatehouse/metrics"
	"github.com/gatehouse-gateway/gatehouse/redisstore"
	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// runDemo starts the simulated backends and the gateway before them, prints the
// table, and serves until ctx ends.
func runDemo(ctx context.Context, _ []string, std streams) error {
	log := slog.New(slog.NewTextHandler(std.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	places := demo.Places{}
	for _, sim := range demo.Simulations {
		b, err := startSimulation(ctx, sim, "127.0.0.1:0", log)
		if err != nil {
			return err
		}
		defer b.stop()
		places.Backends = append(places.Backends, demo.Place{Simulation: sim, Backend: b.url().String()})
	}
	cfg, err := demoConfig(places.Backends)
	if err != nil {
		return err
	}
	s := newServer(cfg, log)
	users, err := demoUsers(demo.Users())
	if err != nil {
		return err
	}
	if err := s.listen(ctx); err != nil {
		return err
	}
	places.Gateway, places.Admin = "http://"+s.doors.public.Addr().String(), "http://"+s.doors.operators.Addr().String()
	for i := range places.Backends {
		at := &places.Backends[i]
		l, err := listen(ctx, "a port after GATEHOUSE_LISTEN", after(s.doors.public.Addr(), i+1))
		if err != nil {
			return err
		}
		also := httpServer(s.alone(at.Name), log)
		go func() { _ = also.Serve(l) }() // ends with also.Close
		defer also.Close()
		at.Port = "http://localhost:" + portOf(l.Addr())
	}
	s.whenReady = func() error { return demo.WriteTable(std.out, places) }
	return s.serve(ctx, users)
}

// alone answers with the one route of that name whatever the host, once the
// gateway is built.
func (s *server) alone(route string) http.Handler {
	front := sync.OnceValue(func() http.Handler { return s.fleet.current.Load().alone(route) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.fleet.current.Load() == nil {
			http.Error(w, "the gateway is not ready", http.StatusServiceUnavailable)
			return
		}
		front().ServeHTTP(w, r)
	})
}

// runDemoBackend is one simulated backend alone, for a container.
func runDemoBackend(ctx context.Context, args []string, std streams) error {
	name := demo.Simulations[0].Name
	if len(args) > 0 {
		name = args[0]
	}
	sim, ok := demo.Find(name)
	if !ok || len(args) > 1 {
		return fmt.Errorf("demo-backend: there is no simulated %q; there are %s", strings.Join(args, " "), strings.Join(demo.Names(), ", "))
	}
	log := slog.New(slog.NewJSONHandler(std.err, nil))
	b, err := startSimulation(ctx, sim, setting("GATEHOUSE_LISTEN", ":8080"), log)
	if err != nil {
		return err
	}
	log.Info("a simulated backend is listening", "product", sim.Product, "address", b.listener.Addr().String())
	<-ctx.Done()
	b.stop()
	return nil
}

func setting(name, def string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return def
}

// demoConfig is the gateway of the demo: one service account at every backend,
// the users of the demo, a refresh grace short enough to wait for.
func demoConfig(places []demo.Place) (*config.Config, error) {
	tokens := config.Tokens{RefreshGrace: time.Second}
	cfg := &config.Config{
		Listen: setting("GATEHOUSE_LISTEN", "127.0.0.1:8080"), AdminListen: setting("GATEHOUSE_ADMIN_LISTEN", "127.0.0.1:9090"),
		PagesPath: "/.gatehouse", Tokens: tokens, DegradedFor: time.Minute,
		Drain: config.Drain{Timeout: 5 * time.Second, LogoutBackends: true},
	}
	for _, at := range places {
		u, err := url.Parse(at.Backend)
		if err != nil {
			return nil, err
		}
		cfg.Backends = append(cfg.Backends, config.Backend{
			Name: at.Name, URL: u, Speak: at.Dialect,
			Account:  &config.Account{Username: demo.Service.Name, Password: token.NewSecret(demo.Service.Password)},
			ClientID: at.Client.ID, ClientSecret: token.NewSecret(at.Client.Secret),
		})
		cfg.Clients = append(cfg.Clients, demoClients(at.Client)...)
		cfg.Routes = append(cfg.Routes, config.Route{
			Name: at.Name, Host: at.Host(), Path: "/", Backend: at.Name, Serve: []string{at.Dialect}, Tokens: tokens,
		})
	}
	return cfg, nil
}

// demoClients are those of the gateway, and those of the simulated backend: the
// demo uses one for both.
func demoClients(c demo.Client) []config.Client {
	if c.ID == "" {
		return nil
	}
	return []config.Client{{
		ID: c.ID, Secret: token.NewSecret(c.Secret), Grants: []string{session.GrantPassword, session.GrantRefresh},
		Scopes: []string{"read"}, AccessTTL: time.Hour,
	}}
}

func demoUsers(list []demo.User) (*identity.Users, error) {
	hasher := identity.NewHasher(1, 0)
	var users []identity.User
	for _, u := range list {
		hash, err := hasher.Hash(context.Background(), token.NewSecret(u.Password))
		if err != nil {
			return nil, err
		}
		users = append(users, identity.User{
			Name: u.Name, Hash: hash, ID: u.ID, Groups: u.Groups, Scopes: u.Scopes, Admin: u.Admin, Kind: u.Kind, Permissions: u.Permissions,
		})
	}
	return identity.NewUsers(users)
}

// simulation is a simulated backend: a second gateway, whose users are the
// appliance's and whose backend is the toy resource API in this process.
type simulation struct {
	listener net.Listener
	server   *http.Server
	store    *redisstore.Client
	cancel   context.CancelFunc
	done     chan struct{}
}

func startSimulation(ctx context.Context, sim demo.Simulation, addr string, log *slog.Logger) (*simulation, error) {
	l, err := listen(ctx, "GATEHOUSE_LISTEN", addr)
	if err != nil {
		return nil, err
	}
	m := metrics.New(prometheus.NewRegistry(), buildInfo())
	store, err := redisstore.OpenEmbedded(m, log)
	if err != nil {
		return nil, err
	}
	users, err := demoUsers(append(demo.Users(), demo.Service))
	if err != nil {
		return nil, err
	}
	var sessions *session.Manager
	alive := func(sid token.SID) bool { return sessions.Lives(context.WithoutCancel(ctx), sid) }
	g, err := build(ctx, simulationConfig(sim), outside{
		stores: storesOf(store), users: users, metrics: m, log: slog.New(slog.DiscardHandler), self: newReplica(),
		transports: map[string]http.RoundTripper{"resources": demo.Local{Handler: sim.Resources(alive)}},
	})
	if err != nil {
		return nil, err
	}
	sessions = g.sessions
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &simulation{listener: l, server: httpServer(g.front, log), store: store, cancel: cancel, done: make(chan struct{})}
	go func() { _ = s.server.Serve(l) }() // ends with server.Close
	go func() { defer close(s.done); g.run(ctx, log) }()
	return s, nil
}

func simulationConfig(sim demo.Simulation) *config.Config {
	return &config.Config{
		PagesPath: "/.gatehouse", DegradedFor: time.Minute, Clients: demoClients(sim.Client),
		Backends: []config.Backend{{Name: "resources", URL: &url.URL{Scheme: "http", Host: "resources.localhost"}, Speak: "none"}},
		Routes:   []config.Route{{Name: "resources", Path: "/", Backend: "resources", Serve: []string{sim.Dialect}}},
	}
}

func (s *simulation) url() *url.URL {
	return &url.URL{Scheme: "http", Host: s.listener.Addr().String()}
}

func (s *simulation) stop() {
	_ = s.server.Close()
	s.cancel()
	<-s.done
	_ = s.store.Close()
}

func portOf(a net.Addr) string {
	if t, ok := a.(*net.TCPAddr); ok {
		return strconv.Itoa(t.Port)
	}
	return ""
}

// after is the address n ports further on the same interface.
func after(a net.Addr, n int) string {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return "127.0.0.1:0"
	}
	return net.JoinHostPort(t.IP.String(), strconv.Itoa(t.Port+n))
}
