package upstream

import (
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/seal"
	"github.com/gatehouse-gateway/gatehouse/token"
)

func TestNextStepIsLaterThanTheLast(t *testing.T) {
	const now = 1000
	for name, tt := range map[string]struct {
		last int64
		into time.Duration // of the step now
		want int64
	}{
		"the first":                     {0, 0, now},
		"after an old one":              {now - 1, 0, now},
		"after the same":                {now, 0, now + 1},
		"after the one to come":         {now + 1, 0, now + 2},
		"after a clock was set back":    {now + 2, 0, now},
		"with two seconds left":         {0, 28 * time.Second, now},
		"with less":                     {0, 28*time.Second + 1, now + 1},
		"with less, after the same":     {now, 28*time.Second + 1, now + 1},
		"with less, after that to come": {now + 1, 28*time.Second + 1, now + 2},
	} {
		t.Run(name, func(t *testing.T) {
			b := &Backend{}
			b.coded.Store(tt.last)
			if got := b.nextStep(token.StepBegins(now).Add(tt.into)); got != tt.want || b.coded.Load() != tt.want {
				t.Errorf("nextStep = %d; want %d, and that it is remembered", got-now, tt.want-now)
			}
		})
	}
}

// No text but the one that was given out is read as the name of a challenge.
func FuzzChallengeName(f *testing.F) {
	ring, err := seal.New([]token.Secret{token.NewSecret(strings.Repeat("s", 32))})
	if err != nil {
		f.Fatal(err)
	}
	n, other := newNames(ring, "fac"), newNames(ring, "other")
	good := n.challengeName("0123456789abcdef0123")
	for _, s := range []string{"", good, strings.ToUpper(good), good[:30], good + "00", other.challengeName("0123456789abcdef0123"), strings.Repeat("0", 32)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if id, ok := n.challengeOf(text); ok && n.challengeName(id) != text {
			t.Errorf("%q was read as %s", text, id)
		}
		if _, ok := other.challengeOf(text); ok && text == good {
			t.Error("a name is good at two backends")
		}
	})
	if id, ok := n.challengeOf(good); !ok || id != "0123456789abcdef0123" {
		f.Errorf("%s was read as %q, %v", good, id, ok)
	}
}
