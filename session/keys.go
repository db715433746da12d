package session

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"time"

	"github.com/gatehouse-gateway/gatehouse/seal"
)

// keyBits is the size of a signing key; RFC 7518 section 3.3 asks for 2048.
const keyBits = 2048

// States of a signing key. Others may be added between and after them.
const keyActive = "active"

// ErrNoSigningKey says that the stored keys cannot be used.
var ErrNoSigningKey = errors.New("session: no signing key")

// keyManifest is the stored form of the signing keys, as JSON. What is unknown
// to one version of the program is another's.
type keyManifest struct {
	Keys []keyEntry `json:"keys"`
}

type keyEntry struct {
	KID    string    `json:"kid"` // RFC 7638 thumbprint
	State  string    `json:"state"`
	Since  time.Time `json:"since"`  // when it entered the state
	Sealed string    `json:"sealed"` // PKCS #8, under the keyring
}

// Keys are the keys that sign self-describing tokens, the same on every replica:
// the stored ones of RS256, and those of HS256, which hang on the root secrets
// alone. They are safe for concurrent use; they never change.
type Keys struct {
	kid     string
	signing *rsa.PrivateKey
	public  map[string]*rsa.PublicKey
	ring    *seal.Keyring
	hmac    seal.HS256
}

// LoadKeys reads the signing keys from the store, and makes the first one if
// there is none. Of replicas that start together the first writer wins. It
// fails if the store cannot be asked, or if the keys were sealed under a secret
// that k does not hold.
func LoadKeys(ctx context.Context, store KeyStore, k *seal.Keyring) (*Keys, error) {
	text, err := store.Load(ctx)
	if errors.Is(err, ErrNotFound) {
		text, err = makeManifest(k)
		if err != nil {
			return nil, err
		}
		text, err = store.Settle(ctx, text)
	}
	if err != nil {
		return nil, fmt.Errorf("session: signing keys: %w", err)
	}
	return openManifest(text, k)
}

// Signing returns the key that signs now, and its id.
func (k *Keys) Signing() (kid string, key *rsa.PrivateKey) { return k.kid, k.signing }

// Public returns the key of an id that may still verify.
func (k *Keys) Public(kid string) (*rsa.PublicKey, bool) {
	key, ok := k.public[kid]
	return key, ok
}

// For returns the same keys with HS256 keys of their own for the tokens that a
// dialect's issuer makes for an identity source: shown on a route of another
// source or dialect, such a token is junk there.
func (k *Keys) For(dialect, source string) *Keys {
	own := *k
	own.hmac = k.ring.HS256(fmt.Sprintf("jwt %q %q", dialect, source))
	return &own
}

// SignHMAC returns the HMAC-SHA-256 of HS256 under the first root secret.
func (k *Keys) SignHMAC(signed []byte) []byte { return k.hmac.Sign(signed) }

// VerifyHMAC reports whether mac is that of signed under any root secret.
func (k *Keys) VerifyHMAC(signed, mac []byte) bool { return k.hmac.Verify(signed, mac) }

// jwk is a public key as RFC 7517 section 4 and RFC 7518 section 6.3.1 have it.
type jwk struct {
	KTY string `json:"kty"`
	Alg string `json:"alg"`
	Use string `json:"use"`
	KID string `json:"kid"`
	N   string `json:"n"`
	E   string `json:"e"`
}

// JWKS returns the public keys as a JWK Set (RFC 7517 section 5), the one that
// signs now first.
func (k *Keys) JWKS() []byte {
	set := struct {
		Keys []jwk `json:"keys"`
	}{Keys: []jwk{publicJWK(k.kid, &k.signing.PublicKey)}}
	for _, kid := range slices.Sorted(maps.Keys(k.public)) {
		if kid != k.kid {
			set.Keys = append(set.Keys, publicJWK(kid, k.public[kid]))
		}
	}
	text, err := json.Marshal(set)
	if err != nil {
		panic("session: strings always marshal: " + err.Error())
	}
	return text
}

func publicJWK(kid string, key *rsa.PublicKey) jwk {
	n, e := members(key)
	return jwk{KTY: "RSA", Alg: "RS256", Use: "sig", KID: kid, N: n, E: e}
}

// members returns modulus and exponent of a key in base64url (RFC 7518 section
// 6.3.1).
func members(key *rsa.PublicKey) (n, e string) {
	b64 := base64.RawURLEncoding.EncodeToString
	return b64(key.N.Bytes()), b64(big.NewInt(int64(key.E)).Bytes())
}

func keyPlace(kid string) seal.Place { return seal.Place{Owner: "keys", Field: kid} }

func makeManifest(k *seal.Keyring) (string, error) {
	key, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return "", fmt.Errorf("session: make signing key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", fmt.Errorf("session: make signing key: %w", err)
	}
	kid := Thumbprint(&key.PublicKey)
	text, err := json.Marshal(keyManifest{Keys: []keyEntry{{
		KID: kid, State: keyActive, Since: time.Now().UTC(), Sealed: k.Seal(keyPlace(kid), der),
	}}})
	if err != nil {
		return "", fmt.Errorf("session: make signing key: %w", err)
	}
	return string(text), nil
}

func openManifest(text string, k *seal.Keyring) (*Keys, error) {
	var man keyManifest
	if err := json.Unmarshal([]byte(text), &man); err != nil {
		return nil, fmt.Errorf("%w: the stored manifest is not ours: %w", ErrNoSigningKey, err)
	}
	keys := &Keys{public: map[string]*rsa.PublicKey{}, ring: k, hmac: k.HS256("jwt")}
	for _, e := range man.Keys {
		key, err := openKey(e, k)
		if err != nil {
			return nil, err
		}
		keys.public[e.KID] = &key.PublicKey
		if e.State == keyActive {
			keys.kid, keys.signing = e.KID, key
		}
	}
	if keys.signing == nil {
		return nil, fmt.Errorf("%w: none of those stored is active", ErrNoSigningKey)
	}
	return keys, nil
}

func openKey(e keyEntry, k *seal.Keyring) (*rsa.PrivateKey, error) {
	der, err := k.Open(keyPlace(e.KID), e.Sealed)
	if err != nil {
		return nil, fmt.Errorf("%w: key %.8s was sealed under a secret that is not in GATEHOUSE_SECRET; add that secret again: %w", ErrNoSigningKey, e.KID, err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%w: key %.8s: %w", ErrNoSigningKey, e.KID, err)
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok || Thumbprint(&key.PublicKey) != e.KID {
		return nil, fmt.Errorf("%w: key %.8s is not what its id says", ErrNoSigningKey, e.KID)
	}
	return key, nil
}

// Thumbprint returns the RFC 7638 thumbprint of a key: base64url of SHA-256 over
// its required members in lexical order.
func Thumbprint(key *rsa.PublicKey) string {
	n, e := members(key)
	sum := sha256.Sum256(fmt.Appendf(nil, `{"e":"%s","kty":"RSA","n":"%s"}`, e, n))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
