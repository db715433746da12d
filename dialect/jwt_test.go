package dialect_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/token"
)

const goodHeader = `{"alg":"RS256","typ":"JWT","kid":"kid-one"}`

var b64url = base64.RawURLEncoding.EncodeToString

func testAccess() token.Access {
	now := time.Now().Truncate(time.Second)
	return token.Access{
		Identity: token.Identity{ID: "1108612054", Name: "ipfuser", Scopes: []string{"read", "write"}, Admin: true},
		SID:      token.SID{1, 2, 3, 4, 5, 6, 7, 8}, Generation: 7,
		IssuedAt: now, ExpiresAt: now.Add(30 * time.Minute),
	}
}

func mintAccess(t testing.TB, k dialect.Keys, a token.Access) string {
	t.Helper()
	s, err := mustOpen(t, "ipfabric/7.0", dialect.Settings{}).Shape(k).MintAccess(a, token.Core{})
	if err != nil {
		t.Fatal(err)
	}
	return s.Reveal()
}

func parseAccess(t testing.TB, k dialect.Keys, text string) (token.Access, error) {
	t.Helper()
	a, core, err := mustOpen(t, "ipfabric/7.0", dialect.Settings{}).Shape(k).ParseAccess(token.NewSecret(text))
	if core != nil {
		t.Error("a self-proving token gives a core")
	}
	return a, err
}

// goodClaims are those of testAccess, as JSON.
func goodClaims(t testing.TB) map[string]any {
	t.Helper()
	parts := strings.Split(mintAccess(t, testKeys(), testAccess()), ".")
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	dec := json.NewDecoder(strings.NewReader(string(b)))
	dec.UseNumber()
	if err := dec.Decode(&claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// signed makes a JWT of any header and claims under a key.
func signed(t testing.TB, key *rsa.PrivateKey, header, claims string) string {
	t.Helper()
	text := b64url([]byte(header)) + "." + b64url([]byte(claims))
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + b64url(sig)
}

func claimsWith(t testing.TB, key string, value any) string {
	t.Helper()
	claims := maps.Clone(goodClaims(t))
	claims[key] = value
	if value == nil {
		delete(claims, key)
	}
	b, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestAccessTokenReadsBack(t *testing.T) {
	want := testAccess()
	got, err := parseAccess(t, testKeys(), mintAccess(t, testKeys(), want))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, revealed); diff != "" {
		t.Errorf("ParseAccess (-minted +parsed):\n%s", diff)
	}
}

func TestAccessTokenHasTheVendorsClaims(t *testing.T) {
	claims := goodClaims(t)
	a := testAccess()
	for key, want := range map[string]any{
		"id": "1108612054", "username": "ipfuser", "isAdmin": true, "aud": "ipf-client", "iss": "ipf-api",
		"sid": "0102030405060708", "jti": "0102030405060708-7",
	} {
		if claims[key] != want {
			t.Errorf("claim %s = %v; want %v", key, claims[key], want)
		}
	}
	if diff := cmp.Diff([]any{"read", "write"}, claims["scope"]); diff != "" {
		t.Errorf("scope (-want +got):\n%s", diff)
	}
	a.Identity.Scopes = nil
	if text := mintAccess(t, testKeys(), a); !strings.Contains(text, ".") {
		t.Fatal(text)
	} else if got, err := parseAccess(t, testKeys(), text); err != nil || len(got.Identity.Scopes) != 0 {
		t.Errorf("a user without scopes: %v, %v", got.Identity.Scopes, err)
	}
	header, err := base64.RawURLEncoding.DecodeString(strings.Split(mintAccess(t, testKeys(), a), ".")[0])
	if err != nil || string(header) != goodHeader {
		t.Errorf("header = %s, %v; want %s", header, err, goodHeader)
	}
}

// TestRepeatedMintIsTheSameToken: a caller who lost the answer and asks again
// gets the same text; another generation gets another.
func TestRepeatedMintIsTheSameToken(t *testing.T) {
	a := testAccess()
	first := mintAccess(t, testKeys(), a)
	if again := mintAccess(t, testKeys(), a); again != first {
		t.Error("the same access minted twice gives two tokens")
	}
	a.Generation++
	if next := mintAccess(t, testKeys(), a); next == first {
		t.Error("two generations share a token")
	}
}

func TestMintRefusesWhatCannotBeReadBack(t *testing.T) {
	d := mustOpen(t, "ipfabric/7.0", dialect.Settings{})
	endless := testAccess()
	endless.ExpiresAt = time.Time{}
	if _, err := d.Shape(testKeys()).MintAccess(endless, token.Core{}); err == nil {
		t.Error("a token without an expiry was made")
	}
	long := testAccess()
	long.Identity.Scopes = []string{strings.Repeat("x", 8<<10)}
	if _, err := d.Shape(testKeys()).MintAccess(long, token.Core{}); err == nil {
		t.Error("a token over the limit was made")
	}
}

func TestAccessTokenExpires(t *testing.T) {
	k := testKeys() // made outside: the bubble's clock stands in 2000
	synctest.Test(t, func(t *testing.T) {
		a := testAccess()
		text := mintAccess(t, k, a)
		time.Sleep(30*time.Minute - time.Nanosecond)
		if _, err := parseAccess(t, k, text); err != nil {
			t.Errorf("just before its expiry: %v", err)
		}
		time.Sleep(time.Nanosecond)
		got, err := parseAccess(t, k, text)
		if err == nil || token.KindOf(err) != token.ExpiredAccess {
			t.Errorf("at its expiry: %v; want %v", err, token.ExpiredAccess)
		}
		if got.SID != a.SID || got.Generation != a.Generation {
			t.Errorf("an expired token gives %v; want the access as well", got)
		}
	})
}

func TestAccessTokenFromTheFuture(t *testing.T) {
	for _, c := range []struct {
		ahead time.Duration
		good  bool
	}{{24 * time.Hour, true}, {24*time.Hour + time.Second, false}} {
		k := testKeys()
		synctest.Test(t, func(t *testing.T) {
			a := testAccess()
			a.IssuedAt, a.ExpiresAt = a.IssuedAt.Add(c.ahead), a.ExpiresAt.Add(c.ahead)
			if _, err := parseAccess(t, k, mintAccess(t, k, a)); (err == nil) != c.good {
				t.Errorf("iat %s ahead: %v; want good = %v", c.ahead, err, c.good)
			}
		})
	}
}

// TestJWTAttacks forges tokens in the known ways. Each is refused as invalid,
// with the one message.
func TestJWTAttacks(t *testing.T) {
	good := mintAccess(t, testKeys(), testAccess())
	claims := claimsWith(t, "id", "1108612054")
	if _, err := parseAccess(t, testKeys(), signed(t, testKeys().keys["kid-one"], goodHeader, claims)); err != nil {
		t.Fatalf("the forger's tools are no good: %v", err)
	}
	attacks := map[string]string{}
	addHeaders(t, attacks, claims)
	addClaims(t, attacks)
	addPayloads(t, attacks, claims)
	addSpellings(t, attacks, good, claims)
	addUnsigned(attacks, claims)
	addHMAC(t, attacks, claims)
	addOtherAlgorithms(t, attacks, claims)
	for name, text := range attacks {
		a, err := parseAccess(t, testKeys(), text)
		e, ok := errors.AsType[*token.Error](err)
		if !ok || e.Kind != token.InvalidAccess || e.Msg != "Invalid access token" {
			t.Errorf("%s: ParseAccess = %v; want the uniform refusal", name, err)
		}
		if diff := cmp.Diff(token.Access{}, a); diff != "" {
			t.Errorf("%s: a refused token gives an access:\n%s", name, diff)
		}
	}
}

// addHeaders signs good claims under every bad header with the good key.
func addHeaders(t *testing.T, attacks map[string]string, claims string) {
	t.Helper()
	headers := map[string]string{
		"kid path":     `{"alg":"RS256","typ":"JWT","kid":"../../x"}`,
		"kid URL":      `{"alg":"RS256","typ":"JWT","kid":"https://evil/"}`,
		"kid SQL":      `{"alg":"RS256","typ":"JWT","kid":"' OR 1=1"}`,
		"kid 64 KiB":   `{"alg":"RS256","typ":"JWT","kid":"` + strings.Repeat("k", 64<<10) + `"}`,
		"kid 65":       `{"alg":"RS256","typ":"JWT","kid":"` + strings.Repeat("k", 65) + `"}`,
		"kid number":   `{"alg":"RS256","typ":"JWT","kid":1}`,
		"kid null":     `{"alg":"RS256","typ":"JWT","kid":null}`,
		"no kid":       `{"alg":"RS256","typ":"JWT"}`,
		"kid unknown":  `{"alg":"RS256","typ":"JWT","kid":"kid-two"}`,
		"jku":          `{"alg":"RS256","typ":"JWT","kid":"kid-one","jku":"https://evil/"}`,
		"x5u":          `{"alg":"RS256","typ":"JWT","kid":"kid-one","x5u":"https://evil/"}`,
		"jwk":          `{"alg":"RS256","typ":"JWT","kid":"kid-one","jwk":{}}`,
		"x5c":          `{"alg":"RS256","typ":"JWT","kid":"kid-one","x5c":[]}`,
		"typ logout":   `{"alg":"RS256","typ":"logout+jwt","kid":"kid-one"}`,
		"typ case":     `{"alg":"RS256","typ":"jwt","kid":"kid-one"}`,
		"typ missing":  `{"alg":"RS256","kid":"kid-one","cty":"JWT"}`,
		"crit":         `{"alg":"RS256","typ":"JWT","kid":"kid-one","crit":["exp"]}`,
		"b64 false":    `{"alg":"RS256","typ":"JWT","kid":"kid-one","b64":false}`,
		"header twice": `{"alg":"none","alg":"RS256","typ":"JWT","kid":"kid-one"}`,
		"zip":          `{"alg":"RS256","typ":"JWT","kid":"kid-one","zip":"DEF"}`,
		"JWE":          `{"alg":"RSA-OAEP","enc":"A256GCM","kid":"kid-one"}`,
		"PBES2":        `{"alg":"PBES2-HS256+A128KW","p2c":1000000000,"kid":"kid-one"}`,
	}
	for _, alg := range []string{"none", "None", "nOnE", "", "HS256", "ES256", "PS256", "RS384", "rs256"} {
		headers["alg "+alg] = `{"alg":"` + alg + `","typ":"JWT","kid":"kid-one"}`
	}
	for name, header := range headers {
		attacks[name] = signed(t, testKeys().keys["kid-one"], header, claims)
	}
}

// addClaims signs bad claims with the good key: what another kind of token under
// the same key would say.
func addClaims(t *testing.T, attacks map[string]string) {
	t.Helper()
	for name, c := range map[string]struct {
		claim string
		value any
	}{
		"exp missing":   {"exp", nil},
		"exp text":      {"exp", "9999999999"},
		"exp 1e300":     {"exp", json.Number("1e300")},
		"exp 1e10":      {"exp", json.Number("1e10")},
		"exp fraction":  {"exp", json.Number("9999999999.5")},
		"exp negative":  {"exp", -1},
		"exp year 10k":  {"exp", json.Number("253402300800")},
		"exp at iat":    {"exp", time.Now().Unix()},
		"iat missing":   {"iat", nil},
		"iat zero":      {"iat", 0},
		"iat ahead":     {"iat", time.Now().Add(25 * time.Hour).Unix()},
		"aud":           {"aud", "someone"},
		"aud missing":   {"aud", nil},
		"aud array":     {"aud", []string{"someone", "ipf-client"}},
		"iss case":      {"iss", "IPF-API"},
		"iss slash":     {"iss", "ipf-api/"},
		"iss missing":   {"iss", nil},
		"no sid":        {"sid", nil},
		"sid short":     {"sid", "0102"},
		"sid case":      {"sid", "010203040506070A"},
		"jti missing":   {"jti", nil},
		"jti other sid": {"jti", "ffffffffffffffff-7"},
		"jti leading 0": {"jti", "0102030405060708-07"},
		"jti too large": {"jti", "0102030405060708-16777216"},
		"id null":       {"id", json.RawMessage("null")},
		"admin number":  {"isAdmin", 1},
		"scope text":    {"scope", "read write"},
		"scope numbers": {"scope", []int{1}},
		"scope nulls":   {"scope", json.RawMessage(`[null]`)},
		"admin text":    {"isAdmin", "true"},
	} {
		attacks[name] = signed(t, testKeys().keys["kid-one"], goodHeader, claimsWith(t, c.claim, c.value))
	}
}

// addPayloads signs payloads that are not one JSON object with each key once.
func addPayloads(t *testing.T, attacks map[string]string, claims string) {
	t.Helper()
	for name, payload := range map[string]string{
		"claim twice":   strings.Replace(claims, `{`, `{"exp":9999999999,`, 1),
		"after the end": claims + "{}",
		"array":         "[" + claims + "]",
		"no JSON":       "claims",
		"not UTF-8":     strings.Replace(claims, "ipfuser", "\xff", 1),
		"key case":      strings.Replace(claims, `"exp"`, `"EXP"`, 1),
	} {
		attacks[name] = signed(t, testKeys().keys["kid-one"], goodHeader, payload)
	}
}

// addSpellings alters the text of a good token, and brings texts that are none.
func addSpellings(t *testing.T, attacks map[string]string, good, claims string) {
	t.Helper()
	parts := strings.Split(good, ".")
	for name, text := range map[string]string{
		"empty":          "",
		"refresh token":  mustOpen(t, "ipfabric/7.0", dialect.Settings{}).Tokens.MintRefresh(token.Core{}, token.Identity{}).Reveal(),
		"line end":       good[:len(good)-9] + "\n" + good[len(good)-9:],
		"line end after": good + "\n",
		"return":         parts[0] + "\r." + parts[1] + "." + parts[2],
		"padding":        good + "=",
		"std alphabet":   parts[0] + "." + parts[1] + "." + strings.NewReplacer("-", "+", "_", "/").Replace(parts[2]) + "+",
		"a.b":            "a.b",
		"a.b.":           "a.b.",
		"no signature":   parts[0] + "." + parts[1] + ".",
		"no claims":      parts[0] + ".." + parts[2],
		"four parts":     good + ".x",
		"five parts":     good + ".x.x",
		"million dots":   strings.Repeat(".", 1_000_000),
		"foreign key":    mintAccess(t, foreignKeys(), testAccess()),
		"tampered":       parts[0] + "." + b64url([]byte(strings.Replace(claims, "ipfuser", "ipfroot", 1))) + "." + parts[2],
		"cut":            good[:len(good)-1],
		"longer":         good + "A",
	} {
		attacks[name] = text
	}
}

func addUnsigned(attacks map[string]string, claims string) {
	for _, alg := range []string{"none", "None", "nOnE", ""} {
		text := b64url([]byte(`{"alg":"`+alg+`","typ":"JWT","kid":"kid-one"}`)) + "." + b64url([]byte(claims)) + "."
		attacks["unsigned "+alg] = text
		attacks["unsigned and filled "+alg] = text + "AAAA"
	}
}

// addHMAC signs with the public key's bytes as a shared secret.
func addHMAC(t *testing.T, attacks map[string]string, claims string) {
	t.Helper()
	pub := &testKeys().keys["kid-one"].PublicKey
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	text := b64url([]byte(`{"alg":"HS256","typ":"JWT","kid":"kid-one"}`)) + "." + b64url([]byte(claims))
	for name, secret := range map[string][]byte{
		"HS256 with DER":   der,
		"HS256 with PEM":   pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		"HS256 with PKCS1": x509.MarshalPKCS1PublicKey(pub),
	} {
		sig, err := jwt.SigningMethodHS256.Sign(text, secret)
		if err != nil {
			t.Fatal(err)
		}
		attacks[name] = text + "." + b64url(sig)
	}
}

func addOtherAlgorithms(t *testing.T, attacks map[string]string, claims string) {
	t.Helper()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for alg, sign := range map[string]func(string) ([]byte, error){
		"ES256": func(s string) ([]byte, error) { return jwt.SigningMethodES256.Sign(s, ec) },
		"PS256": func(s string) ([]byte, error) {
			return jwt.SigningMethodPS256.Sign(s, testKeys().keys["kid-one"])
		},
		"RS384": func(s string) ([]byte, error) {
			return jwt.SigningMethodRS384.Sign(s, testKeys().keys["kid-one"])
		},
	} {
		text := b64url([]byte(`{"alg":"`+alg+`","typ":"JWT","kid":"kid-one"}`)) + "." + b64url([]byte(claims))
		sig, err := sign(text)
		if err != nil {
			t.Fatal(err)
		}
		attacks[""+alg] = text + "." + b64url(sig)
	}
}

// TestOneSpellingOfASignature: the last character of a 256-byte signature has
// four bits to spare, and the library takes all 16 of its values.
func TestOneSpellingOfASignature(t *testing.T) {
	good := mintAccess(t, testKeys(), testAccess())
	accepted := 0
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
		if _, err := parseAccess(t, testKeys(), good[:len(good)-1]+string(c)); err == nil {
			accepted++
		}
	}
	if accepted != 1 {
		t.Errorf("%d spellings of the last character are taken; want 1", accepted)
	}
}

func TestJWTLimit(t *testing.T) {
	key := testKeys().keys["kid-one"]
	claims := claimsWith(t, "id", "1108612054")
	at := func(n int) string {
		for pad := n * 3 / 4; ; pad-- { // base64 grows by one or two characters: walk down to the length
			text := signed(t, key, goodHeader, strings.Replace(claims, "{", "{"+strings.Repeat(" ", max(0, pad-len(claims)-300)), 1))
			if len(text) <= n {
				return text
			}
		}
	}
	if text := at(8 << 10); len(text) < 8<<10-1 {
		t.Fatalf("made only %d bytes", len(text))
	} else if _, err := parseAccess(t, testKeys(), text); err != nil {
		t.Errorf("%d bytes: %v", len(text), err)
	}
	if text := at(8<<10 + 2); len(text) <= 8<<10 {
		t.Fatalf("made only %d bytes", len(text))
	} else if _, err := parseAccess(t, testKeys(), text); err == nil {
		t.Errorf("%d bytes are taken", len(text))
	}
}

// TestRetiredKeyVerifiesUntilRemoved says: what may verify is the keys'
// question alone.
func TestRetiredKeyVerifiesUntilRemoved(t *testing.T) {
	old, next := testKeys(), newKeys("kid-two")
	text := mintAccess(t, old, testAccess())
	both := keyset{signing: "kid-two", keys: map[string]*rsa.PrivateKey{
		"kid-one": old.keys["kid-one"], "kid-two": next.keys["kid-two"],
	}}
	if _, err := parseAccess(t, both, text); err != nil {
		t.Errorf("a retired key: %v", err)
	}
	if _, err := parseAccess(t, next, text); err == nil {
		t.Error("a removed key still verifies")
	}
}

func FuzzParseAccess(f *testing.F) {
	good := mintAccess(f, testKeys(), testAccess())
	f.Add(good)
	f.Add("a.b.c")
	f.Add(strings.Replace(good, ".", "\n.", 1))
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := parseAccess(t, testKeys(), text); err == nil && text != good {
			t.Errorf("a second spelling is taken: %q", text)
		}
	})
}

func BenchmarkParseAccess(b *testing.B) {
	shape := mustOpen(b, "ipfabric/7.0", dialect.Settings{}).Shape(testKeys())
	text := token.NewSecret(mintAccess(b, testKeys(), testAccess()))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := shape.ParseAccess(text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMintAccess(b *testing.B) {
	shape := mustOpen(b, "ipfabric/7.0", dialect.Settings{}).Shape(testKeys())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := shape.MintAccess(testAccess(), token.Core{}); err != nil {
			b.Fatal(err)
		}
	}
}

// TestKeyThatCannotBeAskedForRefusesNobody: an unknown key may be another
// replica's new one. While that cannot be found out, the token is not bad.
func TestKeyThatCannotBeAskedForRefusesNobody(t *testing.T) {
	k, text := testKeys(), mintAccess(t, testKeys(), testAccess())
	k.away = true
	if _, err := parseAccess(t, k, text); err == nil || token.KindOf(err) != token.Unavailable {
		t.Errorf("ParseAccess = %v; want unavailable", err)
	}
	if _, err := parseAccess(t, k, "junk"); err == nil || token.KindOf(err) != token.InvalidAccess {
		t.Errorf("ParseAccess of junk = %v; want invalid_access", err)
	}
}
