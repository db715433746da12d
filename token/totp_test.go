package token

import (
	"errors"
	"testing"
	"time"
)

func TestCodesOfTheRFC(t *testing.T) {
	seed, err := ParseSeed(NewSecret("gezd gnbv-gy3t qojq gezd gnbv gy3t qojq"))
	if err != nil || seed.key.Reveal() != "12345678901234567890" {
		t.Fatalf("ParseSeed = %q, %v", seed.key.Reveal(), err)
	}
	for at, want := range map[int64]string{ // RFC 6238 appendix B
		59: "94287082", 1111111109: "07081804", 1111111111: "14050471",
		1234567890: "89005924", 2000000000: "69279037", 20000000000: "65353130",
	} {
		step := StepAt(time.Unix(at, 0))
		if got := seed.Code(step, 8).Reveal(); got != want {
			t.Errorf("code at %d = %s; want %s", at, got, want)
		}
		if got := seed.Code(step, 6).Reveal(); got != want[2:] {
			t.Errorf("six digits at %d = %s; want %s", at, got, want[2:])
		}
	}
}

func TestStepsBeginEveryThirtySeconds(t *testing.T) {
	for at, want := range map[int64]int64{0: 0, 29: 0, 30: 30, 59: 30, 1111111111: 1111111110} {
		if got := StepBegins(StepAt(time.Unix(at, 0))).Unix(); got != want {
			t.Errorf("the step of %d begins at %d; want %d", at, got, want)
		}
	}
}

func TestSeedHas16CharactersAtLeast(t *testing.T) {
	for text, ok := range map[string]bool{"JBSWY3DPEHPK3PXP": true, "JBSWY3DPEHPK3P": false, "": false, "1BSWY3DPEHPK3PXP": false} {
		if seed, err := ParseSeed(NewSecret(text)); (err == nil) != ok || seed.IsZero() == ok {
			t.Errorf("ParseSeed(%q) = %v, %v; want success: %v", text, seed.IsZero(), err, ok)
		}
	}
}

func FuzzParseSeed(f *testing.F) {
	for _, s := range []string{"", "JBSWY3DPEHPK3PXP", "JBSWY3DPEHPK3PX", "jbsw y3dp-ehpk3pxp====", "1888888888888888", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		seed, err := ParseSeed(NewSecret(text))
		if err == nil && len(seed.key.Reveal()) < minSeed || err != nil && !errors.Is(err, errSeed) {
			t.Errorf("ParseSeed(%q) = %d bytes, %v", text, len(seed.key.Reveal()), err)
		}
	})
}
