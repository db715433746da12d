package redisstore

import (
	"context"
	_ "embed" // the script
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gatehouse-gateway/gatehouse/session"
)

//go:embed keys_swap.lua
var keysSwapText string

var keysSwapScript = redis.NewScript(keysSwapText)

// Keys keeps the manifest of signing keys. It is safe for concurrent use.
type Keys struct{ c *Client }

// Keys returns the view that implements session.KeyStore.
func (c *Client) Keys() *Keys { return &Keys{c} }

var _ session.KeyStore = (*Keys)(nil)

// Load implements session.KeyStore.
func (k *Keys) Load(ctx context.Context) (string, time.Time, error) {
	p := k.c.rdb.Pipeline()
	text, at := p.Get(ctx, signingKeys), p.Time(ctx)
	_, _ = p.Exec(ctx) // each command has its own error
	err := text.Err()
	if err == nil {
		err = at.Err()
	}
	k.c.record("keys_load", err)
	if errors.Is(err, redis.Nil) {
		return "", time.Time{}, session.ErrNotFound
	}
	if err != nil {
		return "", time.Time{}, fail("load keys", err)
	}
	return text.Val(), at.Val(), nil
}

// Settle implements session.KeyStore. A repeat after a lost reply finds what it
// wrote itself.
func (k *Keys) Settle(ctx context.Context, manifest string) (string, error) {
	err := k.c.rdb.SetNX(ctx, signingKeys, manifest, 0).Err()
	k.c.record("keys_settle", err)
	if err != nil {
		return "", fail("settle keys", err)
	}
	text, _, err := k.Load(ctx)
	return text, err
}

// Swap implements session.KeyStore.
func (k *Keys) Swap(ctx context.Context, old, next string) (bool, error) {
	swapped, err := k.c.eval(ctx, "keys_swap", keysSwapScript, []string{signingKeys}, old, next).Bool()
	if err != nil {
		return false, fail("swap keys", err)
	}
	return swapped, nil
}
