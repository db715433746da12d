package portal

import (
	"encoding/base64"
	"testing"

	"github.com/gatehouse-gateway/gatehouse/token"
)

var someCore = token.Core{1, 2, 3, 4, 5, 6, 7, 8, 0x0a, 0x0b, 0x0c, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0xfa, 0xf9, 0xf8, 0xf7, 0xf6, 0xf5}

func TestShapeReadsWhatItWrote(t *testing.T) {
	text, err := Shape{}.MintAccess(token.Access{}, someCore)
	if err != nil || len(text.Reveal()) != 30 {
		t.Fatalf("MintAccess = %d characters, %v; want 30", len(text.Reveal()), err)
	}
	a, core, err := Shape{}.ParseAccess(text)
	if err != nil || core == nil || *core != someCore {
		t.Fatalf("ParseAccess = %v, %v", core, err)
	}
	if want := (token.SID{1, 2, 3, 4, 5, 6, 7, 8}); a.SID != want {
		t.Errorf("SID = %v; want %v", a.SID, want)
	}
	if a.Generation != 0x0a0b0c {
		t.Errorf("Generation = %#x; want 0x0a0b0c", a.Generation)
	}
}

func TestShapeTakesOneSpellingOnly(t *testing.T) {
	good := base64.RawURLEncoding.EncodeToString(someCore[:])
	for name, s := range map[string]string{
		"empty":          "",
		"short":          good[:29],
		"long":           good + "A",
		"padded":         good + "==",
		"trailing bits":  good[:29] + string(good[29]+1),
		"line end":       good[:29] + "\n",
		"line end more":  good + "\n",
		"standard":       "//////////////////////////////",
		"another letter": good[:28] + "é",
	} {
		if _, core, err := (Shape{}).ParseAccess(token.NewSecret(s)); core != nil || token.KindOf(err) != token.InvalidAccess {
			t.Errorf("%s: ParseAccess = %v, %v; want InvalidAccess", name, core, err)
		}
	}
}

func TestPortalHasNoRefreshTokens(t *testing.T) {
	if s, err := (Shape{}).MintRefresh(token.Access{}, someCore); !s.IsZero() || err != nil {
		t.Errorf("MintRefresh made a token, or failed: %v", err)
	}
	access := token.NewSecret(base64.RawURLEncoding.EncodeToString(someCore[:]))
	if _, core, err := (Shape{}).ParseRefresh(access); core != nil || token.KindOf(err) != token.InvalidRefresh {
		t.Errorf("ParseRefresh of an access token = %v, %v; want InvalidRefresh", core, err)
	}
}

func FuzzParseAccess(f *testing.F) {
	f.Add(base64.RawURLEncoding.EncodeToString(someCore[:]))
	f.Add("\r\n")
	f.Fuzz(func(t *testing.T, s string) {
		_, core, err := Shape{}.ParseAccess(token.NewSecret(s))
		if err != nil {
			return
		}
		if again, _ := (Shape{}).MintAccess(token.Access{}, *core); again.Reveal() != s {
			t.Errorf("%q reads as the token %q", s, again.Reveal())
		}
	})
}
