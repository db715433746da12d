package main

import (
	"net/http"
	"time"

	"github.com/gatehouse-gateway/gatehouse/admin"
	"github.com/gatehouse-gateway/gatehouse/config"
)

// operate has the admin port ask for the token of a configuration. One that has
// not changed keeps its handler, which counts wrong guesses.
func (s *server) operate(cfg *config.Config) {
	if now := s.swapped.ops.Load(); now != nil && now.token.Reveal() == cfg.AdminToken.Reveal() {
		return
	}
	h := admin.New(admin.Options{
		Ready: s.ready, Metrics: s.metrics.Handler(), Token: cfg.AdminToken, Audit: admin.LogAuditor{Log: s.log},
		Sessions: func() admin.Sessions {
			if g := s.fleet.current.Load(); g != nil {
				return g.sessions
			}
			return nil
		},
		Backends: func() admin.Backends {
			if g := s.fleet.current.Load(); g != nil {
				return g
			}
			return nil
		},
		Keys: func() admin.Keys {
			if g := s.fleet.current.Load(); g != nil {
				return g.keeper
			}
			return nil
		},
		Challenges: func() admin.Challenges {
			if g := s.fleet.current.Load(); g != nil {
				return g.sessions
			}
			return nil
		},
	})
	s.swapped.ops.Store(&operators{Handler: h, token: cfg.AdminToken})
}

// ops answers on the admin port.
func (s *server) ops(w http.ResponseWriter, r *http.Request) { s.swapped.ops.Load().ServeHTTP(w, r) }

// maxSkew is how far this clock may be from the store's before lives are judged
// wrong.
const maxSkew = 5 * time.Second

// ready is what /readyz says.
func (s *server) ready() admin.Readiness {
	if s.state.draining.Load() {
		return admin.Readiness{Waiting: []string{"draining"}}
	}
	g := s.fleet.current.Load()
	if g == nil {
		why := "starting"
		if w := s.state.waiting.Load(); w != nil {
			why = *w
		}
		return admin.Readiness{Waiting: []string{why}}
	}
	k := g.keeper.Standing()
	r := admin.Readiness{Ready: len(k.Waiting) == 0, Waiting: k.Waiting, Degraded: k.Degraded}
	if g.sessions.Degraded() {
		r.Degraded = append(r.Degraded, "the store cannot be asked, or its events do not come in")
	}
	for _, b := range g.backends {
		if trouble := b.Trouble(); trouble != "" {
			r.Degraded = append(r.Degraded, "backend "+trouble)
		}
	}
	if trouble := s.doors.clients.trouble(); trouble != "" {
		r.Degraded = append(r.Degraded, trouble)
	}
	if trouble := s.journalTrouble(g.gateway); trouble != "" {
		r.Degraded = append(r.Degraded, trouble)
	}
	if skew := g.sessions.ClockSkew(); skew.Abs() > maxSkew {
		r.Degraded = append(r.Degraded, "this clock and the store's differ by "+skew.Round(time.Second).String()+"; set both by NTP")
	}
	if why := s.state.amiss.Load(); why != nil {
		r.Degraded = append(r.Degraded, "configuration on disk is not the one in use: "+*why)
	}
	return r
}
