package token

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
)

// SID is a session id: 64 random bits. It is no secret (it proves nothing), but
// logs show only its first six characters.
type SID [8]byte

// NewSID draws a session id.
func NewSID() SID {
	var s SID
	rand.Read(s[:]) // never fails: crypto/rand aborts the program instead
	return s
}

// ParseSID reads what String wrote: 16 lower-case hex digits.
func ParseSID(s string) (SID, error) {
	var sid SID
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(sid) || hex.EncodeToString(b) != s {
		return sid, errors.New("token: a session id is 16 lower-case hex digits")
	}
	copy(sid[:], b)
	return sid, nil
}

// String returns 16 hex digits.
func (s SID) String() string { return hex.EncodeToString(s[:]) }

// Short returns the six characters that logs show.
func (s SID) Short() string { return s.String()[:6] }

// IsZero reports whether s was never drawn.
func (s SID) IsZero() bool { return s == SID{} }

// Core is what an opaque token of ours is made of: session id (8 bytes),
// generation (3), authentication code (11). The dialect gives it the vendor's
// shape; session makes and checks it.
type Core [22]byte
