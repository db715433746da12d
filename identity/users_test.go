package identity_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/argon2"

	"github.com/gatehouse-gateway/gatehouse/identity"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// cheap hashes a password at the least cost, so that tests are quick.
func cheap(password string) string { return costly(password, 8, 1) }

func costly(password string, memory, time uint32) string {
	salt := []byte("0123456789abcdef")
	b64 := base64.RawStdEncoding.EncodeToString
	key := argon2.IDKey([]byte(password), salt, time, memory, 1, 32)
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=1$%s$%s", memory, time, b64(salt), b64(key))
}

func newUsers(tb testing.TB, list ...identity.User) *identity.Users {
	tb.Helper()
	u, err := identity.NewUsers(list)
	if err != nil {
		tb.Fatal(err)
	}
	return u
}

func login(name, password string) token.Grant {
	return token.Grant{Op: token.OpLogin, Username: name, Password: token.NewSecret(password)}
}

func TestRightPasswordGivesTheIdentity(t *testing.T) {
	u := newUsers(t, identity.User{
		Name: "alice", Hash: cheap("secret"), ID: "1108612054", Email: "a@example.com", Realm: "local",
		Groups: []string{"ops"}, Scopes: []string{"read"}, Admin: true,
	})
	want := token.Identity{
		Name: "alice", ID: "1108612054", Email: "a@example.com", Realm: "local",
		Groups: []string{"ops"}, Scopes: []string{"read"}, Admin: true,
	}
	got, err := u.Verify(t.Context(), token.NewSID(), login("alice", "secret"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("Verify (-got +want):\n%s", diff)
	}
	for what, ask := range map[string]func() (token.Identity, bool){
		"Current": func() (token.Identity, bool) { return u.Current("1108612054") },
		"Find":    func() (token.Identity, bool) { return u.Find("alice") },
	} {
		if got, ok := ask(); !ok || !cmp.Equal(got, want) {
			t.Errorf("%s = %+v, %t; want %+v", what, got, ok, want)
		}
	}
}

// Whatever is wrong, the answer is the same to the byte.
func TestFailedLoginsAreAlike(t *testing.T) {
	u := newUsers(t,
		identity.User{Name: "alice", Hash: cheap("secret"), Realm: "local"},
		identity.User{Name: "off", Hash: cheap("secret"), Disabled: true},
		identity.User{Name: "long", Hash: cheap(strings.Repeat("p", 1025))},
	)
	grants := map[string]token.Grant{
		"wrong password":     login("alice", "Secret"),
		"prefix of password": login("alice", "secre"),
		"longer password":    login("alice", "secret\x00"),
		"empty password":     login("alice", ""),
		"unknown":            login("bob", "secret"),
		"other case":         login("Alice", "secret"),
		"space":              login("alice ", "secret"),
		"empty name":         login("", "secret"),
		"disabled":           login("off", "secret"),
		"control character":  login("alice\r\n", "secret"),
		"name of 257":        login(strings.Repeat("n", 257), "secret"),
		"password of 1025":   login("long", strings.Repeat("p", 1025)),
		"other realm":        {Username: "alice", Password: token.NewSecret("secret"), Realm: "ldap"},
	}
	want := token.Error{Kind: token.BadCredentials, Msg: "Unknown user or wrong password."}
	for name, g := range grants {
		id, err := u.Verify(t.Context(), token.NewSID(), g)
		got, ok := errors.AsType[*token.Error](err)
		if !ok || *got != want || !cmp.Equal(id, token.Identity{}) {
			t.Errorf("%s: %+v, %v; want %v", name, id, err, &want)
		}
	}
	if _, ok := u.Find("off"); ok {
		t.Error("Find finds a disabled user")
	}
}

func TestSizesOfNameAndPassword(t *testing.T) {
	name, password := strings.Repeat("n", 256), strings.Repeat("p", 1024)
	u := newUsers(t, identity.User{Name: name, Hash: cheap(password), Realm: "r"}, identity.User{Name: "x", Hash: cheap(" \x00é ")})
	if _, err := u.Verify(t.Context(), token.SID{}, login(name, password)); err != nil {
		t.Errorf("256 and 1024 bytes: %v", err)
	}
	if _, err := u.Verify(t.Context(), token.SID{}, token.Grant{Username: name, Realm: "r", Password: token.NewSecret(password)}); err != nil {
		t.Errorf("with its realm: %v", err)
	}
	if _, err := u.Verify(t.Context(), token.SID{}, login("x", " \x00é ")); err != nil {
		t.Errorf("a password with spaces, NUL and é: %v", err)
	}
	if _, err := u.Verify(t.Context(), token.SID{}, login("x", " \x00e\u0301 ")); token.KindOf(err) != token.BadCredentials {
		t.Errorf("the same password decomposed: %v; want refused", err)
	}
	if _, err := u.Verify(t.Context(), token.SID{}, login(name, password[1:])); token.KindOf(err) != token.BadCredentials {
		t.Errorf("cut by a byte: %v; want refused", err)
	}
}

// TestRealmBehindTheName: only where the API writes one there, only the last @
// parts it, and only if nobody has the whole for his name.
func TestRealmBehindTheName(t *testing.T) {
	u := newUsers(t,
		identity.User{Name: "user@name.com", Hash: cheap("local"), Realm: "realm"},
		identity.User{Name: "alice", Hash: cheap("alice"), Realm: "realm"},
		identity.User{Name: "alice@whole", Hash: cheap("whole"), Realm: "elsewhere"},
		identity.User{Name: "plain", Hash: cheap("plain")},
		identity.User{Name: "off", Hash: cheap("off"), Realm: "realm", Disabled: true},
		identity.User{Name: "two", Hash: cheap("two"), Realm: "a@b"},
	)
	for _, c := range []struct{ name, realm, password, want string }{
		{"user@name.com@realm", "", "local", "user@name.com"},
		{"user@name.com", "", "local", "user@name.com"},
		{"alice", "", "alice", "alice"},
		{"alice@realm", "", "alice", "alice"},
		{"alice@whole", "", "whole", "alice@whole"},
		{"alice@whole@elsewhere", "", "whole", "alice@whole"},

		{"alice@whole", "", "alice", ""},
		{"alice@Realm", "", "alice", ""},
		{"alice@", "", "alice", ""},
		{"alice@realm@", "", "alice", ""},
		{"alice@realm@realm", "", "alice", ""},
		{"plain@", "", "plain", ""},
		{"plain@realm", "", "plain", ""},
		{"off@realm", "", "off", ""},
		{"@realm", "", "alice", ""},
		{"@", "", "alice", ""},
		{"two@a@b", "", "two", ""},
		{"alice@realm", "realm", "alice", ""}, // named by itself: the name is whole
	} {
		g := login(c.name, c.password)
		g.Realm, g.RealmInName = c.realm, true
		id, err := u.Verify(t.Context(), token.SID{}, g)
		if id.Name != c.want || (err == nil) != (c.want != "") || err != nil && token.KindOf(err) != token.BadCredentials {
			t.Errorf("%q: %q, %v; want %q", c.name, id.Name, err, c.want)
		}
	}
	for _, name := range []string{"alice@realm", "user@name.com@realm"} {
		if _, err := u.Verify(t.Context(), token.SID{}, login(name, "alice")); token.KindOf(err) != token.BadCredentials {
			t.Errorf("%q, where the API writes no realm there: %v; want refused", name, err)
		}
	}
}

// An unknown name must cost what most users cost. The costs differ a
// thousandfold, so that a busy machine does not blur them.
func TestUnknownNameCostsACommonHash(t *testing.T) {
	u := newUsers(t,
		identity.User{Name: "odd", Hash: cheap("x")},
		identity.User{Name: "a", Hash: costly("x", 16384, 2)},
		identity.User{Name: "b", Hash: costly("x", 16384, 2), Disabled: true},
	)
	took := func(name string) time.Duration {
		start := time.Now()
		if _, err := u.Verify(t.Context(), token.SID{}, login(name, "wrong")); token.KindOf(err) != token.BadCredentials {
			t.Fatal(err)
		}
		return time.Since(start)
	}
	for _, name := range []string{"nobody", "b"} {
		// In turns, so that both meet the same load. The least of many is what it
		// costs, and everything above is what others cost.
		known, d := took("a"), took(name)
		for n := 1; n < 3 || n < 30 && d < known/4; n++ {
			known, d = min(known, took("a")), min(d, took(name))
		}
		if d < known/4 {
			t.Errorf("a login of %s took %v; of a known user %v", name, d, known)
		}
	}
}

func TestAbsentIDIsMadeFromTheName(t *testing.T) {
	list := []identity.User{{Name: "alice", Hash: cheap("x")}, {Name: "bob", Hash: cheap("x")}}
	ids := map[string]bool{}
	for range 2 {
		u := newUsers(t, list...)
		for _, user := range list {
			id, ok := u.Find(user.Name)
			if !ok || len(id.ID) != 13 || strings.Trim(id.ID, "0123456789") != "" {
				t.Errorf("id of %s is %q; want 13 digits", user.Name, id.ID)
			}
			ids[id.ID] = true
		}
	}
	if len(ids) != 2 {
		t.Errorf("two users twice have the ids %v; want two", ids)
	}
	if id, _ := newUsers(t, list...).Find("alice"); id.ID != "7449293321010" {
		t.Errorf("id of alice is %s; it must never change", id.ID)
	}
}

func TestBadUsersAreAllNamed(t *testing.T) {
	good := cheap("x")
	_, err := identity.NewUsers([]identity.User{
		{Name: "a", Hash: good, ID: "7"},
		{Name: "a", Hash: good, ID: "8"},
		{Name: "b", Hash: good, ID: "7"},
		{Name: "", Hash: good},
		{Name: "c\n", Hash: good},
		{Name: strings.Repeat("n", 257), Hash: good},
		{Name: "d"},
		{Name: "e", Hash: "$2y$12$x"},
		{Name: "f", Hash: good, ID: "x1"},
		{Name: "g", Hash: good, ID: strings.Repeat("1", 20)},
		{Name: "h", Hash: good, Scopes: []string{"a b"}},
		{Name: "i", Hash: good, Email: "a\x00"},
		{Name: "j", Hash: good, Kind: "aplication"},
		{Name: "k", Hash: good, Kind: "application"},
	})
	want := strings.Join([]string{
		`identity: user #2 "a": another user has this name`,
		`identity: user #3 "b": user "a" has the id 7 too; give one of them another`,
		`identity: user #4 "": name must be 1 to 256 bytes of UTF-8 without control characters`,
		`identity: user #5 "c\n": name must be 1 to 256 bytes of UTF-8 without control characters`,
		`identity: user #6 "` + strings.Repeat("n", 257) + `": name must be 1 to 256 bytes of UTF-8 without control characters`,
		`identity: user #7 "d": there is no hash; make one with gatehouse hash-password`,
		`identity: user #8 "e": only argon2id hashes are taken ($argon2id$v=19$…); make one with gatehouse hash-password`,
		`identity: user #9 "f": id must be 1 to 19 digits, or absent`,
		`identity: user #10 "g": id must be 1 to 19 digits, or absent`,
		`identity: user #11 "h": groups, scopes and permissions must be words without spaces`,
		`identity: user #12 "i": email and realm must not hold control characters`,
		`identity: user #13 "j": kind must be application, or absent for a person`,
	}, "\n")
	if err == nil {
		t.Fatal("NewUsers took them")
	}
	if diff := cmp.Diff(err.Error(), want); diff != "" {
		t.Errorf("NewUsers (-got +want):\n%s", diff)
	}
	if _, err := identity.NewUsers(nil); err == nil {
		t.Error("NewUsers took an empty list")
	}
}

func writeFile(tb testing.TB, text string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "users.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

func TestUsersFileInBothForms(t *testing.T) {
	list := "- name: alice\n  hash: " + cheap("x") + "\n  id: 1108612054\n  groups: [ops, dev]\n  scopes: [read]\n  admin: true\n  email: a@b\n  realm: r\n"
	want := token.Identity{Name: "alice", ID: "1108612054", Email: "a@b", Realm: "r", Groups: []string{"ops", "dev"}, Scopes: []string{"read"}, Admin: true}
	for name, text := range map[string]string{"list": list, "map": "users:\n" + list} {
		u, err := identity.LoadUsers(writeFile(t, text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, ok := u.Find("alice"); !ok || !cmp.Equal(got, want) {
			t.Errorf("%s: Find = %+v, %t; want %+v", name, got, ok, want)
		}
	}
}

func TestUsersFileFaultsHaveLines(t *testing.T) {
	hash := cheap("x")
	row := "- {name: a, hash: '" + hash + "'}\n"
	tests := []struct{ name, text, want string }{
		{"empty", "", "FILE: the file is empty"},
		{"comment only", "# nobody\n", "FILE: yaml: no documents in stream"},
		{"no users", "users: []\n", "FILE: there are no users, so nobody could sign in"},
		{"null list", "users:\n", "FILE:1: the file must hold a list of users"},
		{"scalar", "hello\n", "FILE:1: the file must hold a list of users"},
		{"other key at top", "user:\n" + row, `FILE:1: the only key at the top is "users"`},
		{"further key at top", "users:\n" + row + "more: 1\n", `FILE:1: the only key at the top is "users"`},
		{"not a map", row + "- bob\n", "FILE:2: a user must be a map with name and hash"},
		{"hash in braces", "- {name: a, hash: " + hash + "}\n", "FILE:1: the hash falls apart at its commas; put it in quotes\nFILE:1: the hash falls apart at its commas; put it in quotes"},
		{"syntax", "- {name: a\n- b", "FILE:3: did not find expected ',' or '}'"},
		{"two documents", row + "---\n" + row, "FILE: yaml: expected single document, found multiple"},
		{"unknown key", row + "- name: b\n  hash: " + hash + "\n  group: [x]\n", `FILE:4: unknown key "group"; a user has name, hash, id, email, realm, groups, scopes, admin, kind, permissions, disabled, second_factor, allow_without_factor`},
		{"password", "- name: b\n  password: hunter2\n", "FILE:2: passwords are not kept here; put the output of gatehouse hash-password under hash"},
		{"null", "- name: b\n  hash: " + hash + "\n  groups: [~]\n", "FILE:3: groups has no value"},
		{"type", "- name: b\n  hash: " + hash + "\n  admin: maybe\n", "FILE:3: cannot construct !!str `maybe` into bool"},
		{"duplicate key", "- name: b\n  name: c\n  hash: " + hash + "\n", `FILE:2: mapping key "name" already defined at line 1`},
		{"several", row + row + "- {name: c, hash: x}\n", "FILE:2: user #2 \"a\": another user has this name\nFILE:2: user #2 \"a\": user \"a\" has the id ID too; give one of them another\nFILE:3: user #3 \"c\": only argon2id hashes are taken ($argon2id$v=19$…); make one with gatehouse hash-password"},
	}
	a, _ := newUsers(t, identity.User{Name: "a", Hash: hash}).Find("a")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := writeFile(t, tt.text)
			_, err := identity.LoadUsers(path)
			if err == nil {
				t.Fatal("LoadUsers took it")
			}
			want := strings.NewReplacer("FILE", path, " ID ", " "+a.ID+" ").Replace(tt.want)
			if diff := cmp.Diff(err.Error(), want); diff != "" {
				t.Errorf("LoadUsers (-got +want):\n%s", diff)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Error("the error shows a password")
			}
		})
	}
	_, err := identity.LoadUsers(filepath.Join(t.TempDir(), "absent"))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an absent file: %v; want fs.ErrNotExist", err)
	}
}

func TestHashOfAPasswordVerifies(t *testing.T) {
	h := identity.NewHasher(1, 1)
	text, err := h.Hash(t.Context(), token.NewSecret("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(text, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("Hash = %s; want 19 MiB, t=2, p=1", text)
	}
	again, err := h.Hash(t.Context(), token.NewSecret("correct horse"))
	if err != nil || again == text {
		t.Errorf("a second Hash = %s, %v; want another salt", again, err)
	}
	u := newUsers(t, identity.User{Name: "a", Hash: text}).WithHasher(h)
	if _, err := u.Verify(t.Context(), token.SID{}, login("a", "correct horse")); err != nil {
		t.Errorf("Verify: %v", err)
	}
	for _, n := range []int{0, 1025} {
		if _, err := h.Hash(t.Context(), token.NewSecret(strings.Repeat("p", n))); token.KindOf(err) != token.Malformed {
			t.Errorf("a password of %d bytes: %v; want malformed", n, err)
		}
	}
	if _, err := h.Hash(t.Context(), token.NewSecret(strings.Repeat("p", 1024))); err != nil {
		t.Errorf("a password of 1024 bytes: %v", err)
	}
}

func FuzzUsersFile(f *testing.F) {
	f.Add("- {name: a, hash: '" + cheap("x") + "', groups: [x]}\n")
	f.Add("users: &a [*a]\n")
	f.Add("- &x {name: b, groups: *x}\n- *x\n")
	path := filepath.Join(f.TempDir(), "users.yaml")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		u, err := identity.LoadUsers(path)
		if (u == nil) == (err == nil) {
			t.Errorf("LoadUsers = %v, %v; want one of both", u, err)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	h := identity.NewHasher(0, 0)
	text, err := h.Hash(b.Context(), token.NewSecret("x"))
	if err != nil {
		b.Fatal(err)
	}
	u := newUsers(b, identity.User{Name: "a", Hash: text})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := u.Verify(b.Context(), token.SID{}, login("a", "x")); err != nil {
			b.Fatal(err)
		}
	}
}
