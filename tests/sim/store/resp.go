package store

import (
	"strconv"
)

// failure is an error reply.
type failure string

func (f failure) Error() string { return string(f) }

// status is a simple string.
type status string

// appendReply writes a reply in RESP 2: nil, int64, string, status, failure, or a
// list of them.
func appendReply(b []byte, reply any) []byte {
	line := func(kind byte, text string) []byte {
		return append(append(append(b, kind), text...), "\r\n"...)
	}
	switch r := reply.(type) {
	case nil:
		return append(b, "$-1\r\n"...)
	case int64:
		return append(strconv.AppendInt(append(b, ':'), r, 10), "\r\n"...)
	case status:
		return line('+', string(r))
	case failure:
		return line('-', string(r))
	case string:
		b = append(strconv.AppendInt(append(b, '$'), int64(len(r)), 10), "\r\n"...)
		return append(append(b, r...), "\r\n"...)
	case []any:
		if r == nil {
			return append(b, "*-1\r\n"...)
		}
		b = append(strconv.AppendInt(append(b, '*'), int64(len(r)), 10), "\r\n"...)
		for _, e := range r {
			b = appendReply(b, e)
		}
		return b
	}
	return line('-', "ERR reply of an unknown type")
}

// readCommand takes one command off the front of b; nil if it is not all there.
func readCommand(b []byte) (args []string, rest []byte) {
	n, rest, ok := header(b, '*')
	if !ok {
		return nil, b
	}
	args = make([]string, 0, n)
	for range n {
		var size int
		if size, rest, ok = header(rest, '$'); !ok || len(rest) < size+2 {
			return nil, b
		}
		args = append(args, string(rest[:size]))
		rest = rest[size+2:]
	}
	return args, rest
}

// header reads a line of a kind and a number.
func header(b []byte, kind byte) (n int, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != kind {
		return 0, nil, false
	}
	for i := 1; i < len(b); i++ {
		if b[i] == '\r' {
			if i+1 >= len(b) {
				return 0, nil, false
			}
			return n, b[i+2:], true
		}
		n = n*10 + int(b[i]-'0')
	}
	return 0, nil, false
}

// list makes a reply of several strings.
func list(texts ...string) []any {
	out := make([]any, len(texts))
	for i, t := range texts {
		out[i] = t
	}
	return out
}
