package sessiontest

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

func testRotate(t *testing.T, s Subject) {
	sid := create(t, s, life)
	wait(t, 20*time.Millisecond)
	before := lookup(t, s, sid)
	for p := range uint32(6) {
		turn := rotate(t, s, rotation(sid, p), session.Rotated)
		if turn.Record.Generation != p+1 {
			t.Errorf("generation = %d; want %d", turn.Record.Generation, p+1)
		}
		if !turn.Record.Made.Equal(turn.Now) || !turn.Record.Made.After(before.Made) {
			t.Errorf("made = %v at %v; want now, after %v", turn.Record.Made, turn.Now, before.Made)
		}
		if want := turn.Now.Add(life.Idle); !turn.Record.Ends.Equal(want) {
			t.Errorf("ends = %v; want the idle life started again, %v", turn.Record.Ends, want)
		}
		if diff := cmp.Diff(turn.Record, lookup(t, s, sid)); diff != "" {
			t.Errorf("Lookup after Rotate (-turn +read):\n%s", diff)
		}
	}
}

func testRotateOrder(t *testing.T, s Subject) {
	gone := rotate(t, s, rotation(token.NewSID(), 0), session.Gone)
	if gone.Record.Generation != 0 || gone.Record.Revoked != "" {
		t.Errorf("record of a missing session = %+v; want none", gone.Record)
	}
	sid := create(t, s, life)
	wrong := rotation(sid, 0)
	wrong.Client = "somebody-else"
	rotate(t, s, wrong, session.Refused)
	rotate(t, s, rotation(sid, 0), session.Rotated)
	wrong = rotation(sid, 0) // old, but the client is tested first: no reuse
	wrong.Client, wrong.Grace = "somebody-else", 0
	rotate(t, s, wrong, session.Refused)
	rotate(t, s, rotation(sid, 1), session.Rotated)

	brief := create(t, s, session.Life{Idle: 50 * time.Millisecond, Keep: time.Minute})
	wait(t, 80*time.Millisecond)
	wrong = rotation(brief, 0)
	wrong.Client = "somebody-else"
	rotate(t, s, wrong, session.Expired)
	if _, err := s.Store.Revoke(t.Context(), session.NewAttempt(), session.Revocation{SID: brief, Reason: "logout"}); err != nil {
		t.Fatal(err)
	}
	rotate(t, s, wrong, session.Gone)
}

func testGrace(t *testing.T, s Subject) {
	sid := create(t, s, life)
	r := rotation(sid, 0)
	r.Grace = 400 * time.Millisecond
	first := rotate(t, s, r, session.Rotated)
	wait(t, 30*time.Millisecond)
	again := rotate(t, s, r, session.Grace)
	if again.Record.Generation != 1 || !again.Record.Made.Equal(first.Record.Made) {
		t.Errorf("grace = generation %d made %v; want %d made %v", again.Record.Generation, again.Record.Made, 1, first.Record.Made)
	}
	if !again.Now.After(first.Now) {
		t.Errorf("grace at %v; want after %v", again.Now, first.Now)
	}
	wait(t, r.Grace)
	over := rotate(t, s, r, session.Reused)
	if over.Record.Revoked != "reuse" {
		t.Errorf("revoked = %q; want reuse", over.Record.Revoked)
	}
	rotate(t, s, rotation(sid, 1), session.Gone)
}

func testNoGrace(t *testing.T, s Subject) {
	sid := create(t, s, life)
	r := rotation(sid, 0)
	r.Grace = 0
	rotate(t, s, r, session.Rotated)
	rotate(t, s, r, session.Reused)
	if got := lookup(t, s, sid).Revoked; got != "reuse" {
		t.Errorf("revoked = %q; want reuse", got)
	}
}

func testTwoBehind(t *testing.T, s Subject) {
	sid := create(t, s, life)
	rotate(t, s, rotation(sid, 0), session.Rotated)
	rotate(t, s, rotation(sid, 1), session.Rotated)
	rotate(t, s, rotation(sid, 0), session.Reused)
	rotate(t, s, rotation(sid, 2), session.Gone)
}

func testRefuseReuse(t *testing.T, s Subject) {
	sid := create(t, s, life)
	r := rotation(sid, 0)
	r.Grace, r.RefuseReuse = 0, true
	rotate(t, s, r, session.Rotated)
	if turn := rotate(t, s, r, session.Reused); turn.Record.Revoked != "" {
		t.Errorf("revoked = %q; want the session alive", turn.Record.Revoked)
	}
	rotate(t, s, rotation(sid, 1), session.Rotated)
}

func testHeal(t *testing.T, s Subject) {
	sid := create(t, s, life)
	rotate(t, s, rotation(sid, session.HealAhead+1), session.Refused)
	if got := lookup(t, s, sid); got.Revoked != "" || got.Generation != 0 {
		t.Errorf("after a generation too far ahead: %+v; want nothing changed", got)
	}
	turn := rotate(t, s, rotation(sid, session.HealAhead), session.Healed)
	if turn.Record.Generation != session.HealAhead+1 {
		t.Errorf("generation = %d; want %d", turn.Record.Generation, session.HealAhead+1)
	}
	for p := range uint32(session.HealAhead + 1) {
		if got := rotate(t, s, rotation(sid, p), session.Grace); got.Record.Generation != session.HealAhead+1 {
			t.Errorf("grace of %d = %d; want the healed successor", p, got.Record.Generation)
		}
	}
	rotate(t, s, rotation(sid, session.HealAhead+1), session.Rotated)
	rotate(t, s, rotation(sid, 3), session.Reused)
}

func testOverflow(t *testing.T, s Subject) {
	rec := record(token.NewSID())
	rec.Generation = session.MaxGeneration - 1
	if _, err := s.Store.Create(t.Context(), session.NewAttempt(), rec, life); err != nil {
		t.Fatal(err)
	}
	rotate(t, s, rotation(rec.SID, session.MaxGeneration-1), session.Rotated)
	if turn := rotate(t, s, rotation(rec.SID, session.MaxGeneration), session.Ended); turn.Record.Revoked == "" {
		t.Error("revoked is empty; want the session ended")
	}
	rotate(t, s, rotation(rec.SID, session.MaxGeneration), session.Gone)
}

func testKeepsGeneration(t *testing.T, s Subject) {
	sid := create(t, s, life)
	r := rotation(sid, 0)
	r.Rotates, r.Grace = false, 0
	var last time.Time
	for range 3 {
		turn := rotate(t, s, r, session.Rotated)
		if turn.Record.Generation != 0 || !turn.Record.Made.After(last) {
			t.Errorf("generation %d made %v; want 0 after %v", turn.Record.Generation, turn.Record.Made, last)
		}
		last = turn.Record.Made
		wait(t, 5*time.Millisecond)
	}
}

func testIdle(t *testing.T, s Subject) {
	l := session.Life{Idle: 200 * time.Millisecond, Access: 800 * time.Millisecond, Keep: time.Minute}
	sid := create(t, s, l)
	r := rotation(sid, 0)
	r.Life = l
	wait(t, 120*time.Millisecond)
	rotate(t, s, r, session.Rotated) // starts the life again
	wait(t, 120*time.Millisecond)
	r.Presented = 1
	rotate(t, s, r, session.Rotated)
	wait(t, 250*time.Millisecond)
	r.Presented = 2
	rotate(t, s, r, session.Expired)
	got := lookup(t, s, sid)
	if now := time.Now(); got.Revoked != "" || now.Before(got.Ends) || !now.Before(got.End()) {
		t.Errorf("expired record = %+v; want it readable, its access token alive", got)
	}
}

// What never expires is stored as a life of a hundred years, which a store must
// be able to add to its clock and to tell to the millisecond.
func testCentury(t *testing.T, s Subject) {
	const century = 36500 * 24 * time.Hour
	l := session.Life{Idle: century, Access: century, Keep: 24 * time.Hour}
	sid := create(t, s, l)
	check := func(when string) {
		t.Helper()
		rec := lookup(t, s, sid)
		for _, end := range []time.Time{rec.Ends, rec.AccessEnds, rec.End()} {
			if left := time.Until(end); left > century+time.Second || left < century-time.Minute {
				t.Errorf("%s it ends in %s; want %s", when, left, century)
			}
		}
	}
	check("created,")
	r := rotation(sid, 0)
	r.Life = l
	turn := rotate(t, s, r, session.Rotated)
	check("refreshed,")
	if err := s.Store.Touch(t.Context(), session.NewAttempt(), session.Use{SID: sid, Idle: century, Keep: l.Keep, Uses: 1}); err != nil {
		t.Fatalf("Touch = %v; want no error", err)
	}
	check("used,")
	if _, err := s.Index.Add(t.Context(), "u1", session.Member{SID: sid, End: turn.Record.End()}, 200); err != nil {
		t.Fatalf("Add = %v; want no error", err)
	}
	if got, err := s.Index.List(t.Context(), "u1"); err != nil || !slices.Equal(got, []token.SID{sid}) {
		t.Errorf("List = %v, %v; want the session", got, err)
	}
}

// A retry may come after others have moved the session on.
func testLostReplyBehindOthers(t *testing.T, s Subject) {
	sid, a := create(t, s, life), session.NewAttempt()
	first, err := s.Store.Rotate(t.Context(), a, rotation(sid, 0))
	if err != nil {
		t.Fatal(err)
	}
	rotate(t, s, rotation(sid, 0), session.Grace)
	rotate(t, s, rotation(sid, 1), session.Rotated)
	if err := s.Store.Touch(t.Context(), session.NewAttempt(), session.Use{SID: sid, Uses: 1}); err != nil {
		t.Fatal(err)
	}
	again, err := s.Store.Rotate(t.Context(), a, rotation(sid, 0))
	if err != nil {
		t.Fatal(err)
	}
	if again.Outcome != session.Rotated || again.Record.Generation != 1 || !again.Record.Made.Equal(first.Record.Made) || !again.Now.Equal(first.Now) {
		t.Errorf("repeat = %s to %d made %v at %v; want the first answer, rotated to 1 made %v at %v", again.Outcome,
			again.Record.Generation, again.Record.Made, again.Now, first.Record.Made, first.Now)
	}
	if got := lookup(t, s, sid); got.Revoked != "" || got.Generation != 2 {
		t.Errorf("record = %+v; want it alive at generation 2", got)
	}
}

func testParallel(t *testing.T, s Subject) {
	sid := create(t, s, life)
	const n = 40
	type answer struct {
		turn session.Turn
		err  error
	}
	answers := make(chan answer, n)
	for range n {
		go func() {
			turn, err := s.Store.Rotate(t.Context(), session.NewAttempt(), rotation(sid, 0))
			answers <- answer{turn, err}
		}()
	}
	outcomes := map[session.Outcome]int{}
	made := map[time.Time]bool{}
	for range n {
		a := <-answers
		if a.err != nil {
			t.Fatalf("Rotate = %v; want no error", a.err)
		}
		outcomes[a.turn.Outcome]++
		made[a.turn.Record.Made.UTC()] = true
	}
	if outcomes[session.Rotated] != 1 || outcomes[session.Grace] != n-1 || len(made) != 1 {
		t.Errorf("outcomes = %v, %d times made; want 1 rotated, %d grace, made once", outcomes, len(made), n-1)
	}
}
