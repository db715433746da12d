package vectors

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	_ "embed" // the page's id_token
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// An Offline step is pure verification: the id_token of the vendor's page, the
// key that the vendor publishes, and what must come out.
type Offline struct {
	JWK struct{ Kty, Alg, Use, Kid, E, N string }
	// IDToken names the page that shows it; its text is part of this kit.
	IDToken     string `json:"id_token_from_seed"`
	AccessToken string `json:"access_token"`
	Expect      struct {
		Signature, Thumbprint string
		AtHash                string `json:"at_hash"`
		Aud, Iss, Sub         string
		Iat, Exp              int64
	}
}

//go:embed fac_id_token.txt
var facIDToken string

// pageToken is the text of the embedded file without its comments.
func pageToken() string {
	_, token, _ := strings.Cut(strings.TrimSpace(facIDToken), "\ney")
	return "ey" + token
}

// Check verifies the step with the standard library alone, so that it holds the
// project's own code to the vendor's example and not to itself.
func (o *Offline) Check() error {
	n, nErr := base64.RawURLEncoding.DecodeString(o.JWK.N)
	e, eErr := base64.RawURLEncoding.DecodeString(o.JWK.E)
	if err := errors.Join(nErr, eErr); err != nil {
		return fmt.Errorf("the key: %w", err)
	}
	key := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
	errs := []error{
		same("thumbprint", thumbprint(o.JWK.N, o.JWK.E), o.Expect.Thumbprint),
		same("kid of the key", o.JWK.Kid, o.Expect.Thumbprint),
	}
	parts := strings.Split(pageToken(), ".")
	if len(parts) != 3 {
		return errors.New("the page's id_token is not a JWT")
	}
	sig, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return fmt.Errorf("the signature: %w", err)
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	verdict := "valid"
	if rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], sig) != nil {
		verdict = "invalid"
	}
	errs = append(errs, same("signature", verdict, o.Expect.Signature))
	return errors.Join(append(errs, o.checkClaims(parts))...)
}

func (o *Offline) checkClaims(parts []string) error {
	var header struct{ Alg, Kid string }
	var claims struct {
		Aud, Iss, Sub string
		AtHash        string `json:"at_hash"`
		Iat, Exp      int64
	}
	if err := errors.Join(decode(parts[0], &header), decode(parts[1], &claims)); err != nil {
		return err
	}
	hash := sha256.Sum256([]byte(o.AccessToken))
	return errors.Join(
		same("alg", header.Alg, "RS256"),
		same("kid", header.Kid, o.Expect.Thumbprint),
		same("at_hash of the access token", base64.RawURLEncoding.EncodeToString(hash[:16]), o.Expect.AtHash),
		same("at_hash", claims.AtHash, o.Expect.AtHash),
		same("aud", claims.Aud, o.Expect.Aud),
		same("iss", claims.Iss, o.Expect.Iss),
		same("sub", claims.Sub, o.Expect.Sub),
		same("iat", claims.Iat, o.Expect.Iat),
		same("exp", claims.Exp, o.Expect.Exp),
	)
}

// thumbprint is that of RFC 7638.
func thumbprint(n, e string) string {
	sum := sha256.Sum256([]byte(`{"e":"` + e + `","kty":"RSA","n":"` + n + `"}`))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func decode(part string, into any) error {
	b, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}

func same[T comparable](what string, got, want T) error {
	if got != want {
		return fmt.Errorf("%s = %v; want %v", what, got, want)
	}
	return nil
}
