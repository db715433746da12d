package dialect

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// iatLeeway is how far the clock of the store, which tokens go by, may be ahead of
// this machine's.
const iatLeeway = 24 * time.Hour

// maxJWT is the longest JWT made or read, in bytes. Longer ones cost nothing.
const maxJWT = 8 << 10

// maxTime is the last second of the year 9999, the end of RFC 3339's range.
const maxTime = 253402300799

// jwtHeader is the header of every JWT that the gateway makes, and the only one
// it takes: a closed set of members leaves crit, b64, zip, jku, x5u, jwk and
// x5c nothing to do.
type jwtHeader struct {
	Alg string `json:"alg"`
	Typ string `json:"typ"`
	Kid string `json:"kid"`
}

// signJWT makes an RS256 JWT (RFC 7519, RFC 7518 section 3.3) of claims under
// the key that signs now.
func signJWT(k Keys, claims any) (token.Secret, error) {
	kid, key := k.Signing()
	header, err := json.Marshal(jwtHeader{Alg: jwt.SigningMethodRS256.Alg(), Typ: "JWT", Kid: kid})
	if err != nil {
		return token.Secret{}, fmt.Errorf("dialect: jwt header: %w", err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return token.Secret{}, fmt.Errorf("dialect: jwt claims: %w", err)
	}
	signed := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload)
	sig, err := jwt.SigningMethodRS256.Sign(signed, key)
	if err != nil {
		return token.Secret{}, fmt.Errorf("dialect: jwt signature: %w", err)
	}
	text := signed + "." + base64.RawURLEncoding.EncodeToString(sig)
	if len(text) > maxJWT {
		return token.Secret{}, fmt.Errorf("dialect: a jwt of %d bytes would not be read back, the limit is %d; give the user fewer scopes and groups", len(text), maxJWT)
	}
	return token.NewSecret(text), nil
}

// openJWT returns the claims of an RS256 JWT signed by one of k, read strictly:
// the library by itself takes 16 spellings of one signature, line ends inside
// the text, repeated members, unknown crit and any typ. The claims are the
// signer's; what they mean is for the caller to check. An error of kind
// Unavailable says that the key could not be asked for; any other, that the text
// is not good.
func openJWT(k Keys, text token.Secret) (object, error) {
	parts, err := splitJWT(text.Reveal())
	if err != nil {
		return nil, err
	}
	kid, err := readJWTHeader(parts[0])
	if err != nil {
		return nil, err
	}
	key, err := k.Public(kid)
	if err != nil {
		return nil, fmt.Errorf("jwt: kid: %w", err)
	}
	sig, err := decodeJWT(parts[2])
	if err != nil {
		return nil, err
	}
	signed := text.Reveal()[:len(parts[0])+1+len(parts[1])]
	if err := jwt.SigningMethodRS256.Verify(signed, sig, key); err != nil {
		return nil, errors.New("jwt: wrong signature")
	}
	payload, err := decodeJWT(parts[1])
	if err != nil {
		return nil, err
	}
	return parseObject(payload)
}

// splitJWT cuts a text into exactly three parts of the base64url alphabet.
func splitJWT(text string) (parts [3]string, err error) {
	if len(text) > maxJWT {
		return parts, errors.New("jwt: too long")
	}
	if strings.Count(text, ".") != 2 {
		return parts, errors.New("jwt: not three parts")
	}
	for i := range parts {
		parts[i], text, _ = strings.Cut(text, ".")
		if !isBase64URL(parts[i]) {
			return parts, errors.New("jwt: not base64url")
		}
	}
	return parts, nil
}

// isBase64URL reports whether s is of the alphabet of RFC 4648 section 5 and not
// empty. The decoder alone would skip line ends.
func isBase64URL(s string) bool {
	for i := range len(s) {
		if _, ok := base62Digit(s[i]); !ok && s[i] != '-' && s[i] != '_' {
			return false
		}
	}
	return s != ""
}

// decodeJWT decodes one part; Strict refuses a last character with bits to
// spare.
func decodeJWT(part string) ([]byte, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, errors.New("jwt: not canonical base64url")
	}
	return b, nil
}

// readJWTHeader takes a header of exactly our three members and returns the kid.
func readJWTHeader(part string) (kid string, err error) {
	b, err := decodeJWT(part)
	if err != nil {
		return "", err
	}
	header, err := parseObject(b)
	if err != nil {
		return "", err
	}
	alg, algErr := header.text("alg")
	typ, typErr := header.text("typ")
	kid, kidErr := header.text("kid")
	switch {
	case errors.Join(algErr, typErr, kidErr) != nil || len(header) != 3:
		return "", errors.New("jwt: not a header of ours")
	case alg != jwt.SigningMethodRS256.Alg():
		return "", errors.New("jwt: alg is not RS256")
	case typ != "JWT":
		return "", errors.New("jwt: typ is not JWT")
	case !isBase64URL(kid) || len(kid) > 64:
		return "", errors.New("jwt: kid is no thumbprint")
	}
	return kid, nil
}

// jwtTimes reads iat and exp, whole seconds, and refuses what no token of ours
// says: times out of range, an end not after the beginning, a beginning further
// ahead than iatLeeway. Whether exp has passed is the caller's question.
func jwtTimes(claims object) (issued, expires time.Time, err error) {
	if issued, err = jwtIssued(claims); err != nil {
		return issued, expires, err
	}
	exp, err := claims.integer("exp")
	switch {
	case err != nil:
		return issued, expires, errors.New("jwt: exp is no integer")
	case exp <= issued.Unix() || exp > maxTime:
		return issued, expires, errors.New("jwt: exp is out of range")
	}
	return issued, time.Unix(exp, 0), nil
}

// jwtIssued reads iat alone, of a token that may have no end.
func jwtIssued(claims object) (issued time.Time, err error) {
	iat, err := claims.integer("iat")
	switch {
	case err != nil:
		return issued, errors.New("jwt: iat is no integer")
	case iat < 1 || iat > maxTime:
		return issued, errors.New("jwt: iat is out of range")
	}
	if issued = time.Unix(iat, 0); time.Until(issued) > iatLeeway {
		return issued, errors.New("jwt: iat is in the future")
	}
	return issued, nil
}
