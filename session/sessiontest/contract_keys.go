package sessiontest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-gateway/gatehouse/session"
)

func testKeys(t *testing.T, s Subject) {
	if _, _, err := s.Keys.Load(t.Context()); !errors.Is(err, session.ErrNotFound) {
		t.Fatalf("Load = %v; want ErrNotFound", err)
	}
	for _, mine := range []string{"first", "second"} {
		if got, err := s.Keys.Settle(t.Context(), mine); err != nil || got != "first" {
			t.Errorf("Settle(%s) = %q, %v; want first", mine, got, err)
		}
	}
	got, at, err := s.Keys.Load(t.Context())
	if err != nil || got != "first" || time.Since(at).Abs() > 5*time.Second {
		t.Errorf("Load = %q at %v, %v; want first, about now", got, at, err)
	}
}

func testKeysSwap(t *testing.T, s Subject) {
	if swapped, err := s.Keys.Swap(t.Context(), "first", "second"); err != nil || swapped {
		t.Fatalf("Swap of nothing = %v, %v; want false", swapped, err)
	}
	if _, err := s.Keys.Settle(t.Context(), "first"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		old, next string
		want      bool
	}{
		{"another", "second", false},
		{"first", "second", true},
		{"first", "second", true}, // a repeat says the same
		{"first", "third", false},
	} {
		if got, err := s.Keys.Swap(t.Context(), c.old, c.next); err != nil || got != c.want {
			t.Errorf("Swap(%s, %s) = %v, %v; want %v", c.old, c.next, got, err, c.want)
		}
	}
	var won atomic.Int64
	var wg sync.WaitGroup
	for _, next := range []string{"a", "b", "c", "d", "e"} {
		wg.Go(func() {
			if swapped, err := s.Keys.Swap(t.Context(), "second", next); err == nil && swapped {
				won.Add(1)
			}
		})
	}
	if wg.Wait(); won.Load() != 1 {
		t.Errorf("of five who swapped the same manifest %d won; want 1", won.Load())
	}
}

func testKeysLostReplies(t *testing.T, s Subject) {
	if _, err := s.Keys.Settle(t.Context(), "first"); err != nil {
		t.Fatal(err)
	}
	s.LoseReplies()
	swapped := false
	insist(t, func() (err error) { swapped, err = s.Keys.Swap(t.Context(), "first", "second"); return err })
	if !swapped {
		t.Error("Swap whose reply was lost = false; want true")
	}
	r := session.Replica{ID: "a", Secrets: []string{"11111111"}, Using: "11111111", Serving: true}
	var roster session.Roster
	insist(t, func() (err error) { roster, err = s.Replicas.Beat(t.Context(), r, time.Hour); return err })
	if len(roster.Alive) != 1 {
		t.Errorf("alive = %+v; want one", roster.Alive)
	}
	insist(t, func() (err error) { roster, err = s.Replicas.Leave(t.Context(), "a"); return err })
	if len(roster.Alive) != 0 {
		t.Errorf("alive after it left = %+v; want nobody", roster.Alive)
	}
}

func beat(t testing.TB, s Subject, r session.Replica, life time.Duration) []session.Replica {
	t.Helper()
	roster, err := s.Replicas.Beat(t.Context(), r, life)
	if err != nil {
		t.Fatalf("Beat = %v; want no error", err)
	}
	if time.Since(roster.At).Abs() > 5*time.Second {
		t.Errorf("Beat at %v; want about now", roster.At)
	}
	return roster.Alive
}

func testReplicas(t *testing.T, s Subject) {
	a := session.Replica{
		ID: "aa", Host: "gate-1", Version: "v1", Started: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC),
		Secrets: []string{"11111111", "22222222"}, Using: "11111111", Keys: []string{"kid"}, Serving: true,
	}
	b := session.Replica{ID: "bb", Secrets: []string{"22222222"}, Using: "22222222"}
	beat(t, s, b, 80*time.Millisecond)
	if diff := cmp.Diff([]session.Replica{a, b}, beat(t, s, a, time.Hour)); diff != "" {
		t.Errorf("alive (-want +got):\n%s", diff)
	}
	wait(t, 120*time.Millisecond)
	a.Using = "22222222"
	if diff := cmp.Diff([]session.Replica{a}, beat(t, s, a, time.Hour)); diff != "" {
		t.Errorf("alive when the other missed its time (-want +got):\n%s", diff)
	}
	if got := beat(t, s, b, time.Hour); len(got) != 2 {
		t.Errorf("alive = %+v; want both again", got)
	}
}

func testReplicaLeaves(t *testing.T, s Subject) {
	for _, id := range []string{"aa", "bb"} {
		beat(t, s, session.Replica{ID: id}, time.Hour)
	}
	for _, c := range []struct {
		id   string
		left int
	}{{"", 2}, {"aa", 1}, {"aa", 1}, {"cc", 1}, {"bb", 0}} {
		roster, err := s.Replicas.Leave(t.Context(), c.id)
		if err != nil || len(roster.Alive) != c.left {
			t.Errorf("Leave(%s) = %+v, %v; want %d left", c.id, roster.Alive, err, c.left)
		}
	}
}

func testSecrets(t *testing.T, s Subject) {
	secrets := func() map[string]session.SecretUse {
		t.Helper()
		uses, err := s.Replicas.Secrets(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		m := map[string]session.SecretUse{}
		for _, u := range uses {
			m[u.Fingerprint] = u
		}
		return m
	}
	r := session.Replica{ID: "aa", Secrets: []string{"11111111", "22222222"}, Using: "11111111"}
	beat(t, s, r, time.Hour)
	if got := secrets(); len(got) != 0 {
		t.Errorf("secrets of one that does not serve = %v; want none", got)
	}
	r.Serving = true
	beat(t, s, r, time.Hour)
	first := secrets()
	one, two := first["11111111"], first["22222222"]
	if len(first) != 2 || one.Seen.IsZero() || !one.First.Equal(one.Last) || one.First.IsZero() || two.Seen.IsZero() || !two.Last.IsZero() || !two.First.IsZero() {
		t.Fatalf("secrets = %+v; want both seen and one used", first)
	}
	wait(t, 20*time.Millisecond)
	beat(t, s, r, time.Hour)
	r.Using = "22222222"
	wait(t, 20*time.Millisecond)
	beat(t, s, r, time.Hour)
	then := secrets()
	if got := then["11111111"]; !got.Seen.Equal(one.Seen) || !got.First.Equal(one.First) || !got.Last.After(one.Last) {
		t.Errorf("former secret = %+v; want it last used later than in %+v, the rest as it was", got, one)
	}
	if got := then["22222222"]; !got.Seen.Equal(two.Seen) || !got.First.After(then["11111111"].Last) || !got.Last.Equal(got.First) {
		t.Errorf("new secret = %+v; want it used once, after the former", got)
	}
}
