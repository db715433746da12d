package sim_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream"
)

// script is a client as people write them: it logs in, calls, refreshes when it is
// told so, tries again after 503, and logs out.
type script struct {
	w    *world
	name string
	mode string // own or shared: which backend it calls

	// turn is held by the thread that refreshes, where there is no grace: a client of
	// such an API must not present a refresh token twice.
	turn chan struct{}

	mu    sync.Mutex
	login *login // guarded by mu; nil: not logged in
	posts int    // guarded by mu
}

// login is one session as its client knows it.
type login struct {
	script  *script
	sid     token.SID
	opened  time.Time
	grace   time.Duration
	access  token.Secret            // guarded by script.mu
	refresh token.Secret            // guarded by script.mu
	next    map[string]token.Secret // guarded by script.mu: what each refresh token was traded for
	tried   map[string]time.Time    // guarded by script.mu: when a refresh token was first presented without an answer
	ended   time.Time               // guarded by script.mu: when an end of it was begun; zero: it was not
	told    time.Time               // guarded by script.mu: when that was done; zero: it is not
	by      *process                // guarded by script.mu: who did it
}

var (
	errCrashed = errors.New("the connection broke off")
	errNobody  = errors.New("connection refused")
)

const (
	pause    = 250 * time.Millisecond // between tries after 503
	patience = 90 * time.Second       // until which all must be well when all faults are over
)

// startScripts runs the clients and the operator, and the end of the scenario.
func (w *world) startScripts(ctx context.Context, wg *sync.WaitGroup) {
	stop, cancel := context.WithDeadline(ctx, w.begun.Add(w.plan.length))
	var all []*script
	var busy sync.WaitGroup
	for _, mode := range []string{"own", "own", "shared", "shared"} {
		s := &script{w: w, name: fmt.Sprintf("script%d", len(all)), mode: mode, turn: make(chan struct{}, 1)}
		all = append(all, s)
		busy.Go(func() { s.run(stop) })
	}
	busy.Go(func() { w.operate(stop, all) })
	wg.Go(func() {
		defer cancel()
		busy.Wait()
		w.becomeCalm()
		<-time.After(1600 * time.Millisecond) // what crashed has come back
		var last sync.WaitGroup
		for _, s := range all {
			last.Go(func() { s.finish(ctx) })
		}
		last.Wait()
	})
}

func (w *world) becomeCalm() {
	w.mu.Lock()
	w.calm = true
	w.mu.Unlock()
	w.net.clear()
	w.vendor.busyUntil(time.Time{})
	w.note("no more faults")
}

// reply is what a client is told.
type reply struct {
	by     *process
	set    token.Set
	sid    token.SID
	status int
}

// somewhere has a call made at any of the replicas.
func (s *script) somewhere(ctx context.Context, what string, do func(context.Context, *process) (reply, error)) (reply, error) {
	return s.at(ctx, int(s.w.draw(s.name+what)%3), do)
}

// at has a call made at a replica. Its answer is lost if the replica crashes.
func (s *script) at(ctx context.Context, replica int, do func(context.Context, *process) (reply, error)) (reply, error) {
	p := s.w.replicas[replica].up()
	if p == nil {
		return reply{}, errNobody
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	type result struct {
		reply
		err error
	}
	done := make(chan result, 1)
	p.running.Go(func() {
		r, err := do(ctx, p)
		r.by = p
		done <- result{r, err}
	})
	select {
	case r := <-done:
		if p.crashed.Load() {
			return reply{}, errCrashed
		}
		return r.reply, r.err
	case <-p.dead:
		return reply{}, errCrashed
	}
}

// run works until ctx ends.
func (s *script) run(ctx context.Context) {
	for pass(ctx, s.w.between(s.name, 50*time.Millisecond, 600*time.Millisecond)) && !s.w.violated() {
		l := s.current()
		switch n := s.w.draw(s.name+" step") % 100; {
		case l == nil:
			s.open(ctx)
		case n < 4:
			s.logout(ctx, l)
		case n < 12:
			presented := l.token()
			s.together(3, func(int) { s.refresh(ctx, l, presented) })
			_ = pass(ctx, time.Second) // then it has no reason to for a while
		case n < 45:
			s.together(3, func(i int) { s.call(ctx, l, i) })
		default:
			s.call(ctx, l, int(s.w.draw(s.name+" where")%3))
		}
	}
}

// together does a thing several times at once.
func (s *script) together(n int, do func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-time.After(s.w.between(fmt.Sprint(s.name, " thread ", i), time.Microsecond, 20*time.Millisecond))
			do(i)
		})
	}
	wg.Wait()
}

func (s *script) current() *login {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.login
}

func (l *login) token() token.Secret {
	l.script.mu.Lock()
	defer l.script.mu.Unlock()
	return l.refresh
}

func (p *process) issuers(mode string) (*session.Issuer, *upstream.Backend) {
	if mode == "own" {
		return p.ownIssuer, p.own
	}
	return p.userIssuer, p.shared
}

// open logs in.
func (s *script) open(ctx context.Context) {
	told, err := s.somewhere(ctx, " login", func(ctx context.Context, p *process) (r reply, err error) {
		i, _ := p.issuers(s.mode)
		g := token.Grant{Op: token.OpLogin, Username: s.name, Password: token.NewSecret(password), Address: "192.0.2.1"}
		if r.set, err = p.sessions.Login(ctx, i, session.KindLogin, g); err != nil {
			return r, err
		}
		checked, err := p.sessions.Check(ctx, []*session.Issuer{i}, r.set.Access)
		if err == nil {
			r.sid = checked.SID
		}
		return r, err
	})
	s.w.note("%s: login %s: %v", s.name, told.sid, err)
	if err != nil {
		return
	}
	s.w.count(func(f *figures) { f.Logins++ })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.login = &login{
		script: s, sid: told.sid, opened: time.Now(), grace: s.w.plan.grace, access: told.set.Access, refresh: told.set.Refresh,
		next: map[string]token.Secret{}, tried: map[string]time.Time{},
	}
}

// call makes a request, which is a POST in one of four cases. It is made again if
// the gateway or the backend says that it has not been done, and after a refresh.
func (s *script) call(ctx context.Context, l *login, replica int) {
	s.mu.Lock()
	s.posts++
	id := fmt.Sprintf("%s-%d", s.name, s.posts)
	s.mu.Unlock()
	method := http.MethodGet
	if s.w.chance(s.name+" post", 250) {
		method = http.MethodPost
		s.w.count(func(f *figures) { f.Posts++ })
	}
	s.w.count(func(f *figures) { f.Calls++ })
	for range 4 {
		s.mu.Lock()
		access, refresh := l.access, l.refresh
		s.mu.Unlock()
		told, err := s.at(ctx, replica, func(ctx context.Context, p *process) (r reply, err error) {
			r.status, err = s.send(ctx, p, l, access, method, id)
			return r, err
		})
		status := told.status
		s.w.note("%s: %s %s at r%d: %d %v", s.name, method, id, replica, status, err)
		switch kind := token.KindOf(err); {
		case err == nil && status == http.StatusOK:
			return
		case err == nil && status == http.StatusUnauthorized, kind == token.InvalidAccess, kind == token.ExpiredAccess:
			if kind == token.ExpiredAccess {
				s.w.count(func(f *figures) { f.Expiries++ })
			}
			if !s.refresh(ctx, l, refresh) {
				return
			}
		case method == http.MethodPost && (errors.Is(err, errCrashed) || kind == token.BadGateway || kind == token.GatewayTimeout || kind == token.Internal):
			return // it may have been done
		case !pass(ctx, pause):
			return
		}
		replica = int(s.w.draw(s.name+" where") % 3)
	}
}

// send is the front door's part: the check, and the request to the backend.
func (s *script) send(ctx context.Context, p *process, l *login, access token.Secret, method, id string) (int, error) {
	i, b := p.issuers(s.mode)
	checked, err := p.sessions.Check(ctx, []*session.Issuer{i}, access)
	if err != nil {
		return 0, err
	}
	if checked.SID != l.sid {
		s.w.violate("the token of session %s is taken for one of %s", l.sid, checked.SID)
	}
	s.judge(p, l, "a call")
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader(`{"do":"it"}`)
	}
	ctx = token.WithCaller(ctx, token.Caller{SID: checked.SID, Identity: checked.Identity})
	r, err := http.NewRequestWithContext(ctx, method, s.w.base.String()+"/api/v7.0/things?"+id, body)
	if err != nil {
		return 0, err
	}
	resp, err := b.RoundTrip(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	who := s.name
	if s.mode == "shared" {
		who = "svc"
	}
	if resp.StatusCode == http.StatusOK && string(text) != who {
		s.w.violate("a request of %s is made as %s", who, text)
	}
	return resp.StatusCode, nil
}

// refresh trades a refresh token for another pair, and reports whether there is
// one. It goes on until there is an answer.
func (s *script) refresh(ctx context.Context, l *login, presented token.Secret) bool {
	if l.grace == 0 {
		s.turn <- struct{}{}
		defer func() { <-s.turn }()
	}
	for {
		s.mu.Lock()
		if now := l.refresh; now.Reveal() != presented.Reveal() {
			s.mu.Unlock()
			return true
		}
		s.mu.Unlock()
		began := time.Now()
		told, err := s.somewhere(ctx, " refresh", func(ctx context.Context, p *process) (r reply, err error) {
			i, _ := p.issuers(s.mode)
			r.set, err = p.sessions.Refresh(ctx, i, token.Grant{Op: token.OpRefresh, Refresh: presented})
			return r, err
		})
		s.w.note("%s: refresh of %s: %v", s.name, l.sid, err)
		switch kind := token.KindOf(err); {
		case err == nil:
			s.took(l, presented, told.set, began)
			return true
		case kind == token.InvalidRefresh:
			s.over(l, presented, began)
			return false
		}
		s.mu.Lock()
		if _, ok := l.tried[presented.Reveal()]; !ok {
			l.tried[presented.Reveal()] = began
		}
		s.mu.Unlock()
		if !pass(ctx, pause) {
			return false
		}
	}
}

// logout ends the session, and tries its tokens afterwards.
func (s *script) logout(ctx context.Context, l *login) {
	s.end(ctx, l, "logout", func(ctx context.Context, p *process) error {
		i, _ := p.issuers(s.mode)
		return p.sessions.Logout(ctx, i, l.sid)
	})
}

func (s *script) end(ctx context.Context, l *login, what string, do func(context.Context, *process) error) {
	s.mu.Lock()
	again := !l.ended.IsZero()
	l.ended = time.Now()
	s.mu.Unlock()
	if again {
		return
	}
	var by *process
	for {
		told, err := s.somewhere(ctx, " "+what, func(ctx context.Context, p *process) (reply, error) { return reply{}, do(ctx, p) })
		by = told.by
		s.w.note("%s: %s of %s: %v", s.name, what, l.sid, err)
		if err == nil {
			break
		}
		if !pass(ctx, pause) {
			return
		}
	}
	s.w.count(func(f *figures) { f.Revocations++ })
	s.mu.Lock()
	l.told, l.by = time.Now(), by
	if s.login == l {
		s.login = nil
	}
	s.mu.Unlock()
	s.steal(ctx, l)
}

// operate revokes a session now and then.
func (w *world) operate(ctx context.Context, all []*script) {
	for pass(ctx, w.between("operator", 2*time.Second, 7*time.Second)) && !w.violated() {
		s := all[w.draw("operator's choice")%uint64(len(all))]
		if l := s.current(); l != nil {
			s.end(ctx, l, "revocation", func(ctx context.Context, p *process) error {
				return p.sessions.End(ctx, l.sid, "revoked")
			})
		}
	}
}
