package faults

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// moment is when a replica is killed.
type moment int

const (
	beforeRotation moment = iota // the appliance does not rotate
	beforeAnswer                 // it rotates, and the answer leaves it never
	beforeCommit                 // the answer arrives, and cannot be stored
)

func (m moment) String() string {
	return [...]string{"before the rotation", "before the answer", "before the commit"}[m]
}

// victim is a session of which a renewal is under way when the replica dies.
type victim struct {
	*person
	a      *appliance
	moment moment
	mode   string
}

// runStrict kills one replica while it renews six backend sessions: three of
// accounts and three of clients, one each at each moment.
func runStrict(f *field, d time.Duration, r *result) {
	victims, err := f.victims()
	if err != nil {
		r.failed(err)
		return
	}
	made := time.Now()
	k := &killing{f: f, ready: make(chan struct{}, len(victims)), go1: make(chan struct{}), dead: make(chan struct{})}
	for _, v := range victims {
		k.plant(v, victims)
	}
	wait(f.t.Context().Done(), time.Until(made.Add(f.form.life*93/100)))
	logins := f.strictLogins(victims)
	var wg sync.WaitGroup
	for _, v := range victims {
		wg.Go(func() { v.get(f.replicas[0]) })
	}
	if n := k.kill(len(victims)); n < len(victims) {
		r.require(false, "only %d of %d renewals were under way", n, len(victims))
	}
	wg.Wait()
	for _, v := range victims {
		v.a.heal()
	}
	k.judge(d, r, victims)
	r.measured("%d logins of the accounts", f.strictLogins(victims)-logins)
}

// strictLogins counts the logins of the accounts.
func (f *field) strictLogins(vs []*victim) int {
	n := 0
	for _, v := range vs {
		if v.mode == "account" {
			n += v.a.count("login")
		}
	}
	return n
}

func (f *field) victims() ([]*victim, error) {
	var vs []*victim
	for m := beforeRotation; m <= beforeCommit; m++ {
		name := unique("strict-")
		f.appliances[hostStrict].setPassword(name, password)
		p, err := f.login(hostStrict, name)
		if err != nil {
			return nil, err
		}
		q, err := f.login(crashHosts[m], user(hostAccount, 4))
		if err != nil {
			return nil, err
		}
		vs = append(vs,
			&victim{person: p, a: f.appliances[hostStrict], moment: m, mode: "pass-through"},
			&victim{person: q, a: f.appliances[crashHosts[m]], moment: m, mode: "account"})
	}
	for _, v := range vs {
		if err := v.warm(f.replicas...); err != nil {
			return nil, err
		}
	}
	return vs, nil
}

// killing is the death of replica 0.
type killing struct {
	f     *field
	ready chan struct{} // one for each renewal under way
	go1   chan struct{} // closed: renewals to be killed before the commit go on
	dead  chan struct{} // closed when the replica is dead
	at    time.Time
}

// plant has an appliance hold the renewals that are to be killed.
func (k *killing) plant(v *victim, all []*victim) {
	moments := map[string]moment{}
	for _, x := range all {
		if x.a == v.a {
			moments[x.applianceUser()] = x.moment
		}
	}
	arrive := func(until <-chan struct{}) {
		select {
		case <-k.dead: // a later renewal
		default:
			k.ready <- struct{}{}
			wait(until, 10*time.Second)
		}
	}
	killed := func() bool {
		select {
		case <-k.dead:
			return true
		default:
			return false
		}
	}
	v.a.suffer(trouble{
		before: func(u string) bool {
			if m, known := moments[u]; known && m == beforeRotation && !killed() {
				arrive(k.dead)
				return true
			}
			return false
		},
		after: func(u string) bool {
			m, known := moments[u]
			if !known || m == beforeRotation || killed() {
				return false
			}
			if m == beforeAnswer {
				arrive(k.dead)
				return true
			}
			arrive(k.go1)
			return false
		},
	})
}

func (v *victim) applianceUser() string {
	if v.mode == "account" {
		return svcUser
	}
	return v.user
}

// kill waits until all renewals are under way, cuts the replica off from Redis,
// lets the answers through that are not to be committed, and kills it. It
// returns how many renewals were under way.
func (k *killing) kill(want int) int {
	limit := time.After(5 * time.Second)
	n := 0
wait:
	for n < want {
		select {
		case <-k.ready:
			n++
		case <-limit:
			break wait
		}
	}
	x := k.f.replicas[0]
	x.wire.put(strain{silent: true})
	close(k.go1)
	wait(k.f.t.Context().Done(), 300*time.Millisecond)
	x.kill()
	k.at = time.Now()
	k.f.killed(k.at)
	close(k.dead)
	x.wire.put(strain{})
	return n
}

// judge starts the replica again and sees what has become of the sessions.
func (k *killing) judge(limit time.Duration, r *result, vs []*victim) {
	outs, answers := make([]outcome, len(vs)), make([]answer, len(vs))
	var wg sync.WaitGroup
	for i, v := range vs {
		wg.Go(func() { outs[i], answers[i] = v.persist(limit, k.f.replicas[1], k.f.replicas[2]) })
	}
	wait(k.f.t.Context().Done(), time.Second)
	k.f.replicas[0].start(k.f.t)
	k.f.replicas[0].awaitReady(k.f.t)
	wg.Wait()
	kept := map[string][]string{}
	for i, v := range vs {
		gone := v.mode != "account" && v.moment == beforeAnswer
		switch {
		case outs[i] == ok:
			kept[v.mode] = append(kept[v.mode], v.moment.String())
		case !gone:
			r.require(false, "%s, killed %s: the session ended with %s: %d %s", v.mode, v.moment, outs[i], answers[i].status, answers[i].body)
		default:
			r.require(outs[i] == lost, "%s, killed %s: neither kept nor ended after %v: %d %s", v.mode, v.moment, limit, answers[i].status, answers[i].body)
			r.measured("%s, killed %s: ended, for the backend's is gone", v.mode, v.moment)
		}
	}
	for _, mode := range []string{"account", "pass-through"} {
		slices.Sort(kept[mode])
		r.measured("%s, killed %s: kept", mode, strings.Join(kept[mode], " or "))
	}
}
