package upstreamtest

import (
	"errors"
	"testing"

	"github.com/gatehouse-gateway/gatehouse/upstream"
)

const challengeID = "0123456789abcdef0123"

func wantChallenge(t *testing.T, f Fixture, backend, id, want string) {
	t.Helper()
	got, err := f.Challenges.Find(t.Context(), backend, id)
	if none := errors.Is(err, upstream.ErrNoChallenge); none != (want == "") || err != nil && !none || got != want {
		t.Errorf("Find(%s, %s) = %q, %v; want %q", backend, id, got, err, want)
	}
}

func challengeIsKept(t *testing.T, f Fixture) {
	wantChallenge(t, f, "fac", challengeID, "")
	for _, sealed := range []string{"sealed", "sealed", "another"} { // the first counts
		if err := f.Challenges.Keep(t.Context(), "fac", challengeID, sealed, long); err != nil {
			t.Fatal(err)
		}
	}
	wantChallenge(t, f, "fac", challengeID, "sealed")
	wantChallenge(t, f, "fac", challengeID, "sealed") // it may be asked for often
	wantChallenge(t, f, "other", challengeID, "")
	wantChallenge(t, f, "fac", "0123456789abcdef0124", "")
}

func challengeEnds(t *testing.T, f Fixture) {
	if err := f.Challenges.Keep(t.Context(), "fac", challengeID, "sealed", 10*short); err != nil {
		t.Fatal(err)
	}
	f.Advance(short)
	wantChallenge(t, f, "fac", challengeID, "sealed")
	f.Advance(9 * short)
	wantChallenge(t, f, "fac", challengeID, "")
}

func challengeIsDropped(t *testing.T, f Fixture) {
	if err := f.Challenges.Keep(t.Context(), "fac", challengeID, "sealed", long); err != nil {
		t.Fatal(err)
	}
	for _, backend := range []string{"other", "fac", "fac"} {
		if err := f.Challenges.Drop(t.Context(), backend, challengeID); err != nil {
			t.Fatal(err)
		}
		if backend == "other" {
			wantChallenge(t, f, "fac", challengeID, "sealed")
		}
	}
	wantChallenge(t, f, "fac", challengeID, "")
}
