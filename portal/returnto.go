package portal

import "strings"

const (
	maxReturnTo = 2 << 10 // bytes
	// maxNesting is how often a return path may be percent-encoded over itself.
	// Some server on the way may decode once more than it should.
	maxNesting = 3
)

// returnPath returns where to go after signing in: to, if it is a path on this
// host outside the portal, else "/". What is returned is to byte for byte.
func (p *Portal) returnPath(to string) string {
	if len(to) > maxReturnTo || !plainASCII(to) {
		return "/"
	}
	path, _, _ := strings.Cut(to, "?")
	for range maxNesting {
		if !localPath(path) || p.Owns(path) {
			return "/"
		}
		decoded := unescape(path)
		if decoded == path {
			return to
		}
		path = decoded
	}
	return "/"
}

// plainASCII reports whether s holds only what a browser puts into a request
// line: no control characters, spaces, backslashes (which browsers read as
// slashes), fragments, or bytes over 126.
func plainASCII(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '\\' || c == '#' {
			return false
		}
	}
	return true
}

// localPath reports whether a path stays on this host however it is read: it
// begins with one slash, and has no empty segment (//host is another host), no
// dot segment, no backslash and no control character.
func localPath(path string) bool {
	if !strings.HasPrefix(path, "/") || strings.Contains(path, "//") {
		return false
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return false
		}
	}
	return !strings.ContainsFunc(path, func(c rune) bool { return c < ' ' || c == 0x7f || c == '\\' })
}

const hexDigits = "0123456789abcdef"

// unescape undoes percent-encoding once, and leaves what is not a whole escape
// as it is, as the laxest servers do. (net/url refuses the lot, so that
// "/%2fe%" would hide what "/%2fe" shows.)
func unescape(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if c, ok := escaped(s[i:]); ok {
			b = append(b, c)
			i += 2
			continue
		}
		b = append(b, s[i])
	}
	return string(b)
}

func escaped(s string) (byte, bool) {
	if len(s) < 3 || s[0] != '%' {
		return 0, false
	}
	hi := strings.IndexByte(hexDigits, s[1]|0x20)
	lo := strings.IndexByte(hexDigits, s[2]|0x20)
	return byte(hi<<4 | lo), hi >= 0 && lo >= 0
}
