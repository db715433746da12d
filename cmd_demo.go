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
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-gateway/gatehouse/config"
	"github.com/gatehouse-gateway/gatehouse/demo"
	"github.com/gatehouse-gateway/gatehouse/identity"
	"github.com/gatehouse-gateway/gatehouse/metrics"
	"github.com/gatehouse-gateway/gatehouse/redisstore"
	"github.com/gatehouse-gateway/gatehouse/token"
)

const (
	demoDialect = "ipfabric/7.0"
	demoHost    = "ipfabric.localhost"
)

// runDemo starts a simulated backend and the gateway before it, prints the
// table, and serves until ctx ends.
func runDemo(ctx context.Context, _ []string, std streams) error {
	log := slog.New(slog.NewTextHandler(std.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	backend, err := startFabric(ctx, "127.0.0.1:0", log)
	if err != nil {
		return err
	}
	defer backend.stop()
	cfg := demoConfig(backend.url(), setting("GATEHOUSE_LISTEN", "127.0.0.1:8080"), setting("GATEHOUSE_ADMIN_LISTEN", "127.0.0.1:9090"))
	s := newServer(cfg, log)
	if s.users, err = demoUsers(demo.Users()); err != nil {
		return err
	}
	if err := s.listen(ctx); err != nil {
		return err
	}
	second, err := listen(ctx, "the port after GATEHOUSE_LISTEN", next(s.public.Addr()))
	if err != nil {
		return err
	}
	also := s.frontServer()
	go func() { _ = also.Serve(second) }() // ends with also.Close
	defer also.Close()
	s.whenReady = func() error {
		return demo.WriteTable(std.out, demo.Places{
			Gateway: "http://" + s.public.Addr().String(), Host: demoHost, Port: "http://localhost:" + portOf(second.Addr()),
			Backend: backend.url().String(), Admin: "http://" + s.admin.Addr().String(),
		})
	}
	return s.serve(ctx)
}

// runDemoBackend is the simulated IP Fabric alone, for a container.
func runDemoBackend(ctx context.Context, _ []string, std streams) error {
	log := slog.New(slog.NewJSONHandler(std.err, nil))
	b, err := startFabric(ctx, setting("GATEHOUSE_LISTEN", ":8080"), log)
	if err != nil {
		return err
	}
	log.Info("a simulated IP Fabric is listening", "address", b.listener.Addr().String())
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

// demoConfig is the gateway of the demo: one service account, the users of the
// demo, a refresh grace short enough to wait for.
func demoConfig(backend *url.URL, listen, admin string) *config.Config {
	tokens := config.Tokens{RefreshGrace: time.Second}
	route := config.Route{Name: "ipfabric", Path: "/", Backend: "ipfabric", Serve: []string{demoDialect}, Tokens: tokens}
	return &config.Config{
		Listen: listen, AdminListen: admin, PagesPath: "/.gatehouse", Tokens: tokens, DegradedFor: time.Minute,
		Drain: config.Drain{Timeout: 5 * time.Second, LogoutBackends: true},
		Backends: []config.Backend{{
			Name: "ipfabric", URL: backend, Speak: demoDialect,
			Account: &config.Account{Username: demo.Service.Name, Password: token.NewSecret(demo.Service.Password)},
		}},
		Routes: []config.Route{route},
	}
}

func demoUsers(list []demo.User) (*identity.Users, error) {
	hasher := identity.NewHasher(1, 0)
	var users []identity.User
	for _, u := range list {
		hash, err := hasher.Hash(context.Background(), token.NewSecret(u.Password))
		if err != nil {
			return nil, err
		}
		users = append(users, identity.User{Name: u.Name, Hash: hash, ID: u.ID, Groups: u.Groups, Scopes: u.Scopes, Admin: u.Admin})
	}
	return identity.NewUsers(users)
}

// fabric is a simulated IP Fabric: a second gateway, whose users are the
// appliance's and whose backend is the toy resource API in this process.
type fabric struct {
	listener net.Listener
	server   *http.Server
	store    *redisstore.Client
	cancel   context.CancelFunc
	done     chan struct{}
}

func startFabric(ctx context.Context, addr string, log *slog.Logger) (*fabric, error) {
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
	g, err := build(ctx, fabricConfig(), outside{
		stores: storesOf(store), users: users, metrics: m, log: slog.New(slog.DiscardHandler),
		transports: map[string]http.RoundTripper{"resources": demo.Local{Handler: demo.Fabric()}},
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &fabric{listener: l, server: httpServer(g.front, log), store: store, cancel: cancel, done: make(chan struct{})}
	go func() { _ = f.server.Serve(l) }() // ends with server.Close
	go func() { defer close(f.done); g.run(ctx, log) }()
	return f, nil
}

func fabricConfig() *config.Config {
	return &config.Config{
		PagesPath: "/.gatehouse", DegradedFor: time.Minute,
		Backends: []config.Backend{{Name: "resources", URL: &url.URL{Scheme: "http", Host: "resources.localhost"}, Speak: "none"}},
		Routes:   []config.Route{{Name: "resources", Path: "/", Backend: "resources", Serve: []string{demoDialect}}},
	}
}

func (f *fabric) url() *url.URL {
	return &url.URL{Scheme: "http", Host: f.listener.Addr().String()}
}

func (f *fabric) stop() {
	_ = f.server.Close()
	f.cancel()
	<-f.done
	_ = f.store.Close()
}

func portOf(a net.Addr) string {
	if t, ok := a.(*net.TCPAddr); ok {
		return strconv.Itoa(t.Port)
	}
	return ""
}

// next is the address one port further on the same interface.
func next(a net.Addr) string {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return "127.0.0.1:0"
	}
	return net.JoinHostPort(t.IP.String(), fmt.Sprint(t.Port+1))
}
