package session

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/gatehouse-gateway/gatehouse/seal"
)

// Keys are the keys that sign self-describing tokens, the same on every replica:
// the stored ones of RS256, and those of HS256, which hang on the root secrets
// alone. They are a live view: a rotation shows in them at its time. They are
// safe for concurrent use.
type Keys struct {
	stored *storedKeys
	ring   *seal.Keyring
	hmac   seal.HS256
}

// storedKeys is what all Keys of one store share.
type storedKeys struct {
	store KeyStore
	ring  *seal.Keyring
	view  atomic.Pointer[keyView]
	reads atomic.Int64 // of the manifest that were begun
	mu    sync.Mutex
	shown int64 // guarded by mu: the read that the view is from

	looks  singleflight.Group
	looked atomic.Pointer[look] // the last look for an unknown key; nil: none
}

// keyView is the manifest as it stands at a time, with its keys opened. It never
// changes.
type keyView struct {
	man     keyManifest
	text    string
	skew    time.Duration // the store's clock less this one, when it was read
	kid     string
	signing *rsa.PrivateKey
	all     map[string]*rsa.PrivateKey // those that may verify, and those gone a moment ago
	public  map[string]*rsa.PublicKey
	jwks    []byte
}

// at is the store's time now.
func (v *keyView) at() time.Time { return time.Now().Add(v.skew) }

// LoadKeys reads the signing keys from the store, and makes the first one if
// there is none. Of replicas that start together the first writer wins. It
// fails if the store cannot be asked, or if the keys were sealed under a secret
// that k does not hold.
func LoadKeys(ctx context.Context, store KeyStore, k *seal.Keyring) (*Keys, error) {
	s := &storedKeys{store: store, ring: k}
	err := s.load(ctx)
	if errors.Is(err, ErrNotFound) {
		var text string
		if text, err = makeManifest(k); err != nil {
			return nil, err
		}
		if _, err = store.Settle(ctx, text); err == nil {
			err = s.load(ctx)
		}
	}
	switch {
	case errors.Is(err, ErrNoSigningKey):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("session: signing keys: %w", err)
	}
	return &Keys{stored: s, ring: k, hmac: k.HS256("jwt")}, nil
}

// load reads the manifest anew. After an error all is as it was. Of reads that
// overlap the one begun last counts.
func (s *storedKeys) load(ctx context.Context) error {
	n := s.reads.Add(1)
	text, at, err := s.store.Load(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n < s.shown {
		return nil
	}
	if err := s.show(text, time.Until(at)); err != nil {
		return err
	}
	s.shown = n
	return nil
}

// show makes the view of a manifest, read when the store's clock was ahead of
// this one by skew. Keys that were opened before are not opened again. The caller
// holds mu.
func (s *storedKeys) show(text string, skew time.Duration) error {
	man, err := readManifest(text)
	if err != nil {
		return err
	}
	v := &keyView{man: man, text: text, skew: skew, all: map[string]*rsa.PrivateKey{}, public: map[string]*rsa.PublicKey{}}
	old := s.view.Load()
	at := v.at()
	signer := man.signer(at)
	if signer == nil {
		return fmt.Errorf("%w: none is stored", ErrNoSigningKey)
	}
	for i := range man.Keys {
		e := &man.Keys[i]
		if e.gone(at) && e != signer {
			continue
		}
		var key *rsa.PrivateKey
		if old != nil {
			key = old.all[e.KID]
		}
		if key == nil {
			if key, err = openKey(e, s.ring); err != nil {
				return err
			}
		}
		v.all[e.KID], v.public[e.KID] = key, &key.PublicKey
	}
	v.kid, v.signing = signer.KID, v.all[signer.KID]
	v.jwks = jwks(v)
	s.view.Store(v)
	return nil
}

// turn shows the manifest as it stands now, if time has changed that.
func (s *storedKeys) turn() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.view.Load()
	return s.show(v.text, v.skew)
}

// Signing returns the key that signs now, and its id.
func (k *Keys) Signing() (kid string, key *rsa.PrivateKey) {
	v := k.stored.view.Load()
	return v.kid, v.signing
}

// Public returns the key of an id that may still verify. One that is not known
// makes it look into the store, at most once a second: another replica may sign
// with it already. Errors: unavailable if the store cannot be asked; any other
// says that there is no such key.
func (k *Keys) Public(kid string) (*rsa.PublicKey, error) {
	if key, ok := k.stored.view.Load().public[kid]; ok {
		return key, nil
	}
	return k.stored.look(kid)
}

// Times of looks for keys that are not known.
const (
	lookEvery = time.Second
	lookLimit = 300 * time.Millisecond
)

// look is one look into the store for a key that was not known.
type look struct {
	at  time.Time
	err error
}

var errUnknownKey = errors.New("session: unknown signing key")

// look reads the manifest again, if that was not done a moment ago, and then
// answers from it. Callers that come together share one look.
func (s *storedKeys) look(kid string) (*rsa.PublicKey, error) {
	_, err, _ := s.looks.Do("", func() (any, error) {
		if last := s.looked.Load(); last != nil && time.Since(last.at) < lookEvery {
			return nil, last.err
		}
		ctx, cancel := context.WithTimeout(context.Background(), lookLimit)
		defer cancel()
		began, err := time.Now(), s.load(ctx)
		if err != nil {
			err = unavailable(fmt.Errorf("session: signing keys: %w", err))
		}
		s.looked.Store(&look{began, err})
		return nil, err
	})
	if err != nil {
		return nil, err
	}
	if key, ok := s.view.Load().public[kid]; ok {
		return key, nil
	}
	return nil, errUnknownKey
}

// IDs returns the ids of the keys that may verify, in order.
func (k *Keys) IDs() []string {
	return slices.Sorted(maps.Keys(k.stored.view.Load().public))
}

// For returns the same keys with HS256 keys of their own for the tokens that a
// dialect's issuer makes for an identity source: shown on a route of another
// source or dialect, such a token is junk there.
func (k *Keys) For(dialect, source string) *Keys {
	own := *k
	own.hmac = k.ring.HS256(fmt.Sprintf("jwt %q %q", dialect, source))
	return &own
}

// SignHMAC returns the HMAC-SHA-256 of HS256 under the root secret in use.
func (k *Keys) SignHMAC(signed []byte) []byte { return k.hmac.Sign(signed) }

// VerifyHMAC reports whether mac is that of signed under any root secret.
func (k *Keys) VerifyHMAC(signed, mac []byte) bool { return k.hmac.Verify(signed, mac) }

// JWKS returns the public keys as a JWK Set (RFC 7517 section 5), the one that
// signs now first: published, active and retired ones.
func (k *Keys) JWKS() []byte { return k.stored.view.Load().jwks }

// jwk is a public key as RFC 7517 section 4 and RFC 7518 section 6.3.1 have it.
type jwk struct {
	KTY string `json:"kty"`
	Alg string `json:"alg"`
	Use string `json:"use"`
	KID string `json:"kid"`
	N   string `json:"n"`
	E   string `json:"e"`
}

func jwks(v *keyView) []byte {
	set := struct {
		Keys []jwk `json:"keys"`
	}{Keys: []jwk{publicJWK(v.kid, &v.signing.PublicKey)}}
	for _, kid := range slices.Sorted(maps.Keys(v.public)) {
		if kid != v.kid {
			set.Keys = append(set.Keys, publicJWK(kid, v.public[kid]))
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

// Thumbprint returns the RFC 7638 thumbprint of a key: base64url of SHA-256 over
// its required members in lexical order.
func Thumbprint(key *rsa.PublicKey) string {
	n, e := members(key)
	sum := sha256.Sum256(fmt.Appendf(nil, `{"e":"%s","kty":"RSA","n":"%s"}`, e, n))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
