package redisstore

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gatehouse-gateway/gatehouse/upstream"
)

var _ upstream.Challenges = (*Backends)(nil)

// Keep implements upstream.Challenges.
func (b *Backends) Keep(ctx context.Context, backend, id, sealed string, life time.Duration) error {
	err := b.c.rdb.SetArgs(ctx, challengeKey(backend, id), sealed, redis.SetArgs{Mode: "NX", TTL: life}).Err()
	b.c.record("challenge_keep", err)
	if err != nil && !errors.Is(err, redis.Nil) { // nil: it is kept already
		return fail("keep a challenge", err)
	}
	return nil
}

// Find implements upstream.Challenges.
func (b *Backends) Find(ctx context.Context, backend, id string) (string, error) {
	sealed, err := b.c.rdb.Get(ctx, challengeKey(backend, id)).Result()
	b.c.record("challenge_find", err)
	switch {
	case errors.Is(err, redis.Nil):
		return "", upstream.ErrNoChallenge
	case err != nil:
		return "", fail("find a challenge", err)
	}
	return sealed, nil
}

// Drop implements upstream.Challenges.
func (b *Backends) Drop(ctx context.Context, backend, id string) error {
	err := b.c.rdb.Del(ctx, challengeKey(backend, id)).Err()
	b.c.record("challenge_drop", err)
	if err != nil {
		return fail("drop a challenge", err)
	}
	return nil
}
