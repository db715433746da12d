package upstreamtest

import (
	"testing"

	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream"
)

func claim(t *testing.T, f Fixture, c upstream.Claim) upstream.Answer {
	t.Helper()
	var a upstream.Answer
	for range 2 { // repeated, since an answer may be lost
		var err error
		if a, err = f.Store.Acquire(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func pin(t *testing.T, f Fixture, r upstream.Ref, pinned bool) upstream.Answer {
	t.Helper()
	var a upstream.Answer
	for range 2 { // repeated, since an answer may be lost
		var err error
		if a, err = f.Pins.Pin(t.Context(), r, pinned); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func lookTakesNoLease(t *testing.T, f Fixture) {
	sid := token.NewSID()
	look := func() upstream.Answer { return claim(t, f, upstream.Claim{Ref: ownedBy(sid), Holder: "look"}) }
	wantState(t, "look without a session", look(), upstream.Gone)
	f.OpenSession(sid, long)
	wantState(t, "look without tokens", look(), upstream.Dead)
	commit(t, f, ownedBy(sid), "a", 1)
	a := look()
	wantState(t, "look", a, upstream.Fresh)
	if a.Record.Access != "sealed-access" || a.Record.Version != 1 {
		t.Errorf("look gave %+v; want what is stored", a.Record)
	}
	wantState(t, "look for newer ones", claim(t, f, upstream.Claim{Ref: ownedBy(sid), Holder: "look", Seen: 1}), upstream.Dead)
	wantState(t, "claim after it", acquire(t, f, ownedBy(sid), "other", 1), upstream.Lead)
}

func opensWithoutTokens(t *testing.T, f Fixture) {
	sid := token.NewSID()
	r := ownedBy(sid)
	open := func(holder string) upstream.Answer {
		return claim(t, f, upstream.Claim{Ref: r, Holder: holder, Lease: long, Opens: true})
	}
	wantState(t, "claim to open, without a session", open("h"), upstream.Gone)
	f.OpenSession(sid, long)
	a := open("h")
	wantState(t, "claim to open", a, upstream.Lead)
	if a.Record != (upstream.Record{}) {
		t.Errorf("Lead with %+v; want an empty record", a.Record)
	}
	wantState(t, "another claim to open", open("other"), upstream.Wait)
	commit(t, f, r, "h", 1)
	wantState(t, "claim to open where there are tokens", open("other"), upstream.Fresh)
	acquire(t, f, r, "h", 1)
	release(t, f, upstream.Release{Ref: r, Holder: "h", Version: 1, Outcome: upstream.Died})
	wantState(t, "claim after they died", acquire(t, f, r, "x", 0), upstream.Dead)
	a = open("again")
	wantState(t, "claim to open after they died", a, upstream.Lead)
	wantState(t, "Commit after they died", commit(t, f, r, "again", a.Record.Version+1), upstream.Done)
	wantState(t, "claim after that", acquire(t, f, r, "x", 0), upstream.Fresh)
	end(t, f, upstream.Farewell{Ref: r, Holder: "e"})
	wantState(t, "claim to open what has ended", open("late"), upstream.Dead)
}

func pinStays(t *testing.T, f Fixture) {
	sid := token.NewSID()
	f.OpenSession(sid, long)
	r := ownedBy(sid)
	wantState(t, "Pin without tokens", pin(t, f, r, true), upstream.Dead)
	commit(t, f, r, "a", 1)
	pinned := func(what string, a upstream.Answer, want bool) {
		t.Helper()
		if a.Record.Pinned != want {
			t.Errorf("%s: pinned = %v; want %v", what, a.Record.Pinned, want)
		}
	}
	pinned("Fresh before", acquire(t, f, r, "x", 0), false)
	wantState(t, "Pin", pin(t, f, r, true), upstream.Done)
	pinned("Fresh", acquire(t, f, r, "x", 0), true)
	pinned("Lead", acquire(t, f, r, "h", 1), true)
	wantState(t, "Commit of a successor", commit(t, f, r, "h", 2), upstream.Done)
	pinned("Fresh after a renewal", acquire(t, f, r, "x", 1), true)
	pinned("Stale", commit(t, f, r, "late", 2), true)
	a := end(t, f, upstream.Farewell{Ref: r, Holder: "e", IfGone: true})
	wantState(t, "End if gone", a, upstream.Alive)
	pinned("Alive", a, true)
	if a.Record.Access != "sealed-access" || a.Record.Version != 2 || a.Record.Life != long || a.Record.Left <= 0 {
		t.Errorf("Alive with %+v; want what is stored", a.Record)
	}
	wantState(t, "Pin taken off", pin(t, f, r, false), upstream.Done)
	pinned("Fresh after that", acquire(t, f, r, "x", 0), false)
}

func pinEnds(t *testing.T, f Fixture) {
	sid := token.NewSID()
	f.OpenSession(sid, long)
	r := ownedBy(sid)
	commit(t, f, r, "a", 1)
	pin(t, f, r, true)
	acquire(t, f, r, "h", 1)
	release(t, f, upstream.Release{Ref: r, Holder: "h", Version: 1, Outcome: upstream.Died})
	wantState(t, "Pin after the tokens died", pin(t, f, r, true), upstream.Dead)
	wantState(t, "claim to open", claim(t, f, upstream.Claim{Ref: r, Holder: "h2", Lease: short, Opens: true}), upstream.Lead)
	commit(t, f, r, "h2", 2)
	if a := acquire(t, f, r, "x", 0); a.Record.Pinned {
		t.Error("new tokens have the pin of those that died")
	}
	pin(t, f, r, true)
	e := upstream.Farewell{Ref: r, Holder: "e"}
	if a := end(t, f, e); a.State != upstream.Done || !a.Record.Pinned {
		t.Errorf("End = %+v; want Done with a pinned record", a)
	}
	release(t, f, upstream.Release{Ref: r, Holder: "e", Version: 2, Outcome: upstream.LoggedOut})
	wantState(t, "End again", end(t, f, upstream.Farewell{Ref: r, Holder: "e2"}), upstream.Dead)
}

func pinNeedsASession(t *testing.T, f Fixture) {
	sid := token.NewSID()
	r := ownedBy(sid)
	wantState(t, "Pin without a session", pin(t, f, r, true), upstream.Gone)
	commitAs(t, f, upstream.Commit{Ref: r, Attempt: "c", Record: record(1), Opening: long})
	wantState(t, "Pin before the session", pin(t, f, r, true), upstream.Done)
	f.OpenSession(sid, long)
	end(t, f, upstream.Farewell{Ref: r, Holder: "e"})
	wantState(t, "Pin of what was taken to be logged out", pin(t, f, r, true), upstream.Gone)

	sid = token.NewSID()
	f.OpenSession(sid, long)
	commit(t, f, ownedBy(sid), "a", 1)
	f.RevokeSession(sid)
	wantState(t, "Pin for a revoked session", pin(t, f, ownedBy(sid), true), upstream.Gone)

	sid = token.NewSID()
	f.OpenSession(sid, short)
	commit(t, f, ownedBy(sid), "a", 1)
	f.Advance(2 * short)
	wantState(t, "Pin for an expired session", pin(t, f, ownedBy(sid), true), upstream.Gone)
}
