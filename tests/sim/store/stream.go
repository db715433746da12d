package store

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
)

func parseID(text string) (id entryID, ok bool) {
	switch text {
	case "-":
		return id, true
	case "+":
		return entryID{math.MaxInt64, math.MaxInt64}, true
	}
	ms, seq, _ := strings.Cut(text, "-")
	var err1, err2 error
	id.ms, err1 = strconv.ParseInt(ms, 10, 64)
	if seq != "" {
		id.seq, err2 = strconv.ParseInt(seq, 10, 64)
	}
	return id, err1 == nil && err2 == nil
}

func (id entryID) String() string {
	return strconv.FormatInt(id.ms, 10) + "-" + strconv.FormatInt(id.seq, 10)
}

func (id entryID) compare(o entryID) int {
	return cmp.Or(cmp.Compare(id.ms, o.ms), cmp.Compare(id.seq, o.seq))
}

// xadd adds an entry with an id of its own making, and trims by MINID if told to.
func xadd(s *Store, _ *Conn, args []string) any {
	v, err := s.make(args[0], aStream)
	if err != nil {
		return orFailure(err)
	}
	i, least := 1, entryID{}
	if strings.EqualFold(args[i], "minid") {
		i++
		if args[i] == "~" || args[i] == "=" {
			i++
		}
		least, _ = parseID(args[i])
		i++
	}
	if args[i] != "*" || (len(args)-i)%2 != 1 {
		return failure("ERR syntax error")
	}
	id := entryID{ms: s.ms()}
	if id.compare(v.last) <= 0 {
		id = entryID{v.last.ms, v.last.seq + 1}
	}
	v.last = id
	v.entries = append(v.entries, entry{id, slices.Clone(args[i+1:])})
	for len(v.entries) > 0 && v.entries[0].id.compare(least) < 0 {
		v.entries = v.entries[1:]
	}
	return id.String()
}

func (e entry) reply() any { return []any{e.id.String(), list(e.fields...)} }

// since returns what an XREAD gets now, nil for nothing.
func (s *Store) since(r read) any {
	v, err := s.find(r.stream, aStream)
	if v == nil {
		return orFailure(err)
	}
	from := len(v.entries)
	for from > 0 && v.entries[from-1].id.compare(r.after) > 0 {
		from--
	}
	var found []any
	for _, e := range v.entries[from:] {
		if len(found) < r.count {
			found = append(found, e.reply())
		}
	}
	if found == nil {
		return nil
	}
	return []any{[]any{r.stream, found}}
}

func xrevrange(s *Store, _ *Conn, args []string) any {
	v, err := s.find(args[0], aStream)
	if v == nil {
		return emptyOr(err)
	}
	high, ok1 := parseID(args[1])
	low, ok2 := parseID(args[2])
	if !ok1 || !ok2 {
		return failure("ERR Invalid stream ID specified as stream command argument")
	}
	n := math.MaxInt
	if len(args) > 4 && strings.EqualFold(args[3], "count") {
		n = int(integer(args[4]))
	}
	out := []any{}
	for i := len(v.entries) - 1; i >= 0 && len(out) < n; i-- {
		if e := v.entries[i]; e.id.compare(low) >= 0 && e.id.compare(high) <= 0 {
			out = append(out, e.reply())
		}
	}
	return out
}

func publish(s *Store, _ *Conn, args []string) any {
	to := s.heard[args[0]]
	for _, c := range to {
		text := appendReply(nil, list("message", args[0], args[1]))
		c.reply(nil, text)
	}
	return int64(len(to))
}

func subscribe(s *Store, c *Conn, args []string) any {
	for _, channel := range args {
		if !slices.Contains(s.heard[channel], c) {
			s.heard[channel] = append(s.heard[channel], c)
		}
	}
	return []any{"subscribe", args[0], int64(1)}
}

func unsubscribe(s *Store, c *Conn, args []string) any {
	for _, channel := range args {
		s.heard[channel] = without(s.heard[channel], c)
	}
	return []any{"unsubscribe", strings.Join(args, " "), int64(0)}
}
