package identity_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/identity"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// seed is that of RFC 6238 appendix B for SHA-1, in base32.
const seed = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"

func loaded(t *testing.T, files map[string]string) (*identity.Users, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		text = strings.ReplaceAll(text, "HASH", `"`+hashOf(t)+`"`)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return identity.LoadUsers(filepath.Join(dir, "users.yaml"))
}

var oneHash string

func hashOf(t *testing.T) string {
	t.Helper()
	if oneHash == "" {
		h, err := identity.NewHasher(1, 0).Hash(t.Context(), token.NewSecret("pw"))
		if err != nil {
			t.Fatal(err)
		}
		oneHash = h
	}
	return oneHash
}

func TestCodesAreTakenOneStepOff(t *testing.T) {
	u, err := identity.NewUsers([]identity.User{{Name: "alice", ID: "1", Hash: hashOf(t), SecondFactor: &identity.SecondFactor{
		Methods: []string{"ftm"}, TOTPSecret: token.NewSecret(seed), Digits: 8,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	f := u.Factors(nil)
	for _, c := range []struct {
		at   int64
		code string
	}{
		{1111111109, "07081804"}, {1111111111, "14050471"}, {1234567890, "89005924"}, {2000000000, "69279037"},
	} {
		for off, want := range map[int64]bool{-2: false, -1: true, 0: true, 1: true, 2: false} {
			synctest.Test(t, func(t *testing.T) {
				<-time.After(time.Until(time.Unix(c.at+off*30, 0)))
				got := f.Step("1", "ftm", token.NewSecret(c.code))
				if want && got != c.at/30 || !want && got != 0 {
					t.Errorf("Step of %s, %d steps off %d = %d", c.code, off, c.at, got)
				}
				if got := f.Step("1", "sms", token.NewSecret(c.code)); got != 0 {
					t.Errorf("Step by sms = %d; want 0", got)
				}
			})
		}
	}
	if f.Step("2", "ftm", token.NewSecret("94287082")) != 0 {
		t.Error("a user who is not there has a code")
	}
}

func TestUsersFileNamesSecondFactors(t *testing.T) {
	u, err := loaded(t, map[string]string{
		"users.yaml": `users:
- {name: alice, id: "1", hash: HASH, second_factor: {methods: [ftm, sms], totp_secret_file: seeds, phone: "+43 1"}, allow_without_factor: [ipfabric]}
- {name: bob b, id: "2", hash: HASH, email: bob@example.net, second_factor: {methods: [email], totp_secret_file: seeds}}
- {name: carol, id: "3", hash: HASH, second_factor: {methods: [ftk], totp_secret_file: carol, totp_digits: 8}}
- {name: dave, id: "4", hash: HASH}
`,
		"seeds": "alice   " + seed + "\nbob b\tgezd gnbv\nbob b\t" + strings.ToLower(seed) + "\n",
		"carol": seed + "\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	f := u.Factors(nil)
	for id, want := range map[string][]string{"1": {"ftm", "sms"}, "2": {"email"}, "3": {"ftk"}, "4": nil, "9": nil} {
		if got, _ := f.Factor(id); !slices.Equal(got, want) {
			t.Errorf("methods of %s = %v; want %v", id, got, want)
		}
	}
	if _, without := f.Factor("1"); !slices.Equal(without, []string{"ipfabric"}) || !slices.Equal(u.Lifted(), without) {
		t.Errorf("without = %v, lifted = %v; want ipfabric", without, u.Lifted())
	}
	if sms, email := u.Needs(); !sms || !email {
		t.Errorf("Needs = %v, %v; want both", sms, email)
	}
	synctest.Test(t, func(t *testing.T) {
		<-time.After(time.Until(time.Unix(1234567890, 0)))
		for id, code := range map[string]string{"1": "005924", "2": "005924", "3": "89005924"} {
			if f.Step(id, "ftk", token.NewSecret(code)) != 1234567890/30 {
				t.Errorf("the code of %s is not taken", id)
			}
		}
	})
}

func TestFaultsOfSecondFactors(t *testing.T) {
	for user, want := range map[string]string{
		`second_factor: {}`:                                                       "second_factor has no methods",
		`second_factor: ftm`:                                                      "second_factor must be a map",
		`second_factor: {methods: }`:                                              "methods has no value",
		`second_factor: {methods: [radius]}`:                                      `method "radius" is none of`,
		`second_factor: {methods: [ftm-push, ftm-push]}`:                          "is named twice",
		`second_factor: {methods: [ftm]}`:                                         "ftm and ftk need a totp_secret_file",
		`second_factor: {methods: [sms]}`:                                         "sms and dual need a phone",
		`second_factor: {methods: [dual], phone: "1"}`:                            "email and dual need an email address",
		`second_factor: {methods: [sms], phone: "1\n"}`:                           "must not hold control characters",
		`second_factor: {methods: [ftm], totp_secret: CANARY}`:                    "secrets are not kept here",
		`second_factor: {methods: [ftm], seed: x}`:                                `unknown key "seed"`,
		`second_factor: {methods: [ftm], totp_secret_file: none}`:                 "cannot be read: no such file",
		`second_factor: {methods: [ftm], totp_secret_file: others}`:               "nor a line for this user",
		`second_factor: {methods: [ftm], totp_secret_file: short}`:                "at least 16 characters",
		`second_factor: {methods: [ftm], totp_secret_file: good, totp_digits: 7}`: "totp_digits must be 6 or 8",
		`second_factor: {methods: [ftm-push]}, allow_without_factor: ["a b"]`:     "allow_without_factor must be words",
		`allow_without_factor: [ipfabric]`:                                        "says nothing without second_factor",
	} {
		_, err := loaded(t, map[string]string{
			"users.yaml": "- {name: alice, hash: HASH, " + user + "}\n",
			"others":     "bob " + seed + "\nalicia " + seed + "\n", "short": "CANARYCANARY\n", "good": seed,
		})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s: %v; want %q and nothing of the secret", user, err, want)
		}
	}
}

// courier notes what it is given.
type courier struct {
	got  []identity.Code
	fail map[string]bool // by method
}

func (c *courier) Deliver(_ context.Context, code identity.Code) error {
	if c.fail[code.Method] {
		return errors.New("no way")
	}
	c.got = append(c.got, code)
	return nil
}

func TestCodesGoWhereTheUserIs(t *testing.T) {
	u, err := identity.NewUsers([]identity.User{{Name: "alice", ID: "1", Hash: hashOf(t), Email: "a@example.net", SecondFactor: &identity.SecondFactor{
		Methods: []string{"dual", "sms", "email"}, Phone: "+43 1",
	}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		method, fail string
		want         []string
		sent         bool
	}{
		{"sms", "", []string{"+43 1"}, true},
		{"email", "", []string{"a@example.net"}, true},
		{"dual", "", []string{"+43 1", "a@example.net"}, true},
		{"dual", "sms", []string{"a@example.net"}, true},
		{"sms", "sms", nil, false},
		{"email", "email", nil, false},
	} {
		way := &courier{fail: map[string]bool{c.fail: true}}
		err := u.Factors(way).Send(t.Context(), "1", c.method, token.NewSecret("12345678"))
		var to []string
		for _, code := range way.got {
			to = append(to, code.To)
		}
		if (err == nil) != c.sent || !slices.Equal(to, c.want) {
			t.Errorf("%s, failing %q: sent to %v, %v; want %v", c.method, c.fail, to, err, c.want)
		}
		if err != nil && token.KindOf(err) != token.Unavailable {
			t.Errorf("%s: %v; want unavailable", c.method, err)
		}
	}
	if err := u.Factors(nil).Send(t.Context(), "1", "sms", token.NewSecret("1")); err == nil || token.KindOf(err) != token.Unavailable {
		t.Errorf("Send without a courier = %v; want unavailable", err)
	}
}
