package upstreamtest

import (
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/upstream"
)

func attempt(t *testing.T, f Fixture, a upstream.Attempt) upstream.Answer {
	t.Helper()
	a.Ref = account
	if a.Digest == "" {
		a.Digest = "digest"
	}
	if a.Window == 0 {
		a.Window = long
	}
	a.Keep = time.Hour
	var ans upstream.Answer
	for range 2 { // repeated, since an answer may be lost
		var err error
		if ans, err = f.Store.Attempt(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	return ans
}

func twoRejectionsStop(t *testing.T, f Fixture) {
	for _, id := range []string{"1", "2"} {
		wantState(t, "Begin "+id, attempt(t, f, upstream.Attempt{ID: id}), upstream.Done)
		attempt(t, f, upstream.Attempt{ID: id, Trial: upstream.Rejected})
	}
	wantState(t, "third Begin", attempt(t, f, upstream.Attempt{ID: "3"}), upstream.Stopped)
	wantState(t, "Begin with another credential", attempt(t, f, upstream.Attempt{ID: "4", Digest: "new"}), upstream.Done)
}

func openAttempts(t *testing.T, f Fixture) {
	attempt(t, f, upstream.Attempt{ID: "1", Window: short})
	attempt(t, f, upstream.Attempt{ID: "2", Window: short})
	a := attempt(t, f, upstream.Attempt{ID: "3", Window: short})
	wantState(t, "Begin beside two", a, upstream.Wait)
	if a.Wait <= 0 || a.Wait > short {
		t.Errorf("Wait = %v; want what is left of %v", a.Wait, short)
	}
	f.Advance(2 * short)
	wantState(t, "Begin after two that were never concluded", attempt(t, f, upstream.Attempt{ID: "3"}), upstream.Stopped)
}

func acceptedClears(t *testing.T, f Fixture) {
	attempt(t, f, upstream.Attempt{ID: "1"})
	attempt(t, f, upstream.Attempt{ID: "1", Trial: upstream.Rejected})
	attempt(t, f, upstream.Attempt{ID: "2"})
	attempt(t, f, upstream.Attempt{ID: "2", Trial: upstream.Accepted, Digest: "stranger"})
	wantState(t, "Begin after another credential was accepted", attempt(t, f, upstream.Attempt{ID: "3"}), upstream.Wait)
	attempt(t, f, upstream.Attempt{ID: "2", Trial: upstream.Accepted})
	wantState(t, "Begin", attempt(t, f, upstream.Attempt{ID: "4"}), upstream.Done)
	wantState(t, "a second Begin", attempt(t, f, upstream.Attempt{ID: "5"}), upstream.Done)
}

func commitClears(t *testing.T, f Fixture) {
	for _, id := range []string{"1", "2"} {
		attempt(t, f, upstream.Attempt{ID: id})
		attempt(t, f, upstream.Attempt{ID: id, Trial: upstream.Rejected})
	}
	commit(t, f, account, "h", 1)
	wantState(t, "Begin after a commit", attempt(t, f, upstream.Attempt{ID: "3"}), upstream.Done)
}

func voidAttempt(t *testing.T, f Fixture) {
	for _, id := range []string{"1", "2", "3"} {
		wantState(t, "Begin "+id, attempt(t, f, upstream.Attempt{ID: id}), upstream.Done)
		attempt(t, f, upstream.Attempt{ID: id, Trial: upstream.Void})
	}
}

func dutiesComeDue(t *testing.T, f Fixture) {
	add := func(owner string, in time.Duration) {
		t.Helper()
		if err := f.Duties.Add(t.Context(), "fabric", "own", owner, in); err != nil {
			t.Fatal(err)
		}
	}
	want := func(within time.Duration, n int, owners ...string) {
		t.Helper()
		got, err := f.Duties.Due(t.Context(), "fabric", "own", within, n)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(owners) {
			t.Fatalf("Due(%v) = %q; want %q", within, got, owners)
		}
		for i := range got {
			if got[i] != owners[i] {
				t.Fatalf("Due(%v) = %q; want %q", within, got, owners)
			}
		}
	}
	want(long, 10)
	add("late", long)
	add("soon", short)
	want(0, 10)
	want(2*long, 10, "soon", "late")
	want(2*long, 1, "soon")
	f.Advance(2 * short)
	want(0, 10, "soon")
	add("soon", long/2)
	want(0, 10)
	if err := f.Duties.Remove(t.Context(), "fabric", "own", "late"); err != nil {
		t.Fatal(err)
	}
	want(2*long, 10, "soon")
	got, err := f.Duties.Due(t.Context(), "other", "own", 2*long, 10)
	if err != nil || len(got) != 0 {
		t.Errorf("Due of another backend = %q, %v; want none", got, err)
	}
}
