package faults

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Bounds on how long a revoked credential may be accepted.
const (
	lagP99     = 250 * time.Millisecond
	lagMax     = time.Second
	lagCeiling = 15 * time.Second
	lagSlack   = time.Second // beside a bound that is itself a setting
)

// accepted presents a credential to a replica until it is refused, and returns
// how long after a time it was still accepted. Answers that say neither do not
// end it, but for 503 if that is to count as refused.
func (p *person) accepted(rep *replica, since time.Time, every, limit time.Duration, unavailableEnds bool) (last time.Duration, ended bool) {
	for time.Since(since) < limit {
		a := p.get(rep)
		switch {
		case a.status == http.StatusOK:
			last = max(0, a.began.Sub(since))
		case a.status == http.StatusUnauthorized, unavailableEnds && a.status == http.StatusServiceUnavailable:
			return last, true
		}
		wait(p.f.t.Context().Done(), every)
	}
	return last, false
}

// warm has every replica know the credential.
func (p *person) warm(rs ...*replica) error {
	for _, r := range rs {
		if out, a := p.persist(5*time.Second, r); out != ok {
			return fmt.Errorf("call of %s at %s: %d %s", p.user, r.name, a.status, a.body)
		}
	}
	return nil
}

// sid reads the session's id from the access token, which is a JWT.
func (p *person) sid() string {
	var claims struct{ SID string }
	if parts := strings.Split(p.access, "."); len(parts) == 3 {
		b, _ := base64.RawURLEncoding.DecodeString(parts[1]) // what cannot be read has no sid
		_ = json.Unmarshal(b, &claims)
	}
	return claims.SID
}

// runRevocation logs sessions out at one replica and watches the others.
func runRevocation(f *field, d time.Duration, r *result) {
	var mu sync.Mutex
	var lags durations
	var wg sync.WaitGroup
	until := time.Now().Add(d)
	for n := range 3 {
		wg.Go(func() {
			for i := n; time.Now().Before(until); i++ {
				got, err := f.revokeOne(f.replicas[i%len(f.replicas)])
				r.failed(err)
				mu.Lock()
				lags = append(lags, got...)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(lags)
	r.require(len(lags) >= 20, "only %d revocations were watched", len(lags))
	r.require(lags.at(0.99) <= lagP99, "p99 = %v; bound %v", lags.at(0.99), lagP99)
	r.require(lags.at(1) <= lagMax, "max = %v; bound %v", lags.at(1), lagMax)
	r.measured("%d watched: %s", len(lags), lags)
}

// revokeOne logs one session out and returns how long each other replica
// accepted it.
func (f *field) revokeOne(at *replica) (durations, error) {
	p, err := f.login(hostRevoke, user(hostAccount, int(time.Now().UnixNano()%users)))
	if err != nil {
		return nil, err
	}
	if err := p.warm(f.replicas...); err != nil {
		return nil, err
	}
	a := send(f.t.Context(), f.load.http, at, logoutCall(hostRevoke, p.access))
	if a.status/100 != 2 {
		return nil, fmt.Errorf("logout: %d %s", a.status, a.body)
	}
	since := a.began.Add(a.took)
	var mu sync.Mutex
	var lags durations
	var wg sync.WaitGroup
	for _, other := range f.replicas {
		wg.Go(func() {
			last, ended := p.accepted(other, since, 5*time.Millisecond, 20*time.Second, false)
			mu.Lock()
			defer mu.Unlock()
			if lags = append(lags, last); !ended {
				err = fmt.Errorf("%s never refused a revoked credential", other.name)
			}
		})
	}
	wg.Wait()
	return lags, err
}

// runLostMessage takes sessions out of Redis behind everybody's back: no message
// tells of it.
func runLostMessage(f *field, d time.Duration, r *result) {
	var people []*person
	for i := range 6 {
		p, err := f.login(hostRevoke, user(hostAccount, i))
		if err == nil {
			err = p.warm(f.replicas...)
		}
		if err != nil {
			r.failed(err)
			return
		}
		people = append(people, p)
	}
	rdb := f.redis.Client(f.t)
	var mu sync.Mutex
	var lags durations
	var wg sync.WaitGroup
	for i, p := range people {
		n, err := rdb.Del(f.t.Context(), "gh:{"+p.sid()+"}").Result()
		since := time.Now()
		r.require(err == nil && n == 1, "DEL of a session = %d, %v", n, err)
		wg.Go(func() {
			last, ended := p.accepted(f.replicas[i%len(f.replicas)], since, 100*time.Millisecond, d+5*time.Second, false)
			mu.Lock()
			defer mu.Unlock()
			lags = append(lags, last)
			r.require(ended, "%s accepts a session that is gone from Redis after %v", f.replicas[i%len(f.replicas)].name, d+5*time.Second)
		})
	}
	wg.Wait()
	slices.Sort(lags)
	r.require(lags.at(1) <= lagCeiling, "accepted for %v; bound %v", lags.at(1), lagCeiling)
	r.measured("%d sessions: %s", len(lags), lags)
}

// runPartition cuts one replica off from Redis and revokes elsewhere.
func runPartition(f *field, d time.Duration, r *result) {
	off := f.replicas[0]
	p, err := f.login(hostRevoke, user(hostAccount, 1))
	if err == nil {
		err = p.warm(f.replicas...)
	}
	if err != nil {
		r.failed(err)
		return
	}
	began := time.Now()
	off.wire.put(strain{silent: true})
	defer off.wire.put(strain{})
	wait(f.t.Context().Done(), 300*time.Millisecond)
	a := send(f.t.Context(), f.load.http, f.replicas[1], logoutCall(hostRevoke, p.access))
	r.require(a.status/100 == 2, "logout at %s: %d %s", f.replicas[1].name, a.status, a.body)
	since := a.began.Add(a.took)
	last, ended := p.accepted(off, since, 50*time.Millisecond, f.form.degraded+5*time.Second, true)
	r.require(ended && last <= f.form.degraded+lagSlack, "accepted for %v at the replica cut off (ended: %v); bound %v and %v", last, ended, f.form.degraded, lagSlack)
	wait(f.t.Context().Done(), time.Until(began.Add(d)))
	off.wire.put(strain{})
	_, again := p.accepted(off, time.Now(), 50*time.Millisecond, 5*time.Second, false)
	r.require(again, "the replica takes the credential again after the partition")
	r.measured("accepted for %s at the replica cut off, of DEGRADED_FOR %s", ms(last), short(f.form.degraded))
}
