package main

import (
	"context"
	"time"

	"github.com/gatehouse-gateway/gatehouse/config"
	"github.com/gatehouse-gateway/gatehouse/identity"
	"github.com/gatehouse-gateway/gatehouse/redisstore"
)

func (s *server) openStore() (*redisstore.Client, error) {
	embedded := s.cfg.RedisURL.IsZero()
	s.metrics.SetEmbedded(embedded)
	if embedded {
		return redisstore.OpenEmbedded(s.metrics, s.log)
	}
	return redisstore.Open(redisstore.Options{URL: s.cfg.RedisURL.Reveal(), Recorder: s.metrics, Log: s.log})
}

// start asks the store until it answers, and then builds the gateway. It returns
// nil if ctx ends first.
func (s *server) start(ctx context.Context, users *identity.Users) *gateway {
	said := ""
	for {
		g, err := s.tryStart(ctx, users)
		if err == nil {
			for _, finding := range s.client.Check(ctx) {
				s.log.Warn(finding)
			}
			return g
		}
		if msg := err.Error(); msg != said {
			said = msg
			s.state.waiting.Store(&msg)
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

func (s *server) tryStart(ctx context.Context, users *identity.Users) (*gateway, error) {
	if err := s.client.Ping(ctx); err != nil {
		return nil, err
	}
	g, err := s.build(ctx, s.cfg, users)
	if err == nil {
		g.replayFirst(ctx, s.log)
	}
	return g, err
}

// build makes a gateway over the store of the process.
func (s *server) build(ctx context.Context, cfg *config.Config, users *identity.Users) (*gateway, error) {
	return build(ctx, cfg, outside{
		stores: storesOf(s.client), users: users, directory: &s.swapped.directory, drawn: s.lasting.drawn, metrics: s.metrics, log: s.log,
		journal: s.lasting.journal, self: s.lasting.self, beside: s.fleet.current.Load() != nil, places: s.lasting.places,
	})
}

// install makes everything beside the gateway follow a reading that is in use now.
func (s *server) install(r reading) {
	s.swapped.directory.Store(r.users)
	s.swapped.cert.Store(r.cert)
	if r.cert != nil {
		s.metrics.CertificateExpiry(r.cert.Leaf.NotAfter)
	}
	s.operate(r.cfg)
	if s.lasting.journal != nil {
		s.lasting.journal.Use(r.ring)
	}
	s.metrics.Active(r.sessions.Active)
	s.metrics.Degraded(func() bool { return len(s.ready().Degraded) > 0 })
	s.state.amiss.Store(nil)
}

func storesOf(c *redisstore.Client) stores {
	sessions, backends, factors, feed := c.Sessions(), c.Backends(), c.Factors(), c.Feed()
	return stores{
		sessions: sessions, index: sessions, roll: c.Roll(), throttle: c.Throttle(), keys: c.Keys(), replicas: c.Replicas(), sealed: c.Sealed(), codes: c.Codes(), feed: feed, notices: feed,
		tries: factors, pushes: factors, backends: backends, pins: backends, duties: backends, asked: backends,
	}
}
