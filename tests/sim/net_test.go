package sim_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/tests/sim/store"
)

// network is what is wrong between the replicas and the store.
type network struct {
	w *world

	mu      sync.Mutex
	parted  [3]time.Time // guarded by mu: until when a replica is cut off
	silent  [3]time.Time // guarded by mu: until when its announcements are lost
	stalled time.Time    // guarded by mu: until when the store does nothing
	armed   []fault      // guarded by mu: those that wait for a message
}

func (n *network) part(replica int, until time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.parted[replica] = until
}

func (n *network) silence(replica int, until time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.silent[replica] = until
}

func (n *network) stall(until time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stalled = until
}

func (n *network) arm(f fault) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.armed = append(n.armed, f)
}

// disarm takes the first armed fault that fits.
func (n *network) disarm(fits func(fault) bool) (fault, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	at := slices.IndexFunc(n.armed, fits)
	if at < 0 {
		return fault{}, false
	}
	f := n.armed[at]
	n.armed = slices.Delete(n.armed, at, at+1)
	return f, true
}

// clear ends all faults.
func (n *network) clear() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.parted, n.silent, n.stalled, n.armed = [3]time.Time{}, [3]time.Time{}, time.Time{}, nil
}

func (n *network) isSilent(replica int) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return time.Now().Before(n.silent[replica])
}

// stall returns for how long the store does nothing yet.
func (n *network) rest() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return max(0, time.Until(n.stalled))
}

func (w *world) reachable(replica int) bool {
	w.net.mu.Lock()
	defer w.net.mu.Unlock()
	return !time.Now().Before(w.net.parted[replica])
}

// link is one connection of a process to the store.
type link struct {
	p *process

	mu   sync.Mutex
	last [2]time.Time // guarded by mu: when the last message of a direction arrives
	lost [2]bool      // guarded by mu: a message was lost, so all after it are
}

// readScripts names the product's scripts by their digests.
func readScripts(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("../../redisstore/*.lua")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts are found: %v", err)
	}
	names := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		names[store.Digest(string(text))] = strings.TrimSuffix(filepath.Base(file), ".lua")
	}
	return names
}

// named returns what a command is about: the name of its script or its own, and
// its first key.
func (c *common) named(args []string) (op, key string) {
	switch strings.ToUpper(args[0]) {
	case "EVALSHA", "EVAL":
		sha := args[1]
		if len(sha) != 40 {
			sha = store.Digest(sha)
		}
		return c.scripts[sha], args[3]
	}
	if len(args) > 1 {
		key = args[1]
	}
	return strings.ToLower(args[0]), key
}

// carry is the store.Wire of a link.
func (l *link) carry(c *store.Conn, reply bool, commands [][]string, deliver func()) {
	w, p := l.p.w, l.p
	op, key, direction := "message", "", 0
	if commands != nil {
		op, key = w.named(commands[len(commands)-1])
	}
	name := p.name + " " + op + " " + key
	if reply {
		direction, name = 1, name+" reply"
	}
	switch {
	case p.crashed.Load():
		return
	case op == "hello" || op == "client":
		deliver() // see dial
		return
	}
	delay, lost := l.fate(c, name, op, reply)
	delay += w.net.rest()
	if !w.reachable(p.replica) {
		lost = true
	}
	l.mu.Lock()
	lost = lost || l.lost[direction]
	l.lost[direction] = lost
	at := time.Now().Add(delay)
	if !at.After(l.last[direction]) {
		at = l.last[direction].Add(1)
	}
	l.last[direction] = at
	l.mu.Unlock()
	if lost {
		w.troubled(p.replica)
		return
	}
	if delay > 100*time.Millisecond {
		w.troubled(p.replica)
	}
	time.AfterFunc(time.Until(at), func() {
		switch {
		case p.crashed.Load() && reply:
		case !w.reachable(p.replica):
			w.troubled(p.replica)
			l.mu.Lock()
			l.lost[direction] = true
			l.mu.Unlock()
		default:
			deliver()
		}
	})
}

// fate decides what becomes of a message: how long it takes, or that it is lost.
func (l *link) fate(c *store.Conn, name, op string, reply bool) (delay time.Duration, lost bool) {
	w, p := l.p.w, l.p
	delay = w.between(name, 150*time.Microsecond, 900*time.Microsecond)
	if w.isCalm() {
		return delay, false
	}
	f, hit := w.net.disarm(func(f fault) bool {
		return f.script == op && (reply && (f.kind == faultLoseReply || f.kind == faultCrashAfter) ||
			!reply && (f.kind == faultLoseRequest || f.kind == faultCrashBefore || f.kind == faultLateRequest || f.kind == faultHeldBack))
	})
	if hit {
		w.note("%s: %s %s", p.name, f.kind, op)
		w.troubled(p.replica)
		w.count(func(f *figures) { f.Faults++ })
		switch f.kind {
		case faultCrashAfter, faultCrashBefore:
			w.crashSoon(p)
			return delay, true
		case faultHeldBack:
			w.net.part(p.replica, time.Now().Add(f.during))
			return delay, true
		case faultLateRequest:
			return delay + w.between("late", 200*time.Millisecond, 2*time.Second), false
		}
		return delay, true
	}
	weather := w.plan.weather
	many := weather.loseRequest
	if reply {
		many = weather.loseReply
	}
	if op == "xadd" && !reply && w.net.isSilent(p.replica) && w.chance(name+" silent", 700) || op == "publish" && w.net.isSilent(p.replica) {
		many = 1000
	}
	switch {
	case w.chance(name+" lost", many):
		w.note("%s: lost", name)
		w.count(func(f *figures) { f.Faults++ })
		return delay, true
	case w.chance(name+" cut", weather.cut):
		w.note("%s: the connection is cut", name)
		w.count(func(f *figures) { f.Faults++ })
		time.AfterFunc(delay/2, c.Cut)
		return delay, true
	case w.chance(name+" slow", weather.slow):
		delay += w.between(name+" late", 10*time.Millisecond, 600*time.Millisecond)
		w.note("%s: takes %v", name, delay)
		w.count(func(f *figures) { f.Faults++ })
	}
	return delay, false
}

// crashSoon has a process crash a moment later, and another one take its place.
func (w *world) crashSoon(p *process) {
	r := w.replicas[p.replica]
	time.AfterFunc(time.Nanosecond, func() {
		if r.up() != p {
			return
		}
		r.crash()
		r.start(w.between("restart", 200*time.Millisecond, 1500*time.Millisecond))
	})
}

// cutAll breaks all connections of a process to the store.
func (p *process) cutAll() {
	p.mu.Lock()
	conns := slices.Clone(p.conns)
	p.mu.Unlock()
	for _, c := range conns {
		c.Cut()
	}
}
