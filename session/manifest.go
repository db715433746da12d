package session

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gatehouse-gateway/gatehouse/seal"
)

// KeyStore keeps one text, the manifest of signing keys, for all replicas. Its
// clock is theirs in all that concerns those keys.
type KeyStore interface {
	// Load returns the manifest and the store's time, or ErrNotFound.
	Load(ctx context.Context) (manifest string, at time.Time, err error)
	// Settle writes the manifest if there is none and returns the one that is
	// there then: the first writer wins.
	Settle(ctx context.Context, manifest string) (string, error)
	// Swap writes next if the manifest is still old. It reports whether next is
	// there then, so a repeat says the same.
	Swap(ctx context.Context, old, next string) (swapped bool, err error)
}

// keyBits is the size of a signing key; RFC 7518 section 3.3 asks for 2048.
const keyBits = 2048

// States of a signing key. Which one a key is in follows from the times in the
// manifest; the word is kept there for people and for earlier versions.
const (
	keyPublished = "published" // it verifies, and will sign from its time on
	keyActive    = "active"    // it signs
	keyRetired   = "retired"   // it verifies what it signed, until that has expired
)

// keyManifest is the stored form of the signing keys, as JSON. What is unknown
// to one version of the program is another's.
type keyManifest struct {
	Keys []keyEntry `json:"keys"`
}

type keyEntry struct {
	KID    string    `json:"kid"` // RFC 7638 thumbprint
	State  string    `json:"state"`
	Since  time.Time `json:"since"`         // when it was made
	From   time.Time `json:"from,omitzero"` // when it begins to sign; zero: since it was made
	Gone   time.Time `json:"gone,omitzero"` // when it is removed; zero: not yet known, for it has no successor
	Sealed string    `json:"sealed"`        // PKCS #8, under the keyring
}

func (e *keyEntry) from() time.Time {
	if e.From.IsZero() {
		return e.Since
	}
	return e.From
}

func (e *keyEntry) gone(at time.Time) bool { return !e.Gone.IsZero() && !at.Before(e.Gone) }

func readManifest(text string) (keyManifest, error) {
	var man keyManifest
	if err := json.Unmarshal([]byte(text), &man); err != nil {
		return man, fmt.Errorf("%w: the stored manifest is not ours: %w", ErrNoSigningKey, err)
	}
	return man, nil
}

func (man *keyManifest) text() (string, error) {
	b, err := json.Marshal(man)
	if err != nil {
		return "", fmt.Errorf("session: signing keys: %w", err)
	}
	return string(b), nil
}

// signer returns the entry that signs at a time: of those whose time has come
// the latest. A clock before all of them takes the earliest. Nil: there are none.
func (man *keyManifest) signer(at time.Time) *keyEntry {
	var found, first *keyEntry
	for i := range man.Keys {
		e := &man.Keys[i]
		if first == nil || e.from().Before(first.from()) {
			first = e
		}
		if !e.from().After(at) && (found == nil || e.from().After(found.from())) {
			found = e
		}
	}
	if found == nil {
		return first
	}
	return found
}

// pending returns the entry that is published and does not sign yet; nil: none.
func (man *keyManifest) pending(at time.Time) *keyEntry {
	signer := man.signer(at)
	for i := range man.Keys {
		if e := &man.Keys[i]; e != signer && e.from().After(at) {
			return e
		}
	}
	return nil
}

// state says what an entry does at a time.
func (man *keyManifest) state(e *keyEntry, at time.Time) string {
	switch {
	case e == man.signer(at):
		return keyActive
	case e.from().After(at):
		return keyPublished
	}
	return keyRetired
}

// settle removes what is gone at a time and writes down the states. It reports
// whether it changed anything.
func (man *keyManifest) settle(at time.Time) bool {
	signer := man.signer(at)
	before := len(man.Keys)
	kept := slices.DeleteFunc(slices.Clone(man.Keys), func(e keyEntry) bool {
		return e.gone(at) && (signer == nil || e.KID != signer.KID)
	})
	man.Keys = kept
	changed := len(kept) != before
	for i := range man.Keys {
		e := &man.Keys[i]
		if s := man.state(e, at); s != e.State {
			e.State, changed = s, true
		}
	}
	return changed
}

// reseal puts every key under the secret that the keyring uses now. It reports
// whether it changed anything.
func (man *keyManifest) reseal(k *seal.Keyring) (bool, error) {
	changed := false
	for i := range man.Keys {
		e := &man.Keys[i]
		if seal.Under(e.Sealed) == k.Using() {
			continue
		}
		der, err := unseal(e, k)
		if err != nil {
			return false, err
		}
		e.Sealed, changed = k.Seal(keyPlace(e.KID), der), true
	}
	return changed, nil
}

// next returns the next time at which a key changes its state; zero: none.
func (man *keyManifest) next(at time.Time) time.Time {
	var soonest time.Time
	for i := range man.Keys {
		for _, t := range []time.Time{man.Keys[i].from(), man.Keys[i].Gone} {
			if t.After(at) && (soonest.IsZero() || t.Before(soonest)) {
				soonest = t
			}
		}
	}
	return soonest
}

func keyPlace(kid string) seal.Place { return seal.Place{Owner: "keys", Field: kid} }

// makeKey draws a signing key; its times are for the caller to set.
func makeKey(k *seal.Keyring) (keyEntry, error) {
	key, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return keyEntry{}, fmt.Errorf("session: make signing key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return keyEntry{}, fmt.Errorf("session: make signing key: %w", err)
	}
	kid := Thumbprint(&key.PublicKey)
	return keyEntry{KID: kid, Sealed: k.Seal(keyPlace(kid), der)}, nil
}

// makeManifest makes the first one. The store's time is not known yet, which does
// no harm: without a successor the only key signs whenever it was made.
func makeManifest(k *seal.Keyring) (string, error) {
	e, err := makeKey(k)
	if err != nil {
		return "", err
	}
	e.State, e.Since = keyActive, time.Now().UTC()
	return (&keyManifest{Keys: []keyEntry{e}}).text()
}

func unseal(e *keyEntry, k *seal.Keyring) ([]byte, error) {
	der, err := k.Open(keyPlace(e.KID), e.Sealed)
	if err != nil {
		return nil, fmt.Errorf("%w: key %.8s was sealed under secret %.8s, which is not in GATEHOUSE_SECRET; add that secret again: %w",
			ErrNoSigningKey, e.KID, seal.Under(e.Sealed), err)
	}
	return der, nil
}

func openKey(e *keyEntry, k *seal.Keyring) (*rsa.PrivateKey, error) {
	der, err := unseal(e, k)
	if err != nil {
		return nil, err
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

// ErrNoSigningKey says that the stored keys cannot be used.
var ErrNoSigningKey = errors.New("session: no signing key")
