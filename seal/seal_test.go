package seal_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/gatehouse-gateway/gatehouse/seal"
	"github.com/gatehouse-gateway/gatehouse/token"
)

func ring(t testing.TB, secrets ...string) *seal.Keyring {
	t.Helper()
	var list []token.Secret
	for _, s := range secrets {
		list = append(list, token.NewSecret(s))
	}
	k, err := seal.New(list)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

const (
	first  = "the first secret, 32 bytes or more"
	second = "the second secret, also long enough"
)

var place = seal.Place{Owner: "0123456789abcdef", Backend: "fabric", Field: "access", Version: 7}

func TestSecretsUnder32BytesAreRefused(t *testing.T) {
	for n, ok := range map[int]bool{seal.MinSecret - 1: false, seal.MinSecret: true} {
		_, err := seal.New([]token.Secret{token.NewSecret(strings.Repeat("x", n))})
		if (err == nil) != ok || err != nil && !errors.Is(err, seal.ErrShortSecret) {
			t.Errorf("New with %d bytes: %v", n, err)
		}
	}
	if _, err := seal.New(nil); !errors.Is(err, seal.ErrShortSecret) {
		t.Errorf("New without a secret: %v", err)
	}
}

func TestSealedValueOpensOnlyInItsPlace(t *testing.T) {
	k := ring(t, first)
	text := []byte("an access token of the backend")
	sealed := k.Seal(place, text)
	if got, err := k.Open(place, sealed); err != nil || !bytes.Equal(got, text) {
		t.Fatalf("Open = %q, %v", got, err)
	}
	others := map[string]seal.Place{
		"owner":   {Owner: "0123456789abcdee", Backend: "fabric", Field: "access", Version: 7},
		"backend": {Owner: place.Owner, Backend: "fabric2", Field: "access", Version: 7},
		"field":   {Owner: place.Owner, Backend: "fabric", Field: "refresh", Version: 7},
		"version": {Owner: place.Owner, Backend: "fabric", Field: "access", Version: 6},
	}
	for name, p := range others {
		if _, err := k.Open(p, sealed); !errors.Is(err, seal.ErrUnsealable) {
			t.Errorf("opened in a place with another %s: %v", name, err)
		}
	}
	if strings.Contains(sealed, "access token") || k.Seal(place, text) == sealed {
		t.Error("a sealed value shows its text, or two of one text are equal")
	}
}

func TestAlteredOrForeignValuesDoNotOpen(t *testing.T) {
	k := ring(t, first)
	sealed := k.Seal(place, []byte("text"))
	flipped := []byte(sealed)
	flipped[len(flipped)-3] ^= 1
	for _, bad := range []string{"", ".", "00000000.", string(flipped), sealed[:len(sealed)-4], strings.Replace(sealed, ".", "", 1)} {
		if _, err := k.Open(place, bad); !errors.Is(err, seal.ErrUnsealable) {
			t.Errorf("Open(%q) = %v; want ErrUnsealable", bad, err)
		}
	}
	if _, err := ring(t, second).Open(place, sealed); !errors.Is(err, seal.ErrUnsealable) {
		t.Error("opened under a secret that did not seal it")
	}
}

func TestSecretsRollWithoutLosingWhatTheySealedAndSigned(t *testing.T) {
	old, both := ring(t, first), ring(t, second, first)
	sealed := old.Seal(place, []byte("text"))
	if _, err := both.Open(place, sealed); err != nil {
		t.Errorf("a value of the older secret does not open: %v", err)
	}
	var code [11]byte
	old.MAC("refresh").Sum(code[:], []byte("sid"), []byte("gen"))
	m := both.MAC("refresh")
	if !m.Verify(code[:], []byte("sid"), []byte("gen")) {
		t.Error("a code of the older secret is refused")
	}
	if ring(t, second).MAC("refresh").Verify(code[:], []byte("sid"), []byte("gen")) {
		t.Error("a code is taken under a secret that did not make it")
	}
	if got := both.Fingerprints(); len(got) != 2 || got[1] != old.Fingerprints()[0] || got[0] == got[1] {
		t.Errorf("Fingerprints = %v", got)
	}
}

func TestCodesDependOnPurposeAndOnWhereEachPartEnds(t *testing.T) {
	k := ring(t, first)
	var code [11]byte
	k.MAC("refresh").Sum(code[:], []byte("ab"), []byte("c"))
	m := k.MAC("refresh")
	if !m.Verify(code[:], []byte("ab"), []byte("c")) {
		t.Fatal("a good code is refused")
	}
	if m.Verify(code[:], []byte("a"), []byte("bc")) || k.MAC("access").Verify(code[:], []byte("ab"), []byte("c")) {
		t.Error("a code is taken for other parts or another purpose")
	}
	if m.Verify(nil, []byte("ab"), []byte("c")) || m.Verify(make([]byte, 65), []byte("ab")) {
		t.Error("an empty or overlong code is taken")
	}
	if d := k.MAC("api").Digest("x"); len(d) != 1 || len(d[0]) != 32 {
		t.Errorf("Digest = %v; want one of 32 hex digits", d)
	}
}

func TestRandomKeyringsDiffer(t *testing.T) {
	one, other := seal.Random(), seal.Random()
	if one.Fingerprints()[0] == other.Fingerprints()[0] {
		t.Error("two random keyrings are the same")
	}
}

func FuzzOpenNeverPanics(f *testing.F) {
	k := ring(f, first)
	f.Add(k.Seal(place, []byte("text")))
	f.Add("00000000.AAAA")
	f.Fuzz(func(t *testing.T, sealed string) {
		if text, err := k.Open(place, sealed); err == nil && string(text) != "text" {
			t.Errorf("Open(%q) = %q", sealed, text)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	k := ring(b, first)
	sealed := k.Seal(place, bytes.Repeat([]byte("x"), 900))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Open(place, sealed); err != nil {
			b.Fatal(err)
		}
	}
}

// TestHS256CodeIsOfOnePurpose: and good under any known secret, of which the first
// makes it.
func TestHS256CodeIsOfOnePurpose(t *testing.T) {
	old, rolled := ring(t, first).HS256("jwt"), ring(t, second, first).HS256("jwt")
	text := []byte("header.payload")
	code := old.Sign(text)
	switch {
	case len(code) != 32:
		t.Errorf("a code of %d bytes; want 32", len(code))
	case !old.Verify(text, code) || !rolled.Verify(text, code):
		t.Error("a good code is refused")
	case bytes.Equal(rolled.Sign(text), code) || old.Verify(text, rolled.Sign(text)):
		t.Error("the first secret does not make the code")
	}
	for name, bad := range map[string][]byte{"none": nil, "half": code[:16], "longer": append(code[:32:32], 0)} {
		if old.Verify(text, bad) {
			t.Errorf("%s: taken", name)
		}
	}
	if old.Verify([]byte("header.payloae"), code) || ring(t, first).HS256("other").Verify(text, code) {
		t.Error("a code is taken for another text or purpose")
	}
}

// What was derived before follows the choice: replicas switch while they run.
func TestPreferredSecretMakesAndAllVerify(t *testing.T) {
	k := ring(t, first, second)
	m, h := k.MAC("refresh"), k.HS256("jwt")
	other, otherH := ring(t, second).MAC("refresh"), ring(t, second).HS256("jwt")
	before := m.Digest("x")
	if k.Prefer("00000000") || k.Using() != k.Fingerprints()[0] {
		t.Error("an unknown secret is preferred")
	}
	if !k.Prefer(k.Fingerprints()[1]) || k.Using() != k.Fingerprints()[1] {
		t.Fatalf("Using = %s; want the second secret", k.Using())
	}
	var code [11]byte
	m.Sum(code[:], []byte("sid"))
	if !other.Verify(code[:], []byte("sid")) || !m.Verify(code[:], []byte("sid")) {
		t.Error("Sum is not under the preferred secret, or Verify does not take it")
	}
	if text := []byte("signed"); !otherH.Verify(text, h.Sign(text)) {
		t.Error("Sign is not under the preferred secret")
	}
	if sealed := k.Seal(place, []byte("text")); seal.Under(sealed) != k.Using() {
		t.Errorf("sealed under %s; want %s", seal.Under(sealed), k.Using())
	}
	if got := m.Digest("x"); got[0] != before[1] || got[1] != before[0] || len(got) != 2 {
		t.Errorf("Digest = %v; want those of %v, the preferred one first", got, before)
	}
	if got := seal.Under("no dot"); got != "" {
		t.Errorf("Under = %q; want nothing", got)
	}
}

func BenchmarkSum(b *testing.B) {
	m := ring(b, first, second).MAC("access")
	var code [11]byte
	part := []byte("0123456789a")
	b.ReportAllocs()
	for b.Loop() {
		m.Sum(code[:], part)
	}
}

func BenchmarkVerify(b *testing.B) {
	m := ring(b, first, second).MAC("access")
	var code [11]byte
	part := []byte("0123456789a")
	m.Sum(code[:], part)
	b.ReportAllocs()
	for b.Loop() {
		if !m.Verify(code[:], part) {
			b.Fatal("a good code is refused")
		}
	}
}
