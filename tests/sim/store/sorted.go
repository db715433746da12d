package store

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

func zadd(s *Store, _ *Conn, args []string) any {
	v, err := s.make(args[0], aSortedSet)
	if err != nil {
		return orFailure(err)
	}
	added := int64(0)
	for i := 1; i+1 < len(args); i += 2 {
		score, err := strconv.ParseFloat(args[i], 64)
		if err != nil {
			return failure("ERR value is not a valid float")
		}
		if !v.drop(args[i+1]) {
			added++
		}
		m := member{args[i+1], score}
		at, _ := slices.BinarySearchFunc(v.members, m, order)
		v.members = slices.Insert(v.members, at, m)
	}
	return added
}

// drop removes a member, and reports whether it was there.
func (v *value) drop(name string) bool {
	at := slices.IndexFunc(v.members, func(m member) bool { return m.name == name })
	if at < 0 {
		return false
	}
	v.members = slices.Delete(v.members, at, at+1)
	return true
}

func zrem(s *Store, _ *Conn, args []string) any {
	v, err := s.find(args[0], aSortedSet)
	if v == nil {
		return zeroOr(err)
	}
	n := int64(0)
	for _, name := range args[1:] {
		if v.drop(name) {
			n++
		}
	}
	s.tidy(args[0], v)
	return n
}

func zeroOr(err error) any {
	if err != nil {
		return orFailure(err)
	}
	return int64(0)
}

func score(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func (v *value) score(name string) any {
	if v != nil {
		for _, m := range v.members {
			if m.name == name {
				return score(m.score)
			}
		}
	}
	return nil
}

func zscore(s *Store, _ *Conn, args []string) any {
	v, err := s.find(args[0], aSortedSet)
	if err != nil {
		return orFailure(err)
	}
	return v.score(args[1])
}

func zmscore(s *Store, _ *Conn, args []string) any {
	v, err := s.find(args[0], aSortedSet)
	if err != nil {
		return orFailure(err)
	}
	out := make([]any, 0, len(args)-1)
	for _, name := range args[1:] {
		out = append(out, v.score(name))
	}
	return out
}

func zcard(s *Store, _ *Conn, args []string) any {
	v, err := s.find(args[0], aSortedSet)
	if v == nil {
		return zeroOr(err)
	}
	return int64(len(v.members))
}

func zrange(s *Store, _ *Conn, args []string) any    { return s.ranked(args, false) }
func zrevrange(s *Store, _ *Conn, args []string) any { return s.ranked(args, true) }

func (s *Store) ranked(args []string, reverse bool) any {
	v, err := s.find(args[0], aSortedSet)
	if v == nil {
		return emptyOr(err)
	}
	members := v.members
	if reverse {
		members = slices.Clone(members)
		slices.Reverse(members)
	}
	i, j := span(args[1], args[2], len(members))
	return named(members[i:j], len(args) > 3 && strings.EqualFold(args[3], "withscores"))
}

func emptyOr(err error) any {
	if err != nil {
		return orFailure(err)
	}
	return []any{}
}

func named(members []member, scores bool) []any {
	out := []any{}
	for _, m := range members {
		out = append(out, m.name)
		if scores {
			out = append(out, score(m.score))
		}
	}
	return out
}

// bound reads one end of a range of scores.
func bound(text string) (f float64, open bool) {
	text, open = strings.CutPrefix(text, "(")
	switch text {
	case "-inf":
		return math.Inf(-1), open
	case "+inf", "inf":
		return math.Inf(1), open
	}
	f, _ = strconv.ParseFloat(text, 64)
	return f, open
}

func (v *value) between(low, high string) []member {
	l, lopen := bound(low)
	h, hopen := bound(high)
	var out []member
	for _, m := range v.members {
		if (m.score > l || m.score == l && !lopen) && (m.score < h || m.score == h && !hopen) {
			out = append(out, m)
		}
	}
	return out
}

// limited applies LIMIT offset count, which stands at args[3].
func limited(members []member, args []string) []member {
	if len(args) < 6 || !strings.EqualFold(args[3], "limit") {
		return members
	}
	members = members[min(int(integer(args[4])), len(members)):]
	if n := int(integer(args[5])); n >= 0 {
		members = members[:min(n, len(members))]
	}
	return members
}

func zrangebyscore(s *Store, _ *Conn, args []string) any {
	v, err := s.find(args[0], aSortedSet)
	if v == nil {
		return emptyOr(err)
	}
	return named(limited(v.between(args[1], args[2]), args), false)
}

func zremrangebyscore(s *Store, _ *Conn, args []string) any {
	v, err := s.find(args[0], aSortedSet)
	if v == nil {
		return zeroOr(err)
	}
	gone := v.between(args[1], args[2])
	for _, m := range gone {
		v.drop(m.name)
	}
	s.tidy(args[0], v)
	return int64(len(gone))
}

func zrangebylex(s *Store, _ *Conn, args []string) any {
	v, err := s.find(args[0], aSortedSet)
	if v == nil {
		return emptyOr(err)
	}
	beyond := func(name, end string) bool { // whether name is not below end
		switch {
		case end == "-":
			return true
		case end == "+":
			return false
		case end[0] == '[':
			return name >= end[1:]
		}
		return name > end[1:]
	}
	within := func(name, end string) bool {
		switch {
		case end == "+":
			return true
		case end == "-":
			return false
		case end[0] == '[':
			return name <= end[1:]
		}
		return name < end[1:]
	}
	var out []member
	for _, m := range v.members {
		if beyond(m.name, args[1]) && within(m.name, args[2]) {
			out = append(out, m)
		}
	}
	return named(limited(out, args), false)
}
