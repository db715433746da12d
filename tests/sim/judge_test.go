package sim_test

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// took takes over a new pair, and judges it: one successor for each generation.
func (s *script) took(l *login, presented token.Secret, set token.Set, began time.Time) {
	s.w.count(func(f *figures) { f.Refreshes++ })
	s.mu.Lock()
	defer s.mu.Unlock()
	before, ok := l.next[presented.Reveal()]
	if ok && before.Reveal() != set.Refresh.Reveal() && !s.w.failedOver(l.opened) {
		s.w.violate("a refresh token of %s has two successors", l.sid)
	}
	l.next[presented.Reveal()] = set.Refresh
	if l.refresh.Reveal() == presented.Reveal() {
		l.access, l.refresh = set.Access, set.Refresh
	}
	if !l.told.IsZero() && began.After(l.told) && !s.w.lost(l.told) && !s.w.lostBetween(l.ended, l.told) {
		s.w.violate("session %s is refreshed after its end", l.sid)
	}
}

func (w *world) failedOver(since time.Time) bool { return w.lostBetween(since, time.Now()) }

// lostBetween reports whether a failover lost writes of a time.
func (w *world) lostBetween(from, to time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.losses {
		if !to.Before(l.from) && !from.After(l.to) {
			return true
		}
	}
	return false
}

// over judges a refresh token that was refused for good: the session must have
// been ended, or its loss must be one that the promises leave out.
func (s *script) over(l *login, presented token.Secret, began time.Time) {
	s.mu.Lock()
	if s.login == l {
		s.login = nil
	} else if l.ended.IsZero() { // another thread was told before
		s.mu.Unlock()
		return
	}
	ended, first := l.ended, l.tried[presented.Reveal()]
	_, behind := l.next[l.next[presented.Reveal()].Reveal()]
	unanswered := len(l.tried) > 0
	s.mu.Unlock()
	if !ended.IsZero() {
		return
	}
	gone := ""
	if s.mode == "own" {
		gone = s.w.vendor.truth(s.w.rules.familyOf("gh:{" + l.sid.String() + "}:up:own"))
	}
	switch {
	case s.w.lostBetween(l.opened.Add(-3*time.Second), l.opened.Add(50*time.Millisecond)):
		s.w.excuse("session lost: created within the writes that a failover lost")
	case gone != "":
		s.w.excuse("session lost: " + gone)
	case s.w.rules.wasOvertaken("gh:{" + l.sid.String() + "}"):
		s.w.excuse("session ended: a refresh that was given up reached the store after others had moved on twice")
	case behind:
		s.w.excuse("session ended: a slow thread presented a refresh token after others had moved on twice")
	case l.grace == 0 && unanswered:
		s.w.excuse("session ended: a refresh token was presented again where there is no grace, its first answer having been lost")
	case !first.IsZero() && time.Since(first) > l.grace:
		s.w.excuse("session ended: a refresh token was presented again after its grace, its first answer having been lost")
	default:
		s.w.violate("session %s of %s is lost: its refresh token of %v ago is refused", l.sid, s.name, time.Since(began))
	}
}

// steal tries the tokens of a session that was ended.
func (s *script) steal(ctx context.Context, l *login) {
	n, longest := 6, 2*time.Second
	if s.w.plan.long {
		n, longest = 12, 3*time.Second
	}
	for i := range n {
		if !pass(ctx, s.w.between(s.name+" thief", time.Millisecond, longest/time.Duration(n-i))) {
			return
		}
		s.w.count(func(f *figures) { f.Probes++ })
		s.mu.Lock()
		access := l.access
		s.mu.Unlock()
		_, _ = s.at(ctx, i%3, func(ctx context.Context, p *process) (r reply, err error) {
			issuer, _ := p.issuers(s.mode)
			_, err = p.sessions.Check(ctx, []*session.Issuer{issuer}, access)
			if err == nil {
				s.judge(p, l, "a thief")
			}
			return r, err
		})
	}
}

// judge judges a credential that was accepted: not beyond the bound after its end.
func (s *script) judge(p *process, l *login, who string) {
	w, now := s.w, time.Now()
	s.mu.Lock()
	told, by := l.told, l.by
	s.mu.Unlock()
	if told.IsZero() || p.crashed.Load() {
		return
	}
	w.count(func(f *figures) { f.Probed++ })
	since := now.Sub(told)
	bound := time.Second
	switch {
	case w.clean(told.Add(-2*time.Second), p.replica, by.replica):
	case w.clean(told.Add(-2*time.Second), p.replica):
		bound = 15 * time.Second // the word of it was lost
	default:
		bound = 15*time.Second + w.plan.degraded
	}
	if since <= bound {
		return
	}
	if w.lostBetween(told.Add(-3*time.Second), told) && by.crashed.Load() {
		w.excuse("an end is forgotten: a failover lost it, and the one who made it crashed")
		return
	}
	w.violate("%s with the token of %s, which ended %v ago, is let in by %s (bound %v)", who, l.sid, since, p.name, bound)
}

// finish sees to it that a session which was not ended works, now that all is well.
func (s *script) finish(ctx context.Context) {
	l := s.current()
	if l == nil || s.w.violated() {
		return
	}
	s.mu.Lock()
	ending := !l.ended.IsZero()
	s.mu.Unlock()
	for end := time.Now().Add(patience); !ending; {
		s.mu.Lock()
		access := l.access
		s.mu.Unlock()
		told, err := s.somewhere(ctx, " end", func(ctx context.Context, p *process) (r reply, err error) {
			r.status, err = s.send(ctx, p, l, access, http.MethodGet, "")
			return r, err
		})
		status := told.status
		s.w.note("%s: last call: %d %v", s.name, status, err)
		switch kind := token.KindOf(err); {
		case err == nil && status == http.StatusOK:
			return
		case kind == token.InvalidAccess, kind == token.ExpiredAccess, status == http.StatusUnauthorized:
			if !s.refresh(ctx, l, l.token()) {
				return
			}
		case s.mode == "shared" && kind == token.BadGateway:
			s.w.excuse("an account is stopped: two logins in a row ended in a crash, so an operator has to see to it")
			return
		case time.Now().After(end):
			s.w.violate("session %s of %s does not work %v after the last fault: %d %v", l.sid, s.name, patience, status, err)
			return
		}
		<-time.After(pause)
	}
}
