package dialect_test

import (
	"crypto/rand"
	"crypto/rsa"
	"sync"
	"testing"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

var _ session.Shape = dialect.Shape{}

// keyset holds RSA keys by id; the one named first signs.
type keyset struct {
	signing string
	keys    map[string]*rsa.PrivateKey
}

func (k keyset) Signing() (string, *rsa.PrivateKey) { return k.signing, k.keys[k.signing] }

func (k keyset) Public(kid string) (*rsa.PublicKey, bool) {
	key, ok := k.keys[kid]
	if !ok {
		return nil, false
	}
	return &key.PublicKey, true
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
	return keyset{signing: kid, keys: map[string]*rsa.PrivateKey{kid: key}}
}

// TestShapeIsTheDialects: the shape that session is handed makes and reads the
// dialect's own tokens.
func TestShapeIsTheDialects(t *testing.T) {
	d := mustOpen(t, "ipfabric/7.0", dialect.Settings{})
	shape := d.Shape(testKeys())
	core := randomCore()
	text := shape.MintRefresh(core, token.Identity{ID: "1108612054"})
	if want := d.Tokens.MintRefresh(core, token.Identity{ID: "1108612054"}); text != want {
		t.Errorf("MintRefresh = %q; want %q", text.Reveal(), want.Reveal())
	}
	if got, ok := shape.ParseRefresh(text); got != core || !ok {
		t.Errorf("ParseRefresh = %x, %v; want %x", got, ok, core)
	}
}
