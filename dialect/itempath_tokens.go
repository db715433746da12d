package dialect

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// The two values of the claim type.
const (
	itpAccess  = "access"
	itpRefresh = "refresh"
)

// itpClaims are the claims of the page's tokens, in their order. The set is
// closed: there is no place for anything of the gateway's but jti.
type itpClaims struct {
	Fresh    bool   `json:"fresh"`
	Iat      int64  `json:"iat"`
	JTI      string `json:"jti"`
	Type     string `json:"type"`
	Identity string `json:"identity"`
	Nbf      int64  `json:"nbf"`
	Exp      int64  `json:"exp,omitzero"` // none in an application token
}

// itpMintAccess makes an access token, or, with no expiry, an application token.
func itpMintAccess(k Keys, a token.Access, _ token.Core) (token.Secret, error) {
	return itpMint(k, a, itpAccess)
}

func itpSignRefresh(k Keys, a token.Access) (token.Secret, error) {
	if a.ExpiresAt.IsZero() {
		return token.Secret{}, errors.New("dialect: itempath refresh tokens need an expiry")
	}
	return itpMint(k, a, itpRefresh)
}

func itpMint(k Keys, a token.Access, kind string) (token.Secret, error) {
	c := itpClaims{
		Iat: a.IssuedAt.Unix(), JTI: itpJTI(a.SID), Type: kind, Identity: a.Identity.Name, Nbf: a.IssuedAt.Unix(),
	}
	if !a.ExpiresAt.IsZero() {
		if !a.ExpiresAt.After(a.IssuedAt) {
			return token.Secret{}, errors.New("dialect: itempath tokens end after their issue")
		}
		c.Exp = a.ExpiresAt.Unix()
	}
	return signHS256(k, c)
}

// itpJTI makes the id of one token: a UUID of version 4 (RFC 9562 section 5.4)
// whose first 64 free bits are the session id and the other 58 random, so that
// two tokens of one session always differ.
func itpJTI(sid token.SID) string {
	var b [16]byte
	rand.Read(b[8:])
	copy(b[:6], sid[:6])
	b[6] = 0x40 | sid[6]>>4
	b[7] = sid[6]<<4 | sid[7]>>4
	b[8] = 0x80 | sid[7]&0x0f<<2 | b[8]&0x03
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// itpSID reads the session id out of what itpJTI wrote.
func itpSID(jti string) (sid token.SID, err error) {
	b, err := hex.DecodeString(strings.ReplaceAll(jti, "-", ""))
	if err != nil || len(b) != 16 || b[6]>>4 != 4 || b[8]>>6 != 2 ||
		jti != fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]) {
		return sid, errors.New("jwt: jti is no UUID of ours")
	}
	copy(sid[:6], b)
	sid[6] = b[6]<<4 | b[7]>>4
	sid[7] = b[7]<<4 | b[8]>>2&0x0f
	return sid, nil
}

// itpParseAccess verifies an access or application token. Its errors are what
// flask-jwt-extended says, in the order in which it looks: the header, the
// signature, the expiry, the type. They tell nothing but what the token does.
func itpParseAccess(k Keys, text token.Secret) (token.Access, *token.Core, error) {
	a, kind, err := itpOpenToken(k, text)
	switch {
	case err != nil:
		return token.Access{}, nil, token.Fail(token.InvalidAccess, itpComplaint(text, err), err)
	case itpExpired(a) && kind != itpAccess:
		return token.Access{}, nil, token.Fail(token.ExpiredAccess, itpExpiredToken, nil)
	case itpExpired(a):
		return a, nil, token.Fail(token.ExpiredAccess, itpExpiredToken, nil)
	case kind != itpAccess:
		return token.Access{}, nil, token.Fail(token.WrongToken, itpOnlyAccess, nil)
	}
	return a, nil, nil
}

func itpOpenRefresh(k Keys, text token.Secret) (token.Access, error) {
	a, kind, err := itpOpenToken(k, text)
	switch {
	case err != nil:
		return token.Access{}, token.Fail(token.InvalidRefresh, itpComplaint(text, err), err)
	case itpExpired(a):
		return token.Access{}, token.Fail(token.InvalidRefresh, itpExpiredToken, nil)
	case kind != itpRefresh:
		return token.Access{}, token.Fail(token.WrongToken, itpOnlyRefresh, nil)
	}
	return a, nil
}

func itpExpired(a token.Access) bool { return !a.ExpiresAt.IsZero() && !time.Now().Before(a.ExpiresAt) }

// itpComplaint returns the library's words for a text that is no token of ours.
func itpComplaint(text token.Secret, err error) string {
	switch {
	case text.IsZero(): // the carrier could not read it
		return itpBadHeader
	case strings.Count(text.Reveal(), ".") < 2:
		return itpNotEnough
	case errors.Is(err, errJWTHeader):
		return itpBadPadding
	case errors.Is(err, errJWTAlg):
		return itpBadAlg
	}
	return itpBadSignature
}

// itpOpenToken verifies a token of either type, whether it has expired or not.
// Only an access token may have no end.
func itpOpenToken(k Keys, text token.Secret) (a token.Access, kind string, err error) {
	o, err := openHS256(k, text)
	if err != nil {
		return a, "", err
	}
	r := claimReader{o: o}
	fresh, jti := r.truth("fresh"), r.text("jti")
	a.Identity.Name, kind = r.text("identity"), r.text("type")
	if r.err != nil {
		return token.Access{}, "", r.err
	}
	if a.SID, err = itpSID(jti); err != nil {
		return token.Access{}, "", err
	}
	_, ends := o["exp"]
	if ends {
		a.IssuedAt, a.ExpiresAt, err = jwtTimes(o)
	} else {
		a.IssuedAt, err = jwtIssued(o)
	}
	if err != nil {
		return token.Access{}, "", err
	}
	nbf, err := o.integer("nbf")
	switch {
	case err != nil || nbf != a.IssuedAt.Unix():
		return token.Access{}, "", errors.New("jwt: nbf is not iat")
	case fresh || kind != itpAccess && (kind != itpRefresh || !ends):
		return token.Access{}, "", errors.New("jwt: no such type of token")
	case ends && len(o) != 7, !ends && len(o) != 6:
		return token.Access{}, "", errors.New("jwt: more claims than ours")
	}
	return a, kind, nil
}
