package proxy

import (
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// cleanPath gives the request one spelling of its path: unreserved characters
// are decoded once (RFC 3986 section 6.2.2.2), everything else is encoded in
// upper-case hex. What still hides structure, so that a backend which decodes
// again or drops parameters would see another path than policy did, is refused.
// Policy, log and backend then get the same bytes.
func cleanPath(r *http.Request, encodedSlash bool) error {
	raw, _, _ := strings.Cut(r.RequestURI, "?")
	clean, why := canonicalPath(raw, encodedSlash)
	if why != "" {
		return refuse(http.StatusBadRequest, "the path "+why)
	}
	if why := badQuery(r.URL.RawQuery); why != "" {
		return refuse(http.StatusBadRequest, "the query "+why)
	}
	path, err := url.PathUnescape(clean)
	if err != nil {
		return refuse(http.StatusBadRequest, "the path has a malformed % sequence")
	}
	r.URL.Path, r.URL.RawPath = path, clean
	return nil
}

// CanonicalPath returns the spelling of a path that policy and backends see, or
// an error that says why the edge refuses it. encodedSlash is the route's.
func CanonicalPath(raw string, encodedSlash bool) (string, error) {
	clean, why := canonicalPath(raw, encodedSlash)
	if why != "" {
		return "", refuse(http.StatusBadRequest, "the path "+why)
	}
	return clean, nil
}

// canonicalPath returns the one spelling of an origin-form path, or why there
// is none.
func canonicalPath(raw string, encodedSlash bool) (clean, why string) {
	var b strings.Builder
	b.Grow(len(raw) + 8)
	var high []byte // a run of encoded bytes above 0x7F, which must be UTF-8
	for i := 0; i < len(raw); i++ {
		c, encoded := raw[i], false
		if c == '%' {
			v, ok := unhex(raw, i+1)
			if !ok {
				return "", "has a malformed % sequence"
			}
			c, encoded, i = v, true, i+2
		}
		if encoded && c >= 0x80 {
			high = append(high, c)
			writeHex(&b, c)
			continue
		}
		if why := badRun(high); why != "" {
			return "", why
		}
		high = high[:0]
		if why := badByte(raw[i:], c, encoded, encodedSlash); why != "" {
			return "", why
		}
		writePath(&b, c, encoded)
	}
	if why := badRun(high); why != "" {
		return "", why
	}
	return b.String(), badSegments(b.String())
}

// badByte says why one byte of a path is refused. rest begins at its last
// character in the raw path.
func badByte(rest string, c byte, encoded, encodedSlash bool) string {
	switch {
	case c < 0x20 || c == 0x7F:
		return "holds a control character"
	case !encoded && (c >= 0x80 || c == ' '):
		return "holds a character that must be percent-encoded"
	case c == '\\':
		return "holds a backslash"
	case c == ';':
		return "holds a semicolon, which backends read in different ways"
	case c == '#', c == '?':
		return "holds a ? or a #, encoded or not"
	case encoded && c == '/' && !encodedSlash:
		return "holds an encoded slash; a route may let it through with encoded_slash"
	case encoded && c == '%':
		if _, double := unhex(rest, 1); double {
			return "is percent-encoded twice"
		}
	}
	return ""
}

// badRun says why a run of encoded bytes above 0x7F is refused: it must be
// UTF-8, and none of the full-width twins of dot, slash and backslash.
func badRun(run []byte) string {
	if !utf8.Valid(run) {
		return "is not UTF-8"
	}
	if strings.ContainsAny(string(run), "\uFF0E\uFF0F\uFF3C") {
		return "holds a full-width dot or slash"
	}
	return ""
}

// badSegments says why the segments of a path are refused. Slashes that
// encoded_slash let through count as separators here.
func badSegments(path string) string {
	segments := strings.Split(strings.ReplaceAll(path, "%2F", "/"), "/")[1:]
	for i, s := range segments {
		switch {
		case s == "." || s == "..":
			return "has a segment . or .."
		case s == "" && i < len(segments)-1:
			return "has an empty segment (//)"
		}
	}
	return ""
}

// badQuery says why a query is refused. It is passed on byte for byte, so only
// what cannot stand in a request target is.
func badQuery(q string) string {
	for i := 0; i < len(q); i++ {
		if c := q[i]; c <= ' ' || c >= 0x7F || c == '#' {
			return "holds a character that must be percent-encoded"
		}
	}
	return ""
}

func writePath(b *strings.Builder, c byte, encoded bool) {
	switch {
	case unreserved(c), !encoded && strings.IndexByte("/!$&'()*+,:=@", c) >= 0:
		b.WriteByte(c)
	default:
		writeHex(b, c)
	}
}

func writeHex(b *strings.Builder, c byte) {
	const hex = "0123456789ABCDEF"
	b.WriteByte('%')
	b.WriteByte(hex[c>>4])
	b.WriteByte(hex[c&15])
}

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// unhex reads the two hex digits at s[i:].
func unhex(s string, i int) (byte, bool) {
	if i+2 > len(s) {
		return 0, false
	}
	hi, ok1 := nibble(s[i])
	lo, ok2 := nibble(s[i+1])
	return hi<<4 | lo, ok1 && ok2
}

func nibble(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
