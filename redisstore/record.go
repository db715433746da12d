package redisstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// recordVersion is the version of the session records that this release writes,
// and the newest that it reads. It also reads the one before, and the release
// before reads what this one writes, so that both may run side by side while one
// takes the other's place, in either direction.
//
//	1  has no field for its version
//	2  has the version in v and its own session id in i
//
// A release that needs another form reads it first, and the next one writes it.
const recordVersion = 2

// errReply says that a script answered something that is not ours: another
// version of the program, or somebody else's key.
var errReply = errors.New("unexpected reply")

// fixed is what of a record never changes, as JSON in the field d.
type fixed struct {
	Origin   session.Origin     `json:"origin"`
	Identity token.Identity     `json:"identity"`
	API      *session.TokenData `json:"api,omitempty"`
}

// errMixed says that a reply was about another session than the one asked for:
// the replies on this connection have got out of step with the questions.
var errMixed = errors.New("the reply is about another session")

// parseRecord reads field, value, field, value.
func (c *Client) parseRecord(op string, sid token.SID, flat []any) (session.Record, error) {
	h := make(map[string]string, len(flat)/2)
	for i := 0; i+1 < len(flat); i += 2 {
		k, ok1 := flat[i].(string)
		v, ok2 := flat[i+1].(string)
		if !ok1 || !ok2 {
			return session.Record{}, fail(op, errReply)
		}
		h[k] = v
	}
	return c.readRecord(op, sid, h)
}

// readRecord reads the fields that session_create.lua lists.
func (c *Client) readRecord(op string, sid token.SID, h map[string]string) (session.Record, error) {
	r, err := readFields(sid, h)
	switch {
	case err == nil:
		return r, nil
	case errors.Is(err, errNewer):
		err = c.tellNewer(sid)
	case errors.Is(err, errMixed):
		c.log.Error("redis answered about another session than was asked for; all connections are closed and made anew", "session", sid.Short())
		c.lines.hangUp()
	}
	return session.Record{}, fail(op, fmt.Errorf("record of %s: %w", sid.Short(), err))
}

// tellNewerEvery is how often the log says that there are records of a newer
// release: a client that comes again and again meets the same one.
const tellNewerEvery = 10 * time.Second

// tellNewer returns errNewer, having said in the log what to do about it.
func (c *Client) tellNewer(sid token.SID) error {
	now := time.Now().UnixNano()
	if last := c.toldNewer.Load(); now-last >= int64(tellNewerEvery) && c.toldNewer.CompareAndSwap(last, now) {
		c.log.Error("a newer release wrote this session, and this one cannot read it: calls with it are answered by 503. Give this replica the newer release too",
			"session", sid.Short())
	}
	return errNewer
}

func readFields(sid token.SID, h map[string]string) (session.Record, error) {
	n := numbers{h: h}
	version := n.read("v")
	switch {
	case version > recordVersion:
		return session.Record{}, errNewer
	case version >= 2 && h["i"] != sid.String():
		return session.Record{}, errMixed
	}
	var f fixed
	if err := json.Unmarshal([]byte(h["d"]), &f); err != nil {
		return session.Record{}, err
	}
	r := session.Record{
		SID: sid, Origin: f.Origin, Identity: f.Identity, API: f.API,
		Generation: uint32(n.read("g")), Made: n.time("m"), Ends: n.time("e"), AccessEnds: n.time("ae"),
		Revoked: h["rv"], Closed: h["cl"] != "", LastUsed: n.time("u"), Uses: n.read("n"),
	}
	if n.bad != "" {
		return session.Record{}, fmt.Errorf("field %s is no number", n.bad)
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
