package main

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-gateway/gatehouse/proxy"
)

// linger serves on for a while after /readyz has said no, so that whoever sends
// requests here notices before the door closes. A second signal ends the process.
func (s *server) linger() {
	if s.fleet.current.Load() == nil {
		return
	}
	s.log.Info("draining", "delay", s.cfg.Drain.Delay.String(), "timeout", s.cfg.Drain.Timeout.String())
	<-time.After(s.cfg.Drain.Delay)
}

// drain lets requests under way finish and leaves backends in good order. giveUp
// is called when the time for that is over.
func (s *server) drain(front *http.Server, giveUp func()) {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Drain.Timeout)
	defer cancel()
	defer context.AfterFunc(ctx, giveUp)()
	s.fleet.closeStreams(proxy.GoingAway)
	if err := front.Shutdown(ctx); err != nil {
		s.log.Warn("requests were cut off at the end of the drain", "error", err)
		_ = front.Close()
	}
	s.fleet.finish(ctx)
}
