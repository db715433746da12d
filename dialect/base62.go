package dialect

import (
	"encoding/binary"
	"math/bits"

	"github.com/gatehouse-gateway/gatehouse/token"
)

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// coreLen is how many base62 characters hold a core: 62^30 > 2^176 > 62^29.
const coreLen = 30

// A core as a number: three words, the most significant first. The first holds
// 48 bits.
type coreWords [3]uint64

func wordsOf(core token.Core) coreWords {
	var b [24]byte
	copy(b[2:], core[:])
	return coreWords{binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:])}
}

func (w coreWords) core() (core token.Core) {
	var b [24]byte
	for i, word := range w {
		binary.BigEndian.PutUint64(b[i*8:], word)
	}
	copy(core[:], b[2:])
	return core
}

// appendCore appends the core as exactly coreLen base62 characters.
func appendCore(dst []byte, core token.Core) []byte {
	w := wordsOf(core)
	var text [coreLen]byte
	for i := coreLen - 1; i >= 0; i-- {
		var digit uint64
		for j := range w {
			w[j], digit = bits.Div64(digit, w[j], 62)
		}
		text[i] = base62[digit]
	}
	return append(dst, text[:]...)
}

// parseCore reads what appendCore wrote. It refuses another length, a foreign
// character, and a number past the last core, so that a core has one spelling.
func parseCore(text string) (token.Core, bool) {
	if len(text) != coreLen {
		return token.Core{}, false
	}
	var w coreWords
	for i := range len(text) {
		digit, ok := base62Digit(text[i])
		if !ok {
			return token.Core{}, false
		}
		carry := digit
		for j := len(w) - 1; j >= 0; j-- {
			hi, lo := bits.Mul64(w[j], 62)
			var over uint64
			w[j], over = bits.Add64(lo, carry, 0)
			carry = hi + over
		}
		if w[0]>>48 != 0 {
			return token.Core{}, false
		}
	}
	return w.core(), true
}

func base62Digit(c byte) (uint64, bool) {
	switch {
	case '0' <= c && c <= '9':
		return uint64(c - '0'), true
	case 'A' <= c && c <= 'Z':
		return uint64(c-'A') + 10, true
	case 'a' <= c && c <= 'z':
		return uint64(c-'a') + 36, true
	}
	return 0, false
}
