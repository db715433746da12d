package dialect

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// hs256Header is the header of every HS256 JWT that the gateway makes, and the
// only one it takes, to the byte. It names no key: those that there are verify
// in turn.
const hs256Header = `{"typ":"JWT","alg":"HS256"}`

// signHS256 makes an HS256 JWT (RFC 7519, RFC 7518 section 3.2) of claims under
// the key that signs now.
func signHS256(k Keys, claims any) (token.Secret, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return token.Secret{}, fmt.Errorf("dialect: jwt claims: %w", err)
	}
	signed := base64.RawURLEncoding.EncodeToString([]byte(hs256Header)) + "." + base64.RawURLEncoding.EncodeToString(payload)
	text := signed + "." + base64.RawURLEncoding.EncodeToString(k.SignHMAC([]byte(signed)))
	if len(text) > maxJWT {
		return token.Secret{}, fmt.Errorf("dialect: a jwt of %d bytes would not be read back, the limit is %d", len(text), maxJWT)
	}
	return token.NewSecret(text), nil
}

// What a header can be that is not ours. Callers tell them apart for those
// vendors who do.
var (
	errJWTHeader = errors.New("jwt: the header cannot be read")
	errJWTAlg    = errors.New("jwt: alg is not HS256")
)

// openHS256 returns the claims of an HS256 JWT made by one of k, read as strictly
// as openJWT does.
func openHS256(k Keys, text token.Secret) (object, error) {
	parts, err := splitJWT(text.Reveal())
	if err != nil {
		return nil, err
	}
	if err := checkHS256Header(parts[0]); err != nil {
		return nil, err
	}
	mac, err := decodeJWT(parts[2])
	if err != nil {
		return nil, err
	}
	if signed := text.Reveal()[:len(parts[0])+1+len(parts[1])]; !k.VerifyHMAC([]byte(signed), mac) {
		return nil, errors.New("jwt: wrong signature")
	}
	payload, err := decodeJWT(parts[1])
	if err != nil {
		return nil, err
	}
	return parseObject(payload)
}

func checkHS256Header(part string) error {
	b, err := decodeJWT(part)
	if err != nil {
		return errJWTHeader
	}
	if string(b) == hs256Header {
		return nil
	}
	header, err := parseObject(b)
	if err != nil {
		return errJWTHeader
	}
	if alg, err := header.text("alg"); err != nil || alg != "HS256" {
		return errJWTAlg
	}
	return errors.New("jwt: not a header of ours")
}

// jwtLife returns how long a backend's token lives in all, if it is a JWT that
// says so, and otherwise else. Nobody vouches for what it says; a life without
// an end, or over maxAge, counts as not said.
func jwtLife(text token.Secret, otherwise time.Duration) time.Duration {
	parts, err := splitJWT(text.Reveal())
	if err != nil {
		return otherwise
	}
	payload, err := decodeJWT(parts[1])
	if err != nil {
		return otherwise
	}
	claims, err := parseObject(payload)
	if err != nil {
		return otherwise
	}
	iat, iatErr := claims.integer("iat")
	exp, expErr := claims.integer("exp")
	if errors.Join(iatErr, expErr) != nil || iat < 1 || iat > maxTime || exp <= iat || exp-iat > maxAge {
		return otherwise
	}
	return time.Duration(exp-iat) * time.Second
}
