package redisstore

import (
	"context"
	_ "embed" // the scripts
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

//go:embed session_create.lua
var createText string

//go:embed session_rotate.lua
var rotateText string

//go:embed session_touch.lua
var touchText string

//go:embed session_revoke.lua
var revokeText string

//go:embed index_add.lua
var indexAddText string

var (
	createScript   = redis.NewScript(createText)
	rotateScript   = redis.NewScript(rotateText)
	touchScript    = redis.NewScript(touchText)
	revokeScript   = redis.NewScript(revokeText)
	indexAddScript = redis.NewScript(indexAddText)
)

// Sessions keeps sessions, and the lists of them, in Redis. It is safe for
// concurrent use.
type Sessions struct{ c *Client }

// Sessions returns the view that implements session.Store and session.Index.
func (c *Client) Sessions() *Sessions { return &Sessions{c} }

var (
	_ session.Store = (*Sessions)(nil)
	_ session.Index = (*Sessions)(nil)
)

// errReply says that a script answered something that is not ours: another
// version of the program, or somebody else's key.
var errReply = errors.New("unexpected reply")

// fixed is what of a record never changes, as JSON in the field d.
type fixed struct {
	Origin   session.Origin     `json:"origin"`
	Identity token.Identity     `json:"identity"`
	API      *session.TokenData `json:"api,omitempty"`
}

// Create implements session.Store.
func (s *Sessions) Create(ctx context.Context, a session.Attempt, r session.Record, l session.Life) (session.Record, error) {
	data, err := json.Marshal(fixed{r.Origin, r.Identity, r.API})
	if err != nil {
		return session.Record{}, fail("create", err)
	}
	reply, err := s.c.eval(ctx, "session_create", createScript, []string{sessionKey(r.SID)}, string(a), data, r.Origin.Client,
		r.Generation, l.Idle.Milliseconds(), l.Access.Milliseconds(), l.Keep.Milliseconds()).Slice()
	if err != nil {
		return session.Record{}, fail("create", err)
	}
	if len(reply) < 2 {
		return session.Record{}, fail("create", errReply)
	}
	if reply[0] == "exists" {
		return session.Record{}, session.ErrExists
	}
	return parseRecord("create", r.SID, reply[2:])
}

// Lookup implements session.Store.
func (s *Sessions) Lookup(ctx context.Context, sid token.SID) (session.Record, error) {
	h, err := s.c.rdb.HGetAll(ctx, sessionKey(sid)).Result()
	s.c.record("session_read", err)
	if err != nil {
		return session.Record{}, fail("lookup", err)
	}
	if len(h) == 0 {
		return session.Record{}, session.ErrNotFound
	}
	return readRecord("lookup", sid, h)
}

// Rotate implements session.Store.
func (s *Sessions) Rotate(ctx context.Context, a session.Attempt, r session.Rotation) (session.Turn, error) {
	reply, err := s.c.eval(ctx, "session_rotate", rotateScript, []string{sessionKey(r.SID)}, string(a), r.Presented, r.Client,
		flag(r.Rotates), r.Grace.Milliseconds(), flag(r.RefuseReuse),
		r.Life.Idle.Milliseconds(), r.Life.Access.Milliseconds(), r.Life.Keep.Milliseconds()).Slice()
	if err != nil {
		return session.Turn{}, fail("rotate", err)
	}
	if len(reply) < 4 {
		return session.Turn{}, fail("rotate", errReply)
	}
	outcome, ok0 := reply[0].(string)
	now, ok1 := reply[1].(int64)
	generation, ok2 := reply[2].(int64)
	made, ok3 := reply[3].(int64)
	if !ok0 || !ok1 || !ok2 || !ok3 {
		return session.Turn{}, fail("rotate", errReply)
	}
	t := session.Turn{Outcome: session.Outcome(outcome), Now: time.UnixMilli(now)}
	if len(reply) == 4 {
		return t, nil
	}
	if t.Record, err = parseRecord("rotate", r.SID, reply[4:]); err != nil {
		return session.Turn{}, err
	}
	t.Record.Generation, t.Record.Made = uint32(generation), time.UnixMilli(made)
	return t, nil
}

// Touch implements session.Store.
func (s *Sessions) Touch(ctx context.Context, a session.Attempt, u session.Use) error {
	n, err := s.c.eval(ctx, "session_touch", touchScript, []string{sessionKey(u.SID)}, string(a),
		u.Idle.Milliseconds(), u.Keep.Milliseconds(), u.Uses).Int()
	if err != nil {
		return fail("touch", err)
	}
	if n == 0 {
		return session.ErrNotFound
	}
	return nil
}

// Revoke implements session.Store.
func (s *Sessions) Revoke(ctx context.Context, a session.Attempt, r session.Revocation) (session.Record, error) {
	reply, err := s.c.eval(ctx, "session_revoke", revokeScript, []string{sessionKey(r.SID)}, string(a), r.Reason, flag(r.KeepAccess)).Slice()
	if err != nil {
		return session.Record{}, fail("revoke", err)
	}
	if len(reply) == 0 {
		return session.Record{}, session.ErrNotFound
	}
	return parseRecord("revoke", r.SID, reply)
}

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// parseRecord reads field, value, field, value.
func parseRecord(op string, sid token.SID, flat []any) (session.Record, error) {
	h := make(map[string]string, len(flat)/2)
	for i := 0; i+1 < len(flat); i += 2 {
		k, ok1 := flat[i].(string)
		v, ok2 := flat[i+1].(string)
		if !ok1 || !ok2 {
			return session.Record{}, fail(op, errReply)
		}
		h[k] = v
	}
	return readRecord(op, sid, h)
}

// readRecord reads the fields that session_create.lua lists.
func readRecord(op string, sid token.SID, h map[string]string) (session.Record, error) {
	var f fixed
	if err := json.Unmarshal([]byte(h["d"]), &f); err != nil {
		return session.Record{}, fail(op, fmt.Errorf("record of %s: %w", sid.Short(), err))
	}
	n := numbers{h: h}
	r := session.Record{
		SID: sid, Origin: f.Origin, Identity: f.Identity, API: f.API,
		Generation: uint32(n.read("g")), Made: n.time("m"), Ends: n.time("e"), AccessEnds: n.time("ae"),
		Revoked: h["rv"], Closed: h["cl"] != "", LastUsed: n.time("u"), Uses: n.read("n"),
	}
	if n.bad != "" {
		return session.Record{}, fail(op, fmt.Errorf("record of %s: field %s is no number", sid.Short(), n.bad))
	}
	return r, nil
}

// numbers reads fields of a hash and keeps the name of one that is no number.
type numbers struct {
	h   map[string]string
	bad string
}

// read returns 0 for a field that is not there.
func (n *numbers) read(field string) int64 {
	text, ok := n.h[field]
	if !ok {
		return 0
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		n.bad = field
	}
	return v
}

func (n *numbers) time(field string) time.Time {
	ms := n.read(field)
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// Add implements session.Index.
func (s *Sessions) Add(ctx context.Context, owner string, m session.Member, limit int) ([]token.SID, error) {
	over, err := s.c.eval(ctx, "index_add", indexAddScript, []string{usedKey(owner), endKey(owner)},
		m.SID.String(), m.End.UnixMilli(), limit).StringSlice()
	if err != nil {
		return nil, fail("index", err)
	}
	return parseSIDs(over)
}

// List implements session.Index.
func (s *Sessions) List(ctx context.Context, owner string) ([]token.SID, error) {
	var used, alive *redis.StringSliceCmd
	now := strconv.FormatInt(time.Now().UnixMilli(), 10)
	_, err := s.c.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		used = p.ZRange(ctx, usedKey(owner), 0, -1)
		alive = p.ZRangeByScore(ctx, endKey(owner), &redis.ZRangeBy{Min: "(" + now, Max: "+inf"})
		return nil
	})
	s.c.record("index_list", err)
	if err != nil {
		return nil, fail("list", err)
	}
	ends := make(map[string]bool, len(alive.Val()))
	for _, sid := range alive.Val() {
		ends[sid] = true
	}
	var texts []string
	for _, sid := range used.Val() {
		if ends[sid] {
			texts = append(texts, sid)
		}
	}
	return parseSIDs(texts)
}

// Remove implements session.Index.
func (s *Sessions) Remove(ctx context.Context, owner string, sid token.SID) error {
	_, err := s.c.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.ZRem(ctx, usedKey(owner), sid.String())
		p.ZRem(ctx, endKey(owner), sid.String())
		return nil
	})
	s.c.record("index_remove", err)
	if err != nil {
		return fail("unlist", err)
	}
	return nil
}

func parseSIDs(texts []string) ([]token.SID, error) {
	var sids []token.SID
	for _, text := range texts {
		sid, err := token.ParseSID(text)
		if err != nil {
			return nil, fail("list", err)
		}
		sids = append(sids, sid)
	}
	return sids, nil
}
