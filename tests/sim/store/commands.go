package store

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// command is what the server does for one name. It is called with the store's
// lock; args begin behind the name.
type command struct {
	least int // arguments
	do    func(s *Store, c *Conn, args []string) any
}

var table = map[string]command{
	"AUTH": {1, okay}, "SELECT": {1, okay}, "CLIENT": {1, okay},
	"PING": {0, ping}, "INFO": {0, info}, "TIME": {0, clock},
	"EVAL": {2, eval}, "EVALSHA": {2, evalsha}, "SCRIPT": {2, script},
	"GET": {1, get}, "SET": {2, set}, "SETNX": {2, setnx}, "DEL": {1, del}, "EXISTS": {1, exists}, "SCAN": {1, scan},
	"PEXPIRE": {2, pexpire}, "PEXPIREAT": {2, pexpireat}, "PTTL": {1, pttl},
	"HGET": {2, hget}, "HMGET": {2, hmget}, "HGETALL": {1, hgetall}, "HSET": {3, hset}, "HSETNX": {3, hsetnx}, "HDEL": {2, hdel}, "HINCRBY": {3, hincrby},
	"LINDEX": {2, lindex}, "LRANGE": {3, lrange}, "LPUSH": {2, lpush}, "LTRIM": {3, ltrim},
	"ZADD": {3, zadd}, "ZREM": {2, zrem}, "ZSCORE": {2, zscore}, "ZMSCORE": {2, zmscore}, "ZCARD": {1, zcard},
	"ZRANGE": {3, zrange}, "ZREVRANGE": {3, zrevrange}, "ZRANGEBYSCORE": {3, zrangebyscore}, "ZRANGEBYLEX": {3, zrangebylex},
	"ZREMRANGEBYSCORE": {3, zremrangebyscore},
	"XADD":             {4, xadd}, "XREAD": {3, xread}, "XREVRANGE": {3, xrevrange},
	"PUBLISH": {2, publish}, "SUBSCRIBE": {1, subscribe}, "UNSUBSCRIBE": {0, unsubscribe},
}

// run runs a command that came from outside. The caller holds the lock.
func (s *Store) run(c *Conn, args []string) any {
	reply := s.command(c, args)
	if s.After != nil && reply != later {
		s.After(c, args, reply)
	}
	return reply
}

func (s *Store) command(c *Conn, args []string) any {
	name := strings.ToUpper(args[0])
	do, ok := table[name]
	switch {
	case !ok:
		return failure(fmt.Sprintf("ERR unknown command '%s'", name))
	case len(args)-1 < do.least:
		return failure("ERR wrong number of arguments for '" + strings.ToLower(name) + "' command")
	}
	return do.do(s, c, args[1:])
}

func okay(*Store, *Conn, []string) any { return status("OK") }

func ping(s *Store, c *Conn, _ []string) any {
	for _, conns := range s.heard {
		if slices.Contains(conns, c) {
			return list("pong", "")
		}
	}
	return status("PONG")
}

func info(s *Store, _ *Conn, _ []string) any {
	return "# Server\r\nredis_version:7.0.15\r\nrun_id:" + s.runID + "\r\nrole:master\r\nmaxmemory_policy:noeviction\r\n"
}

func clock(s *Store, _ *Conn, _ []string) any {
	us := s.now().UnixMicro()
	return list(strconv.FormatInt(us/1e6, 10), strconv.FormatInt(us%1e6, 10))
}

func eval(s *Store, c *Conn, args []string) any {
	s.load(args[0])
	args[0] = Digest(args[0])
	return evalsha(s, c, args)
}

func (s *Store) load(text string) string {
	sha := Digest(text)
	if _, ok := s.texts[sha]; !ok {
		s.texts[sha] = text
		if s.Edit != nil {
			s.texts[sha] = s.Edit(text)
		}
	}
	s.scripts[sha] = true
	return sha
}

func evalsha(s *Store, c *Conn, args []string) any {
	n, err := strconv.Atoi(args[1])
	switch {
	case !s.scripts[args[0]]:
		return failure("NOSCRIPT No matching script. Please use EVAL.")
	case err != nil || n < 0 || n > len(args)-2:
		return failure("ERR Number of keys can't be greater than number of args")
	}
	return s.lua.run(c, s.texts[args[0]], args[2:2+n], args[2+n:])
}

func script(s *Store, _ *Conn, args []string) any {
	if !strings.EqualFold(args[0], "load") {
		return failure("ERR only SCRIPT LOAD is known")
	}
	return s.load(args[1])
}

func get(s *Store, _ *Conn, args []string) any {
	v, err := s.find(args[0], aString)
	if v == nil {
		return orFailure(err)
	}
	return v.text
}

func orFailure(err error) any {
	var f failure
	if errors.As(err, &f) {
		return f
	}
	return nil
}

func set(s *Store, _ *Conn, args []string) any {
	v := &value{kind: aString, text: args[1]}
	for i := 2; i < len(args); i++ {
		switch opt := strings.ToUpper(args[i]); {
		case opt == "NX":
			if old, _ := s.find(args[0], 0); old != nil {
				return nil
			}
		case (opt == "PX" || opt == "EX") && i+1 < len(args):
			n := integer(args[i+1])
			if opt == "EX" {
				n *= 1000
			}
			v.expires = s.ms() + n
			i++
		default:
			return failure("ERR syntax error")
		}
	}
	s.data.keys[args[0]] = v
	return status("OK")
}

func setnx(s *Store, c *Conn, args []string) any {
	if set(s, c, []string{args[0], args[1], "NX"}) == nil {
		return int64(0)
	}
	return int64(1)
}

func integer(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		f, _ := strconv.ParseFloat(text, 64)
		return int64(f)
	}
	return n
}

func del(s *Store, _ *Conn, args []string) any {
	n := int64(0)
	for _, key := range args {
		if v, _ := s.find(key, 0); v != nil {
			delete(s.data.keys, key)
			n++
		}
	}
	return n
}

func exists(s *Store, _ *Conn, args []string) any {
	n := int64(0)
	for _, key := range args {
		if v, _ := s.find(key, 0); v != nil {
			n++
		}
	}
	return n
}

// scan shows all keys in one page.
func scan(s *Store, _ *Conn, args []string) any {
	pattern := "*"
	for i := 1; i+1 < len(args); i++ {
		if strings.EqualFold(args[i], "match") {
			pattern = args[i+1]
		}
	}
	var keys []string
	for key := range s.data.keys {
		if v, _ := s.find(key, 0); v == nil {
			continue
		}
		if ok, _ := path.Match(pattern, key); ok {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return []any{"0", list(keys...)}
}

func pexpire(s *Store, _ *Conn, args []string) any {
	return s.expire(args[0], s.ms()+integer(args[1]))
}

func pexpireat(s *Store, _ *Conn, args []string) any { return s.expire(args[0], integer(args[1])) }

func (s *Store) expire(key string, at int64) any {
	v, _ := s.find(key, 0)
	if v == nil {
		return int64(0)
	}
	v.expires = at
	return int64(1)
}

func pttl(s *Store, _ *Conn, args []string) any {
	switch v, _ := s.find(args[0], 0); {
	case v == nil:
		return int64(-2)
	case v.expires == 0:
		return int64(-1)
	default:
		return v.expires - s.ms()
	}
}

// order is that of a sorted set.
func order(a, b member) int {
	return cmp.Or(cmp.Compare(a.score, b.score), cmp.Compare(a.name, b.name))
}

// read is what an XREAD of one stream asks for.
type read struct {
	stream string
	after  entryID
	count  int
}

func xread(s *Store, c *Conn, args []string) any {
	r, block, ok := parseRead(args)
	if !ok {
		return failure("ERR syntax error")
	}
	if r.count == 0 {
		r.count = 1 << 30
	}
	reply := s.since(r)
	if reply != nil || block < 0 || c == nil {
		if reply == nil {
			return []any(nil)
		}
		return reply
	}
	w := &waiter{c: c, read: r, commands: [][]string{append([]string{"XREAD"}, args...)}}
	w.timer = time.AfterFunc(time.Duration(block)*time.Millisecond, func() {
		s.mu.Lock()
		waits := slices.Contains(s.waiters, w)
		w.end(s)
		s.mu.Unlock()
		if waits {
			c.reply(w.commands, appendReply(nil, []any(nil)))
		}
	})
	s.waiters = append(s.waiters, w)
	return later
}

func parseRead(args []string) (r read, block int64, ok bool) {
	block = -1
	for i := 0; i+1 < len(args); i += 2 {
		switch strings.ToUpper(args[i]) {
		case "COUNT":
			r.count = int(integer(args[i+1]))
		case "BLOCK":
			block = integer(args[i+1])
		case "STREAMS":
			if i+3 != len(args) {
				return r, 0, false
			}
			r.stream = args[i+1]
			r.after, ok = parseID(args[i+2])
			return r, block, ok
		default:
			return r, 0, false
		}
	}
	return r, 0, false
}
