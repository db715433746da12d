package dialect_test

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

var _ session.Shape = dialect.Shape{}

// keyset holds RSA keys by id, of which the one named first signs, and secrets of
// HS256, of which the first signs.
type keyset struct {
	signing string
	keys    map[string]*rsa.PrivateKey
	secrets []string
	away    bool // public keys cannot be asked for
}

func (k keyset) SignHMAC(signed []byte) []byte { return sumHMAC(k.secrets[0], signed) }

func (k keyset) VerifyHMAC(signed, mac []byte) bool {
	return slices.ContainsFunc(k.secrets, func(s string) bool { return hmac.Equal(sumHMAC(s, signed), mac) })
}

func sumHMAC(secret string, signed []byte) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write(signed)
	return h.Sum(nil)
}

func (k keyset) Signing() (string, *rsa.PrivateKey) { return k.signing, k.keys[k.signing] }

func (k keyset) Public(kid string) (*rsa.PublicKey, error) {
	if k.away {
		return nil, token.Fail(token.Unavailable, "away", nil)
	}
	key, ok := k.keys[kid]
	if !ok {
		return nil, errors.New("no such key")
	}
	return &key.PublicKey, nil
}

var (
	testKeys    = sync.OnceValue(func() keyset { return newKeys("kid-one") })
	foreignKeys = sync.OnceValue(func() keyset { return newKeys("kid-one") }) // the same id, another key
)

func newKeys(kid string) keyset {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return keyset{signing: kid, keys: map[string]*rsa.PrivateKey{kid: key}, secrets: []string{rand.Text()}}
}

// TestShapeIsTheDialects: the shape that session is handed makes and reads the
// dialect's own tokens.
func TestShapeIsTheDialects(t *testing.T) {
	d := mustOpen(t, "ipfabric/7.0", dialect.Settings{})
	shape := d.Shape(testKeys())
	core := randomCore()
	text, err := shape.MintRefresh(token.Access{Identity: token.Identity{ID: "1108612054"}}, core)
	if want := d.Tokens.MintRefresh(core, token.Identity{ID: "1108612054"}); text != want || err != nil {
		t.Errorf("MintRefresh = %q, %v; want %q", text.Reveal(), err, want.Reveal())
	}
	if _, got, err := shape.ParseRefresh(text); err != nil || *got != core {
		t.Errorf("ParseRefresh = %x, %v; want %x", got, err, core)
	}
	if _, got, err := shape.ParseRefresh(token.NewSecret("x")); got != nil || token.KindOf(err) != token.InvalidRefresh {
		t.Errorf("ParseRefresh of junk = %x, %v; want invalid_refresh", got, err)
	}
}
