package token

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // RFC 6238 as authenticator apps do it
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Times and lengths of one-time codes.
const (
	// TOTPStep is a time step of RFC 6238 section 4; they count from 1970.
	TOTPStep = 30 * time.Second
	minSeed  = 10 // bytes: the 16 base32 characters that many services hand out
)

var errSeed = errors.New("a TOTP secret is base32 (A to Z, 2 to 7) of at least 16 characters")

// Seed is the secret from which one-time codes are computed, by those who check
// them and those who answer with them.
type Seed struct{ key Secret }

// ParseSeed reads a seed in base32 (RFC 4648 section 6), as apps show it: in
// groups, in either case, with or without padding. The error does not quote it.
func ParseSeed(text Secret) (Seed, error) {
	plain := strings.NewReplacer(" ", "", "-", "").Replace(strings.ToUpper(text.Reveal()))
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.TrimRight(plain, "="))
	if err != nil || len(key) < minSeed {
		return Seed{}, errSeed
	}
	return Seed{NewSecret(string(key))}, nil
}

// IsZero reports whether there is no seed.
func (s Seed) IsZero() bool { return s.key.IsZero() }

// Code is the code of one time step, of 6 to 9 digits (RFC 4226 section 5.3).
func (s Seed) Code(step int64, digits int) Secret {
	h := hmac.New(sha1.New, []byte(s.key.Reveal()))
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(step)) //nolint:gosec // steps count from 1970
	h.Write(counter[:])
	sum := h.Sum(nil)
	at := sum[len(sum)-1] & 0xf
	n := binary.BigEndian.Uint32(sum[at:]) & 0x7fffffff
	power := uint32(1)
	for range digits {
		power *= 10
	}
	return NewSecret(fmt.Sprintf("%0*d", digits, n%power))
}

// StepAt returns the time step that a moment lies in.
func StepAt(t time.Time) int64 { return t.Unix() / int64(TOTPStep/time.Second) }

// StepBegins returns when a time step begins.
func StepBegins(step int64) time.Time { return time.Unix(step*int64(TOTPStep/time.Second), 0) }
