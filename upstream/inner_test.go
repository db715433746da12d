package upstream

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/seal"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// The clock of the store may have been set back since the tokens were stored.
func TestNoTokenHasMoreLeftThanItsLife(t *testing.T) {
	for _, left := range []time.Duration{time.Minute, time.Minute + 1, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			tk := &tokens{}
			tk.times(time.Minute, left)
			if got := time.Until(tk.expires); got != time.Minute {
				t.Errorf("with a life of 1m and %v left it expires in %v; want 1m", left, got)
			}
		})
	}
}

func TestPhases(t *testing.T) {
	for _, tt := range []struct {
		life, age time.Duration
		want      phase
	}{
		{30 * time.Minute, 0, phaseGood},
		{30 * time.Minute, 23 * time.Minute, phaseGood},
		{30 * time.Minute, 25 * time.Minute, phaseEarly},
		{30 * time.Minute, 30*time.Minute - 31*time.Second, phaseEarly},
		{30 * time.Minute, 30*time.Minute - 30*time.Second, phaseDue},
		{30 * time.Minute, 30*time.Minute - time.Nanosecond, phaseDue},
		{30 * time.Minute, 30 * time.Minute, phaseOver},
		{time.Minute, 54*time.Second - 1, phaseEarly},
		{time.Minute, 54 * time.Second, phaseDue}, // a tenth of its life, not 30 s
		{0, 1000 * time.Hour, phaseGood},
		{time.Second, 3 * time.Second, phaseGood}, // five seconds are believed at least
	} {
		synctest.Test(t, func(t *testing.T) {
			tk := &tokens{}
			tk.times(tt.life, tt.life)
			if got := tk.phase(time.Now().Add(tt.age)); got != tt.want {
				t.Errorf("phase of a token of %v after %v = %d; want %d", tt.life, tt.age, got, tt.want)
			}
		})
	}
}

func TestBackOffGrowsToThirtySeconds(t *testing.T) {
	for failures, want := range map[int]time.Duration{
		0: time.Second, 1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 5: 16 * time.Second,
		6: 30 * time.Second, 7: 30 * time.Second, 1 << 40: 30 * time.Second,
	} {
		for range 20 {
			if got := backOff(failures); got < want || got > want+want/5 {
				t.Errorf("backOff(%d) = %v; want %v and a fifth more at most", failures, got, want)
			}
		}
	}
}

func TestOldRecordDoesNotOpenInTheNewOnesPlace(t *testing.T) {
	n := newNames(seal.Random(), "fabric")
	r := Ref{Owner: n.account(&Account{Username: "svc"}, nil), Backend: "fabric"}
	rec := n.seal(r, &tokens{version: 3, access: token.NewSecret("A"), refresh: token.NewSecret("R")})
	got, err := n.open(r, rec)
	if err != nil || got.access.Reveal() != "A" || got.refresh.Reveal() != "R" || got.version != 3 {
		t.Fatalf("open = %+v, %v; want what was sealed", got, err)
	}
	for name, bad := range map[string]Record{
		"another version":      {Version: 4, Access: rec.Access, Refresh: rec.Refresh},
		"fields exchanged":     {Version: 3, Access: rec.Refresh, Refresh: rec.Access},
		"refresh token forged": {Version: 3, Access: rec.Access, Refresh: "x.y"},
	} {
		if _, err := n.open(r, bad); !errors.Is(err, seal.ErrUnsealable) {
			t.Errorf("%s: %v; want ErrUnsealable", name, err)
		}
	}
	if _, err := n.open(Ref{Owner: "a.other", Backend: "fabric"}, rec); !errors.Is(err, seal.ErrUnsealable) {
		t.Errorf("another owner: %v; want ErrUnsealable", err)
	}
	if _, err := n.open(r, Record{}); !errors.Is(err, errNoTokens) {
		t.Errorf("empty record: %v; want errNoTokens", err)
	}
}

func TestDigestsTellCredentialsApart(t *testing.T) {
	n := newNames(seal.Random(), "fabric")
	seen := map[string]token.Grant{}
	for _, g := range []token.Grant{
		{Username: "a", Password: token.NewSecret("b")},
		{Username: "a", Password: token.NewSecret("c")},
		{Username: "a\" \"b", Password: token.NewSecret("")},
		{Username: "", Realm: "a", Password: token.NewSecret("b")},
		{Username: "ab"},
	} {
		d := n.digest(g)
		if other, ok := seen[d]; ok {
			t.Errorf("%+v and %+v have one digest", g, other)
		}
		seen[d] = g
		if n.user(g) == n.account(&Account{Username: g.Username}, nil) {
			t.Errorf("%q has one owner as a user and as an account", g.Username)
		}
	}
}

func TestCappedBodyFailsOverItsLimit(t *testing.T) {
	for _, tt := range []struct {
		size int
		want error
	}{{10, nil}, {11, errTooLong}} {
		for _, wrap := range []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.DataErrReader, func(r io.Reader) io.Reader { return r }} {
			b := &cappedBody{ReadCloser: io.NopCloser(wrap(strings.NewReader(strings.Repeat("x", tt.size)))), left: 10}
			got, err := io.ReadAll(b)
			if !errors.Is(err, tt.want) || tt.want == nil && err != nil || len(got) != 10 {
				t.Errorf("%d bytes under a limit of 10 = %d bytes, %v; want 10, %v", tt.size, len(got), err, tt.want)
			}
		}
	}
}

func TestKnownIdentitiesAreBounded(t *testing.T) {
	s := newIdentities()
	for range maxKnown + 1 {
		s.get(token.NewSecret(token.NewSID().String()))
	}
	if n := len(s.all); n > maxKnown {
		t.Errorf("remembered = %d; want %d at most", n, maxKnown)
	}
}

func FuzzSendable(f *testing.F) {
	for _, s := range []string{"", "abc", "a b", "a\nb", "\x7f", "ä"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want := s != "" && len(s) <= maxToken && strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
		if got := sendable(token.NewSecret(s)); got != want {
			t.Errorf("sendable(%q) = %v; want %v", s, got, want)
		}
	})
}
