package faults

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	burstSize   = 1000
	burstSpread = 20 * time.Millisecond // from the first request to the last one, if nothing delays them
	burstWithin = 50 * time.Millisecond // of the expiry, every one
	burstSlow   = 300 * time.Millisecond
	burstP99    = 1500 * time.Millisecond // more than the same burst with a fresh token
)

// shot is one request of a burst.
type shot struct {
	conn   net.Conn
	sent   time.Time
	took   time.Duration
	status int
	err    error
}

// aim opens a connection for each request of a burst, in equal parts to all
// replicas.
func (f *field) aim() ([]*shot, error) {
	shots := make([]*shot, burstSize)
	errs := make([]error, burstSize)
	var wg sync.WaitGroup
	gate := make(chan struct{}, 32)
	for i := range shots {
		wg.Go(func() {
			gate <- struct{}{}
			defer func() { <-gate }()
			shots[i] = &shot{}
			d := net.Dialer{Timeout: 2 * time.Second}
			shots[i].conn, errs[i] = d.DialContext(f.t.Context(), "tcp", f.replicas[i%len(f.replicas)].listen)
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return shots, nil
}

// fire sends the burst around a time and waits for all answers. The replicas are
// stopped for the few milliseconds that sending takes: on a small machine they
// would take the sender's share of it, and the burst would be none.
func (f *field) fire(shots []*shot, around time.Time, access string) {
	text := []byte("GET /api/v7.0/snapshots HTTP/1.1\r\nHost: " + hostBurst + "\r\nAuthorization: Bearer " + access + "\r\n\r\n")
	wait(nil, time.Until(around.Add(-burstSpread/2)))
	for _, r := range f.replicas {
		r.signal(syscall.SIGSTOP)
	}
	for i, s := range shots {
		due := around.Add(time.Duration(i)*burstSpread/burstSize - burstSpread/2)
		if d := time.Until(due); d > 0 {
			wait(nil, d)
		}
		s.sent = time.Now()
		_, s.err = s.conn.Write(text)
	}
	for _, r := range f.replicas {
		r.signal(syscall.SIGCONT)
	}
	var wg sync.WaitGroup
	for _, s := range shots {
		if s.err == nil {
			wg.Go(s.read)
		}
	}
	wg.Wait()
}

func (s *shot) read() {
	defer s.conn.Close()
	if s.err = s.conn.SetReadDeadline(time.Now().Add(callLimit)); s.err != nil {
		return
	}
	resp, err := http.ReadResponse(bufio.NewReader(s.conn), nil)
	if s.err = err; err != nil {
		return
	}
	defer resp.Body.Close()
	_, s.err = io.Copy(io.Discard, resp.Body)
	s.status, s.took = resp.StatusCode, time.Since(s.sent)
}

// volley is what came of a burst.
type volley struct {
	times durations
	off   time.Duration // the most that a request was sent before or after the time
	wrong map[string]int
}

func sum(shots []*shot, around time.Time) volley {
	v := volley{wrong: map[string]int{}}
	for _, s := range shots {
		v.off = max(v.off, s.sent.Sub(around).Abs())
		switch {
		case s.err != nil:
			v.wrong[s.err.Error()]++
		case s.status != http.StatusOK:
			v.wrong[fmt.Sprint(s.status)]++
		}
		v.times = append(v.times, s.took)
	}
	slices.Sort(v.times)
	return v
}

// runBurst fires the same burst at a fresh token and at one that expires.
func runBurst(f *field, _ time.Duration, r *result) {
	a := f.appliances[hostBurst]
	p, err := f.login(hostBurst, user(hostAccount, 0))
	if err != nil {
		r.failed(err)
		return
	}
	for _, x := range f.replicas { // each has the appliance's first tokens
		if out, ans := p.persist(5*time.Second, x); out != ok {
			r.require(false, "first request: %d %s", ans.status, ans.body)
			return
		}
	}
	a.suffer(trouble{slow: burstSlow})
	defer a.heal()
	fresh, err := f.aim()
	if err != nil {
		r.failed(err)
		return
	}
	soon := time.Now().Add(2 * burstSpread)
	f.fire(fresh, soon, p.access)

	expiry := a.newest(svcUser).made.Add(a.life)
	wait(f.t.Context().Done(), time.Until(expiry.Add(-2*time.Second)))
	late, err := f.aim()
	if err != nil {
		r.failed(err)
		return
	}
	refreshes, old := a.count("refresh call"), a.count("expired")
	f.fire(late, expiry, p.access)
	f.judgeBurst(r, sum(fresh, soon), sum(late, expiry))
	r.require(a.count("refresh call")-refreshes == 1, "backend refreshes = %d; want 1", a.count("refresh call")-refreshes)
	r.require(a.count("expired") == old, "%d requests reached the backend with the old token after its expiry", a.count("expired")-old)
	r.measured("%d backend refresh", a.count("refresh call")-refreshes)
}

func (f *field) judgeBurst(r *result, fresh, late volley) {
	for name, v := range map[string]volley{"the fresh token": fresh, "the expiry": late} {
		r.require(len(v.wrong) == 0, "burst at %s: %v", name, v.wrong)
		r.require(v.off <= burstWithin, "burst at %s: sent within %v of it; this machine is too busy to say anything", name, v.off)
	}
	r.require(late.times.at(0.99) <= fresh.times.at(0.99)+burstP99, "p99 at the expiry is %v, with a fresh token %v", late.times.at(0.99), fresh.times.at(0.99))
	n := 0
	for _, c := range late.wrong {
		n += c
	}
	r.measured("%d requests sent within %s of the expiry: %d errors, p99 %s; with a fresh token p99 %s", burstSize, ms(late.off), n, ms(late.times.at(0.99)), ms(fresh.times.at(0.99)))
}
