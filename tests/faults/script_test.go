package faults

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
)

// script is one client with one session. It does as real scripts do: a call
// that is answered 401 it repeats after a refresh, one that is answered 503
// with Retry-After it repeats after that time, a refresh it repeats until there
// is an answer, and a POST it never repeats that may have arrived. If the
// refresh token is refused too, or the new access token before its end, it was
// logged out: the session is lost.
type script struct {
	mu sync.Mutex // held by the worker that plays it; guards all below

	host, user, password string
	eager                bool // refreshes before the access token expires

	access, refresh  string
	created, renewed time.Time
	life             time.Duration
	until            time.Time // the end of the access token, as its answer told it
	family           int       // at the appliance, as last told; 0: not known

	pending   *call
	renewing  bool // a refresh is what comes next
	leaving   bool // a logout was sent, and may have happened
	refreshed bool // because a call was answered 401 before the access token's end
	tried     int  // how often the refresh or pending was answered without a result
	notBefore time.Time
	posts     int
	history   []string // what happened last, for the account of a loss
}

func (s *script) passThrough() bool { return s.host == hostPass }

// note adds to the history.
func (s *script) note(a answer, k kind) {
	if len(s.history) >= 12 {
		s.history = slices.Delete(s.history, 0, 1)
	}
	what := fmt.Sprint(a.status)
	if a.status == 0 {
		what = a.err.Error()
	} else if a.status != http.StatusOK && a.status != http.StatusNoContent {
		what += " " + a.told().Code
	}
	s.history = append(s.history, fmt.Sprintf("%s %s at %s after %v: %s",
		a.began.Format("15:04:05.000"), k, a.replica.name, a.took.Round(time.Millisecond), what))
}

// next returns what to send now.
func (s *script) next(l *ledger) call {
	switch dice := rand.Float64(); {
	case s.refresh == "":
		return loginCall(s.host, s.user, s.password)
	case s.leaving:
		return logoutCall(s.host, s.access)
	case s.renewing:
		return refreshCall(s.host, s.refresh)
	case s.pending != nil:
		q := *s.pending
		q.access = s.access
		return q
	case s.eager && time.Since(s.renewed) > s.life*8/10, dice < 0.01:
		s.renewing = true
		return refreshCall(s.host, s.refresh)
	case dice < 0.02:
		s.leaving = true
		return logoutCall(s.host, s.access)
	case dice < 0.025: // and the session it had is left alone
		return loginCall(s.host, s.user, s.password)
	case dice < 0.225:
		s.posts++
		id := fmt.Sprintf("%p-%d", s, s.posts)
		l.posted(id)
		return postCall(s.host, s.access, id)
	}
	return getCall(s.host, s.access)
}

// took is what a script makes of an answer; the result is how it is counted.
func (s *script) took(q call, a answer, l *ledger) outcome {
	s.note(a, q.kind)
	if a.status == http.StatusServiceUnavailable {
		return s.putOff(q, a)
	}
	switch q.kind {
	case kindLogin:
		return s.tookLogin(a, l)
	case kindRefresh:
		return s.tookRefresh(a, l)
	case kindLogout:
		return s.tookLogout(q, a, l)
	}
	return s.tookCall(q, a, l)
}

// putOff has a call wait that is answered 503.
func (s *script) putOff(q call, a answer) outcome {
	d, ok := a.retryAfter()
	if !ok {
		s.again(q, time.Second)
		return failed
	}
	s.again(q, d+time.Duration(rand.Int64N(int64(200*time.Millisecond))))
	return unavailable
}

// again has a call come again after a while.
func (s *script) again(q call, after time.Duration) {
	s.tried++
	s.notBefore = time.Now().Add(after)
	if q.kind == kindGet || q.kind == kindPost {
		s.pending = &q
	}
}

func (s *script) tookLogin(a answer, l *ledger) outcome {
	switch a.status {
	case http.StatusOK:
		s.fresh(a)
		s.created = s.renewed
		l.opened(s.host)
		return ok
	case 0:
		s.again(call{kind: kindLogin}, 50*time.Millisecond)
		return broken
	}
	s.again(call{kind: kindLogin}, time.Second)
	return failed
}

// fresh takes the tokens of an answer.
func (s *script) fresh(a answer) {
	s.access, s.refresh, s.renewed = a.cookie("accessToken"), a.cookie("refreshToken"), a.began
	s.renewing, s.tried = false, 0
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		if c.Name == "accessToken" {
			s.until = a.began.Add(time.Duration(c.MaxAge) * time.Second)
		}
	}
}

// timely reports whether a 401 is what the end of the access token brings. Lives
// are whole seconds.
func (s *script) timely() bool { return time.Now().After(s.until.Add(-time.Second)) }

func (s *script) tookRefresh(a answer, l *ledger) outcome {
	switch a.status {
	case http.StatusOK:
		s.fresh(a)
		return ok
	case http.StatusUnauthorized:
		s.lost(a, l)
		return lost
	case 0:
		s.again(call{kind: kindRefresh}, 50*time.Millisecond)
		return broken
	}
	s.again(call{kind: kindRefresh}, time.Second)
	return failed
}

// lost gives the session up.
func (s *script) lost(a answer, l *ledger) {
	l.lost(loss{
		at: time.Now(), host: s.host, user: s.user, family: s.family, created: s.created, renewed: s.renewed,
		why: fmt.Sprintf("%d %s", a.status, a.body), history: slices.Clone(s.history),
	})
	s.drop()
}

// drop forgets the session, and what was to be done in it.
func (s *script) drop() {
	s.access, s.refresh, s.family = "", "", 0
	s.renewing, s.leaving, s.refreshed, s.pending, s.tried = false, false, false, nil, 0
}

func (s *script) tookLogout(q call, a answer, l *ledger) outcome {
	switch {
	case a.status == 0:
		s.again(q, 50*time.Millisecond)
		return broken
	case a.status/100 == 2:
		l.revoked(ghost{host: q.host, access: q.access, at: a.began.Add(a.took)})
		s.drop()
		return ok
	case a.status == http.StatusUnauthorized:
		s.drop() // it has expired, or an earlier try ended the session
		return expired
	}
	s.again(q, time.Second)
	return failed
}

func (s *script) tookCall(q call, a answer, l *ledger) outcome {
	switch {
	case a.status == http.StatusOK:
		s.done(q, a, l)
		return ok
	case a.status == http.StatusUnauthorized && s.timely():
		s.pending, s.renewing = &q, true
		return expired
	case a.status == http.StatusUnauthorized && s.refreshed:
		s.lost(a, l)
		return lost
	case a.status == http.StatusUnauthorized:
		s.pending, s.renewing, s.refreshed = &q, true, true
		return expired
	case a.status == 0 && (q.kind == kindGet || a.unsent):
		s.again(q, 50*time.Millisecond)
		return broken
	}
	s.pending, s.refreshed = nil, false // a POST that may have arrived is not repeated
	if a.status == 0 {
		return broken
	}
	return failed
}

// done checks an answer of the appliance against what was asked.
func (s *script) done(q call, a answer, l *ledger) {
	s.pending, s.refreshed, s.tried = nil, false, 0
	t := a.told()
	if s.family = t.Family; s.passThrough() && t.User != s.user {
		l.wrong(fmt.Sprintf("%s got the answer of %q: %s", s.user, t.User, a.body))
	}
	if q.kind == kindPost {
		l.acknowledged(t.Job, q.body)
	}
}
