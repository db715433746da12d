package redisstore

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// callTimeout is how long one command or script may take in all: waiting for a
// connection, asking Sentinels or nodes for the way, further tries.
const callTimeout = 600 * time.Millisecond

// bounded is a hook of the library that holds every call to callTimeout. The
// library's own limits are for each step of a call, and only some topologies have
// few steps.
type bounded struct{}

// DialHook implements redis.Hook.
func (bounded) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (bounded) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		return next(ctx, cmd)
	}
}

// ProcessPipelineHook implements redis.Hook.
func (bounded) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		return next(ctx, cmds)
	}
}
