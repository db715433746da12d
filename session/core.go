package session

import (
	"encoding/binary"

	"github.com/gatehouse-gateway/gatehouse/seal"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// codes are the subkeys of everything that is made or looked up here.
type codes struct {
	refresh, access, api seal.MAC // of tokens
	chosen               seal.MAC // digests of API tokens whose text a caller chose
	failures             seal.MAC // digests of accounts and addresses
	factorCode           seal.MAC // digests of codes that were sent
	push                 seal.MAC // of the names of requests for approval
	grants               seal.MAC // digests of authorization codes
}

func newCodes(k *seal.Keyring) codes {
	return codes{
		refresh: k.MAC("core refresh"), access: k.MAC("core access"), api: k.MAC("api token"),
		chosen: k.MAC("chosen api token"), failures: k.MAC("login failures"),
		factorCode: k.MAC("factor code"), push: k.MAC("push session"),
		grants: k.MAC("authorization code"),
	}
}

// The layout of a core: session id, generation (big endian), code.
const (
	coreGeneration = 8
	coreCode       = 11
)

// makeCore authenticates a session id and generation for one issuer and identity
// source, so that a token shown on a route of another source is junk there. The
// client is not in the code: it is in the record, so that a wrong client can be
// told from junk.
func makeCore(m seal.MAC, kind string, i *Issuer, sid token.SID, generation uint32) token.Core {
	var c token.Core
	var g [4]byte
	binary.BigEndian.PutUint32(g[:], generation)
	copy(c[:], sid[:])
	copy(c[coreGeneration:], g[1:])
	m.Sum(c[coreCode:], []byte(kind), []byte(i.Name), []byte(i.Source), c[:coreGeneration], c[coreGeneration:coreCode])
	return c
}

// openCore checks what makeCore made.
func openCore(m seal.MAC, kind string, i *Issuer, c token.Core) (sid token.SID, generation uint32, ok bool) {
	if !m.Verify(c[coreCode:], []byte(kind), []byte(i.Name), []byte(i.Source), c[:coreGeneration], c[coreGeneration:coreCode]) {
		return sid, 0, false
	}
	copy(sid[:], c[:])
	return sid, binary.BigEndian.Uint32([]byte{0, c[8], c[9], c[10]}), true
}

func (c *codes) refreshCore(i *Issuer, sid token.SID, generation uint32) token.Core {
	return makeCore(c.refresh, "refresh", i, sid, generation)
}

func (c *codes) accessCore(i *Issuer, sid token.SID, generation uint32) token.Core {
	return makeCore(c.access, "access", i, sid, generation)
}

// openRefresh finds whose refresh token a text is. The issuer's own word passes
// where it has one; otherwise the error is errInvalidRefresh.
func (c *codes) openRefresh(i *Issuer, text token.Secret) (token.SID, uint32, error) {
	a, core, err := i.Shape.ParseRefresh(text)
	switch {
	case err != nil && tells(err):
		return token.SID{}, 0, err
	case err != nil:
		return token.SID{}, 0, errInvalidRefresh
	case core == nil:
		return a.SID, a.Generation, nil
	}
	sid, generation, ok := openCore(c.refresh, "refresh", i, *core)
	if !ok {
		return token.SID{}, 0, errInvalidRefresh
	}
	return sid, generation, nil
}

// openAccess is openRefresh for an access token.
func (c *codes) openAccess(i *Issuer, text token.Secret) (token.SID, uint32, bool) {
	a, core, err := i.Shape.ParseAccess(text)
	if err != nil {
		return token.SID{}, 0, false
	}
	if core == nil { // it proves itself
		return a.SID, a.Generation, true
	}
	return openCore(c.access, "access", i, *core)
}
