package dialect_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

var sbcIssued = time.Date(2020, 4, 1, 15, 35, 8, 999, time.FixedZone("CEST", 7200))

func sbcMint(t testing.TB, name string, admin bool, core token.Core) string {
	t.Helper()
	a := token.Access{Identity: token.Identity{Name: name, Admin: admin}, IssuedAt: sbcIssued}
	text, err := sbc(t).Tokens.MintAccess(nil, a, core)
	if err != nil {
		t.Fatal(err)
	}
	return text.Reveal()
}

func sbcParse(t testing.TB, text string) (token.Core, bool) {
	t.Helper()
	a, core, err := sbc(t).Tokens.ParseAccess(nil, token.NewSecret(text))
	if err != nil {
		if token.KindOf(err) != token.InvalidAccess || core != nil {
			t.Fatalf("ParseAccess(%q) = %v, %v", text, core, err)
		}
		return token.Core{}, false
	}
	if a.SID != (token.SID{}) || a.Identity.Name != "" {
		t.Fatalf("ParseAccess(%q) believes %+v", text, a)
	}
	return *core, true
}

// TestSBCTokenLooksLikeTheVendors: also for names that cannot stand in it as they
// are, none of which makes a token that a form would change.
func TestSBCTokenLooksLikeTheVendors(t *testing.T) {
	shape := regexp.MustCompile(`^[A-Za-z0-9]+={0,2}$`)
	seen := map[string]string{}
	for _, name := range []string{
		"admin", "a", "", "a b", "a,b", "a%2Cb", "a>b", "a?b", "a~b", "~", "~~", "~~~", "a\x7f", "é", "jörg@example.com", "\xff\xfe", "a\nb",
		strings.Repeat("x", 256), strings.Repeat("~", 256),
	} {
		core := randomCore()
		text := sbcMint(t, name, name == "admin", core)
		plain, err := base64.StdEncoding.DecodeString(text)
		if err != nil || !shape.MatchString(text) {
			t.Fatalf("%q: %s: %v", name, text, err)
		}
		f := strings.Split(string(plain), ",")
		class := map[bool]string{true: "admin", false: "user"}[name == "admin"]
		if len(f) != 4 || f[1] != class || f[2] != "2020-04-01 13:35:08" || len(f[3]) != 64 {
			t.Errorf("%q: %q; want user,class,date in UTC,64 hex digits", name, plain)
		}
		if other, twice := seen[f[0]]; twice {
			t.Errorf("%q and %q look alike: %q", name, other, f[0])
		}
		seen[f[0]] = name
		if got, ok := sbcParse(t, text); !ok || got != core {
			t.Errorf("%q: %s does not read back", name, text)
		}
	}
	long := token.Access{Identity: token.Identity{Name: strings.Repeat("x", 257)}, IssuedAt: sbcIssued}
	if _, err := sbc(t).Tokens.MintAccess(nil, long, token.Core{}); err == nil {
		t.Error("a name of 257 bytes was taken")
	}
}

// TestSBCTokenHasOneSpelling changes every character to every other, and drops,
// doubles and adds some.
func TestSBCTokenHasOneSpelling(t *testing.T) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=-_ \r\n\x00\xff"
	for _, name := range []string{"admin", "u", "us"} { // all lengths of padding
		good := sbcMint(t, name, false, randomCore())
		try := func(text string) {
			t.Helper()
			if text == good {
				return
			}
			if _, ok := sbcParse(t, text); ok {
				t.Errorf("%q is taken as well as %q", text, good)
			}
		}
		for i := range len(good) {
			for _, c := range []byte(alphabet) {
				try(good[:i] + string(c) + good[i+1:])
				try(good[:i] + string(c) + good[i:])
			}
			try(good[:i] + good[i+1:])
		}
		for _, end := range []string{"=", "==", "\n", " "} {
			try(good + end)
		}
		try(strings.TrimRight(good, "="))
	}
}

// sbcDigestOf is the digest as its format says: the core, and check bytes over all
// that stands before and the core.
func sbcDigestOf(fields string, core token.Core) string {
	sum := sha256.Sum256([]byte(fields + string(core[:])))
	return hex.EncodeToString(core[:]) + hex.EncodeToString(sum[:10])
}

// TestSBCTokenTextMustBeWhatIsWritten: check bytes hold no key, so the fields are
// looked at too.
func TestSBCTokenTextMustBeWhatIsWritten(t *testing.T) {
	core := randomCore()
	encode := func(fields string) string {
		return base64.StdEncoding.EncodeToString([]byte(fields + sbcDigestOf(fields, core)))
	}
	if _, ok := sbcParse(t, encode("admin,user,2020-04-01 13:35:08,")); !ok {
		t.Fatal("the test does not know how the digest is made")
	}
	for _, fields := range []string{
		"admin,root,2020-04-01 13:35:08,", "admin,,2020-04-01 13:35:08,", "admin,user,2020-04-01T13:35:08,",
		"admin,user,2020-4-1 13:35:08,", "admin,user,2020-02-30 13:35:08,", "admin,user,2020-04-01 13:35:08.0,", "admin,user,,",
		"admin,x,user,2020-04-01 13:35:08,", "user,2020-04-01 13:35:08,", "", "a~,user,2020-04-01 13:35:08,", "%7e,user,2020-04-01 13:35:08,",
		"%41,user,2020-04-01 13:35:08,", "%,user,2020-04-01 13:35:08,", "%G1,user,2020-04-01 13:35:08,", "\xff,user,2020-04-01 13:35:08,",
		strings.Repeat("x", 257) + ",user,2020-04-01 13:35:08,",
	} {
		if _, ok := sbcParse(t, encode(fields)); ok {
			t.Errorf("%q is taken", fields)
		}
	}
	upper := base64.StdEncoding.EncodeToString([]byte("admin,user,2020-04-01 13:35:08," + strings.ToUpper(sbcDigestOf("admin,user,2020-04-01 13:35:08,", core))))
	if _, ok := sbcParse(t, upper); ok {
		t.Error("upper-case hex is taken")
	}
}

func FuzzSBCParseAccess(f *testing.F) {
	f.Add(sbcMint(f, "admin", true, token.Core{1}))
	f.Add(sbcMint(f, "~é,", false, token.Core{}))
	f.Add("YWRtaW4s")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		core, ok := sbcParse(t, text)
		if !ok {
			return
		}
		plain, err := base64.StdEncoding.DecodeString(text)
		if err != nil || base64.StdEncoding.EncodeToString(plain) != text {
			t.Fatalf("%q is another spelling", text)
		}
		fields := string(plain[:len(plain)-64])
		if sbcDigestOf(fields, core) != string(plain[len(plain)-64:]) {
			t.Errorf("%q: the digest is not of it", plain)
		}
	})
}
