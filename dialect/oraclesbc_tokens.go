package dialect

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// An access token is base64 of "user,class,2020-04-01 13:35:08,digest", as the
// samples of public documentation decode, the digest in hex. The core is its
// first 22 bytes and check bytes are the rest, over the core and all that stands
// before: without them the name in a token could be changed, and it would have a
// second spelling. The check bytes hold no key, and nothing is believed of a
// token's text but its core.
const (
	sbcDigest = 32 // bytes, so that it looks like SHA-256
	sbcDate   = time.DateTime
	// sbcLongest bounds what is decoded: a name of 256 bytes with every one
	// escaped, class, date, digest and commas, in base64.
	sbcLongest = (256*3 + len("admin") + len(sbcDate) + 2*sbcDigest + 3 + 2) / 3 * 4
)

// sbcMintAccess makes an access token, which depends on a and core alone. The
// date is that of issue, in UTC. [I]
func sbcMintAccess(_ Keys, a token.Access, core token.Core) (token.Secret, error) {
	if len(a.Identity.Name) > 256 {
		return token.Secret{}, errors.New("dialect: oracle-sbc: a user name of more than 256 bytes does not fit into a token")
	}
	fields := sbcName(a.Identity.Name) + "," + sbcClass(a.Identity) + "," + a.IssuedAt.UTC().Format(sbcDate) + ","
	text := fields + hex.EncodeToString(sbcSum(fields, core))
	return token.NewSecret(base64.StdEncoding.EncodeToString([]byte(text))), nil
}

// sbcClass is the vendor's class of user, of which there are these two. [I]
func sbcClass(id token.Identity) string {
	if id.Admin {
		return "admin"
	}
	return "user"
}

// sbcSum returns the digest: the core and its check bytes.
func sbcSum(fields string, core token.Core) []byte {
	sum := sha256.Sum256(append([]byte(fields), core[:]...))
	return append(core[:], sum[:sbcDigest-len(core)]...)
}

// sbcParseAccess reads back exactly what sbcMintAccess writes: canonical base64,
// four fields, each as it would be written.
func sbcParseAccess(_ Keys, secret token.Secret) (token.Access, *token.Core, error) {
	core, ok := sbcCore(secret.Reveal())
	if !ok {
		return token.Access{}, nil, token.Fail(token.InvalidAccess, sbcUnauthorized, nil)
	}
	return token.Access{}, &core, nil
}

func sbcCore(text string) (core token.Core, ok bool) {
	if len(text) > sbcLongest {
		return core, false
	}
	plain, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || base64.StdEncoding.EncodeToString(plain) != text { // the decoder skips line ends
		return core, false
	}
	end := bytes.LastIndexByte(plain, ',') + 1
	fields, digest := string(plain[:end]), string(plain[end:])
	sum, err := hex.DecodeString(digest)
	if err != nil || len(sum) != sbcDigest || hex.EncodeToString(sum) != digest {
		return core, false
	}
	copy(core[:], sum)
	return core, sbcFieldsOK(fields) && bytes.Equal(sbcSum(fields, core), sum)
}

// sbcFieldsOK reports whether "user,class,date," is as it would be written.
func sbcFieldsOK(fields string) bool {
	f := strings.Split(fields, ",")
	if len(f) != 4 || f[1] != "admin" && f[1] != "user" {
		return false
	}
	date, err := time.Parse(sbcDate, f[2])
	name, known := sbcUnname(f[0])
	return err == nil && date.Format(sbcDate) == f[2] && known && len(name) <= 256 && sbcName(name) == f[0]
}

// sbcName is a user name as it stands in a token. Bytes that would be a separator,
// or of which base64 makes "+" or "/", and all that are not printable ASCII are
// percent-encoded, the percent sign too: so a token goes through a form unescaped,
// and no two names look alike. [I]
func sbcName(name string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		if c < ' ' || c >= 0x7f || strings.IndexByte(",%>?~", c) >= 0 {
			b.WriteString("%" + digits[c>>4:c>>4+1] + digits[c&15:c&15+1])
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// sbcUnname undoes sbcName.
func sbcUnname(text string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			b.WriteByte(text[i])
			continue
		}
		if i+3 > len(text) {
			return "", false
		}
		c, err := hex.DecodeString(text[i+1 : i+3])
		if err != nil {
			return "", false
		}
		b.Write(c)
		i += 2
	}
	return b.String(), true
}
