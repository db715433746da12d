package redisstore

import (
	"context"
	_ "embed" // for the scripts
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream"
)

//go:embed backend_acquire.lua
var backendAcquireLua string

//go:embed backend_commit.lua
var backendCommitLua string

//go:embed backend_release.lua
var backendReleaseLua string

//go:embed backend_end.lua
var backendEndLua string

//go:embed backend_pin.lua
var backendPinLua string

//go:embed backend_attempt.lua
var backendAttemptLua string

//go:embed backend_due_enter.lua
var backendDueEnterLua string

//go:embed backend_due_add.lua
var backendDueAddLua string

//go:embed backend_due.lua
var backendDueLua string

var (
	backendAcquire = redis.NewScript(backendAcquireLua)
	backendCommit  = redis.NewScript(backendCommitLua)
	backendRelease = redis.NewScript(backendReleaseLua)
	backendEnd     = redis.NewScript(backendEndLua)
	backendPin     = redis.NewScript(backendPinLua)
	backendAttempt = redis.NewScript(backendAttemptLua)
	backendDueAdd  = redis.NewScript(backendDueAddLua)
	backendEnter   = redis.NewScript(backendDueEnterLua)
	backendDue     = redis.NewScript(backendDueLua)
)

// Backends keeps backend sessions and the duties that go with them. It is safe
// for concurrent use.
type Backends struct{ c *Client }

var (
	_ upstream.Store  = (*Backends)(nil)
	_ upstream.Pins   = (*Backends)(nil)
	_ upstream.Duties = (*Backends)(nil)
)

// Backends returns the view of the store that upstream needs.
func (c *Client) Backends() *Backends { return &Backends{c} }

// keys returns the keys of one backend session, and whether a client session
// owns it: then that session's key is the second one.
func backendKeys(r upstream.Ref) ([]string, bool) {
	keys := []string{backendKey(r.Owner, r.Backend)}
	sid, err := token.ParseSID(r.Owner)
	if err != nil {
		return keys, false
	}
	return append(keys, sessionKey(sid)), true
}

// Acquire implements upstream.Store.
func (b *Backends) Acquire(ctx context.Context, c upstream.Claim) (upstream.Answer, error) {
	keys, _ := backendKeys(c.Ref)
	return b.ask(ctx, "backend_acquire", backendAcquire, keys,
		c.Holder, c.Seen, millis(c.Lease), millis(upstream.MaxBackOff), millis(upstream.KeepUnused), c.With, flag(c.Opens),
		millis(c.Call), flag(c.Strict), millis(upstream.MaxLease), flag(c.Renew))
}

// Commit implements upstream.Store.
func (b *Backends) Commit(ctx context.Context, c upstream.Commit) (upstream.Answer, error) {
	keys, _ := backendKeys(c.Ref)
	unused := upstream.KeepUnused
	if c.Record.Life == 0 {
		unused = upstream.KeepForever
	}
	return b.ask(ctx, "backend_commit", backendCommit, keys,
		c.Attempt, c.Holder, c.Record.Version, c.Record.Access, c.Record.Refresh,
		millis(c.Record.Left), millis(c.Record.Life), millis(c.Opening),
		millis(upstream.KeepEnded), millis(unused), millis(upstream.KeepOpening))
}

var outcomes = map[upstream.Outcome]string{
	upstream.Failed: "failed", upstream.Died: "died", upstream.LoggedOut: "out",
}

// Release implements upstream.Store.
func (b *Backends) Release(ctx context.Context, r upstream.Release) error {
	keys, owned := backendKeys(r.Ref)
	err := b.c.eval(ctx, "backend_release", backendRelease, keys[:1],
		r.Holder, outcomes[r.Outcome], r.Version, millis(r.BackOff), flag(owned), r.With).Err()
	if err != nil {
		return fail("release a backend session", err)
	}
	return nil
}

// End implements upstream.Store.
func (b *Backends) End(ctx context.Context, f upstream.Farewell) (upstream.Answer, error) {
	keys, _ := backendKeys(f.Ref)
	return b.ask(ctx, "backend_end", backendEnd, keys, f.Holder, millis(f.Lease), flag(f.IfGone), millis(upstream.KeepEnded),
		millis(upstream.MaxLease), millis(upstream.MaxBackOff))
}

// Pin implements upstream.Pins.
func (b *Backends) Pin(ctx context.Context, r upstream.Ref, pinned bool) (upstream.Answer, error) {
	keys, _ := backendKeys(r)
	return b.ask(ctx, "backend_pin", backendPin, keys, flag(pinned))
}

var trials = map[upstream.Trial]string{
	upstream.Begin: "begin", upstream.Accepted: "accepted", upstream.Rejected: "rejected", upstream.Void: "void",
	upstream.Forgiven: "forgiven",
}

// Attempt implements upstream.Store.
func (b *Backends) Attempt(ctx context.Context, a upstream.Attempt) (upstream.Answer, error) {
	keys, _ := backendKeys(a.Ref)
	return b.ask(ctx, "backend_attempt", backendAttempt, keys[:1],
		a.ID, trials[a.Trial], a.Digest, millis(a.Window), millis(a.Keep))
}

// Enter implements upstream.Duties.
func (b *Backends) Enter(ctx context.Context, d upstream.Duty, limit int) (bool, error) {
	n, err := b.c.eval(ctx, "backend_due_enter", backendEnter, []string{dueKey(d.Backend, d.Pool)}, d.Owner, millis(d.In), limit).Int()
	if err != nil {
		return false, fail("enter a duty", err)
	}
	return n == 1, nil
}

// Add implements upstream.Duties.
func (b *Backends) Add(ctx context.Context, backend, pool, owner string, in time.Duration) error {
	if err := b.c.eval(ctx, "backend_due_add", backendDueAdd, []string{dueKey(backend, pool)}, owner, millis(in)).Err(); err != nil {
		return fail("add a duty", err)
	}
	return nil
}

// Due implements upstream.Duties.
func (b *Backends) Due(ctx context.Context, backend, pool string, within time.Duration, n int) ([]string, error) {
	owners, err := b.c.eval(ctx, "backend_due", backendDue, []string{dueKey(backend, pool)}, millis(within), n).StringSlice()
	if err != nil {
		return nil, fail("list duties", err)
	}
	return owners, nil
}

// Remove implements upstream.Duties.
func (b *Backends) Remove(ctx context.Context, backend, pool, owner string) error {
	err := b.c.rdb.ZRem(ctx, dueKey(backend, pool), owner).Err()
	b.c.record("backend_due_remove", err)
	if err != nil {
		return fail("remove a duty", err)
	}
	return nil
}

var states = map[string]upstream.State{
	"dead": upstream.Dead, "gone": upstream.Gone, "fresh": upstream.Fresh, "wait": upstream.Wait,
	"backoff": upstream.BackOff, "lead": upstream.Lead, "done": upstream.Done, "stale": upstream.Stale,
	"stopped": upstream.Stopped, "alive": upstream.Alive, "doubt": upstream.Doubt,
}

// errAnswer says that a script's answer is not of the agreed form: another
// version of the scripts is at work.
var errAnswer = errors.New("the answer has another form")

// ask runs a script that answers a state with a record.
func (b *Backends) ask(ctx context.Context, op string, s *redis.Script, keys []string, args ...any) (upstream.Answer, error) {
	reply, err := b.c.eval(ctx, op, s, keys, args...).Slice()
	if err != nil {
		return upstream.Answer{}, fail(op, err)
	}
	a, ok := readAnswer(reply)
	if !ok {
		return upstream.Answer{}, fail(op, errAnswer)
	}
	return a, nil
}

// readAnswer reads {state, version, access, refresh, ms left, ms of life,
// failures, ms to wait, pinned (1, 0)}.
func readAnswer(reply []any) (upstream.Answer, bool) {
	if len(reply) != 9 {
		return upstream.Answer{}, false
	}
	var text [3]string
	for i, at := range [...]int{0, 2, 3} {
		s, ok := reply[at].(string)
		if !ok {
			return upstream.Answer{}, false
		}
		text[i] = s
	}
	var num [6]int64
	for i, at := range [...]int{1, 4, 5, 6, 7, 8} {
		n, ok := reply[at].(int64)
		if !ok {
			return upstream.Answer{}, false
		}
		num[i] = n
	}
	state, ok := states[text[0]]
	if !ok || num[0] < 0 {
		return upstream.Answer{}, false
	}
	return upstream.Answer{State: state, Wait: ofMillis(num[4]), Record: upstream.Record{
		Version: uint64(num[0]), Access: text[1], Refresh: text[2],
		Left: ofMillis(num[1]), Life: ofMillis(num[2]), Failures: int(num[3]), Pinned: num[5] == 1,
	}}, true
}

// millis gives a duration to a script: whole milliseconds, rounded up.
func millis(d time.Duration) int64 { return int64((d + time.Millisecond - 1) / time.Millisecond) }

func ofMillis(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }
