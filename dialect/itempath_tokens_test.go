package dialect_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/token"
)

const itpHeader = `{"typ":"JWT","alg":"HS256"}`

func itempath(t testing.TB) *dialect.Dialect {
	t.Helper()
	return mustOpen(t, "itempath", dialect.Settings{})
}

// itpAccess is what an access token of mgordon says, from now on.
func itpAccess() token.Access {
	now := time.Now().Truncate(time.Second)
	return token.Access{
		Identity: token.Identity{Name: "mgordon"}, SID: token.SID{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef},
		IssuedAt: now, ExpiresAt: now.Add(15 * time.Minute),
	}
}

func itpMint(t testing.TB, k dialect.Keys, a token.Access, refresh bool) string {
	t.Helper()
	shape := itempath(t).Shape(k)
	mint := shape.MintAccess
	if refresh {
		mint = shape.MintRefresh
	}
	s, err := mint(a, token.Core{})
	if err != nil {
		t.Fatal(err)
	}
	return s.Reveal()
}

// itpSigned is an HS256 JWT of any header and claims under the keys' secret.
func itpSigned(k keyset, header, claims string) string {
	text := b64url([]byte(header)) + "." + b64url([]byte(claims))
	return text + "." + b64url(k.SignHMAC([]byte(text)))
}

func itpPayload(t testing.TB, text string) string {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(strings.Split(text, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestItemPathTokensAreThePages: header and claims in the page's order, to the
// byte but for the values.
func TestItemPathTokensAreThePages(t *testing.T) {
	const jti = `[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`
	endless := itpAccess()
	endless.ExpiresAt = time.Time{}
	for _, c := range []struct {
		name, want string
		a          token.Access
		refresh    bool
	}{
		{"access", `{"fresh":false,"iat":N,"jti":"J","type":"access","identity":"mgordon","nbf":N,"exp":N}`, itpAccess(), false},
		{"refresh", `{"fresh":false,"iat":N,"jti":"J","type":"refresh","identity":"mgordon","nbf":N,"exp":N}`, itpAccess(), true},
		{"application", `{"fresh":false,"iat":N,"jti":"J","type":"access","identity":"mgordon","nbf":N}`, endless, false},
	} {
		text := itpMint(t, testKeys(), c.a, c.refresh)
		if header, _, _ := strings.Cut(text, "."); header != b64url([]byte(itpHeader)) {
			t.Errorf("%s: header %s", c.name, header)
		}
		want := strings.NewReplacer("N", "[0-9]{10}", "J", jti).Replace(c.want)
		if got := itpPayload(t, text); !regexp.MustCompile("^" + want + "$").MatchString(got) {
			t.Errorf("%s: claims %s; want %s", c.name, got, c.want)
		}
		if again := itpMint(t, testKeys(), c.a, c.refresh); again == text {
			t.Errorf("%s: two tokens of one session are the same", c.name)
		}
	}
}

func TestItemPathTokensAreReadBack(t *testing.T) {
	shape, k := itempath(t).Shape(testKeys()), testKeys()
	endless := itpAccess()
	endless.ExpiresAt = time.Time{}
	for name, a := range map[string]token.Access{"access": itpAccess(), "application": endless} {
		for range 100 {
			a.SID = token.NewSID()
			got, core, err := shape.ParseAccess(token.NewSecret(itpMint(t, k, a, false)))
			if err != nil || core != nil || cmp.Diff(a, got) != "" {
				t.Fatalf("%s: ParseAccess = %+v, %v, %v; want %+v", name, got, core, err, a)
			}
		}
	}
	a := itpAccess()
	got, core, err := shape.ParseRefresh(token.NewSecret(itpMint(t, k, a, true)))
	if err != nil || core != nil || cmp.Diff(a, got) != "" {
		t.Errorf("ParseRefresh = %+v, %v, %v; want %+v", got, core, err, a)
	}
	if _, err := shape.MintRefresh(endless, token.Core{}); err == nil {
		t.Error("a refresh token without an end is made")
	}
	backwards := itpAccess()
	backwards.ExpiresAt = backwards.IssuedAt
	if _, err := shape.MintAccess(backwards, token.Core{}); err == nil {
		t.Error("an access token that ends when it begins is made")
	}
}

// TestItemPathTokenOfAnyKnownSecretIsGood: a new secret is rolled in at the front.
func TestItemPathTokenOfAnyKnownSecretIsGood(t *testing.T) {
	old, rolled := testKeys(), testKeys()
	rolled.secrets = []string{"a new secret", old.secrets[0]}
	shape := itempath(t).Shape(rolled)
	for name, k := range map[string]keyset{"old": old, "new": rolled} {
		if _, _, err := shape.ParseAccess(token.NewSecret(itpMint(t, k, itpAccess(), false))); err != nil {
			t.Errorf("of the %s secret: %v", name, err)
		}
	}
	if _, _, err := itempath(t).Shape(old).ParseAccess(token.NewSecret(itpMint(t, rolled, itpAccess(), false))); err == nil {
		t.Error("a token of a secret that is not known is good")
	}
}

// itpVerdict is what a text is as an access and as a refresh token: kind and
// message of each.
func itpVerdict(t testing.TB, text string) (access, refresh string) {
	t.Helper()
	say := func(err error) string {
		if err == nil {
			return "good"
		}
		e, ok := errors.AsType[*token.Error](err)
		if !ok {
			t.Fatalf("%q: %v is no *token.Error", text, err)
		}
		return e.Kind.String() + ": " + e.Msg
	}
	shape := itempath(t).Shape(testKeys())
	_, _, accessErr := shape.ParseAccess(token.NewSecret(text))
	_, _, refreshErr := shape.ParseRefresh(token.NewSecret(text))
	return say(accessErr), say(refreshErr)
}

func TestItemPathSaysWhatIsWrongWithAToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, now := testKeys(), time.Now().Unix()
		good := itpMint(t, k, itpAccess(), false)
		claims := itpPayload(t, good)
		h, _, _ := strings.Cut(good, ".")
		body := good[:strings.LastIndex(good, ".")]
		rs256 := mintAccess(t, k, testAccess())
		const signature, algorithm = "Signature verification failed", "The specified alg value is not allowed"
		for _, c := range []struct{ name, text, want string }{
			{"nothing", "", "Bad Authorization header. Expected 'Authorization: Bearer <JWT>'"},
			{"one part", "abc", "Not enough segments"},
			{"two parts", "abc.def", "Not enough segments"},
			{"four parts", good + ".x", signature},
			{"over 8 KiB", good + strings.Repeat("A", 8192), signature},
			{"a header that is no base64url", "a." + claims + ".x", signature},
			{"a header that does not decode", "abcde.e30.e30", "Invalid header padding"},
			{"a header that is no JSON", "abcd.e30.e30", "Invalid header padding"},
			{"alg none", b64url([]byte(`{"typ":"JWT","alg":"none"}`)) + "." + b64url([]byte(claims)) + ".AA", algorithm},
			{"alg none, no signature", b64url([]byte(`{"typ":"JWT","alg":"none"}`)) + "." + b64url([]byte(claims)) + ".", signature},
			{"alg RS256, signed by HS256", itpSigned(k, `{"typ":"JWT","alg":"RS256"}`, claims), algorithm},
			{"a real RS256 token of ours", rs256, algorithm},
			{"alg HS512", itpSigned(k, `{"typ":"JWT","alg":"HS512"}`, claims), algorithm},
			{"another typ", itpSigned(k, `{"typ":"at+jwt","alg":"HS256"}`, claims), signature},
			{"the other order", itpSigned(k, `{"alg":"HS256","typ":"JWT"}`, claims), signature},
			{"a kid", itpSigned(k, `{"typ":"JWT","alg":"HS256","kid":"kid-one"}`, claims), signature},
			{"crit", itpSigned(k, `{"typ":"JWT","alg":"HS256","crit":["x"]}`, claims), signature},
			{"another secret", itpMint(t, foreignKeys(), itpAccess(), false), signature},
			{"no signature", body + ".", signature},
			{"half a signature", good[:len(good)-20], signature},
			{"padding", good + "=", signature},
			{"a line end", good + "\n", signature},
			{"other claims", h + "." + b64url([]byte(strings.Replace(claims, "mgordon", "root", 1))) + good[len(body):], signature},

			// From here on the signature is good: nobody else can make these.
			{"claims that are no JSON", itpSigned(k, itpHeader, "x"), signature},
			{"one claim more", itpSigned(k, itpHeader, claims[:len(claims)-1]+`,"csrf":"x"}`), signature},
			{"a claim twice", itpSigned(k, itpHeader, claims[:len(claims)-1]+`,"fresh":false}`), signature},
			{"fresh", itpSigned(k, itpHeader, strings.Replace(claims, `"fresh":false`, `"fresh":true`, 1)), signature},
			{"no fresh", itpSigned(k, itpHeader, strings.Replace(claims, `"fresh":false,`, ``, 1)), signature},
			{"no identity", itpSigned(k, itpHeader, strings.Replace(claims, `"identity":"mgordon",`, ``, 1)), signature},
			{"another type", itpSigned(k, itpHeader, strings.Replace(claims, `"access"`, `"login"`, 1)), signature},
			{"jti of version 1", itpSigned(k, itpHeader, strings.Replace(claims, `-4`, `-1`, 1)), signature},
			{"jti in upper case", itpSigned(k, itpHeader, regexp.MustCompile(`"jti":"[^"]*"`).ReplaceAllStringFunc(claims, func(s string) string {
				return `"jti":` + strings.ToUpper(s[6:])
			})), signature},
			{"nbf is another", itpSigned(k, itpHeader, strings.Replace(claims, fmt.Sprintf(`"nbf":%d`, now), fmt.Sprintf(`"nbf":%d`, now+1), 1)), signature},
			{"exp null", itpSigned(k, itpHeader, strings.Replace(claims, fmt.Sprintf(`"exp":%d`, now+900), `"exp":null`, 1)), signature},
			{"exp a string", itpSigned(k, itpHeader, strings.Replace(claims, fmt.Sprintf(`"exp":%d`, now+900), `"exp":"9"`, 1)), signature},
			{"exp past the year 9999", itpSigned(k, itpHeader, strings.Replace(claims, fmt.Sprintf(`"exp":%d`, now+900), `"exp":253402300800`, 1)), signature},
			{"exp before iat", itpSigned(k, itpHeader, strings.Replace(claims, fmt.Sprintf(`"exp":%d`, now+900), `"exp":5`, 1)), signature},
			{"exp an exponent", itpSigned(k, itpHeader, strings.Replace(claims, fmt.Sprintf(`"exp":%d`, now+900), `"exp":9e9`, 1)), signature},
			{"iat in the future", itpSigned(k, itpHeader, strings.ReplaceAll(claims, fmt.Sprint(now), fmt.Sprint(now+24*3600+1))), signature},
		} {
			access, refresh := itpVerdict(t, c.text)
			if access != "invalid_access: "+c.want || refresh != "invalid_refresh: "+c.want {
				t.Errorf("%s: as an access token %q, as a refresh token %q; want %q", c.name, access, refresh, c.want)
			}
		}
	})
}

// TestItemPathTokenOfOneTypeIsNotTheOther: an expired one has expired before it is
// of the wrong type, as the library looks.
func TestItemPathTokenOfOneTypeIsNotTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		access, refresh := itpMint(t, testKeys(), itpAccess(), false), itpMint(t, testKeys(), itpAccess(), true)
		endless := itpAccess()
		endless.ExpiresAt = time.Time{}
		application := itpMint(t, testKeys(), endless, false)
		check := func(when, text, wantAccess, wantRefresh string) {
			t.Helper()
			if a, r := itpVerdict(t, text); a != wantAccess || r != wantRefresh {
				t.Errorf("%s: as an access token %q, as a refresh token %q; want %q and %q", when, a, r, wantAccess, wantRefresh)
			}
		}
		check("access", access, "good", "wrong_token: Only refresh tokens are allowed")
		check("refresh", refresh, "wrong_token: Only non-refresh tokens are allowed", "good")
		check("application", application, "good", "wrong_token: Only refresh tokens are allowed")
		time.Sleep(15*time.Minute - time.Second)
		check("access, at its last second", access, "good", "wrong_token: Only refresh tokens are allowed")
		time.Sleep(time.Second)
		check("access, at its end", access, "expired_access: Token has expired", "invalid_refresh: Token has expired")
		check("refresh, at its end", refresh, "expired_access: Token has expired", "invalid_refresh: Token has expired")
		check("application, long after", application, "good", "wrong_token: Only refresh tokens are allowed")
		check("refresh without an end", itpSigned(testKeys(), itpHeader, strings.Replace(itpPayload(t, application), `"access"`, `"refresh"`, 1)),
			"invalid_access: Signature verification failed", "invalid_refresh: Signature verification failed")
		if a, _, _ := itempath(t).Shape(testKeys()).ParseAccess(token.NewSecret(access)); a.SID != itpAccess().SID {
			t.Error("an expired access token comes without whose it was")
		}
	})
}

// TestItemPathTokenHasOneSpelling: no character of a token can be changed.
func TestItemPathTokenHasOneSpelling(t *testing.T) {
	good := itpMint(t, testKeys(), itpAccess(), false)
	for i := range good {
		for _, c := range []byte("Aa0-_.=") {
			if good[i] == c {
				continue
			}
			if a, _ := itpVerdict(t, good[:i]+string(c)+good[i+1:]); a == "good" {
				t.Fatalf("character %d changed to %c is taken", i, c)
			}
		}
	}
}

// FuzzItemPathToken: what is taken is signed by us, of the closed form, and says
// the same again.
func FuzzItemPathToken(f *testing.F) {
	f.Add(itpMint(f, testKeys(), itpAccess(), false))
	f.Add(itpMint(f, testKeys(), itpAccess(), true))
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, text string) {
		itpVerdict(t, text)
		// Whatever the claims are, signed.
		a, _, err := itempath(t).Shape(testKeys()).ParseAccess(token.NewSecret(itpSigned(testKeys(), itpHeader, text)))
		if err != nil {
			return
		}
		var claims map[string]any
		if err := json.Unmarshal([]byte(text), &claims); err != nil || claims["type"] != "access" || claims["identity"] != a.Identity.Name {
			t.Errorf("claims %q are taken for %+v", text, a)
		}
	})
}
