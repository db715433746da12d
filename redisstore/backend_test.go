package redisstore

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream"
	"github.com/gatehouse-gateway/gatehouse/upstream/upstreamtest"
)

// quiet is a Recorder that counts failures.
type quiet struct{ failed atomic.Int64 }

func (q *quiet) StoreOp(_, outcome string) {
	if outcome != "ok" {
		q.failed.Add(1)
	}
}
func (*quiet) StoreUp(bool)          {}
func (*quiet) FeedLag(time.Duration) {}

// backendFixture is the contract's world over a Redis.
func backendFixture(t *testing.T, rdb redis.UniversalClient, advance func(time.Duration)) upstreamtest.Fixture {
	t.Helper()
	b := (&Client{rdb: rdb, rec: &quiet{}, log: slog.New(slog.DiscardHandler)}).Backends()
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	return upstreamtest.Fixture{
		Store: b, Pins: b, Duties: b, Challenges: b, Advance: advance,
		OpenSession: func(sid token.SID, ttl time.Duration) {
			now, err := rdb.Time(t.Context()).Result()
			do(err)
			do(rdb.HSet(t.Context(), sessionKey(sid), "e", now.Add(ttl).UnixMilli(), "ae", 0).Err())
			do(rdb.PExpire(t.Context(), sessionKey(sid), ttl+time.Hour).Err()) // it stays readable after its end
		},
		RevokeSession: func(sid token.SID) { do(rdb.HSet(t.Context(), sessionKey(sid), "rv", "logout").Err()) },
		DropSession:   func(sid token.SID) { do(rdb.Del(t.Context(), sessionKey(sid)).Err()) },
	}
}

func TestBackendsKeepTheContractOnMiniredis(t *testing.T) {
	upstreamtest.Run(t, func(t *testing.T) upstreamtest.Fixture {
		rdb, advance := newMiniredis(t)
		return backendFixture(t, rdb, advance)
	})
}

// newMiniredis starts an embedded store, and returns what moves its clock.
func newMiniredis(t *testing.T) (*redis.Client, func(time.Duration)) {
	t.Helper()
	m := miniredis.RunT(t)
	now := time.Now()
	m.SetTime(now)
	rdb := redis.NewClient(&redis.Options{Addr: m.Addr(), DisableIdentity: true})
	t.Cleanup(func() { rdb.Close() })
	return rdb, func(d time.Duration) {
		now = now.Add(d)
		m.SetTime(now)
		m.FastForward(d)
	}
}

func TestBackendsKeepTheContractOnRedis(t *testing.T) {
	addr := listeningRedis(t, "--databases", "64")
	var db atomic.Int32
	upstreamtest.Run(t, func(t *testing.T) upstreamtest.Fixture {
		rdb := redis.NewClient(&redis.Options{Addr: addr, DB: int(db.Add(1))})
		t.Cleanup(func() { rdb.Close() })
		return backendFixture(t, rdb, func(d time.Duration) { <-time.After(d) })
	})
}

// TestTokensThatNeverExpireAreKept: an account that is used for years without a
// change of its tokens has them yet after a restart.
func TestTokensThatNeverExpireAreKept(t *testing.T) {
	rdb, advance := newMiniredis(t)
	f := backendFixture(t, rdb, advance)
	r := upstream.Ref{Owner: "a.x", Backend: "fac"}
	for i, c := range []struct{ life, want time.Duration }{{0, upstream.KeepForever}, {time.Hour, upstream.KeepUnused}} {
		rec := upstream.Record{Version: uint64(i + 1), Access: "a", Left: c.life, Life: c.life}
		if a, err := f.Store.Commit(t.Context(), upstream.Commit{Ref: r, Attempt: strconv.Itoa(i), Record: rec}); err != nil || a.State != upstream.Done {
			t.Fatalf("Commit = %+v, %v", a, err)
		}
		ttl := rdb.PTTL(t.Context(), backendKey(r.Owner, r.Backend)).Val()
		if ttl > c.want || ttl < c.want-time.Second {
			t.Errorf("tokens of %s are kept for %s; want %s", c.life, ttl, c.want)
		}
	}
}

// TestPassThroughRecordLivesAsLongAsASessionThatNeverExpires: the look at its
// session lengthens its life, by numbers that the store can hold.
func TestPassThroughRecordLivesAsLongAsASessionThatNeverExpires(t *testing.T) {
	const never = 36500 * 24 * time.Hour
	rdb, advance := newMiniredis(t)
	f := backendFixture(t, rdb, advance)
	sid := token.NewSID()
	r := upstream.Ref{Owner: sid.String(), Backend: "fac"}
	c := upstream.Commit{Ref: r, Attempt: "1", Record: upstream.Record{Version: 1, Access: "a"}, Opening: time.Minute}
	if a, err := f.Store.Commit(t.Context(), c); err != nil || a.State != upstream.Done {
		t.Fatalf("Commit = %+v, %v", a, err)
	}
	f.OpenSession(sid, never)
	a, err := f.Store.End(t.Context(), upstream.Farewell{Ref: r, Holder: "e", Lease: time.Minute, IfGone: true})
	if err != nil || a.State != upstream.Alive || a.Wait > never || a.Wait < never-time.Minute {
		t.Fatalf("End = %+v, %v; want Alive for %s", a, err, never)
	}
	advance(never / 2)
	if a, err := f.Store.Acquire(t.Context(), upstream.Claim{Ref: r, Holder: "h", Lease: time.Minute}); err != nil || a.State != upstream.Fresh {
		t.Errorf("after fifty years: %+v, %v; want the tokens", a, err)
	}
}

func TestBackendRecordOutlivesItsSessionByTenMinutes(t *testing.T) {
	rdb, advance := newMiniredis(t)
	f := backendFixture(t, rdb, advance)
	sid := token.NewSID()
	f.OpenSession(sid, time.Hour)
	r := upstream.Ref{Owner: sid.String(), Backend: "fabric"}
	rec := upstream.Record{Version: 1, Access: "a", Left: time.Minute, Life: time.Minute}
	if _, err := f.Store.Commit(t.Context(), upstream.Commit{Ref: r, Attempt: "1", Record: rec}); err != nil {
		t.Fatal(err)
	}
	ttl := rdb.PTTL(t.Context(), backendKey(r.Owner, r.Backend)).Val()
	if want := time.Hour + upstream.KeepEnded; ttl > want || ttl < want-time.Second {
		t.Errorf("life of the record = %v; want the session's and ten minutes, %v", ttl, want)
	}
	f.OpenSession(sid, 5*time.Hour) // it was used
	if a, err := f.Store.End(t.Context(), upstream.Farewell{Ref: r, Holder: "e", Lease: time.Minute, IfGone: true}); err != nil || a.State != upstream.Alive {
		t.Fatalf("End = %+v, %v; want Alive", a, err)
	}
	ttl = rdb.PTTL(t.Context(), backendKey(r.Owner, r.Backend)).Val()
	if want := 5*time.Hour + upstream.KeepEnded; ttl > want || ttl < want-time.Second {
		t.Errorf("life of the record after a look at the session = %v; want %v", ttl, want)
	}
}

func TestBackendStoreThatCannotBeAskedIsAnError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	rdb := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1})
	defer rdb.Close()
	rec := &quiet{}
	b := (&Client{rdb: rdb, rec: rec, log: slog.New(slog.DiscardHandler)}).Backends()
	r := upstream.Ref{Owner: "a.x", Backend: "fabric"}
	ctx := t.Context()
	_, acquire := b.Acquire(ctx, upstream.Claim{Ref: r})
	_, commit := b.Commit(ctx, upstream.Commit{Ref: r})
	_, end := b.End(ctx, upstream.Farewell{Ref: r})
	_, attempt := b.Attempt(ctx, upstream.Attempt{Ref: r})
	_, pin := b.Pin(ctx, r, true)
	_, due := b.Due(ctx, "fabric", "own", 0, 1)
	_, find := b.Find(ctx, "fabric", "0123456789abcdef0123")
	for name, err := range map[string]error{
		"Acquire": acquire, "Commit": commit, "End": end, "Attempt": attempt, "Pin": pin, "Due": due, "Find": find,
		"Release": b.Release(ctx, upstream.Release{Ref: r}),
		"Add":     b.Add(ctx, "fabric", "own", "x", 0),
		"Remove":  b.Remove(ctx, "fabric", "own", "x"),
		"Keep":    b.Keep(ctx, "fabric", "0123456789abcdef0123", "sealed", time.Minute),
		"Drop":    b.Drop(ctx, "fabric", "0123456789abcdef0123"),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), "redisstore: ") {
			t.Errorf("%s without a store = %v; want an error of redisstore", name, err)
		}
	}
	if got := rec.failed.Load(); got != 12 {
		t.Errorf("failed operations recorded = %d; want 12", got)
	}
}

func TestBackendAnswerOfAnotherFormIsAnError(t *testing.T) {
	good := []any{"fresh", int64(3), "a", "r", int64(1500), int64(2000), int64(4), int64(250), int64(1)}
	a, ok := readAnswer(good)
	want := upstream.Answer{State: upstream.Fresh, Wait: 250 * time.Millisecond, Record: upstream.Record{
		Version: 3, Access: "a", Refresh: "r", Left: 1500 * time.Millisecond, Life: 2 * time.Second, Failures: 4, Pinned: true,
	}}
	if !ok || a != want {
		t.Fatalf("readAnswer = %+v, %v; want %+v", a, ok, want)
	}
	for i := range good {
		bad := append([]any(nil), good...)
		bad[i] = nil
		if _, ok := readAnswer(bad); ok {
			t.Errorf("an answer with nothing at %d was read", i)
		}
	}
	for name, bad := range map[string][]any{
		"short": good[:8], "empty": nil, "long": append(append([]any(nil), good...), int64(0)),
		"unknown state":    {"better", int64(3), "a", "r", int64(0), int64(0), int64(0), int64(0), int64(0)},
		"negative version": {"fresh", int64(-3), "a", "r", int64(0), int64(0), int64(0), int64(0), int64(0)},
	} {
		if _, ok := readAnswer(bad); ok {
			t.Errorf("an answer that is %s was read", name)
		}
	}
}

func TestManyClaimsHaveOneLeader(t *testing.T) {
	rdb, advance := newMiniredis(t)
	f := backendFixture(t, rdb, advance)
	var leaders atomic.Int32
	errs := make(chan error, 50)
	for i := range 50 {
		go func() {
			a, err := f.Store.Acquire(t.Context(), upstream.Claim{
				Ref: upstream.Ref{Owner: "a.x", Backend: "fabric"}, Holder: fmt.Sprint(i), Lease: time.Minute,
			})
			if a.State == upstream.Lead {
				leaders.Add(1)
			}
			errs <- err
		}()
	}
	var err error
	for range 50 {
		err = errors.Join(err, <-errs)
	}
	if err != nil || leaders.Load() != 1 {
		t.Errorf("leaders among 50 = %d, %v; want 1", leaders.Load(), err)
	}
}
