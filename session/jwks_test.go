package session_test

import (
	"encoding/base64"
	"encoding/json"
	"math/big"
	"slices"
	"testing"

	"github.com/gatehouse-gateway/gatehouse/seal"
	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/session/sessiontest"
)

func TestJWKSHoldsThePublicKeysAndNothingElse(t *testing.T) {
	keys, err := session.LoadKeys(t.Context(), sessiontest.NewMemory(), seal.Random())
	if err != nil {
		t.Fatal(err)
	}
	var set map[string][]map[string]string
	if err := json.Unmarshal(keys.JWKS(), &set); err != nil || len(set) != 1 || len(set["keys"]) != 1 {
		t.Fatalf("JWKS = %s, %v; want one member with one key", keys.JWKS(), err)
	}
	jwk := set["keys"][0]
	names := []string{}
	for name := range jwk {
		names = append(names, name)
	}
	slices.Sort(names)
	if want := []string{"alg", "e", "kid", "kty", "n", "use"}; !slices.Equal(names, want) {
		t.Errorf("members = %q; want %q", names, want)
	}
	kid, key := keys.Signing()
	n, err := base64.RawURLEncoding.Strict().DecodeString(jwk["n"])
	if err != nil {
		t.Fatal(err)
	}
	if jwk["kid"] != kid || jwk["kty"] != "RSA" || jwk["alg"] != "RS256" || jwk["use"] != "sig" || jwk["e"] != "AQAB" || new(big.Int).SetBytes(n).Cmp(key.N) != 0 {
		t.Errorf("key = %v; want that of %s", jwk, kid)
	}
	if session.Thumbprint(&key.PublicKey) != kid {
		t.Error("the id is not the key's thumbprint")
	}
}
