package upstreamtest

import (
	"testing"

	"github.com/gatehouse-gateway/gatehouse/upstream"
)

// claimTwice makes a claim twice, as a client library does that lost the first answer.
func claimTwice(t *testing.T, f Fixture, c upstream.Claim) upstream.Answer {
	t.Helper()
	var ans upstream.Answer
	for i := range 2 {
		a, err := f.Store.Acquire(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 && a.State != ans.State {
			t.Fatalf("Acquire repeated = %+v; want as at first %+v", a, ans)
		}
		ans = a
	}
	return ans
}

// calling is a claim for a call that may go on for longer than its lease.
func calling(holder string, strict bool) upstream.Claim {
	return upstream.Claim{Ref: account, Holder: holder, Seen: 1, Lease: short, Call: long, Strict: strict}
}

func renewNeedsTheLease(t *testing.T, f Fixture) {
	renew := upstream.Claim{Ref: account, Holder: "h", Lease: long, Renew: true}
	wantState(t, "renewal of no lease", claimTwice(t, f, renew), upstream.Wait)
	acquire(t, f, account, "h", 0)
	wantState(t, "renewal", claimTwice(t, f, renew), upstream.Lead)
	f.Advance(2 * short)
	wantState(t, "claim after the first lease", acquire(t, f, account, "other", 0), upstream.Wait)
	release(t, f, upstream.Release{Ref: account, Holder: "h"})
	wantState(t, "renewal after the release", claimTwice(t, f, renew), upstream.Wait)
	wantState(t, "claim after the release", claimTwice(t, f, upstream.Claim{Ref: account, Holder: "third", Lease: short, With: "x"}), upstream.Lead)
}

func callOutlivesItsLease(t *testing.T, f Fixture) {
	commit(t, f, account, "c", 1)
	wantState(t, "first claim", claimTwice(t, f, calling("gone", true)), upstream.Lead)
	f.Advance(2 * short)
	a := claimTwice(t, f, calling("strict", true))
	wantState(t, "strict claim while the call may be under way", a, upstream.Doubt)
	if a.Wait <= 0 || a.Wait > long {
		t.Errorf("Wait = %v; want what is left of the call's %v", a.Wait, long)
	}
	a = claimTwice(t, f, calling("other", false))
	wantState(t, "other claim", a, upstream.Lead)
	if a.Wait <= 0 || a.Wait > long {
		t.Errorf("Lead with Wait = %v; want what is left of the call's %v", a.Wait, long)
	}
	if a.Record.Version != 1 || a.Record.Access == "" {
		t.Errorf("Lead with %+v; want the tokens", a.Record)
	}
	release(t, f, upstream.Release{Ref: account, Holder: "other", With: "x"})
	wantState(t, "strict claim after a failure in between", claimTwice(t, f, calling("strict", true)), upstream.Doubt)
}

func callEnds(t *testing.T, f Fixture) {
	commit(t, f, account, "c", 1)
	c := calling("gone", true)
	c.Call = 2 * short
	claimTwice(t, f, c)
	f.Advance(3 * short)
	a := claimTwice(t, f, calling("strict", true))
	wantState(t, "strict claim after the call", a, upstream.Lead)
	if a.Wait != 0 {
		t.Errorf("Lead with Wait = %v; want none: the call is over", a.Wait)
	}
}

func releasedCallIsOver(t *testing.T, f Fixture) {
	commit(t, f, account, "c", 1)
	claimTwice(t, f, calling("h", true))
	release(t, f, upstream.Release{Ref: account, Holder: "h", Version: 1, With: "x"})
	a := claimTwice(t, f, calling("next", true))
	wantState(t, "strict claim after a release", a, upstream.Lead)
	if a.Wait != 0 {
		t.Errorf("Lead with Wait = %v; want none: the holder said that its call is over", a.Wait)
	}
}

func commitEndsDoubt(t *testing.T, f Fixture) {
	commit(t, f, account, "c", 1)
	claimTwice(t, f, calling("gone", true))
	f.Advance(2 * short)
	claimTwice(t, f, calling("other", false))
	wantState(t, "Commit in doubt", commit(t, f, account, "other", 2), upstream.Done)
	c := calling("next", true)
	c.Seen = 2
	a := claimTwice(t, f, c)
	wantState(t, "strict claim of the next version", a, upstream.Lead)
	if a.Wait != 0 {
		t.Errorf("Lead with Wait = %v; want none: new tokens are there", a.Wait)
	}
}

func sessionsAreLimited(t *testing.T, f Fixture) {
	enter := func(owner string, limit int) bool {
		t.Helper()
		d := upstream.Duty{Backend: "fabric", Pool: "a.pool", Owner: owner, In: long}
		ok, err := f.Duties.Enter(t.Context(), d, limit)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if !enter("one", 2) || !enter("two", 2) {
		t.Fatal("Enter refused one of two; want both in")
	}
	if enter("three", 2) {
		t.Error("Enter let the third in beside a limit of two")
	}
	if !enter("two", 2) {
		t.Error("Enter refused one who is in already")
	}
	if !enter("three", 0) {
		t.Error("Enter without a limit refused the third")
	}
	if err := f.Duties.Remove(t.Context(), "fabric", "a.pool", "one"); err != nil {
		t.Fatal(err)
	}
	if enter("four", 2) || !enter("four", 3) {
		t.Error("after one of three left, four may come in where there may be three, and not where two")
	}
}

func forgivenCountsNoMore(t *testing.T, f Fixture) {
	try := func(id string, trial upstream.Trial) upstream.Answer {
		t.Helper()
		a, err := f.Store.Attempt(t.Context(), upstream.Attempt{Ref: account, ID: id, Trial: trial, Digest: "d", Window: long, Keep: long})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for _, id := range []string{"1", "2"} {
		try(id, upstream.Begin)
		try(id, upstream.Rejected)
	}
	wantState(t, "third attempt", try("3", upstream.Begin), upstream.Stopped)
	acquire(t, f, account, "h", 0)
	release(t, f, upstream.Release{Ref: account, Holder: "h", BackOff: long})
	wantState(t, "claim in the back off", acquire(t, f, account, "h2", 0), upstream.BackOff)
	try("", upstream.Forgiven)
	wantState(t, "attempt after an operator's word", try("4", upstream.Begin), upstream.Done)
	wantState(t, "claim after an operator's word", acquire(t, f, account, "h2", 0), upstream.Lead)
}
