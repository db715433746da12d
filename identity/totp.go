package identity

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // RFC 6238 as authenticator apps do it
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Time steps of RFC 6238 section 4: 30 seconds since 1970, with codes of one
// step before and one after taken too (section 5.2).
const (
	stepSeconds = 30
	stepsOff    = 1
	minSeed     = 10 // bytes: the 16 base32 characters that many services hand out
)

var errSeed = errors.New("a TOTP secret is base32 (A to Z, 2 to 7) of at least 16 characters")

// parseSeed reads a seed in base32, as apps show it: in groups, in either case,
// with or without padding.
func parseSeed(text string) ([]byte, error) {
	text = strings.NewReplacer(" ", "", "-", "").Replace(strings.ToUpper(text))
	seed, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.TrimRight(text, "="))
	if err != nil || len(seed) < minSeed {
		return nil, errSeed // the cause would quote it
	}
	return seed, nil
}

// totp is the code of one time step (RFC 4226 section 5.3).
func totp(seed []byte, step int64, digits int) string {
	h := hmac.New(sha1.New, seed)
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(step))
	h.Write(counter[:])
	sum := h.Sum(nil)
	at := sum[len(sum)-1] & 0xf
	n := binary.BigEndian.Uint32(sum[at:]) & 0x7fffffff
	power := uint32(1)
	for range digits {
		power *= 10
	}
	return fmt.Sprintf("%0*d", digits, n%power)
}

// matchStep returns the latest time step near now whose code this is; 0: none.
func matchStep(seed []byte, digits int, code string, now time.Time) int64 {
	var found int64
	for step := now.Unix()/stepSeconds - stepsOff; step <= now.Unix()/stepSeconds+stepsOff; step++ {
		if subtle.ConstantTimeCompare([]byte(totp(seed, step, digits)), []byte(code)) == 1 {
			found = step
		}
	}
	return found
}
