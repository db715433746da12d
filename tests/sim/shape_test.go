package sim_test

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// shape is a plain form of tokens, in place of a vendor's: an access token says all
// by itself, as a JWT does, without the price of a signature.
type shape struct{}

func (shape) MintAccess(a token.Access, _ token.Core) (token.Secret, error) {
	return token.NewSecret(fmt.Sprintf("at.%s.%d.%d.%d", a.SID, a.Generation, a.IssuedAt.UnixMilli(), a.ExpiresAt.UnixMilli())), nil
}

func (shape) ParseAccess(text token.Secret) (token.Access, *token.Core, error) {
	bad := token.Fail(token.InvalidAccess, "bad", nil)
	f := strings.Split(text.Reveal(), ".")
	if len(f) != 5 || f[0] != "at" {
		return token.Access{}, nil, bad
	}
	sid, err := token.ParseSID(f[1])
	g, err2 := strconv.ParseUint(f[2], 10, 32)
	made, err3 := strconv.ParseInt(f[3], 10, 64)
	ends, err4 := strconv.ParseInt(f[4], 10, 64)
	if err != nil || err2 != nil || err3 != nil || err4 != nil {
		return token.Access{}, nil, bad
	}
	a := token.Access{SID: sid, Generation: uint32(g), IssuedAt: time.UnixMilli(made), ExpiresAt: time.UnixMilli(ends)}
	if !time.Now().Before(a.ExpiresAt) {
		return a, nil, token.Fail(token.ExpiredAccess, "expired", nil)
	}
	return a, nil, nil
}

func (shape) MintRefresh(_ token.Access, core token.Core) (token.Secret, error) {
	return token.NewSecret("rt." + hex.EncodeToString(core[:])), nil
}

func (shape) ParseRefresh(text token.Secret) (token.Access, *token.Core, error) {
	rest, ok := strings.CutPrefix(text.Reveal(), "rt.")
	b, err := hex.DecodeString(rest)
	if !ok || err != nil || len(b) != len(token.Core{}) {
		return token.Access{}, nil, token.Fail(token.InvalidRefresh, "bad", nil)
	}
	core := token.Core(b)
	return token.Access{}, &core, nil
}
