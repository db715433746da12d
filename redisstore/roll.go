package redisstore

import (
	"context"
	_ "embed" // the scripts
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

//go:embed roll_enlist.lua
var rollEnlistText string

var rollEnlistScript = redis.NewScript(rollEnlistText)

const (
	rollChunk = 200  // owners read at once
	scanChunk = 1000 // keys that one SCAN looks at
)

// Roll keeps who has sessions. It is safe for concurrent use.
type Roll struct{ c *Client }

// Roll returns the view that implements session.Roll.
func (c *Client) Roll() *Roll { return &Roll{c} }

var _ session.Roll = (*Roll)(nil)

// Enlist implements session.Roll.
func (r *Roll) Enlist(ctx context.Context, o session.Owner, end time.Time) error {
	err := r.c.eval(ctx, "roll_enlist", rollEnlistScript, []string{rollNames, rollEnds}, ownerText(o), end.UnixMilli()).Err()
	if err != nil {
		return fail("enlist", err)
	}
	return nil
}

// Owners implements session.Roll.
func (r *Roll) Owners(ctx context.Context, name string, after session.Owner, limit int) ([]session.Owner, error) {
	within := &redis.ZRangeBy{Min: "-", Max: "+", Count: rollChunk}
	if name != "" {
		within.Min, within.Max = "["+url.PathEscape(name)+" ", "("+url.PathEscape(name)+"!" // ! comes next after the space
	}
	if after != (session.Owner{}) {
		within.Min = "(" + ownerText(after)
	}
	var found []session.Owner
	for {
		texts, alive, err := r.chunk(ctx, within)
		if err != nil {
			return nil, err
		}
		for i, text := range texts {
			if !alive[i] {
				continue
			}
			o, err := parseOwner(text)
			if err != nil {
				return nil, fail("owners", err)
			}
			if found = append(found, o); len(found) == limit {
				return found, nil
			}
		}
		if len(texts) < rollChunk {
			return found, nil
		}
		within.Min = "(" + texts[len(texts)-1]
	}
}

// chunk reads owners, and whether the end of each is still to come.
func (r *Roll) chunk(ctx context.Context, within *redis.ZRangeBy) (texts []string, alive []bool, err error) {
	texts, err = r.c.rdb.ZRangeByLex(ctx, rollNames, within).Result()
	r.c.record("roll_owners", err)
	if err != nil || len(texts) == 0 {
		return nil, nil, rollFail(err)
	}
	var ends *redis.FloatSliceCmd
	var now *redis.TimeCmd
	_, err = r.c.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		ends, now = p.ZMScore(ctx, rollEnds, texts...), p.Time(ctx)
		return nil
	})
	r.c.record("roll_owners", err)
	if err != nil {
		return nil, nil, rollFail(err)
	}
	for _, end := range ends.Val() {
		alive = append(alive, int64(end) > now.Val().UnixMilli())
	}
	return texts, alive, nil
}

func rollFail(err error) error {
	if err == nil {
		return nil
	}
	return fail("owners", err)
}

// Starting implements session.Roll. In a cluster it asks every primary.
func (r *Roll) Starting(ctx context.Context, prefix string, limit int) ([]token.SID, error) {
	if len(prefix) > len(token.SID{})*2 || strings.Trim(prefix, "0123456789abcdef") != "" {
		return nil, nil // no id starts so
	}
	pattern := sessionPattern(prefix)
	var mu sync.Mutex
	var found []token.SID // guarded by mu
	scan := func(ctx context.Context, _ string, one redis.Cmdable) error {
		for cursor := uint64(0); ; {
			keys, next, err := one.Scan(ctx, cursor, pattern, scanChunk).Result()
			r.c.record("session_scan", err)
			if err != nil {
				return err
			}
			mu.Lock()
			found = addSIDs(found, keys, limit)
			full := len(found) == limit
			mu.Unlock()
			if cursor = next; cursor == 0 || full {
				return nil
			}
		}
	}
	if err := r.c.eachPrimary(ctx, scan); err != nil {
		return nil, fail("find", err)
	}
	return found, nil
}

// addSIDs adds the sessions of keys, each once: SCAN may show a key twice.
func addSIDs(found []token.SID, keys []string, limit int) []token.SID {
	for _, key := range keys {
		sid, err := token.ParseSID(strings.TrimSuffix(strings.TrimPrefix(key, "gh:{"), "}"))
		if err == nil && len(found) < limit && !slices.Contains(found, sid) {
			found = append(found, sid)
		}
	}
	return found
}

// ownerText is an owner as a member of a sorted set: name, source and id with a
// space between, each escaped so that it holds none itself. All owners of a name
// stand together.
func ownerText(o session.Owner) string {
	return url.PathEscape(o.Name) + " " + url.PathEscape(o.Source) + " " + url.PathEscape(o.ID)
}

func parseOwner(text string) (session.Owner, error) {
	parts := strings.Split(text, " ")
	if len(parts) != 3 {
		return session.Owner{}, errReply
	}
	for i, p := range parts {
		plain, err := url.PathUnescape(p)
		if err != nil {
			return session.Owner{}, fmt.Errorf("owner: %w", err)
		}
		parts[i] = plain
	}
	return session.Owner{Name: parts[0], Source: parts[1], ID: parts[2]}, nil
}
