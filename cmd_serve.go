package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-gateway/gatehouse/config"
	"github.com/gatehouse-gateway/gatehouse/identity"
	"github.com/gatehouse-gateway/gatehouse/journal"
	"github.com/gatehouse-gateway/gatehouse/logs"
	"github.com/gatehouse-gateway/gatehouse/metrics"
	"github.com/gatehouse-gateway/gatehouse/proxy"
	"github.com/gatehouse-gateway/gatehouse/redisstore"
	"github.com/gatehouse-gateway/gatehouse/seal"
	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// runServe is the gateway in earnest.
func runServe(ctx context.Context, _ []string, std streams) error {
	hangups := make(chan os.Signal, 1) // taken from the start on: one must not end the process
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	cfg, files, err := loadFiles()
	if err != nil {
		return err
	}
	signal.Ignore(syscall.SIGPIPE) // or whoever reads the log would end the process by going away
	lines := logs.New(std.err, logForm(cfg.Log))
	defer lines.Close(lastWords)
	log := lines.Logger
	slog.SetDefault(log)
	if _, err := memlimit.Set(); err != nil {
		log.Debug("no memory limit was found to keep to", "error", err)
	}
	for _, w := range cfg.Warnings {
		log.Warn(w)
	}
	if !cfg.HasPolicy {
		log.Info("no policy is configured: signed-in users may make every call")
	}
	s := newServer(cfg, log)
	s.files, s.hangups = files, hangups
	s.metrics.LogDropped(lines.Dropped)
	users, err := s.lasting.users(cfg)
	if err != nil {
		return err
	}
	if err := s.listen(ctx); err != nil {
		return err
	}
	return s.serve(ctx, users)
}

// server is the process around the gateways: listeners, readiness, reload, drain.
type server struct {
	cfg     *config.Config // as it was at the start
	files   config.Files   // that it was read from; nil: no files, so nothing is reloaded
	log     *slog.Logger
	metrics *metrics.Metrics
	lasting lasting
	client  *redisstore.Client

	doors     doors
	hangups   <-chan os.Signal // each asks for a reload
	fleet     fleet
	swapped   swapped
	state     state
	whenReady func() error // called once; nil: nothing to do
}

// lasting is what lasts for the process, whatever the configuration says.
type lasting struct {
	hasher *identity.Hasher
	drawn  *seal.Keyring // where no secret is configured
	// journal keeps tokens of backends until the store has them; nil: there is none.
	journal *journal.Journal
	self    session.Replica // this process as other replicas see it
	places  chan struct{}   // one for each connection to a backend that may be open
}

// swapped is what a reload puts another in the place of, beside the gateway.
type swapped struct {
	directory directory
	cert      atomic.Pointer[tls.Certificate] // nil: the front door speaks plain HTTP
	ops       atomic.Pointer[operators]
}

// directory is the users of the newest configuration. Gateways that it replaced
// ask it too, so that whoever is gone is gone for streams that go on.
type directory struct{ atomic.Pointer[identity.Users] }

// Current implements session.Directory.
func (d *directory) Current(id string) (token.Identity, bool) {
	if users := d.Load(); users != nil {
		return users.Current(id)
	}
	return token.Identity{}, false
}

// operators is the handler of the admin port and the token that it asks for.
type operators struct {
	http.Handler
	token token.Secret
}

// state is what /readyz tells besides the gateway's own.
type state struct {
	waiting  atomic.Pointer[string] // what the start waits for; nil: nothing
	amiss    atomic.Pointer[string] // why what the files hold is not in use; nil: it is
	draining atomic.Bool
}

func newServer(cfg *config.Config, log *slog.Logger) *server {
	places, _ := share(descriptors())
	return &server{
		cfg: cfg, log: log, metrics: metrics.New(prometheus.NewRegistry(), buildInfo()), fleet: fleet{log: log},
		lasting: lasting{hasher: identity.NewHasher(0, 0), drawn: seal.Random(), self: newReplica(), places: make(chan struct{}, places)},
	}
}

// users reads the users file; nil if there is none.
func (l lasting) users(cfg *config.Config) (*identity.Users, error) {
	if cfg.UsersFile == "" {
		return nil, nil
	}
	users, err := identity.LoadUsers(cfg.UsersFile)
	if err != nil {
		return nil, err
	}
	return users.WithHasher(l.hasher), nil
}

// doors are the listeners of the process.
type doors struct {
	clients, operators *door
	public             net.Listener // clients, by TLS if there is a certificate
}

// listen opens both ports, so that a port that is taken ends the start at once.
func (s *server) listen(ctx context.Context) error {
	cert, err := certificate(s.cfg.TLS)
	if err != nil {
		return err
	}
	public, err := listen(ctx, "GATEHOUSE_LISTEN", s.cfg.Listen)
	if err != nil {
		return err
	}
	admin, err := listen(ctx, "GATEHOUSE_ADMIN_LISTEN", s.cfg.AdminListen)
	if err != nil {
		_ = public.Close()
		return err
	}
	clients, operators := share(descriptors())
	s.doors.clients, s.doors.operators = newDoor(public, "clients", clients, s.log), newDoor(admin, "operators", operators, s.log)
	s.doors.public = s.doors.clients
	if cert != nil {
		s.swapped.cert.Store(cert)
		s.doors.public = tls.NewListener(s.doors.clients, s.tlsConfig())
	}
	return nil
}

func listen(ctx context.Context, setting, addr string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s: cannot listen on %s: %w; choose another port or stop what holds it", setting, addr, err)
	}
	return l, nil
}

// serve answers from now on: not ready until the store was asked, and ready
// until ctx ends; then it drains.
func (s *server) serve(ctx context.Context, users *identity.Users) error {
	var err error
	if s.client, err = s.openStore(); err != nil {
		return err
	}
	defer s.client.Close()
	if err := s.openJournal(); err != nil {
		return err
	}
	defer s.closeJournal()
	s.operate(s.cfg)
	front, ops := s.frontServer(), httpServer(http.HandlerFunc(s.ops), s.log)
	s.doors.clients.keepAlive, s.doors.operators.keepAlive = front.SetKeepAlivesEnabled, ops.SetKeepAlivesEnabled
	s.metrics.Clients(s.doors.clients.count)
	failed := make(chan error, 2)
	go func() { failed <- front.Serve(s.doors.public) }()
	go func() { failed <- ops.Serve(s.doors.operators) }()
	s.log.Info("listening", "address", s.doors.public.Addr().String(), "admin", s.doors.operators.Addr().String(), "version", version)

	life, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	up, abandon := context.WithCancel(ctx)
	defer abandon()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.live(up, life, users)
	}()
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	s.state.draining.Store(true)
	abandon()
	if err == nil {
		s.linger()
	}
	<-done
	s.drain(front, giveUp)
	_ = ops.Close()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}

// live starts the gateway and then follows its configuration until ctx ends.
// What it starts lives on until life ends, or is ended.
func (s *server) live(ctx, life context.Context, users *identity.Users) {
	begin := func(g *gateway) *generation { return work(life, g, s.log) }
	g := s.start(ctx, users)
	if g == nil {
		return
	}
	first := begin(g)
	s.fleet.replace(life, first)
	s.install(reading{cfg: s.cfg, users: users, cert: s.swapped.cert.Load(), generation: first})
	s.state.waiting.Store(nil)
	s.log.Info("ready")
	s.tellReady()
	if s.files == nil {
		return
	}
	r := &reloader{
		server: s, begin: begin, replace: func(g *generation) { s.fleet.replace(life, g) },
		cfg: s.cfg, inUse: s.files, seen: s.files,
	}
	r.run(ctx, s.hangups)
}

func (s *server) frontServer() *http.Server {
	return httpServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.state.draining.Load() && r.Header.Get("Upgrade") == "" {
			w.Header().Set("Connection", "close") // in HTTP/2 the server makes it a GOAWAY
		}
		s.fleet.ServeHTTP(w, r)
	}), s.log)
}

// httpServer has the limits of the front door: a head within five seconds and
// 32 KiB, an idle connection for 75 s. Bodies and answers may take their time.
func httpServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 75 * time.Second,
		MaxHeaderBytes: proxy.MaxHeaderBytes, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
