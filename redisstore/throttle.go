package redisstore

import (
	"context"
	_ "embed" // the scripts
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gatehouse-gateway/gatehouse/session"
)

//go:embed throttle_allow.lua
var throttleAllowText string

//go:embed throttle_fail.lua
var throttleFailText string

var (
	throttleAllowScript = redis.NewScript(throttleAllowText)
	throttleFailScript  = redis.NewScript(throttleFailText)
)

// So many failed logins of one account, or from one address, within so long a
// time stop further ones until the oldest of them is as old as that.
const (
	maxFailures   = 10
	failureWindow = 15 * time.Minute
)

// Throttle counts failed logins in Redis, for all replicas and across restarts.
// It is safe for concurrent use.
type Throttle struct{ c *Client }

// Throttle returns the view that implements session.Throttle.
func (c *Client) Throttle() *Throttle { return &Throttle{c} }

var _ session.Throttle = (*Throttle)(nil)

// Allow implements session.Throttle.
func (t *Throttle) Allow(ctx context.Context, account, address string) (time.Duration, time.Time, error) {
	var longest, now int64
	for _, who := range []string{account, address} {
		reply, err := t.c.eval(ctx, "throttle_allow", throttleAllowScript, []string{failuresKey(who)},
			maxFailures, failureWindow.Milliseconds()).Int64Slice()
		if err == nil && len(reply) != 2 {
			err = errReply
		}
		if err != nil {
			return 0, time.Time{}, fail("throttle", err)
		}
		if longest = max(longest, reply[0]); now == 0 {
			now = reply[1]
		}
	}
	return time.Duration(longest) * time.Millisecond, time.UnixMilli(now), nil
}

// Fail implements session.Throttle. It counts for both, also if one fails.
func (t *Throttle) Fail(ctx context.Context, account, address string) error {
	var errs []error
	a := string(session.NewAttempt())
	for _, who := range []string{account, address} {
		err := t.c.eval(ctx, "throttle_fail", throttleFailScript, []string{failuresKey(who)},
			maxFailures, failureWindow.Milliseconds(), a).Err()
		if err != nil {
			errs = append(errs, fail("count failure", err))
		}
	}
	return errors.Join(errs...)
}
