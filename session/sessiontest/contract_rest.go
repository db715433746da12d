package sessiontest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

func testIndex(t *testing.T, s Subject) {
	var sids []token.SID
	add := func(sid token.SID, limit int) []token.SID {
		t.Helper()
		over, err := s.Index.Add(t.Context(), "u1", session.Member{SID: sid, End: time.Now().Add(time.Hour)}, limit)
		if err != nil {
			t.Fatalf("Add = %v; want no error", err)
		}
		return over
	}
	for range 4 {
		sids = append(sids, token.NewSID())
		if over := add(sids[len(sids)-1], 4); len(over) != 0 {
			t.Fatalf("Add up to the limit = %v; want nobody over", over)
		}
	}
	add(sids[0], 0) // used again: now sids[1] is the least recently used
	fifth := token.NewSID()
	if over := add(fifth, 4); !slices.Equal(over, sids[1:2]) {
		t.Errorf("Add beyond the limit = %v; want %v", over, sids[1:2])
	}
	if err := s.Index.Remove(t.Context(), "u1", sids[1]); err != nil {
		t.Fatal(err)
	}
	got, err := s.Index.List(t.Context(), "u1")
	if want := []token.SID{sids[2], sids[3], sids[0], fifth}; err != nil || !slices.Equal(got, want) {
		t.Errorf("List = %v, %v; want %v", got, err, want)
	}
	if got, err := s.Index.List(t.Context(), "u2"); err != nil || len(got) != 0 {
		t.Errorf("List of another owner = %v, %v; want nothing", got, err)
	}
}

func testIndexForgets(t *testing.T, s Subject) {
	brief, long := token.NewSID(), token.NewSID()
	for sid, d := range map[token.SID]time.Duration{brief: 50 * time.Millisecond, long: time.Hour} {
		if _, err := s.Index.Add(t.Context(), "u1", session.Member{SID: sid, End: time.Now().Add(d)}, 2); err != nil {
			t.Fatal(err)
		}
	}
	wait(t, 80*time.Millisecond)
	if got, err := s.Index.List(t.Context(), "u1"); err != nil || !slices.Equal(got, []token.SID{long}) {
		t.Errorf("List = %v, %v; want only the one that has not ended", got, err)
	}
	over, err := s.Index.Add(t.Context(), "u1", session.Member{SID: token.NewSID(), End: time.Now().Add(time.Hour)}, 2)
	if err != nil || len(over) != 0 {
		t.Errorf("Add = %v, %v; want the ended one not counted", over, err)
	}
}

// What was proved by the time that an epoch begins is over, and what is proved
// later is not; of one owner alone.
func testIndexEpoch(t *testing.T, s Subject) {
	add := func(owner string, proved time.Time) error {
		m := session.Member{SID: token.NewSID(), End: time.Now().Add(time.Hour), Proved: proved}
		_, err := s.Index.Add(t.Context(), owner, m, 5)
		return err
	}
	now := func() time.Time {
		_, at, err := s.Throttle.Allow(t.Context(), "e0", "e1")
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	old := now()
	if err := add("u1", old); err != nil {
		t.Fatalf("Add without an epoch = %v; want no error", err)
	}
	wait(t, 5*time.Millisecond)
	var epoch time.Time
	insist(t, func() (err error) { epoch, err = s.Index.Outdate(t.Context(), "u1", time.Time{}); return err })
	if !epoch.After(old) || epoch.After(now()) {
		t.Fatalf("epoch = %v; want the store's now", epoch)
	}
	for what, c := range map[string]struct {
		owner  string
		proved time.Time
		want   error
	}{
		"proved before":       {"u1", old, session.ErrOutdated},
		"proved at that time": {"u1", epoch, session.ErrOutdated},
		"proved after":        {"u1", epoch.Add(time.Millisecond), nil},
		"proved nowhere":      {"u1", time.Time{}, nil},
		"another owner's":     {"u2", old, nil},
	} {
		if err := add(c.owner, c.proved); !errors.Is(err, c.want) {
			t.Errorf("Add of what was %s = %v; want %v", what, err, c.want)
		}
	}
	if sids, err := s.Index.List(t.Context(), "u1"); err != nil || len(sids) != 3 {
		t.Errorf("List = %v, %v; want the three that were added", sids, err)
	}
	if again, err := s.Index.Outdate(t.Context(), "u1", old); err != nil || !again.Equal(epoch) {
		t.Errorf("Outdate at an earlier time = %v, %v; want the latest epoch %v", again, err, epoch)
	}
	if first, err := s.Index.Outdate(t.Context(), "u3", old); err != nil || !first.Equal(old) {
		t.Errorf("Outdate at a time = %v, %v; want %v", first, err, old)
	}
}

func testThrottle(t *testing.T, s Subject) {
	allow := func(account, address string) time.Duration {
		t.Helper()
		d, now, err := s.Throttle.Allow(t.Context(), account, address)
		if away := time.Since(now).Abs(); err == nil && away > 5*time.Second {
			t.Errorf("Allow says it is %v; want the store's now", now)
		}
		if err != nil {
			t.Fatalf("Allow = %v; want no error", err)
		}
		return d
	}
	for n := range 10 {
		if d := allow("aa", "bb"); d != 0 {
			t.Fatalf("Allow after %d failures = %v; want 0", n, d)
		}
		if err := s.Throttle.Fail(t.Context(), "aa", "bb"); err != nil {
			t.Fatal(err)
		}
	}
	for name, who := range map[string][2]string{"both": {"aa", "bb"}, "account": {"aa", "cc"}, "address": {"cc", "bb"}} {
		if d := allow(who[0], who[1]); d < 14*time.Minute || d > 15*time.Minute {
			t.Errorf("Allow of the same %s after 10 failures = %v; want about 15 min", name, d)
		}
	}
	if d := allow("cc", "dd"); d != 0 {
		t.Errorf("Allow of others = %v; want 0", d)
	}
}

func testFeed(t *testing.T, s Subject) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	events := [2]chan session.Event{make(chan session.Event, 1000), make(chan session.Event, 1000)}
	done := make(chan error, 2)
	for _, c := range events {
		go func() { done <- s.Feed.Follow(ctx, func(e session.Event) { c <- e }) }()
	}
	next := func(i int, kind session.EventKind) session.Event {
		t.Helper()
		for {
			select {
			case e := <-events[i]:
				if e.Kind == kind {
					return e
				}
			case <-ctx.Done():
				t.Fatalf("follower %d heard no %s event", i, kind)
			}
		}
	}
	for i := range events { // twice: it goes on pinging
		for range 2 {
			if e := next(i, session.EventAlive); time.Since(e.At).Abs() > 5*time.Second {
				t.Errorf("ping at %v; want about now", e.At)
			}
		}
	}
	for _, want := range []session.Event{
		{Kind: session.EventRevoked, SID: token.NewSID(), Reason: "logout"}, {Kind: session.EventKeys},
	} {
		if err := s.Feed.Announce(ctx, want); err != nil {
			t.Fatalf("Announce = %v; want no error", err)
		}
		for i := range events {
			if got := next(i, want.Kind); got != want {
				t.Errorf("follower %d heard %+v; want %+v", i, got, want)
			}
		}
	}
	cancel()
	for range events {
		if err := <-done; err != nil {
			t.Errorf("Follow = %v; want nil at the end of its context", err)
		}
	}
}
