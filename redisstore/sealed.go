package redisstore

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gatehouse-gateway/gatehouse/seal"
	"github.com/gatehouse-gateway/gatehouse/session"
)

// Sealed counts the backend sessions by the secret that their tokens are sealed
// under. It is safe for concurrent use.
type Sealed struct{ c *Client }

// Sealed returns the view that implements session.Sealed.
func (c *Client) Sealed() *Sealed { return &Sealed{c} }

var _ session.Sealed = (*Sealed)(nil)

// Sealed implements session.Sealed: one SCAN of one primary. What it gives as
// Next is the number of the primary, a dot and the cursor there.
func (s *Sealed) Sealed(ctx context.Context, after string) (session.SealedPage, error) {
	node, cursor, ok := parseCursor(after)
	if !ok {
		return session.SealedPage{}, session.ErrNotFound
	}
	primaries, err := s.primaries(ctx)
	if err != nil {
		return session.SealedPage{}, fail("sealed", err)
	}
	if node >= len(primaries) {
		return session.SealedPage{}, nil
	}
	keys, next, err := primaries[node].Scan(ctx, cursor, backendPattern, scanChunk).Result()
	s.c.record("sealed_scan", err)
	if err != nil {
		return session.SealedPage{}, fail("sealed", err)
	}
	page, err := s.count(ctx, keys)
	if err != nil {
		return session.SealedPage{}, err
	}
	switch {
	case next != 0:
		page.Next = strconv.Itoa(node) + "." + strconv.FormatUint(next, 10)
	case node+1 < len(primaries):
		page.Next = strconv.Itoa(node+1) + ".0"
	}
	return page, nil
}

func parseCursor(text string) (node int, cursor uint64, ok bool) {
	if text == "" {
		return 0, 0, true
	}
	first, second, _ := strings.Cut(text, ".")
	node, nodeErr := strconv.Atoi(first)
	cursor, cursorErr := strconv.ParseUint(second, 10, 64)
	return node, cursor, nodeErr == nil && cursorErr == nil && node >= 0
}

// primaries returns those of a cluster in a lasting order, else the one there is.
func (s *Sealed) primaries(ctx context.Context) ([]redis.Cmdable, error) {
	cluster, ok := s.c.rdb.(*redis.ClusterClient)
	if !ok {
		return []redis.Cmdable{s.c.rdb}, nil
	}
	var mu sync.Mutex
	byAddr := map[string]redis.Cmdable{} // guarded by mu
	err := cluster.ForEachMaster(ctx, func(_ context.Context, one *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		byAddr[one.Options().Addr] = one
		return nil
	})
	if err != nil {
		return nil, err
	}
	var list []redis.Cmdable
	for _, addr := range slices.Sorted(maps.Keys(byAddr)) {
		list = append(list, byAddr[addr])
	}
	return list, nil
}

// count reads under which secret each record is sealed, and when it ends.
func (s *Sealed) count(ctx context.Context, keys []string) (session.SealedPage, error) {
	page := session.SealedPage{Looked: len(keys)}
	if len(keys) == 0 {
		return page, nil
	}
	p := s.c.rdb.Pipeline()
	texts, lives := make([]*redis.SliceCmd, len(keys)), make([]*redis.DurationCmd, len(keys))
	for i, key := range keys {
		texts[i], lives[i] = p.HMGet(ctx, key, "access", "refresh"), p.PTTL(ctx, key)
	}
	_, err := p.Exec(ctx)
	s.c.record("sealed_scan", err)
	if err != nil {
		return page, fail("sealed", err)
	}
	found := map[string]*session.SealedValues{}
	now := time.Now()
	for i := range keys {
		for id := range secretsOf(texts[i].Val()) {
			if found[id] == nil {
				found[id] = &session.SealedValues{Secret: id}
			}
			note(found[id], lives[i].Val(), now)
		}
	}
	for _, v := range found {
		page.Values = append(page.Values, *v)
	}
	slices.SortFunc(page.Values, func(a, b session.SealedValues) int { return cmp.Compare(a.Secret, b.Secret) })
	return page, nil
}

// secretsOf are the secrets of one record's values, each once.
func secretsOf(values []any) map[string]bool {
	ids := map[string]bool{}
	for _, v := range values {
		text, _ := v.(string)
		if id := seal.Under(text); id != "" {
			ids[id] = true
		}
	}
	return ids
}

func note(v *session.SealedValues, left time.Duration, now time.Time) {
	v.Count++
	switch end := now.Add(left); {
	case left < 0: // -1: it has no end
		v.Endless = true
	case end.After(v.Until):
		v.Until = end
	}
}
