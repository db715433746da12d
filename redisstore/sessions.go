package redisstore

import (
	"context"
	_ "embed" // the scripts
	"encoding/json"
	"errors"
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

//go:embed index_outdate.lua
var indexOutdateText string

var (
	createScript   = redis.NewScript(createText)
	rotateScript   = redis.NewScript(rotateText)
	touchScript    = redis.NewScript(touchText)
	revokeScript   = redis.NewScript(revokeText)
	indexAddScript = redis.NewScript(indexAddText)

	indexOutdateScript = redis.NewScript(indexOutdateText)
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

// Create implements session.Store.
func (s *Sessions) Create(ctx context.Context, a session.Attempt, r session.Record, l session.Life) (session.Record, error) {
	data, err := json.Marshal(fixed{r.Origin, r.Identity, r.API})
	if err != nil {
		return session.Record{}, fail("create", err)
	}
	reply, err := s.c.eval(ctx, "session_create", createScript, []string{sessionKey(r.SID)}, string(a), data, r.Origin.Client,
		r.Generation, l.Idle.Milliseconds(), l.Access.Milliseconds(), l.Keep.Milliseconds(), recordVersion, r.SID.String()).Slice()
	if err != nil {
		return session.Record{}, fail("create", err)
	}
	if len(reply) < 2 {
		return session.Record{}, fail("create", errReply)
	}
	if reply[0] == "exists" {
		return session.Record{}, session.ErrExists
	}
	return s.c.parseRecord("create", r.SID, reply[2:])
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
	return s.c.readRecord("lookup", sid, h)
}

// Rotate implements session.Store.
func (s *Sessions) Rotate(ctx context.Context, a session.Attempt, r session.Rotation) (session.Turn, error) {
	reply, err := s.c.eval(ctx, "session_rotate", rotateScript, []string{sessionKey(r.SID)}, string(a), r.Presented, r.Client,
		flag(r.Rotates), r.Grace.Milliseconds(), flag(r.RefuseReuse),
		r.Life.Idle.Milliseconds(), r.Life.Access.Milliseconds(), r.Life.Keep.Milliseconds(), recordVersion, r.SID.String()).Slice()
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
	if outcome == "newer" {
		return session.Turn{}, fail("rotate", s.c.tellNewer(r.SID))
	}
	t := session.Turn{Outcome: session.Outcome(outcome), Now: time.UnixMilli(now)}
	if len(reply) == 4 {
		return t, nil
	}
	if t.Record, err = s.c.parseRecord("rotate", r.SID, reply[4:]); err != nil {
		return session.Turn{}, err
	}
	t.Record.Generation, t.Record.Made = uint32(generation), time.UnixMilli(made)
	return t, nil
}

// Touch implements session.Store.
func (s *Sessions) Touch(ctx context.Context, a session.Attempt, u session.Use) error {
	n, err := s.c.eval(ctx, "session_touch", touchScript, []string{sessionKey(u.SID)}, string(a),
		u.Idle.Milliseconds(), u.Keep.Milliseconds(), u.Uses, recordVersion).Int()
	switch {
	case err != nil:
		return fail("touch", err)
	case n < 0:
		return fail("touch", s.c.tellNewer(u.SID))
	case n == 0:
		return session.ErrNotFound
	}
	return nil
}

// Revoke implements session.Store. It ends a session of any version.
func (s *Sessions) Revoke(ctx context.Context, a session.Attempt, r session.Revocation) (session.Record, error) {
	reply, err := s.c.eval(ctx, "session_revoke", revokeScript, []string{sessionKey(r.SID)}, string(a), r.Reason, flag(r.KeepAccess)).Slice()
	if err != nil {
		return session.Record{}, fail("revoke", err)
	}
	if len(reply) == 0 {
		return session.Record{}, session.ErrNotFound
	}
	rec, err := s.c.parseRecord("revoke", r.SID, reply)
	if errors.Is(err, errNewer) { // it has ended; what it was only the other release can tell
		return session.Record{}, session.ErrNotFound
	}
	return rec, err
}

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// Add implements session.Index.
func (s *Sessions) Add(ctx context.Context, owner string, m session.Member, limit int) ([]token.SID, error) {
	over, err := s.c.eval(ctx, "index_add", indexAddScript, []string{usedKey(owner), endKey(owner), epochKey(owner)},
		m.SID.String(), m.End.UnixMilli(), limit, unixMillis(m.Proved)).StringSlice()
	switch {
	case err != nil:
		return nil, fail("index", err)
	case len(over) == 1 && over[0] == "outdated":
		return nil, session.ErrOutdated
	}
	return parseSIDs(over)
}

// keepEpoch is how long an epoch is kept: longer than anything lasts that a
// session is made of, and than most sessions that no list has.
const keepEpoch = 400 * 24 * time.Hour

// Outdate implements session.Index.
func (s *Sessions) Outdate(ctx context.Context, owner string, at time.Time) (time.Time, error) {
	ms, err := s.c.eval(ctx, "index_outdate", indexOutdateScript, []string{epochKey(owner)}, unixMillis(at), keepEpoch.Milliseconds()).Int64()
	if err != nil {
		return time.Time{}, fail("outdate", err)
	}
	return time.UnixMilli(ms), nil
}

// unixMillis is Unix milliseconds, 0 for the zero time.
func unixMillis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// List implements session.Index.
func (s *Sessions) List(ctx context.Context, owner string) ([]token.SID, error) {
	var used *redis.StringSliceCmd
	var alive *redis.ZSliceCmd
	var now *redis.TimeCmd
	_, err := s.c.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		used = p.ZRange(ctx, usedKey(owner), 0, -1)
		alive = p.ZRangeWithScores(ctx, endKey(owner), 0, -1)
		now = p.Time(ctx)
		return nil
	})
	s.c.record("index_list", err)
	if err != nil {
		return nil, fail("list", err)
	}
	ends := make(map[string]bool, len(alive.Val()))
	for _, m := range alive.Val() {
		sid, _ := m.Member.(string)
		ends[sid] = int64(m.Score) > now.Val().UnixMilli()
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
