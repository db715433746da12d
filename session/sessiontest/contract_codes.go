package sessiontest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

const codeDigest = "0123456789abcdef0123456789abcdef"

func aCode() session.Code {
	return session.Code{
		Client: "portal", RedirectURI: "https://app.example.com/cb", Scopes: []string{"openid", "read"}, Nonce: "n", Challenge: "c",
		Identity: token.Identity{Name: "alice", ID: "1001", Groups: []string{"ops"}}, AMR: []string{"pwd"},
	}
}

func putCode(t testing.TB, s Subject, life time.Duration) {
	t.Helper()
	insist(t, func() error { return s.Codes.PutCode(t.Context(), codeDigest, aCode(), life) })
}

func findCode(t testing.TB, s Subject, want session.Code) {
	t.Helper()
	got, err := s.Codes.FindCode(t.Context(), codeDigest)
	if away := time.Since(got.Made).Abs(); err == nil && away > 5*time.Second {
		t.Errorf("Made = %v; want the store's now", got.Made)
	}
	want.Made = got.Made
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Fatalf("FindCode = %v; want no error (-want +got):\n%s", err, diff)
	}
}

func takeCode(t testing.TB, s Subject, by, want token.SID) {
	t.Helper()
	insist(t, func() error {
		got, err := s.Codes.TakeCode(t.Context(), codeDigest, by, time.Hour)
		if err == nil && got != want {
			t.Fatalf("TakeCode by %s = %s; want %s", by, got, want)
		}
		return err
	})
}

func testCode(t *testing.T, s Subject) {
	putCode(t, s, time.Minute)
	findCode(t, s, aCode())
	first, second := token.NewSID(), token.NewSID()
	takeCode(t, s, first, first)
	takeCode(t, s, second, first)
	takeCode(t, s, first, first) // a repeat
	taken := aCode()
	taken.TakenBy = first
	findCode(t, s, taken)
	putCode(t, s, time.Minute) // a late repeat does not make it new
	findCode(t, s, taken)
}

func testCodeLostReplies(t *testing.T, s Subject) {
	s.LoseReplies()
	putCode(t, s, time.Minute)
	by := token.NewSID()
	takeCode(t, s, by, by)
}

func testCodeEnds(t *testing.T, s Subject) {
	putCode(t, s, 50*time.Millisecond)
	wait(t, 100*time.Millisecond)
	if _, err := s.Codes.FindCode(t.Context(), codeDigest); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("FindCode after its end = %v; want not found", err)
	}
	if _, err := s.Codes.TakeCode(t.Context(), codeDigest, token.NewSID(), time.Hour); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("TakeCode after its end = %v; want not found", err)
	}
}

func testCodeTakenIsKept(t *testing.T, s Subject) {
	putCode(t, s, 200*time.Millisecond)
	by := token.NewSID()
	takeCode(t, s, by, by)
	wait(t, 250*time.Millisecond)
	takeCode(t, s, token.NewSID(), by)
}

func testCodeParallel(t *testing.T, s Subject) {
	putCode(t, s, time.Minute)
	const n = 50
	var wg sync.WaitGroup
	var mu sync.Mutex
	firsts, won := map[token.SID]bool{}, 0
	for range n {
		wg.Go(func() {
			by := token.NewSID()
			first, err := s.Codes.TakeCode(t.Context(), codeDigest, by, time.Hour)
			if err != nil {
				t.Errorf("TakeCode = %v; want no error", err)
			}
			mu.Lock()
			defer mu.Unlock()
			firsts[first] = true
			if first == by {
				won++
			}
		})
	}
	wg.Wait()
	if won != 1 || len(firsts) != 1 {
		t.Errorf("%d of %d took the code, and %d sessions were named; want one of each", won, n, len(firsts))
	}
}
