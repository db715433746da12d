package identity

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// phcText writes a PHC string of the given costs and sizes.
func phcText(m, t, p, salt, key int) string {
	b64 := func(n int) string { return base64.RawStdEncoding.EncodeToString(make([]byte, n)) }
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", m, t, p, b64(salt), b64(key))
}

func TestHashBounds(t *testing.T) {
	tests := []struct {
		name             string
		m, t, p, salt, k int
		ok               bool
	}{
		{"our own", 19456, 2, 1, 16, 32, true},
		{"m most", 262144, 2, 1, 16, 32, true},
		{"m most+1", 262145, 2, 1, 16, 32, false},
		{"m least", 8, 1, 1, 16, 32, true},
		{"m least-1", 7, 1, 1, 16, 32, false},
		{"m least for p=4", 32, 1, 4, 16, 32, true},
		{"m least-1 for p=4", 31, 1, 4, 16, 32, false},
		{"m zero", 0, 1, 1, 16, 32, false},
		{"t most", 64, 10, 1, 16, 32, true},
		{"t most+1", 64, 11, 1, 16, 32, false},
		{"t zero", 64, 0, 1, 16, 32, false},
		{"p most", 64, 1, 4, 16, 32, true},
		{"p most+1", 64, 1, 5, 16, 32, false},
		{"p zero", 64, 1, 0, 16, 32, false},
		{"p over a byte", 64, 1, 257, 16, 32, false},
		{"salt least", 64, 1, 1, 8, 32, true},
		{"salt least-1", 64, 1, 1, 7, 32, false},
		{"salt most", 64, 1, 1, 64, 32, true},
		{"salt most+1", 64, 1, 1, 65, 32, false},
		{"key least", 64, 1, 1, 16, 16, true},
		{"key least-1", 64, 1, 1, 16, 15, false},
		{"key most", 64, 1, 1, 16, 64, true},
		{"key most+1", 64, 1, 1, 16, 65, false},
	}
	for _, tt := range tests {
		text := phcText(tt.m, tt.t, tt.p, tt.salt, tt.k)
		h, err := parsePHC(text)
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v; want ok %t", tt.name, err, tt.ok)
		}
		if err == nil && h.String() != text {
			t.Errorf("%s: String = %s; want %s", tt.name, h, text)
		}
	}
}

func TestHashHasOneSpelling(t *testing.T) {
	good := phcText(64, 1, 1, 16, 32)
	for name, s := range map[string]string{
		"empty":             "",
		"argon2i":           strings.Replace(good, "argon2id", "argon2i", 1),
		"bcrypt":            "$2y$12$abcdefghijklmnopqrstuuVh5wHvKTqVUXHjFPUF8DjT4zcHQz0Fq",
		"no version":        strings.Replace(good, "v=19$", "", 1),
		"old version":       strings.Replace(good, "v=19", "v=16", 1),
		"leading zero":      strings.Replace(good, "m=64", "m=064", 1),
		"plus sign":         strings.Replace(good, "t=1", "t=+1", 1),
		"order":             strings.Replace(good, "m=64,t=1", "t=1,m=64", 1),
		"missing p":         strings.Replace(good, ",p=1", "", 1),
		"further parameter": strings.Replace(good, ",p=1", ",p=1,keyid=x", 1),
		"padding":           good + "=",
		"further part":      good + "$x",
		"line end":          good[:len(good)-4] + "\n" + good[len(good)-4:],
		"trailing bits":     good[:len(good)-1] + "B",
		"url alphabet":      strings.Replace(good, "AAAA", "AA-_", 1),
	} {
		if _, err := parsePHC(s); err == nil {
			t.Errorf("%s: %q was taken", name, s)
		}
	}
	if _, err := parsePHC("$2y$12$x"); !errors.Is(err, errNotArgon2id) {
		t.Errorf("bcrypt: %v; want the error that says argon2id only", err)
	}
}

// The hash is from test.c of the reference implementation
// (github.com/P-H-C/phc-winner-argon2): t=2, m=2^16, p=1, "password", "somesalt".
func TestReferenceHashVerifies(t *testing.T) {
	h, err := parsePHC("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	if err != nil {
		t.Fatal(err)
	}
	if !h.matches("password") {
		t.Error("the reference's own password does not match")
	}
	if h.matches("Password") || h.matches("") {
		t.Error("another password matches")
	}
}

func FuzzParsePHC(f *testing.F) {
	f.Add(phcText(19456, 2, 1, 16, 32))
	f.Add("$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2id$v=19$m=4294967296,t=1,p=1$$")
	f.Fuzz(func(t *testing.T, s string) {
		h, err := parsePHC(s)
		if err != nil {
			return
		}
		if h.String() != s {
			t.Errorf("%q was taken and is spelled %q", s, h)
		}
		if h.memory > maxMemory || h.time > maxTime || h.threads > maxThreads || len(h.salt) > maxSalt || len(h.key) > maxKey {
			t.Errorf("%q is out of bounds", s)
		}
	})
}
