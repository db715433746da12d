package upstreamtest

import (
	"fmt"
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream"
)

// Fixture is a store with what the contract needs to move its world.
type Fixture struct {
	Store  upstream.Store
	Pins   upstream.Pins
	Duties upstream.Duties

	Challenges upstream.Challenges

	// OpenSession has a client session live for ttl; RevokeSession leaves it
	// behind as ended; DropSession removes every trace of it.
	OpenSession   func(sid token.SID, ttl time.Duration)
	RevokeSession func(sid token.SID)
	DropSession   func(sid token.SID)
	// Advance has the store's clock move on by at least d.
	Advance func(d time.Duration)
}

// short is a time that a test with a real clock can wait for.
const short = 150 * time.Millisecond

const long = time.Minute

// Run checks that a store keeps the contract of upstream.Store, upstream.Pins,
// upstream.Duties and upstream.Challenges. newStore returns a fresh, empty one; tests run side by side,
// each on its own.
func Run(t *testing.T, newStore func(t *testing.T) Fixture) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, f Fixture)
	}{
		{"FirstClaimLeads", firstClaimLeads},
		{"CommitIsCompareAndSwap", commitIsCompareAndSwap},
		{"RepeatedCommitChangesNothing", repeatedCommit},
		{"OneLeads", oneLeads},
		{"LeaseRunsOut", leaseRunsOut},
		{"LateCommitCounts", lateCommitCounts},
		{"LateRepeatIsKnown", lateRepeatIsKnown},
		{"RenewNeedsTheLease", renewNeedsTheLease},
		{"CallOutlivesItsLease", callOutlivesItsLease},
		{"CallEnds", callEnds},
		{"ReleasedCallIsOver", releasedCallIsOver},
		{"CommitEndsDoubt", commitEndsDoubt},
		{"FailureBacksOff", failureBacksOff},
		{"BackOffIsOfOneAccount", backOffIsOfOneAccount},
		{"TimeLeftRunsDown", timeLeftRunsDown},
		{"SessionsNeedTheirSession", sessionsNeedTheirSession},
		{"OpeningComesBeforeTheSession", openingComesFirst},
		{"OpeningRunsOut", openingRunsOut},
		{"ExpiredSessionIsGone", expiredIsGone},
		{"RevokedSessionTakesNoCommit", revokedTakesNoCommit},
		{"DeadStaysDead", deadStaysDead},
		{"DeadAccountLeadsAgain", deadAccountLeads},
		{"EndIsTakenOnce", endIsTakenOnce},
		{"EndedTakesNoCommit", endedTakesNoCommit},
		{"EndBeforeCommitWins", endBeforeCommit},
		{"EndSparesTheLiving", endSparesTheLiving},
		{"AccountCanComeBack", accountComesBack},
		{"TwoRejectionsStop", twoRejectionsStop},
		{"OpenAttemptsAreWaitedFor", openAttempts},
		{"AcceptedAttemptClears", acceptedClears},
		{"CommitClearsAttempts", commitClears},
		{"VoidAttemptDoesNotCount", voidAttempt},
		{"LookTakesNoLease", lookTakesNoLease},
		{"OpensWithoutTokens", opensWithoutTokens},
		{"PinStaysWithItsTokens", pinStays},
		{"PinEndsWithItsTokens", pinEnds},
		{"PinNeedsALivingSession", pinNeedsASession},
		{"DutiesComeDue", dutiesComeDue},
		{"SessionsAreLimited", sessionsAreLimited},
		{"ForgivenCountsNoMore", forgivenCountsNoMore},
		{"ChallengeIsKept", challengeIsKept},
		{"ChallengeEnds", challengeEnds},
		{"ChallengeIsDropped", challengeIsDropped},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // some wait for a real clock
			c.test(t, newStore(t))
		})
	}
}

var account = upstream.Ref{Owner: "a.0123456789abcdef0123456789abcdef", Backend: "fabric"}

func ownedBy(sid token.SID) upstream.Ref { return upstream.Ref{Owner: sid.String(), Backend: "fabric"} }

// acquire claims twice, as a client library does that lost the first answer,
// and wants the same answer both times.
func acquire(t *testing.T, f Fixture, r upstream.Ref, holder string, seen uint64) upstream.Answer {
	t.Helper()
	var ans [2]upstream.Answer
	for i := range ans {
		a, err := f.Store.Acquire(t.Context(), upstream.Claim{Ref: r, Holder: holder, Seen: seen, Lease: short})
		if err != nil {
			t.Fatal(err)
		}
		ans[i] = a
	}
	if ans[0].State != ans[1].State || ans[0].Record.Version != ans[1].Record.Version {
		t.Fatalf("Acquire repeated = %+v; want as at first %+v", ans[1], ans[0])
	}
	return ans[0]
}

func record(version uint64) upstream.Record {
	return upstream.Record{Version: version, Access: "sealed-access", Refresh: "sealed-refresh", Left: long, Life: long}
}

func commit(t *testing.T, f Fixture, r upstream.Ref, attempt string, version uint64) upstream.Answer {
	t.Helper()
	return commitAs(t, f, upstream.Commit{Ref: r, Attempt: attempt, Holder: attempt, Record: record(version)})
}

func commitAs(t *testing.T, f Fixture, c upstream.Commit) upstream.Answer {
	t.Helper()
	a, err := f.Store.Commit(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func end(t *testing.T, f Fixture, w upstream.Farewell) upstream.Answer {
	t.Helper()
	if w.Lease == 0 {
		w.Lease = long
	}
	a, err := f.Store.End(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func release(t *testing.T, f Fixture, r upstream.Release) {
	t.Helper()
	for range 2 { // repeated, since an answer may be lost
		if err := f.Store.Release(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
}

func wantState(t *testing.T, what string, got upstream.Answer, want upstream.State) {
	t.Helper()
	if got.State != want {
		t.Fatalf("%s = state %d (%+v); want %d", what, got.State, got, want)
	}
}

func firstClaimLeads(t *testing.T, f Fixture) {
	a := acquire(t, f, account, "h", 0)
	wantState(t, "Acquire", a, upstream.Lead)
	if a.Record.Version != 0 || a.Record.Access != "" {
		t.Errorf("record = %+v; want an empty one", a.Record)
	}
}

func commitIsCompareAndSwap(t *testing.T, f Fixture) {
	acquire(t, f, account, "h", 0)
	wantState(t, "Commit", commit(t, f, account, "h", 1), upstream.Done)
	a := commit(t, f, account, "other", 1)
	wantState(t, "Commit of a version that is there", a, upstream.Stale)
	if a.Record.Version != 1 || a.Record.Access != "sealed-access" || a.Record.Refresh != "sealed-refresh" {
		t.Errorf("Stale with %+v; want what is stored", a.Record)
	}
	wantState(t, "Commit of a version too far", commit(t, f, account, "third", 3), upstream.Stale)
	a = acquire(t, f, account, "h2", 0)
	wantState(t, "Acquire", a, upstream.Fresh)
	if a.Record.Access != "sealed-access" || a.Record.Refresh != "sealed-refresh" || a.Record.Life != long {
		t.Errorf("Fresh with %+v; want what was committed", a.Record)
	}
}

func repeatedCommit(t *testing.T, f Fixture) {
	acquire(t, f, account, "h", 0)
	commit(t, f, account, "h", 1)
	wantState(t, "the same Commit again", commit(t, f, account, "h", 1), upstream.Done)
	if a := acquire(t, f, account, "x", 0); a.Record.Version != 1 {
		t.Errorf("version after a repeated Commit = %d; want 1", a.Record.Version)
	}
}

func oneLeads(t *testing.T, f Fixture) {
	wantState(t, "first claim", acquire(t, f, account, "h", 0), upstream.Lead)
	a := acquire(t, f, account, "other", 0)
	wantState(t, "second claim", a, upstream.Wait)
	if a.Wait <= 0 || a.Wait > short {
		t.Errorf("Wait = %v; want what is left of the lease of %v", a.Wait, short)
	}
	wantState(t, "claim by the holder", acquire(t, f, account, "h", 0), upstream.Lead)
}

func leaseRunsOut(t *testing.T, f Fixture) {
	acquire(t, f, account, "h", 0)
	f.Advance(2 * short)
	wantState(t, "claim after the lease", acquire(t, f, account, "other", 0), upstream.Lead)
	release(t, f, upstream.Release{Ref: account, Holder: "h", BackOff: long})
	wantState(t, "claim after a release by who lost the lease", acquire(t, f, account, "other", 0), upstream.Lead)
}

func lateRepeatIsKnown(t *testing.T, f Fixture) {
	for v := uint64(1); v <= 4; v++ {
		wantState(t, "Commit", commit(t, f, account, fmt.Sprint("attempt", v), v), upstream.Done)
	}
	for v := uint64(1); v <= 3; v++ {
		a := commit(t, f, account, fmt.Sprint("attempt", v), v)
		wantState(t, "Commit repeated after others", a, upstream.Fresh)
		if a.Record.Version != 4 || a.Record.Access == "" {
			t.Errorf("Fresh with %+v; want the tokens of version 4", a.Record)
		}
	}
	wantState(t, "the last Commit repeated", commit(t, f, account, "attempt4", 4), upstream.Done)
	wantState(t, "another's Commit", commit(t, f, account, "stranger", 3), upstream.Stale)
}

func lateCommitCounts(t *testing.T, f Fixture) {
	acquire(t, f, account, "h", 0)
	f.Advance(2 * short)
	acquire(t, f, account, "other", 0)
	wantState(t, "Commit after the lease", commit(t, f, account, "h", 1), upstream.Done)
	wantState(t, "Commit by the new leader", commit(t, f, account, "other", 1), upstream.Stale)
}

func failureBacksOff(t *testing.T, f Fixture) {
	acquire(t, f, account, "h", 0)
	commit(t, f, account, "h", 1)
	acquire(t, f, account, "h2", 1)
	release(t, f, upstream.Release{Ref: account, Holder: "h2", Version: 1, BackOff: short})
	a := acquire(t, f, account, "h3", 1)
	wantState(t, "claim in the back off", a, upstream.BackOff)
	if a.Wait <= 0 || a.Wait > short {
		t.Errorf("Wait = %v; want what is left of %v", a.Wait, short)
	}
	f.Advance(2 * short)
	a = acquire(t, f, account, "h3", 1)
	wantState(t, "claim after the back off", a, upstream.Lead)
	if a.Record.Failures != 1 || a.Record.Access == "" {
		t.Errorf("record after a failure = %+v; want one failure, and the tokens kept", a.Record)
	}
	commit(t, f, account, "h3", 2)
	if a = acquire(t, f, account, "h4", 2); a.Record.Failures != 0 {
		t.Errorf("failures after a commit = %d; want 0", a.Record.Failures)
	}
}

func backOffIsOfOneAccount(t *testing.T, f Fixture) {
	acquire(t, f, account, "h", 0)
	release(t, f, upstream.Release{Ref: account, Holder: "h", BackOff: long})
	wantState(t, "claim in the back off", acquire(t, f, account, "h2", 0), upstream.BackOff)
	a, err := f.Store.Acquire(t.Context(), upstream.Claim{Ref: account, Holder: "h3", Lease: short, With: "another account"})
	if err != nil {
		t.Fatal(err)
	}
	wantState(t, "claim for another account", a, upstream.Lead)
}

func timeLeftRunsDown(t *testing.T, f Fixture) {
	commit(t, f, account, "h", 1)
	f.Advance(short)
	if left := acquire(t, f, account, "x", 0).Record.Left; left <= 0 || left > long-short/2 {
		t.Errorf("left after %v = %v; want less than the %v it began with", short, left, long)
	}
	commitAs(t, f, upstream.Commit{Ref: account, Attempt: "2", Record: upstream.Record{Version: 2, Access: "a"}})
	if rec := acquire(t, f, account, "x", 1).Record; rec.Life != 0 || rec.Left != 0 || rec.Refresh != "" {
		t.Errorf("record of what never expires = %+v; want no life and no refresh token", rec)
	}
}

func sessionsNeedTheirSession(t *testing.T, f Fixture) {
	sid := token.NewSID()
	wantState(t, "claim without a session", acquire(t, f, ownedBy(sid), "h", 0), upstream.Gone)
	wantState(t, "Commit without a session", commit(t, f, ownedBy(sid), "h", 1), upstream.Gone)
	f.OpenSession(sid, long)
	wantState(t, "claim without tokens", acquire(t, f, ownedBy(sid), "h", 0), upstream.Dead)
	wantState(t, "Commit with a session", commit(t, f, ownedBy(sid), "h2", 1), upstream.Done)
	wantState(t, "claim with tokens", acquire(t, f, ownedBy(sid), "h", 0), upstream.Fresh)
	f.DropSession(sid)
	wantState(t, "claim after the session", acquire(t, f, ownedBy(sid), "h", 0), upstream.Gone)
	wantState(t, "Commit after the session", commit(t, f, ownedBy(sid), "h3", 2), upstream.Gone)
}

func openingComesFirst(t *testing.T, f Fixture) {
	sid := token.NewSID()
	r := ownedBy(sid)
	c := upstream.Commit{Ref: r, Attempt: "c", Record: record(1), Opening: long}
	wantState(t, "Commit as opening", commitAs(t, f, c), upstream.Done)
	wantState(t, "the same again", commitAs(t, f, c), upstream.Done)
	c.Attempt = "d"
	wantState(t, "another opening", commitAs(t, f, c), upstream.Stale)
	wantState(t, "claim before the session", acquire(t, f, r, "h", 0), upstream.Fresh)
	a := end(t, f, upstream.Farewell{Ref: r, Holder: "e", IfGone: true})
	wantState(t, "End if gone, before the session", a, upstream.Alive)
	if a.Wait <= 0 || a.Wait > long {
		t.Errorf("Wait = %v; want what is left of the opening, %v", a.Wait, long)
	}
	f.OpenSession(sid, long)
	wantState(t, "claim with the session", acquire(t, f, r, "h", 0), upstream.Fresh)
}

func openingRunsOut(t *testing.T, f Fixture) {
	sid := token.NewSID()
	r := ownedBy(sid)
	commitAs(t, f, upstream.Commit{Ref: r, Attempt: "c", Record: record(1), Opening: short})
	f.Advance(2 * short)
	wantState(t, "claim after an opening without session", acquire(t, f, r, "h", 0), upstream.Gone)
	a := end(t, f, upstream.Farewell{Ref: r, Holder: "e", IfGone: true})
	wantState(t, "End if gone, after it", a, upstream.Done)
	if a.Record.Access != "sealed-access" {
		t.Errorf("End gave %+v; want the tokens to log out", a.Record)
	}
}

func expiredIsGone(t *testing.T, f Fixture) {
	sid := token.NewSID()
	f.OpenSession(sid, short)
	r := ownedBy(sid)
	commit(t, f, r, "a", 1)
	f.Advance(2 * short)
	wantState(t, "claim for an expired session", acquire(t, f, r, "h", 0), upstream.Gone)
	wantState(t, "Commit for an expired session", commit(t, f, r, "h", 2), upstream.Gone)
	a := end(t, f, upstream.Farewell{Ref: r, Holder: "e", IfGone: true})
	wantState(t, "End if gone, of an expired session", a, upstream.Done)
}

func revokedTakesNoCommit(t *testing.T, f Fixture) {
	sid := token.NewSID()
	f.OpenSession(sid, long)
	commitAs(t, f, upstream.Commit{Ref: ownedBy(sid), Attempt: "a", Record: record(1), Opening: long})
	f.RevokeSession(sid)
	wantState(t, "claim for a revoked session", acquire(t, f, ownedBy(sid), "h", 1), upstream.Gone)
	wantState(t, "Commit for a revoked session", commit(t, f, ownedBy(sid), "h", 2), upstream.Gone)
	a := end(t, f, upstream.Farewell{Ref: ownedBy(sid), Holder: "e", IfGone: true})
	wantState(t, "End if gone, of a revoked session", a, upstream.Done)
}

func deadStaysDead(t *testing.T, f Fixture) {
	sid := token.NewSID()
	f.OpenSession(sid, long)
	r := ownedBy(sid)
	commit(t, f, r, "a", 1)
	acquire(t, f, r, "h", 1)
	release(t, f, upstream.Release{Ref: r, Holder: "h", Version: 1, Outcome: upstream.Died})
	wantState(t, "claim of a dead one", acquire(t, f, r, "h2", 0), upstream.Dead)
	wantState(t, "End of a dead one", end(t, f, upstream.Farewell{Ref: r, Holder: "e"}), upstream.Dead)
}

func deadAccountLeads(t *testing.T, f Fixture) {
	commit(t, f, account, "a", 1)
	acquire(t, f, account, "h", 1)
	release(t, f, upstream.Release{Ref: account, Holder: "h", Version: 7, Outcome: upstream.Died})
	a := acquire(t, f, account, "h2", 1)
	if a.Record.Access == "" {
		t.Error("Died for another version dropped the tokens; want them kept")
	}
	release(t, f, upstream.Release{Ref: account, Holder: "h2", Version: 1, Outcome: upstream.Died})
	a = acquire(t, f, account, "h3", 0)
	wantState(t, "claim of a dead account", a, upstream.Lead)
	if a.Record.Version != 1 || a.Record.Access != "" {
		t.Errorf("record = %+v; want version 1 without tokens", a.Record)
	}
}

func endIsTakenOnce(t *testing.T, f Fixture) {
	sid := token.NewSID()
	f.OpenSession(sid, long)
	r := ownedBy(sid)
	commit(t, f, r, "a", 1)
	first := upstream.Farewell{Ref: r, Holder: "e1", Lease: short}
	for range 2 { // repeated, since an answer may be lost
		a := end(t, f, first)
		wantState(t, "first End", a, upstream.Done)
		if a.Record.Access != "sealed-access" || a.Record.Refresh != "sealed-refresh" || a.Record.Version != 1 || a.Record.Life != long {
			t.Errorf("End gave %+v; want the tokens", a.Record)
		}
	}
	wantState(t, "End beside it", end(t, f, upstream.Farewell{Ref: r, Holder: "e2", Lease: short}), upstream.Wait)
	f.Advance(2 * short)
	second := upstream.Farewell{Ref: r, Holder: "e2", Lease: long}
	wantState(t, "End after its lease", end(t, f, second), upstream.Done)
	release(t, f, upstream.Release{Ref: r, Holder: "e1", Version: 1, Outcome: upstream.LoggedOut})
	wantState(t, "End after a stranger's confirmation", end(t, f, second), upstream.Done)
	release(t, f, upstream.Release{Ref: r, Holder: "e2", Version: 1, Outcome: upstream.LoggedOut})
	wantState(t, "End after the logout", end(t, f, upstream.Farewell{Ref: r, Holder: "e3"}), upstream.Dead)
}

func endedTakesNoCommit(t *testing.T, f Fixture) {
	sid := token.NewSID()
	f.OpenSession(sid, long)
	r := ownedBy(sid)
	commit(t, f, r, "a", 1)
	acquire(t, f, r, "h", 1)
	a := end(t, f, upstream.Farewell{Ref: r, Holder: "e"})
	wantState(t, "End during a renewal", a, upstream.Wait)
	if a.Wait <= 0 || a.Wait > short {
		t.Errorf("Wait = %v; want what is left of the lease of %v", a.Wait, short)
	}
	f.Advance(2 * short)
	c := calling("h2", true)
	c.Ref, c.Call = r, 4*short
	claimTwice(t, f, c)
	f.Advance(2 * short)
	wantState(t, "End while the call may be under way", end(t, f, upstream.Farewell{Ref: r, Holder: "e"}), upstream.Wait)
	f.Advance(3 * short)
	wantState(t, "End after the call", end(t, f, upstream.Farewell{Ref: r, Holder: "e"}), upstream.Done)
	wantState(t, "Commit of a renewal that was under way", commit(t, f, r, "h", 2), upstream.Gone)
	wantState(t, "claim", acquire(t, f, r, "h2", 0), upstream.Dead)
}

func endBeforeCommit(t *testing.T, f Fixture) {
	r := ownedBy(token.NewSID())
	wantState(t, "End of nothing", end(t, f, upstream.Farewell{Ref: r, Holder: "e"}), upstream.Dead)
	a := commitAs(t, f, upstream.Commit{Ref: r, Attempt: "c", Record: record(1), Opening: long})
	wantState(t, "Commit after it", a, upstream.Gone)
}

func endSparesTheLiving(t *testing.T, f Fixture) {
	sid := token.NewSID()
	f.OpenSession(sid, long)
	r := ownedBy(sid)
	commit(t, f, r, "a", 1)
	a := end(t, f, upstream.Farewell{Ref: r, Holder: "e", IfGone: true})
	wantState(t, "End if gone", a, upstream.Alive)
	if a.Wait <= 0 || a.Wait > long {
		t.Errorf("Wait = %v; want the session's %v", a.Wait, long)
	}
	f.DropSession(sid)
	wantState(t, "End if gone, once it is", end(t, f, upstream.Farewell{Ref: r, Holder: "e", IfGone: true}), upstream.Done)
}

func accountComesBack(t *testing.T, f Fixture) {
	commit(t, f, account, "a", 1)
	wantState(t, "End if gone, of an account", end(t, f, upstream.Farewell{Ref: account, Holder: "e", IfGone: true}), upstream.Alive)
	wantState(t, "End", end(t, f, upstream.Farewell{Ref: account, Holder: "e"}), upstream.Done)
	release(t, f, upstream.Release{Ref: account, Holder: "e", Version: 1, Outcome: upstream.LoggedOut})
	a := acquire(t, f, account, "h", 0)
	wantState(t, "claim after the logout", a, upstream.Lead)
	if a.Record.Version != 1 || a.Record.Access != "" {
		t.Errorf("record = %+v; want version 1 without tokens", a.Record)
	}
	wantState(t, "Commit after the logout", commit(t, f, account, "h", 2), upstream.Done)
}
