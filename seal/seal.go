// Package seal derives everything that depends on GATEHOUSE_SECRET: the subkeys
// under which tokens are authenticated, and the sealing of what is stored.
//
// A Keyring is an ordered list of root secrets. One of them makes, the first
// unless another is preferred, and every one is tried when checking, so a new
// secret can be rolled in and an old one out without ending a session. No root secret is used directly: HKDF-SHA-256
// derives one subkey for each purpose.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// MinSecret is the shortest root secret taken, in bytes.
const MinSecret = 32

// ErrShortSecret says that a root secret is under MinSecret bytes.
var ErrShortSecret = fmt.Errorf("seal: a secret needs at least %d bytes", MinSecret)

// ErrUnsealable says that a sealed value does not open: it was sealed under a
// secret this keyring does not hold, belongs elsewhere, or was altered.
var ErrUnsealable = errors.New("seal: value does not open under any known secret")

// A root is one secret: its fingerprint, and the secret itself.
type root struct {
	id     string // first 8 hex digits of a derived value; names the secret in sealed values
	secret []byte
}

// Keyring holds the root secrets in their order, and which of them makes new
// values. It is safe for concurrent use; only that choice ever changes.
type Keyring struct {
	roots []root
	use   atomic.Int32 // of roots; what was derived from the keyring looks here too
}

// New returns a keyring over the given secrets, of which the first makes new
// values until Prefer says otherwise. It refuses an empty list and any secret shorter than MinSecret.
func New(secrets []token.Secret) (*Keyring, error) {
	if len(secrets) == 0 {
		return nil, ErrShortSecret
	}
	k := &Keyring{}
	for _, s := range secrets {
		b := []byte(s.Reveal())
		if len(b) < MinSecret {
			return nil, ErrShortSecret
		}
		k.roots = append(k.roots, root{id: hex.EncodeToString(derive(b, "fingerprint", 4)), secret: b})
	}
	return k, nil
}

// Random returns a keyring over one secret drawn now, for a store that ends
// with the process.
func Random() *Keyring {
	b := make([]byte, MinSecret)
	rand.Read(b)
	return &Keyring{roots: []root{{id: hex.EncodeToString(derive(b, "fingerprint", 4)), secret: b}}}
}

// Fingerprints names the secrets in order, 8 hex digits each. They reveal
// nothing of the secrets.
func (k *Keyring) Fingerprints() []string {
	ids := make([]string, len(k.roots))
	for i, r := range k.roots {
		ids[i] = r.id
	}
	return ids
}

// Using names the secret that makes new values.
func (k *Keyring) Using() string { return k.roots[k.use.Load()].id }

// Prefer has new values made under the secret of that fingerprint from now on,
// by everything that was derived from the keyring too. It returns false and
// changes nothing if the keyring does not hold it.
func (k *Keyring) Prefer(fingerprint string) bool {
	for i, r := range k.roots {
		if r.id == fingerprint {
			k.use.Store(int32(i))
			return true
		}
	}
	return false
}

func derive(secret []byte, purpose string, n int) []byte {
	key, err := hkdf.Key(sha256.New, secret, nil, "gatehouse/1 "+purpose, n)
	if err != nil {
		panic("seal: " + err.Error()) // only a length over 255 hashes: a programmer's error
	}
	return key
}

// MAC is the authentication code of one purpose under every root secret.
type MAC struct {
	keys [][]byte
	use  *atomic.Int32 // of keys: the keyring's
}

// MAC derives the codes of a purpose, "refresh" say. Derive once and keep it:
// derivation costs more than a code.
func (k *Keyring) MAC(purpose string) MAC {
	m := MAC{keys: make([][]byte, len(k.roots)), use: &k.use}
	for i, r := range k.roots {
		m.keys[i] = derive(r.secret, "mac "+purpose, 64)
	}
	return m
}

// Sum writes the first len(dst) bytes (at most 64) of HMAC-SHA-512 over the
// parts under the secret in use to dst. Each part is preceded by its length, so
// two lists of parts never give the same input.
func (m MAC) Sum(dst []byte, parts ...[]byte) { copy(dst, sum(m.keys[m.use.Load()], parts)) }

// Verify reports in constant time whether code is the (truncated) code of parts
// under any of the secrets.
func (m MAC) Verify(code []byte, parts ...[]byte) bool {
	if len(code) == 0 || len(code) > sha512.Size {
		return false
	}
	for _, key := range m.keys {
		if hmac.Equal(sum(key, parts)[:len(code)], code) {
			return true
		}
	}
	return false
}

// Digest returns the code of one text as 32 hex digits under each secret, the
// one in use first: what is stored instead of the text, and looked up by.
func (m MAC) Digest(text string) []string {
	ds := make([]string, len(m.keys))
	for i, key := range m.keys {
		ds[i] = hex.EncodeToString(sum(key, [][]byte{[]byte(text)})[:16])
	}
	use := m.use.Load()
	inUse := ds[use]
	copy(ds[1:], ds[:use])
	ds[0] = inUse
	return ds
}

// HS256 is HMAC-SHA-256 as JSON Web Signatures have it (RFC 7518 section 3.2),
// of one purpose under every root secret.
type HS256 struct {
	keys [][]byte
	use  *atomic.Int32 // as in MAC
}

// HS256 derives the codes of a purpose. Derive once and keep it.
func (k *Keyring) HS256(purpose string) HS256 {
	h := HS256{keys: make([][]byte, len(k.roots)), use: &k.use}
	for i, r := range k.roots {
		h.keys[i] = derive(r.secret, "hs256 "+purpose, sha256.Size)
	}
	return h
}

// Sign returns the code of signed under the secret in use, 32 bytes.
func (h HS256) Sign(signed []byte) []byte { return hs256(h.keys[h.use.Load()], signed) }

// Verify reports in constant time whether code is that of signed, whole, under
// any of the secrets.
func (h HS256) Verify(signed, code []byte) bool {
	for _, key := range h.keys {
		if hmac.Equal(hs256(key, signed), code) {
			return true
		}
	}
	return false
}

func hs256(key, signed []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(signed)
	return h.Sum(nil)
}

func sum(key []byte, parts [][]byte) []byte {
	h := hmac.New(sha512.New, key)
	var n [4]byte
	for _, p := range parts {
		binary.BigEndian.PutUint32(n[:], uint32(len(p)))
		h.Write(n[:])
		h.Write(p)
	}
	return h.Sum(nil)
}

// Place says where a sealed value belongs. It is authenticated with the value,
// so that a value put back in another place, or an older one put back in its
// own, does not open.
type Place struct {
	Owner   string // a session id, or the keyed name of an account
	Backend string
	Field   string
	Version uint64
}

func (p Place) aad(id string) []byte {
	return fmt.Appendf(nil, "%s|%q|%q|%q|%d", id, p.Owner, p.Backend, p.Field, p.Version)
}

func (r root) aead(p Place) cipher.AEAD {
	block, err := aes.NewCipher(derive(r.secret, fmt.Sprintf("seal %q %q", p.Owner, p.Backend), 32))
	if err != nil {
		panic("seal: " + err.Error()) // the key is always 32 bytes
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic("seal: " + err.Error())
	}
	return aead
}

// Seal encrypts text for one place with AES-256-GCM. The result is the secret's
// fingerprint, a dot, and base64url.
func (k *Keyring) Seal(p Place, text []byte) string {
	r := k.roots[k.use.Load()]
	return r.id + "." + base64.RawURLEncoding.EncodeToString(r.aead(p).Seal(nil, nil, text, p.aad(r.id)))
}

// Under returns the fingerprint of the secret that a value was sealed under, or
// nothing if Seal did not make it.
func Under(sealed string) string {
	id, _, ok := strings.Cut(sealed, ".")
	if !ok {
		return ""
	}
	return id
}

// Open decrypts what Seal made for the same place, under whichever known secret
// it names. The only error is ErrUnsealable.
func (k *Keyring) Open(p Place, sealed string) ([]byte, error) {
	id, text, ok := strings.Cut(sealed, ".")
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if !ok || err != nil {
		return nil, ErrUnsealable
	}
	for _, r := range k.roots {
		if r.id != id {
			continue
		}
		if plain, err := r.aead(p).Open(nil, nil, raw, p.aad(id)); err == nil {
			return plain, nil
		}
	}
	return nil, ErrUnsealable
}
