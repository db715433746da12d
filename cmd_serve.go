package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-gateway/gatehouse/admin"
	"github.com/gatehouse-gateway/gatehouse/config"
	"github.com/gatehouse-gateway/gatehouse/identity"
	"github.com/gatehouse-gateway/gatehouse/metrics"
	"github.com/gatehouse-gateway/gatehouse/proxy"
	"github.com/gatehouse-gateway/gatehouse/redisstore"
)

// runServe is the gateway in earnest.
func runServe(ctx context.Context, _ []string, std streams) error {
	cfg, err := load()
	if err != nil {
		return err
	}
	log := logger(cfg.Log)
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
	if err := s.listen(ctx); err != nil {
		return err
	}
	return s.serve(ctx)
}

// server is the process around a gateway: listeners, readiness, drain.
type server struct {
	cfg     *config.Config
	log     *slog.Logger
	metrics *metrics.Metrics
	users   *identity.Users

	public, admin net.Listener
	gateway       atomic.Pointer[gateway]
	waiting       atomic.Pointer[string] // what the start waits for; nil: nothing
	draining      atomic.Bool
	whenReady     func() error // called once; nil: nothing to do
}

func newServer(cfg *config.Config, log *slog.Logger) *server {
	return &server{cfg: cfg, log: log, metrics: metrics.New(prometheus.NewRegistry(), buildInfo())}
}

// listen opens both ports, so that a port that is taken ends the start at once.
func (s *server) listen(ctx context.Context) error {
	var err error
	if s.cfg.UsersFile != "" {
		if s.users, err = identity.LoadUsers(s.cfg.UsersFile); err != nil {
			return err
		}
	}
	if s.public, err = listen(ctx, "GATEHOUSE_LISTEN", s.cfg.Listen); err != nil {
		return err
	}
	if s.admin, err = listen(ctx, "GATEHOUSE_ADMIN_LISTEN", s.cfg.AdminListen); err != nil {
		_ = s.public.Close()
		return err
	}
	if s.cfg.TLS.CertFile == "" {
		return nil
	}
	cert, err := tls.LoadX509KeyPair(s.cfg.TLS.CertFile, s.cfg.TLS.KeyFile)
	if err != nil {
		return fmt.Errorf("GATEHOUSE_TLS_CERT_FILE, GATEHOUSE_TLS_KEY_FILE: %w", err)
	}
	s.public = tls.NewListener(s.public, &tls.Config{
		Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
	})
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
func (s *server) serve(ctx context.Context) error {
	client, err := s.openStore()
	if err != nil {
		return err
	}
	defer client.Close()
	front, ops := s.frontServer(), s.adminServer()
	failed := make(chan error, 2)
	go func() { failed <- front.Serve(s.public) }()
	go func() { failed <- ops.Serve(s.admin) }()
	s.log.Info("listening", "address", s.public.Addr().String(), "admin", s.admin.Addr().String(), "version", version)

	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	done := make(chan struct{})
	starting, abandon := context.WithCancel(ctx)
	defer abandon()
	go func() {
		defer close(done)
		if g := s.start(starting, client); g != nil {
			g.run(background, s.log)
		}
	}()
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	abandon()
	s.drain(front)
	stop()
	<-done
	_ = ops.Close()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}

func (s *server) openStore() (*redisstore.Client, error) {
	embedded := s.cfg.RedisURL.IsZero()
	s.metrics.SetEmbedded(embedded)
	if embedded {
		return redisstore.OpenEmbedded(s.metrics, s.log)
	}
	return redisstore.Open(redisstore.Options{URL: s.cfg.RedisURL.Reveal(), Recorder: s.metrics, Log: s.log})
}

// start asks the store until it answers, then builds the gateway and lets
// requests in. It returns nil if ctx ends first.
func (s *server) start(ctx context.Context, client *redisstore.Client) *gateway {
	said := ""
	for {
		g, err := s.tryStart(ctx, client)
		if err == nil {
			for _, finding := range client.Check(ctx) {
				s.log.Warn(finding)
			}
			s.metrics.Active(g.sessions.Active)
			s.metrics.Degraded(func() bool { return len(s.ready().Degraded) > 0 })
			s.gateway.Store(g)
			s.waiting.Store(nil)
			s.log.Info("ready")
			s.tellReady()
			return g
		}
		if msg := err.Error(); msg != said {
			said = msg
			s.waiting.Store(&msg)
			s.log.Error("not ready, trying again every second", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

func (s *server) tellReady() {
	if s.whenReady == nil {
		return
	}
	if err := s.whenReady(); err != nil {
		s.log.Error("ready, but could not say so", "error", err)
	}
}

func (s *server) tryStart(ctx context.Context, client *redisstore.Client) (*gateway, error) {
	if err := client.Ping(ctx); err != nil {
		return nil, err
	}
	return build(ctx, s.cfg, outside{stores: storesOf(client), users: s.users, metrics: s.metrics, log: s.log})
}

func storesOf(c *redisstore.Client) stores {
	sessions, backends, factors, feed := c.Sessions(), c.Backends(), c.Factors(), c.Feed()
	return stores{
		sessions: sessions, index: sessions, roll: c.Roll(), throttle: c.Throttle(), keys: c.Keys(), codes: c.Codes(), feed: feed, notices: feed,
		tries: factors, pushes: factors, backends: backends, pins: backends, duties: backends, asked: backends,
	}
}

// drain lets requests under way finish and leaves backends in good order.
func (s *server) drain(front *http.Server) {
	s.draining.Store(true)
	s.log.Info("draining", "timeout", s.cfg.Drain.Timeout.String())
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Drain.Timeout)
	defer cancel()
	if g := s.gateway.Load(); g != nil {
		g.front.CloseStreams()
	}
	if err := front.Shutdown(ctx); err != nil {
		s.log.Warn("requests were cut off at the end of the drain", "error", err)
		_ = front.Close()
	}
	if g := s.gateway.Load(); g != nil { // a start under way may have come to its end meanwhile
		g.drain(ctx, s.log)
	}
}

func (s *server) frontServer() *http.Server {
	return httpServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g := s.gateway.Load()
		if g == nil {
			w.Header().Set("Retry-After", "1")
			http.Error(w, "the gateway is not ready; /readyz on its admin address says why", http.StatusServiceUnavailable)
			return
		}
		g.front.ServeHTTP(w, r)
	}), s.log)
}

func (s *server) adminServer() *http.Server {
	return httpServer(admin.New(admin.Options{
		Ready: s.ready, Metrics: s.metrics.Handler(), Token: s.cfg.AdminToken, Audit: admin.LogAuditor{Log: s.log},
		Sessions: func() admin.Sessions {
			if g := s.gateway.Load(); g != nil {
				return g.sessions
			}
			return nil
		},
		Backends: func() admin.Backends {
			if g := s.gateway.Load(); g != nil {
				return g
			}
			return nil
		},
		Challenges: func() admin.Challenges {
			if g := s.gateway.Load(); g != nil {
				return g.sessions
			}
			return nil
		},
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

// maxSkew is how far this clock may be from the store's before lives are judged
// wrong.
const maxSkew = 5 * time.Second

// ready is what /readyz says.
func (s *server) ready() admin.Readiness {
	if s.draining.Load() {
		return admin.Readiness{Waiting: []string{"draining"}}
	}
	g := s.gateway.Load()
	if g == nil {
		why := "starting"
		if w := s.waiting.Load(); w != nil {
			why = *w
		}
		return admin.Readiness{Waiting: []string{why}}
	}
	r := admin.Readiness{Ready: true}
	if g.sessions.Degraded() {
		r.Degraded = append(r.Degraded, "the store cannot be asked, or its events do not come in")
	}
	for _, b := range g.backends {
		if trouble := b.Trouble(); trouble != "" {
			r.Degraded = append(r.Degraded, "backend "+trouble)
		}
	}
	if skew := g.sessions.ClockSkew(); skew.Abs() > maxSkew {
		r.Degraded = append(r.Degraded, "this clock and the store's differ by "+skew.Round(time.Second).String()+"; set both by NTP")
	}
	return r
}
