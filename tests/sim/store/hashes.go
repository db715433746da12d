package store

import (
	"slices"
	"strconv"
)

func hget(s *Store, _ *Conn, args []string) any {
	v, err := s.find(args[0], aHash)
	if v == nil {
		return orFailure(err)
	}
	if text, ok := v.field(args[1]); ok {
		return text
	}
	return nil
}

func hmget(s *Store, _ *Conn, args []string) any {
	v, err := s.find(args[0], aHash)
	if err != nil {
		return orFailure(err)
	}
	out := make([]any, len(args)-1)
	for i, name := range args[1:] {
		if v == nil {
			continue
		}
		if text, ok := v.field(name); ok {
			out[i] = text
		}
	}
	return out
}

func hgetall(s *Store, _ *Conn, args []string) any {
	v, err := s.find(args[0], aHash)
	if err != nil {
		return orFailure(err)
	}
	out := []any{}
	if v != nil {
		for _, f := range v.hash {
			out = append(out, f.name, f.text)
		}
	}
	return out
}

func hset(s *Store, _ *Conn, args []string) any {
	if len(args)%2 == 0 {
		return failure("ERR wrong number of arguments for 'hset' command")
	}
	v, err := s.make(args[0], aHash)
	if err != nil {
		return orFailure(err)
	}
	added := int64(0)
	for i := 1; i < len(args); i += 2 {
		at := slices.IndexFunc(v.hash, func(f field) bool { return f.name == args[i] })
		if at < 0 {
			v.hash = append(v.hash, field{args[i], args[i+1]})
			added++
		} else {
			v.hash[at].text = args[i+1]
		}
	}
	return added
}

func hdel(s *Store, _ *Conn, args []string) any {
	v, err := s.find(args[0], aHash)
	if v == nil {
		if err != nil {
			return orFailure(err)
		}
		return int64(0)
	}
	before := len(v.hash)
	v.hash = slices.DeleteFunc(v.hash, func(f field) bool { return slices.Contains(args[1:], f.name) })
	s.tidy(args[0], v)
	return int64(before - len(v.hash))
}

func hsetnx(s *Store, c *Conn, args []string) any {
	v, err := s.make(args[0], aHash)
	switch {
	case err != nil:
		return orFailure(err)
	case slices.ContainsFunc(v.hash, func(f field) bool { return f.name == args[1] }):
		return int64(0)
	}
	return hset(s, c, args)
}

func hincrby(s *Store, c *Conn, args []string) any {
	old, _ := hget(s, c, args[:2]).(string)
	n := integer(args[2])
	if old != "" {
		n += integer(old)
	}
	if f, ok := hset(s, c, []string{args[0], args[1], strconv.FormatInt(n, 10)}).(failure); ok {
		return f
	}
	return n
}

// span turns the two ends of a range, which count from the end if negative, into
// those of a slice.
func span(first, last string, n int) (int, int) {
	i, j := int(integer(first)), int(integer(last))
	if i < 0 {
		i = max(0, i+n)
	}
	if j < 0 {
		j += n
	}
	j = min(j+1, n)
	return min(i, max(j, 0)), max(j, 0)
}

func lindex(s *Store, _ *Conn, args []string) any {
	v, err := s.find(args[0], aList)
	if v == nil {
		return orFailure(err)
	}
	i := int(integer(args[1]))
	if i < 0 {
		i += len(v.list)
	}
	if i < 0 || i >= len(v.list) {
		return nil
	}
	return v.list[i]
}

func lrange(s *Store, _ *Conn, args []string) any {
	v, err := s.find(args[0], aList)
	if v == nil {
		if err != nil {
			return orFailure(err)
		}
		return []any{}
	}
	i, j := span(args[1], args[2], len(v.list))
	return list(v.list[i:j]...)
}

func lpush(s *Store, _ *Conn, args []string) any {
	v, err := s.make(args[0], aList)
	if err != nil {
		return orFailure(err)
	}
	for _, text := range args[1:] {
		v.list = slices.Insert(v.list, 0, text)
	}
	return int64(len(v.list))
}

func ltrim(s *Store, _ *Conn, args []string) any {
	v, err := s.find(args[0], aList)
	if err != nil {
		return orFailure(err)
	}
	if v != nil {
		i, j := span(args[1], args[2], len(v.list))
		v.list = slices.Clone(v.list[i:j])
		s.tidy(args[0], v)
	}
	return status("OK")
}
