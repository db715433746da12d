package policy

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// hostPattern is one host, or with the leading dot kept every name below it.
// The zero value matches any host.
type hostPattern struct {
	name  string // lower case, no trailing dot
	below bool
}

func compileHost(s string) (hostPattern, error) {
	if s == "" {
		return hostPattern{}, nil
	}
	name, below := strings.CutPrefix(strings.ToLower(s), "*.")
	name = strings.TrimSuffix(name, ".")
	if name == "" || strings.ContainsAny(name, "*/ @?#\\") || plainHost(name) != name {
		return hostPattern{}, errors.New(`host must be a name like "api.example.com" or "*.example.com", without scheme, port or path`)
	}
	return hostPattern{name: name, below: below}, nil
}

// match compares with a host that went through plainHost.
func (p hostPattern) match(host string) bool {
	if p.name == "" {
		return true
	}
	if !p.below {
		return equalFold(p.name, host)
	}
	dot := len(host) - len(p.name) - 1
	return dot > 0 && host[dot] == '.' && equalFold(p.name, host[dot+1:])
}

// plainHost returns a host without port and trailing dot. The brackets of an
// IPv6 address stay.
func plainHost(h string) string {
	if i := strings.LastIndexByte(h, ':'); i >= 0 && !strings.Contains(h[i:], "]") {
		h = h[:i]
	}
	return strings.TrimSuffix(h, ".")
}

// pathPattern is a path in segments. The zero value matches any path.
type pathPattern struct {
	segments []string // what stands between the slashes; "*" for any one that is not empty
	below    bool     // ends in /**
	lax      bool     // of a deny rule: see Rule.Path
	set      bool
}

func compilePath(s string, deny bool) (pathPattern, error) {
	if s == "" {
		return pathPattern{}, nil
	}
	if s[0] != '/' {
		return pathPattern{}, errors.New(`path must begin with "/"`)
	}
	head, below := strings.CutSuffix(s, "/**")
	p := pathPattern{below: below, lax: deny, set: true}
	if head == "" {
		return p, nil
	}
	head = head[1:]
	if deny {
		head = strings.TrimRight(head, "/")
	}
	p.segments = strings.Split(head, "/")
	for i, seg := range p.segments {
		if err := checkSegment(seg, i == len(p.segments)-1 && !below); err != nil {
			return pathPattern{}, err
		}
		if deny {
			p.segments[i] = decoded(seg)
		}
	}
	return p, nil
}

// decoded undoes percent-encoding, so that a deny rule holds for every spelling
// that a backend takes for the same path. What cannot be decoded stays.
func decoded(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	return s
}

// checkSegment refuses what can never be a segment of a path that the edge lets
// in, so that a rule which could never match is found when it is written.
func checkSegment(seg string, last bool) error {
	switch {
	case seg == "" && !last:
		return errors.New("path has an empty segment")
	case seg == "." || seg == "..":
		return fmt.Errorf("path has a segment %q", seg)
	case seg == "**":
		return errors.New(`path may have "**" only as its last segment`)
	case strings.Contains(seg, "*") && seg != "*":
		return errors.New(`path may have "*" only as a whole segment, or "/**" at the end`)
	}
	for i := range len(seg) {
		if c := seg[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`?#\;"<>^{}|`+"`", c) >= 0 {
			return fmt.Errorf("path has the character %q; write it percent-encoded, as it travels", c)
		}
	}
	return checkEscapes(seg)
}

// checkEscapes refuses a percent-encoding that never travels: the edge decodes
// what needs none and writes the others in capitals (RFC 3986 section 6.2.2).
func checkEscapes(seg string) error {
	for rest := seg; ; {
		_, after, found := strings.Cut(rest, "%")
		if !found {
			return nil
		}
		var c [1]byte
		if len(after) < 2 || strings.ToUpper(after[:2]) != after[:2] {
			return fmt.Errorf("path has a %% in %q that is not followed by two capital hex digits", seg)
		}
		if _, err := hex.Decode(c[:], []byte(after[:2])); err != nil {
			return fmt.Errorf("path has a %% in %q that is not followed by two capital hex digits", seg)
		}
		if unreserved(c[0]) {
			return fmt.Errorf("path has %%%s where %q travels", after[:2], c[0])
		}
		rest = after[2:]
	}
}

func unreserved(c byte) bool {
	return 'a' <= lower(c) && lower(c) <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// match walks path and pattern together, without allocating.
func (p *pathPattern) match(path string) bool {
	if !p.set {
		return true
	}
	if path == "" || path[0] != '/' {
		return false
	}
	rest, more := path[1:], true
	if p.lax {
		rest = decoded(rest)
		rest = strings.TrimRight(rest, "/")
	}
	for _, want := range p.segments {
		if !more {
			return false
		}
		var seg string
		seg, rest, more = strings.Cut(rest, "/")
		if !p.takes(want, seg) {
			return false
		}
	}
	return p.below || !more
}

// takes compares one segment.
func (p *pathPattern) takes(want, seg string) bool {
	switch {
	case want == "*":
		return seg != ""
	case p.lax:
		return equalFold(trimTail(want), trimTail(seg))
	}
	return want == seg
}

// trimTail drops what Windows servers drop from the end of a name.
func trimTail(seg string) string {
	for {
		t := strings.TrimSuffix(strings.TrimRight(seg, ". "), "%20")
		if t == seg {
			return t
		}
		seg = t
	}
}

// equalFold compares without the case of ASCII letters. strings.EqualFold would
// also take the Kelvin sign for a k.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
