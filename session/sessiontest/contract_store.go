package sessiontest

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

func testCreateLookup(t *testing.T, s Subject) {
	in := record(token.NewSID())
	in.Generation = 7
	made, err := s.Store.Create(t.Context(), session.NewAttempt(), in, life)
	if err != nil {
		t.Fatalf("Create = %v; want no error", err)
	}
	got := lookup(t, s, in.SID)
	if diff := cmp.Diff(made, got); diff != "" {
		t.Errorf("Lookup differs from what Create returned (-created +read):\n%s", diff)
	}
	if d := time.Since(got.Made).Abs(); d > 5*time.Second {
		t.Errorf("Made is %v from now; want the store's now", d)
	}
	want := in
	want.Made, want.Ends, want.AccessEnds = got.Made, got.Made.Add(life.Idle), got.Made.Add(life.Access)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Lookup (-want +got):\n%s", diff)
	}
	if _, err := s.Store.Lookup(t.Context(), token.NewSID()); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("Lookup of an unknown session = %v; want ErrNotFound", err)
	}
}

func testCreateTaken(t *testing.T, s Subject) {
	rec, a := record(token.NewSID()), session.NewAttempt()
	for range 2 {
		if _, err := s.Store.Create(t.Context(), a, rec, life); err != nil {
			t.Fatalf("Create = %v; want no error, also repeated", err)
		}
	}
	other := rec
	other.Identity.Name = "mallory"
	if _, err := s.Store.Create(t.Context(), session.NewAttempt(), other, life); !errors.Is(err, session.ErrExists) {
		t.Errorf("Create under a taken id = %v; want ErrExists", err)
	}
	if got := lookup(t, s, rec.SID).Identity.Name; got != "alice" {
		t.Errorf("name = %q; want alice", got)
	}
}

func testTouch(t *testing.T, s Subject) {
	sid := create(t, s, session.Life{Idle: 300 * time.Millisecond, Keep: time.Minute})
	a := session.NewAttempt()
	u := session.Use{SID: sid, Idle: time.Hour, Keep: time.Minute, Uses: 3}
	for range 2 { // the second is a repeat
		if err := s.Store.Touch(t.Context(), a, u); err != nil {
			t.Fatalf("Touch = %v; want no error", err)
		}
	}
	wait(t, 350*time.Millisecond)
	got := lookup(t, s, sid)
	if got.Uses != 3 || got.LastUsed.IsZero() || time.Until(got.Ends) < 50*time.Minute {
		t.Errorf("after Touch: %d uses, last %v, ends %v; want 3 uses and an hour more", got.Uses, got.LastUsed, got.Ends)
	}
	rotate(t, s, rotation(sid, 0), session.Rotated)

	fixed := create(t, s, session.Life{Idle: 50 * time.Millisecond, Keep: time.Minute})
	wait(t, 80*time.Millisecond)
	for name, sid := range map[string]token.SID{"expired": fixed, "unknown": token.NewSID()} {
		u.SID = sid
		if err := s.Store.Touch(t.Context(), session.NewAttempt(), u); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("Touch of an %s session = %v; want ErrNotFound", name, err)
		}
	}
	if got := lookup(t, s, fixed); time.Now().Before(got.Ends) {
		t.Errorf("expired session ends %v; want it not revived", got.Ends)
	}
}

func testRevoke(t *testing.T, s Subject) {
	sid := create(t, s, life)
	rev := session.Revocation{SID: sid, Reason: "logout"}
	before, err := s.Store.Revoke(t.Context(), session.NewAttempt(), rev)
	if err != nil || before.Revoked != "" || before.Identity.ID != "1001" {
		t.Fatalf("Revoke = %+v, %v; want the record as it was", before, err)
	}
	if got := lookup(t, s, sid).Revoked; got != "logout" {
		t.Errorf("revoked = %q; want logout", got)
	}
	rev.Reason = "reuse"
	if again, err := s.Store.Revoke(t.Context(), session.NewAttempt(), rev); err != nil || again.Revoked != "logout" {
		t.Errorf("second Revoke = %q, %v; want the first reason", again.Revoked, err)
	}
	if err := s.Store.Touch(t.Context(), session.NewAttempt(), session.Use{SID: sid, Idle: time.Hour}); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("Touch of a revoked session = %v; want ErrNotFound", err)
	}
	if _, err := s.Store.Create(t.Context(), session.NewAttempt(), record(sid), life); !errors.Is(err, session.ErrExists) {
		t.Errorf("Create over a tombstone = %v; want ErrExists", err)
	}
	rev.SID = token.NewSID()
	if _, err := s.Store.Revoke(t.Context(), session.NewAttempt(), rev); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("Revoke of an unknown session = %v; want ErrNotFound", err)
	}
}

func testClose(t *testing.T, s Subject) {
	sid := create(t, s, life)
	rev := session.Revocation{SID: sid, Reason: "logout", KeepAccess: true}
	if before, err := s.Store.Revoke(t.Context(), session.NewAttempt(), rev); err != nil || before.Closed {
		t.Fatalf("Revoke = %+v, %v; want the record as it was", before, err)
	}
	got := lookup(t, s, sid)
	if got.Revoked != "" || !got.Closed || time.Until(got.End()) < 25*time.Minute {
		t.Errorf("closed record = %+v; want its access token alive", got)
	}
	rotate(t, s, rotation(sid, 0), session.Gone)
	rev.KeepAccess = false
	if _, err := s.Store.Revoke(t.Context(), session.NewAttempt(), rev); err != nil {
		t.Fatal(err)
	}
	if got := lookup(t, s, sid).Revoked; got != "logout" {
		t.Errorf("revoked = %q; want the closed session ended for good", got)
	}
}

func testLostReplies(t *testing.T, s Subject) {
	ctx := t.Context()
	s.LoseReplies()
	rec, a := record(token.NewSID()), session.NewAttempt()
	insist(t, func() error { _, err := s.Store.Create(ctx, a, rec, life); return err })

	r := rotation(rec.SID, 0)
	r.Grace = 0
	var turn session.Turn
	a = session.NewAttempt()
	insist(t, func() (err error) { turn, err = s.Store.Rotate(ctx, a, r); return err })
	if turn.Outcome != session.Rotated || turn.Record.Generation != 1 {
		t.Errorf("repeated Rotate = %s to %d; want rotated to 1", turn.Outcome, turn.Record.Generation)
	}
	a = session.NewAttempt()
	insist(t, func() error { return s.Store.Touch(ctx, a, session.Use{SID: rec.SID, Idle: time.Hour, Uses: 1}) })
	if got := lookup(t, s, rec.SID); got.Uses != 1 || got.Revoked != "" || got.Generation != 1 {
		t.Errorf("record = %+v; want one use, alive, at generation 1", got)
	}
	s.LoseReplies()
	a = session.NewAttempt()
	insist(t, func() (err error) { turn, err = s.Store.Rotate(ctx, a, r); return err })
	if turn.Outcome != session.Reused {
		t.Errorf("repeated reuse = %s; want reused again, not gone", turn.Outcome)
	}

	other := create(t, s, life)
	s.LoseReplies()
	var before session.Record
	a = session.NewAttempt()
	insist(t, func() (err error) {
		before, err = s.Store.Revoke(ctx, a, session.Revocation{SID: other, Reason: "logout"})
		return err
	})
	if before.Revoked != "" {
		t.Errorf("repeated Revoke saw %q; want the record as it was before", before.Revoked)
	}
	insist(t, func() error {
		_, err := s.Index.Add(ctx, "u1", session.Member{SID: other, End: time.Now().Add(time.Hour)}, 5)
		return err
	})
	insist(t, func() error { return s.Roll.Enlist(ctx, session.Owner{Name: "alice"}, time.Now().Add(time.Hour)) })
	insist(t, func() error { _, err := s.Keys.Settle(ctx, "manifest"); return err })
}
