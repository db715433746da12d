package identity

import (
	"errors"
	"testing"
)

func TestCodesOfTheRFC(t *testing.T) {
	seed, err := parseSeed("gezd gnbv-gy3t qojq gezd gnbv gy3t qojq")
	if err != nil || string(seed) != "12345678901234567890" {
		t.Fatalf("parseSeed = %q, %v", seed, err)
	}
	for at, want := range map[int64]string{ // RFC 6238 appendix B
		59: "94287082", 1111111109: "07081804", 1111111111: "14050471",
		1234567890: "89005924", 2000000000: "69279037", 20000000000: "65353130",
	} {
		if got := totp(seed, at/stepSeconds, 8); got != want {
			t.Errorf("code at %d = %s; want %s", at, got, want)
		}
		if got := totp(seed, at/stepSeconds, 6); got != want[2:] {
			t.Errorf("six digits at %d = %s; want %s", at, got, want[2:])
		}
	}
}

func FuzzParseSeed(f *testing.F) {
	for _, s := range []string{"", "JBSWY3DPEHPK3PXP", "JBSWY3DPEHPK3PX", "jbsw y3dp-ehpk3pxp====", "1888888888888888", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		seed, err := parseSeed(text)
		if err == nil && len(seed) < minSeed || err != nil && !errors.Is(err, errSeed) {
			t.Errorf("parseSeed(%q) = %d bytes, %v", text, len(seed), err)
		}
	})
}
