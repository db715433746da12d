package sim_test

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-gateway/gatehouse/seal"
	"github.com/gatehouse-gateway/gatehouse/tests/sim/store"
)

// rules looks at every command that the store runs.
type rules struct {
	w *world

	mu       sync.Mutex
	families map[string]*family          // guarded by mu: by the key of the backend session
	commits  map[string]*backendVersions // guarded by mu: by the key of the backend session
	turns    map[string]made             // guarded by mu: rotations, by session and generation presented
	// overtaken is, by session, that a refresh reached the store when others had moved
	// on twice.
	overtaken map[string]bool // guarded by mu
}

// made is what a change was made by, and when.
type made struct {
	attempt string
	at      time.Time
}

// backendVersions is what was seen of one backend session.
type backendVersions struct {
	by     map[string]made // attempts by version
	holder string          // who leads
	leads  *process
}

func newRules(w *world) *rules {
	return &rules{w: w, families: map[string]*family{}, commits: map[string]*backendVersions{}, turns: map[string]made{}, overtaken: map[string]bool{}}
}

// failover forgets what the store forgot.
func (r *rules) failover(since time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k, m := range r.turns {
		if !m.at.Before(since) {
			delete(r.turns, k)
		}
	}
	for _, v := range r.commits {
		v.holder = ""
		for k, m := range v.by {
			if !m.at.Before(since) {
				delete(v.by, k)
			}
		}
	}
}

func (r *rules) familyOf(key string) *family {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.families[key]
}

// feedOps are the commands that go on by themselves.
var feedOps = []string{"xadd", "xread", "xrevrange", "info", "hello", "client", "ping", "subscribe", "publish"}

// after is the store.Store's After.
func (r *rules) after(c *store.Conn, args []string, reply any) {
	w := r.w
	op, key := w.named(args)
	feed := slices.Contains(feedOps, op)
	w.count(func(f *figures) {
		if feed {
			f.FeedCalls++
		} else {
			f.StoreCalls++
		}
	})
	if feed {
		return
	}
	p, _ := c.Owner.(*process)
	answer, _ := reply.([]any)
	first := ""
	if len(answer) > 0 {
		first, _ = answer[0].(string)
	}
	if w.talks {
		text := first
		if text == "" || op == "hgetall" {
			text = strings.Join(strings.Fields(strings.Trim(strconv.Quote(show(reply)), `"`)), " ")
		}
		w.note("%s: %s %s -> %s", p.name, op, key, text)
	}
	if !strings.HasPrefix(strings.ToLower(args[0]), "eval") {
		return
	}
	n, _ := strconv.Atoi(args[2])
	argv := args[3+n:]
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case op == "backend_acquire" && (first == "lead" || first == "doubt"):
		r.leads(p, key, argv[0], first == "lead")
	case op == "backend_commit" && first == "done":
		r.committed(p, key, argv)
	case op == "backend_commit" && first == "stale":
		if r.versions(key).by[argv[2]].attempt == argv[0] {
			r.w.violate("%s is told that its commit of version %s of %s is stale, which had been taken", p.name, argv[2], key)
		}
	case op == "backend_end" && first == "done":
		r.w.vendor.leaves(r.families[key])
	case op == "backend_release":
		if v := r.versions(key); v.holder == argv[0] {
			v.holder = ""
		}
	case op == "session_rotate" && (first == "rotated" || first == "healed"):
		r.rotated(key, argv, first)
	case op == "session_rotate" && first == "reused":
		presented, _ := strconv.ParseInt(argv[1], 10, 64)
		if now, ok := answer[2].(int64); ok && now >= presented+2 {
			r.overtaken[key] = true
		}
	}
}

func show(reply any) string {
	switch r := reply.(type) {
	case int64:
		return strconv.FormatInt(r, 10)
	case string:
		return r
	case error:
		return r.Error()
	case []any:
		return strconv.Itoa(len(r)) + " values"
	}
	return "nothing"
}

func (r *rules) versions(key string) *backendVersions {
	v := r.commits[key]
	if v == nil {
		v = &backendVersions{by: map[string]made{}}
		r.commits[key] = v
	}
	return v
}

// leads judges a lease that was given, or is said to have run out: he who had it
// must be out of reach, or be done with it.
func (r *rules) leads(p *process, key, holder string, given bool) {
	v := r.versions(key)
	if v.holder != "" && v.holder != holder && v.leads != nil && !v.leads.crashed.Load() && r.w.vendor.calls(v.leads, r.families[key]) {
		lease := r.w.plan.limits.Lease
		if r.w.clean(time.Now().Add(-lease-lease/3-time.Second), v.leads.replica) {
			r.w.violate("the lease of %s is over for %s while %s, which has it and is well, is renewing", key, p.name, v.leads.name)
		}
	}
	if given && v.holder != holder {
		v.holder, v.leads = holder, p
	}
}

// committed judges tokens that the store says it has taken: one successor for
// each version.
func (r *rules) committed(p *process, key string, argv []string) {
	v, attempt, version := r.versions(key), argv[0], argv[2]
	if before, ok := v.by[version]; ok && before.attempt != attempt {
		r.w.violate("%s commits version %s of %s, which another commit made before", p.name, version, key)
	}
	v.by[version] = made{attempt, time.Now()}
	if v.holder == argv[1] {
		v.holder = ""
	}
	owner, backend, _ := strings.Cut(strings.TrimPrefix(key, "gh:{"), "}:up:")
	number, _ := strconv.ParseUint(version, 10, 64)
	text, err := r.w.ring.Open(seal.Place{Owner: owner, Backend: backend, Field: "refresh", Version: number}, argv[4])
	if err != nil {
		r.w.violate("%s commits tokens that do not open: %v", p.name, err)
		return
	}
	if f := r.w.vendor.stored(string(text)); f != nil {
		r.families[key] = f
	}
	r.w.note("%s: version %s of %s is %s", p.name, version, key, text)
}

// rotated judges a rotation: one successor for each generation.
func (r *rules) rotated(key string, argv []string, outcome string) {
	turn := key + " " + argv[1]
	if before, ok := r.turns[turn]; ok && before.attempt != argv[0] {
		r.w.violate("generation %s of %s is %s a second time", argv[1], key, outcome)
	}
	r.turns[turn] = made{argv[0], time.Now()}
}

// calls reports whether a process has a call with a token of the family under way.
func (v *vendor) calls(p *process, f *family) bool {
	if f == nil {
		return false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range f.calls {
		if s.by == p && !s.over {
			return true
		}
	}
	return false
}

// wasOvertaken reports whether a refresh of a session reached the store too late.
func (r *rules) wasOvertaken(key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.overtaken[key]
}
