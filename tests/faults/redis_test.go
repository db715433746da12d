package faults

import (
	"time"
)

// Bounds under faults of Redis.
const (
	answerMax    = time.Second     // of any answer while Redis is stopped
	firstSuccess = 3 * time.Second // of the first call that needs Redis, after it is back
	slowAnswer   = 4 * time.Second // of any answer while Redis is slow
	// switched is how long after the promotion a replica may still write to the
	// former primary, which takes it and loses it: Sentinel tells that one last.
	switched = 500 * time.Millisecond
)

// runStop stops Redis with SIGSTOP.
func runStop(f *field, d time.Duration, r *result) {
	from := time.Now()
	f.redis.Pause(f.t)
	wait(f.t.Context().Done(), d)
	to := time.Now()
	f.redis.Resume(f.t)
	f.judgeBack(r, to)
	w := f.load.window(from, to.Add(-answerMax))
	times := w.times(ok, unavailable, expired, failed, broken, lost)
	r.require(times.at(1) <= answerMax, "an answer took longer than %v: %s", answerMax, w.slowest(5))
	r.require(len(times) > 50, "only %d answers while Redis was stopped", len(times))
	r.require(w.count(failed, broken) == 0, "%d answers were neither good nor 503 with Retry-After: %q", w.count(failed, broken), w.details(3, failed, broken))
	r.measured("%d answers (%d of them good): %s", len(times), w.count(ok), times)
}

// judgeBack waits for the first success of calls that need Redis.
func (f *field) judgeBack(r *result, back time.Time) {
	var at time.Time
	for at.IsZero() && time.Since(back) < 2*firstSuccess {
		wait(f.t.Context().Done(), 20*time.Millisecond)
		at = f.load.window(back, time.Now()).first(kindRefresh, kindLogin)
	}
	took := at.Sub(back)
	r.require(!at.IsZero() && took <= firstSuccess, "no login or refresh succeeded within %v of Redis being back", firstSuccess)
	r.measured("first refresh or login %s after Redis was back", ms(max(0, took)))
}

// runRedisKill kills Redis and starts it again with its append-only file.
func runRedisKill(f *field, d time.Duration, r *result) {
	at := time.Now()
	f.redis.Kill(f.t)
	f.excuse(excuse{from: at.Add(-time.Second), to: at, why: "made in the last second before the crash of Redis"})
	wait(f.t.Context().Done(), d)
	f.redis.Start(f.t)
	back := time.Now()
	f.judgeBack(r, back)
	w := f.load.window(at, back)
	r.require(w.count(failed, broken) == 0, "%d answers were neither good nor 503 with Retry-After: %q", w.count(failed, broken), w.details(3, failed, broken))
	r.measured("%d good and %d times 503 meanwhile", w.count(ok), w.count(unavailable))
}

// strainAll puts all wires to Redis under a strain.
func (f *field) strainAll(s strain) {
	for _, x := range f.replicas {
		x.wire.put(s)
	}
}

// runSlow delays every reply of Redis, by little and then by much.
func runSlow(f *field, d time.Duration, r *result) {
	defer f.strainAll(strain{})
	for _, delay := range []time.Duration{20 * time.Millisecond, 200 * time.Millisecond, 2 * time.Second} {
		from := time.Now()
		f.strainAll(strain{delay: delay})
		wait(f.t.Context().Done(), d/3)
		w := f.load.window(from, time.Now())
		times := w.times(ok, unavailable, expired, failed, broken)
		good := float64(w.count(ok, expired)) / time.Since(from).Seconds()
		if delay <= 20*time.Millisecond {
			r.require(good >= 0.8*rate, "%.0f good answers a second at +%v; bound 80 %% of %d", good, delay, rate)
		}
		r.require(times.at(1) <= slowAnswer, "an answer took longer than %v at +%v: %s", slowAnswer, delay, w.slowest(5))
		r.require(w.count(failed) == 0, "at +%v: %q", delay, w.details(3, failed))
		r.measured("+%s: %.0f good a second, p99 %s", ms(delay), good, ms(times.at(0.99)))
		f.strainAll(strain{})
		f.settle(time.Now())
	}
}

// runReset resets connections after the script ran and before its reply came
// through, and then at any moment.
func runReset(f *field, d time.Duration, r *result) {
	defer f.strainAll(strain{})
	from := time.Now()
	f.strainAll(strain{cutReplies: 0.3})
	wait(f.t.Context().Done(), d*2/3)
	f.strainAll(strain{cutAny: 0.05})
	wait(f.t.Context().Done(), d/3)
	n := 0
	for _, x := range f.replicas {
		n += x.wire.reset()
	}
	w := f.load.window(from, time.Now())
	r.require(n >= 10, "only %d connections were reset", n)
	r.require(w.count(failed, broken) == 0, "%q", w.details(3, failed, broken))
	r.measured("%d connections reset, %d answers 503", n, w.count(unavailable))
}

// runFull has Redis refuse every write for want of memory.
func runFull(f *field, d time.Duration, r *result) {
	rdb := f.redis.Client(f.t)
	from := time.Now()
	r.failed(rdb.ConfigSet(f.t.Context(), "maxmemory", "1mb").Err())
	wait(f.t.Context().Done(), d)
	w, lags := f.load.window(from, time.Now()), f.load.lagsSince(from)
	r.failed(rdb.ConfigSet(f.t.Context(), "maxmemory", "0").Err())
	r.require(w.count(failed, broken) == 0, "%q", w.details(3, failed, broken))
	r.require(w.count(unavailable) > 0, "no write was refused: this has tested nothing")
	outs := 0
	for _, x := range w {
		if x.kind == kindLogout && x.outcome == ok {
			outs++
		}
	}
	r.require(outs > 0, "nobody could log out")
	r.require(durations(lags).most() <= lagMax, "a revoked credential was accepted for %v; bound %v", durations(lags).most(), lagMax)
	r.measured("%d good, %d times 503, %d logged out", w.count(ok), w.count(unavailable), outs)
}

func (d durations) most() time.Duration {
	var m time.Duration
	for _, x := range d {
		m = max(m, x)
	}
	return m
}

// runReadOnly makes Redis a replica of nobody, which takes no writes.
func runReadOnly(f *field, d time.Duration, r *result) {
	rdb := f.redis.Client(f.t)
	from := time.Now()
	r.failed(rdb.ReplicaOf(f.t.Context(), "127.0.0.1", "1").Err())
	wait(f.t.Context().Done(), d)
	w := f.load.window(from, time.Now())
	r.failed(rdb.ReplicaOf(f.t.Context(), "NO", "ONE").Err())
	f.judgeBack(r, time.Now())
	r.require(w.count(failed, broken) == 0, "%q", w.details(3, failed, broken))
	r.require(w.count(unavailable) > 0, "no write was refused: this has tested nothing")
	r.measured("%d good and %d times 503 meanwhile", w.count(ok), w.count(unavailable))
}

// runFlush empties Redis: all have to log in again, and that is all.
func runFlush(f *field, d time.Duration, r *result) {
	p, err := f.login(hostRevoke, user(hostAccount, 2))
	if err == nil {
		err = p.warm(f.replicas...)
	}
	r.failed(err)
	rdb := f.redis.Client(f.t)
	from := time.Now()
	r.failed(rdb.FlushAll(f.t.Context()).Err())
	f.excuse(excuse{from: from, to: time.Now(), all: true, why: "FLUSHALL"})
	if err == nil {
		last, ended := p.accepted(f.replicas[1], from, 100*time.Millisecond, lagCeiling+lagSlack, false)
		r.require(ended, "a session that is gone from Redis is accepted after %v", last)
		r.measured("a warm session was accepted for %s", ms(last))
	}
	wait(f.t.Context().Done(), time.Until(from.Add(d)))
	w := f.load.window(from, time.Now())
	r.require(w.count(failed, broken) == 0, "%q", w.details(3, failed, broken))
}

// runSentinelFailover has Sentinel change the primary, and then kills that.
func runSentinelFailover(f *field, _ time.Duration, r *result) {
	at := time.Now()
	f.sentinel.Failover(f.t)
	f.excuse(excuse{from: at.Add(-time.Second), to: time.Now().Add(switched), why: "made in the last second before a failover"})
	f.judgeBack(r, time.Now())
	f.sentinel.WaitReplica(f.t)
}

func runSentinelKill(f *field, _ time.Duration, r *result) {
	primary, replica := f.sentinel.Primary(f.t)
	at := time.Now()
	primary.Kill(f.t)
	f.excuse(excuse{from: at.Add(-time.Second), to: at, why: "made in the last second before a failover"})
	f.sentinel.WaitPrimary(f.t, replica)
	r.measured("failover took %s", ms(time.Since(at)))
	f.judgeBack(r, time.Now())
	primary.Start(f.t)
	f.sentinel.WaitReplica(f.t)
}

// runClusterFailover has a replica take its primary's slots, orderly.
func runClusterFailover(f *field, _ time.Duration, r *result) {
	at := time.Now()
	f.cluster.Failover(f.t, "gh:rev")
	f.excuse(excuse{from: at.Add(-time.Second), to: time.Now(), why: "made in the last second before a failover"})
	f.judgeBack(r, time.Now())
}

func runClusterKill(f *field, _ time.Duration, r *result) {
	primary, replica := f.cluster.Owner(f.t, "gh:rev")
	at := time.Now()
	primary.Kill(f.t)
	f.excuse(excuse{from: at.Add(-time.Second), to: at, why: "made in the last second before a failover"})
	f.cluster.WaitOwner(f.t, "gh:rev", replica)
	r.measured("failover took %s", ms(time.Since(at)))
	f.judgeBack(r, time.Now())
	primary.Start(f.t)
}
