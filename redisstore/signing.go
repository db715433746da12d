package redisstore

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/gatehouse-gateway/gatehouse/session"
)

// Keys keeps the manifest of signing keys. It is safe for concurrent use.
type Keys struct{ c *Client }

// Keys returns the view that implements session.KeyStore.
func (c *Client) Keys() *Keys { return &Keys{c} }

var _ session.KeyStore = (*Keys)(nil)

// Load implements session.KeyStore.
func (k *Keys) Load(ctx context.Context) (string, error) {
	text, err := k.c.rdb.Get(ctx, signingKeys).Result()
	k.c.record("keys_load", err)
	if errors.Is(err, redis.Nil) {
		return "", session.ErrNotFound
	}
	if err != nil {
		return "", fail("load keys", err)
	}
	return text, nil
}

// Settle implements session.KeyStore. A repeat after a lost reply finds what it
// wrote itself.
func (k *Keys) Settle(ctx context.Context, manifest string) (string, error) {
	err := k.c.rdb.SetNX(ctx, signingKeys, manifest, 0).Err()
	k.c.record("keys_settle", err)
	if err != nil {
		return "", fail("settle keys", err)
	}
	return k.Load(ctx)
}
