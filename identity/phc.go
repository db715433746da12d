package identity

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Bounds of a hash from a users file. Without them one line of the file could
// ask for gigabytes or minutes at each login.
const (
	maxMemory  = 256 * 1024 // KiB
	maxTime    = 10
	maxThreads = 4
	minSalt    = 8 // bytes, as RFC 9106 section 3.1
	maxSalt    = 64
	minKey     = 16 // bytes
	maxKey     = 64
)

// params are the costs of a hash.
type params struct {
	memory  uint32 // KiB
	time    uint32
	threads uint8
}

// Hashes that we make: OWASP's first choice for argon2id (Password Storage Cheat
// Sheet), 19 MiB and two passes.
var ownParams = params{memory: 19 * 1024, time: 2, threads: 1}

const (
	ownSalt = 16 // bytes
	ownKey  = 32
)

// phc is a parsed hash in the PHC string format.
type phc struct {
	params
	salt, key []byte
}

var (
	errNotArgon2id = errors.New("only argon2id hashes are taken ($argon2id$v=19$…); make one with gatehouse hash-password")
	errPHC         = errors.New("the hash does not read as $argon2id$v=19$m=…,t=…,p=…$salt$key")
)

// parsePHC reads "$argon2id$v=19$m=19456,t=2,p=1$salt$key", salt and key in
// base64 without padding, and nothing but that spelling.
func parsePHC(s string) (phc, error) {
	rest, ok := strings.CutPrefix(s, "$argon2id$")
	if !ok {
		return phc{}, errNotArgon2id
	}
	fields := strings.Split(rest, "$")
	if len(fields) != 4 || fields[0] != "v="+strconv.Itoa(argon2.Version) {
		return phc{}, errPHC
	}
	p, err := parseParams(fields[1])
	if err != nil {
		return phc{}, err
	}
	h := phc{params: p}
	if h.salt, err = parseBytes("salt", fields[2], minSalt, maxSalt); err != nil {
		return phc{}, err
	}
	if h.key, err = parseBytes("key", fields[3], minKey, maxKey); err != nil {
		return phc{}, err
	}
	return h, nil
}

func parseParams(s string) (params, error) {
	parts := strings.Split(s, ",")
	if len(parts) != 3 {
		return params{}, errPHC
	}
	var n [3]uint64
	limits := [3]struct {
		key string
		max uint64
	}{{"m", maxMemory}, {"t", maxTime}, {"p", maxThreads}}
	for i, l := range limits {
		text, ok := strings.CutPrefix(parts[i], l.key+"=")
		v, err := strconv.ParseUint(text, 10, 32)
		if !ok || err != nil || strconv.FormatUint(v, 10) != text {
			return params{}, errPHC
		}
		if v < 1 || v > l.max {
			return params{}, fmt.Errorf("the hash asks for %s=%d; 1 to %d is taken", l.key, v, l.max)
		}
		n[i] = v
	}
	if n[0] < 8*n[2] {
		return params{}, fmt.Errorf("the hash asks for m=%d; argon2 needs at least 8 for each of p=%d", n[0], n[2])
	}
	return params{memory: uint32(n[0]), time: uint32(n[1]), threads: uint8(n[2])}, nil
}

func parseBytes(what, s string, minLen, maxLen int) ([]byte, error) {
	b, err := base64.RawStdEncoding.Strict().DecodeString(s)
	if err != nil || strings.ContainsAny(s, "\r\n") { // the decoder skips line ends
		return nil, errPHC
	}
	if len(b) < minLen || len(b) > maxLen {
		return nil, fmt.Errorf("the hash has a %s of %d bytes; %d to %d are taken", what, len(b), minLen, maxLen)
	}
	return b, nil
}

// String returns the PHC string.
func (h phc) String() string {
	enc := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.time, h.threads, enc(h.salt), enc(h.key))
}

// derive fills in the key of a password.
func (h phc) derive(password string, length int) []byte {
	return argon2.IDKey([]byte(password), h.salt, h.time, h.memory, h.threads, uint32(length))
}

// matches compares in constant time.
func (h phc) matches(password string) bool {
	return subtle.ConstantTimeCompare(h.derive(password, len(h.key)), h.key) == 1
}
