package dialect

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// The vendor names iss and aud without showing a value. These two keep our
// access tokens apart from every other JWT under the same keys. [I]
const (
	ipfIssuer   = "ipf-api"
	ipfAudience = "ipf-client"
)

// ipfInvalid is the one message for every access token that is not good.
const ipfInvalid = "Invalid access token"

// maxGeneration is the last one that a core holds in its three bytes.
const maxGeneration = 1<<24 - 1

// ipfClaims are the claims of the page, in its order, and our own two. aud is a
// string there, where the library would write an array.
type ipfClaims struct {
	ID       string   `json:"id"`
	Exp      int64    `json:"exp"`
	Iat      int64    `json:"iat"`
	Scope    []string `json:"scope"`
	Username string   `json:"username"`
	IsAdmin  bool     `json:"isAdmin"`
	Aud      string   `json:"aud"`
	Iss      string   `json:"iss"`
	SID      string   `json:"sid"`
	JTI      string   `json:"jti"` // session id and generation: another for each, the same for a repeat
}

// ipfMintAccess makes the access JWT. Its text depends on a and the key alone,
// so that a repeated refresh gets the same one.
func ipfMintAccess(k Keys, a token.Access, _ token.Core) (token.Secret, error) {
	if !a.ExpiresAt.After(a.IssuedAt) {
		return token.Secret{}, errors.New("dialect: ipfabric access tokens need an expiry after their issue")
	}
	return signJWT(k, ipfClaims{
		ID:       a.Identity.ID,
		Exp:      a.ExpiresAt.Unix(),
		Iat:      a.IssuedAt.Unix(),
		Scope:    orEmpty(a.Identity.Scopes),
		Username: a.Identity.Name,
		IsAdmin:  a.Identity.Admin,
		Aud:      ipfAudience,
		Iss:      ipfIssuer,
		SID:      a.SID.String(),
		JTI:      ipfTokenID(a.SID, a.Generation),
	})
}

func ipfTokenID(sid token.SID, generation uint32) string {
	return fmt.Sprintf("%s-%d", sid, generation)
}

// ipfParseAccess verifies an access JWT. An expired one is returned with its
// error; of any other, the error tells nothing but that it is not good, or that
// its key could not be asked for.
func ipfParseAccess(k Keys, text token.Secret) (token.Access, *token.Core, error) {
	claims, err := openJWT(k, text)
	if err != nil && token.KindOf(err) == token.Unavailable {
		return token.Access{}, nil, err
	}
	if err != nil {
		return token.Access{}, nil, token.Fail(token.InvalidAccess, ipfInvalid, err)
	}
	a, err := ipfReadClaims(claims)
	if err != nil {
		return token.Access{}, nil, token.Fail(token.InvalidAccess, ipfInvalid, err)
	}
	if !time.Now().Before(a.ExpiresAt) {
		return a, nil, token.Fail(token.ExpiredAccess, "Expired access token", nil)
	}
	return a, nil, nil
}

// ipfReadClaims reads the claims of a JWT whose signature is good. Every claim
// must be there: the same keys may sign other kinds of token.
func ipfReadClaims(o object) (a token.Access, err error) {
	r := claimReader{o: o}
	if r.text("iss") != ipfIssuer || r.text("aud") != ipfAudience {
		return a, errors.New("jwt: iss or aud is another's")
	}
	a.Identity = token.Identity{ID: r.text("id"), Name: r.text("username"), Scopes: r.texts("scope"), Admin: r.truth("isAdmin")}
	sid, jti := r.text("sid"), r.text("jti")
	if r.err != nil {
		return token.Access{}, r.err
	}
	if a.SID, err = token.ParseSID(sid); err != nil {
		return token.Access{}, err
	}
	if a.Generation, err = ipfGeneration(a.SID, jti); err != nil {
		return token.Access{}, err
	}
	a.IssuedAt, a.ExpiresAt, err = jwtTimes(o)
	return a, err
}

// ipfGeneration reads the generation out of what ipfTokenID wrote.
func ipfGeneration(sid token.SID, jti string) (uint32, error) {
	_, digits, _ := strings.Cut(jti, "-")
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || n > maxGeneration || jti != ipfTokenID(sid, uint32(n)) {
		return 0, errors.New("jwt: jti is not of the session")
	}
	return uint32(n), nil
}

// claimReader reads claims that must all be there and keeps the first error.
type claimReader struct {
	o   object
	err error
}

func (r *claimReader) text(key string) string {
	s, err := r.o.text(key)
	r.keep(key, err)
	return s
}

func (r *claimReader) texts(key string) []string {
	ss, err := r.o.texts(key)
	r.keep(key, err)
	return ss
}

func (r *claimReader) truth(key string) bool {
	b, err := r.o.truth(key)
	r.keep(key, err)
	return b
}

func (r *claimReader) keep(key string, err error) {
	if err == nil && r.o.isNull(key) {
		err = fmt.Errorf("jwt: no %s", key)
	}
	if r.err == nil {
		r.err = err
	}
}

// A refresh token is `length` characters in all, as app.refreshToken.length of
// the page has it: the core, check characters, and the user's id at the end,
// where the page's example has digits like one.
const (
	ipfRefreshLength = 80 // of the page's example
	ipfMinChecks     = 6  // a typing error passes once in 62^6
	ipfMinTail       = 6
	ipfMaxTail       = 13 // the longest id in public samples
	ipfMinRefresh    = coreLen + ipfMinChecks + ipfMaxTail
	ipfMaxRefresh    = 1024 // so that it fits in any cookie
)

// ipfMintRefresh returns the writer of refresh tokens of the given length.
func ipfMintRefresh(length int) func(token.Core, token.Identity) token.Secret {
	return func(core token.Core, id token.Identity) token.Secret {
		tail := ipfTail(id.ID)
		text := appendCore(make([]byte, 0, length), core)
		text = ipfAppendChecks(text, core, tail, length-len(tail))
		return token.NewSecret(string(append(text, tail...)))
	}
}

// ipfParseRefresh returns the reader of refresh tokens of the given length. It
// takes exactly what the writer writes for some user, so no character can be
// changed alone. The check characters hold no key: whoever has a token could
// compute another tail for the same core, and would still have the same token.
func ipfParseRefresh(length int) func(token.Secret) (token.Core, bool) {
	return func(secret token.Secret) (token.Core, bool) {
		text := secret.Reveal()
		if len(text) != length {
			return token.Core{}, false
		}
		core, ok := parseCore(text[:coreLen])
		if !ok {
			return token.Core{}, false
		}
		var buf [ipfMaxRefresh]byte
		for n := ipfMinTail; n <= ipfMaxTail && isDigits(text[length-n:]); n++ {
			body, tail := text[coreLen:length-n], text[length-n:]
			if string(ipfAppendChecks(buf[:0], core, tail, len(body))) == body {
				return core, true
			}
		}
		return token.Core{}, false
	}
}

// ipfAppendChecks appends check characters over core and tail to dst until it
// has n characters.
func ipfAppendChecks(dst []byte, core token.Core, tail string, n int) []byte {
	var in [4 + len(core) + ipfMaxTail]byte
	copy(in[4:], core[:])
	size := 4 + len(core) + copy(in[4+len(core):], tail)
	for block := uint32(0); len(dst) < n; block++ {
		binary.BigEndian.PutUint32(in[:], block)
		sum := sha256.Sum256(in[:size])
		for _, b := range sum[:min(len(sum), n-len(dst))] {
			dst = append(dst, base62[int(b)%len(base62)])
		}
	}
	return dst
}

// ipfTail gives a user's id the digits that the vendor's have. An id that is no
// number of a fitting length is replaced by ten digits made from it.
func ipfTail(id string) string {
	if !isDigits(id) || len(id) > ipfMaxTail {
		sum := sha256.Sum256([]byte(id))
		return fmt.Sprintf("%010d", binary.BigEndian.Uint64(sum[:])%1e10)
	}
	return strings.Repeat("0", max(0, ipfMinTail-len(id))) + id
}

func orEmpty(ss []string) []string {
	if ss == nil {
		return []string{}
	}
	return ss
}
