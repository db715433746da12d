package redisstore

import (
	"context"
	_ "embed" // the scripts
	"encoding/json"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

//go:embed code_put.lua
var codePutText string

//go:embed code_find.lua
var codeFindText string

//go:embed code_take.lua
var codeTakeText string

var (
	codePutScript  = redis.NewScript(codePutText)
	codeFindScript = redis.NewScript(codeFindText)
	codeTakeScript = redis.NewScript(codeTakeText)
)

// Codes keeps authorization codes. It is safe for concurrent use.
type Codes struct{ c *Client }

// Codes returns the view that implements session.Codes.
func (c *Client) Codes() *Codes { return &Codes{c} }

var _ session.Codes = (*Codes)(nil)

// PutCode implements session.Codes.
func (s *Codes) PutCode(ctx context.Context, digest string, code session.Code, life time.Duration) error {
	data, err := json.Marshal(code)
	if err != nil {
		return fail("put code", err)
	}
	if err := s.c.eval(ctx, "code_put", codePutScript, []string{codeKey(digest)}, data, life.Milliseconds()).Err(); err != nil {
		return fail("put code", err)
	}
	return nil
}

// FindCode implements session.Codes.
func (s *Codes) FindCode(ctx context.Context, digest string) (session.Code, error) {
	reply, err := s.c.eval(ctx, "code_find", codeFindScript, []string{codeKey(digest)}).StringSlice()
	switch {
	case err != nil:
		return session.Code{}, fail("find code", err)
	case len(reply) == 0:
		return session.Code{}, session.ErrNotFound
	case len(reply) != 3:
		return session.Code{}, fail("find code", errReply)
	}
	var code session.Code
	if err := json.Unmarshal([]byte(reply[0]), &code); err != nil {
		return session.Code{}, fail("find code", err)
	}
	if made, err := strconv.ParseInt(reply[2], 10, 64); err != nil {
		return session.Code{}, fail("find code", err)
	} else if made > 0 {
		code.Made = time.UnixMilli(made)
	}
	if reply[1] == "" {
		return code, nil
	}
	if code.TakenBy, err = token.ParseSID(reply[1]); err != nil {
		return session.Code{}, fail("find code", err)
	}
	return code, nil
}

// TakeCode implements session.Codes.
func (s *Codes) TakeCode(ctx context.Context, digest string, by token.SID, keep time.Duration) (token.SID, error) {
	text, err := s.c.eval(ctx, "code_take", codeTakeScript, []string{codeKey(digest)}, by.String(), keep.Milliseconds()).Text()
	switch {
	case err != nil:
		return token.SID{}, fail("take code", err)
	case text == "":
		return token.SID{}, session.ErrNotFound
	}
	first, err := token.ParseSID(text)
	if err != nil {
		return token.SID{}, fail("take code", err)
	}
	return first, nil
}
