// Package redisstore is the one room where Redis lives. Each Client method
// returns a view that implements one of the small store interfaces which
// session and upstream declare. Every atomic change is one Lua script in a file
// of its own, every key is named in keys.go.
package redisstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Recorder is told of every call to the store, for metrics.
type Recorder interface {
	// StoreOp reports one operation; op is the script's or command's name in
	// this package, outcome is ok, timeout or error.
	StoreOp(op, outcome string)
	// StoreUp reports whether the store answers.
	StoreUp(up bool)
	// FeedLag reports how long an event took through the store and back.
	FeedLag(d time.Duration)
}

// Ops are the operations that StoreOp reports: the scripts, then the commands.
func Ops() []string {
	return []string{
		"session_create", "session_read", "session_rotate", "session_touch", "session_revoke",
		"index_add", "index_outdate", "index_list", "index_remove",
		"roll_enlist", "roll_owners", "session_scan", "throttle_allow", "throttle_fail", "keys_load", "keys_settle", "keys_swap",
		"replica_beat", "replica_leave", "replica_secrets", "sealed_scan",
		"code_put", "code_find", "code_take",
		"factor_issue", "factor_withdraw", "factor_try", "push_open", "push_read", "push_list", "push_settle", "push_close",
		"backend_acquire", "backend_attempt", "backend_commit", "backend_release", "backend_end", "backend_pin",
		"backend_due", "backend_due_enter", "backend_due_add", "backend_due_remove",
		"challenge_keep", "challenge_find", "challenge_drop",
		"announce", "publish", "follow", "ping", "info",
	}
}

// Options say which Redis to use.
type Options struct {
	// URL is redis://[user:password@]host[:6379][/db], the same with rediss:// for
	// TLS, redis+sentinel://master@host,host[/db] or redis+cluster://host,host
	// (rediss+… for TLS). The query may give user, password, db and ca_file, a
	// PEM file of the authorities to trust.
	URL string
	// Dial connects to an address that the URL names; nil: over the network.
	Dial     func(ctx context.Context, network, addr string) (net.Conn, error)
	Recorder Recorder     // nil: nobody is told
	Log      *slog.Logger // nil: nothing is logged
}

// Client talks to one Redis, or to the embedded store. It is safe for
// concurrent use.
type Client struct {
	rdb   redis.UniversalClient
	rec   Recorder
	log   *slog.Logger
	stop  func() // ends the embedded store; nil for a real one
	lines *lines
	down  atomic.Bool  // as last told to the log
	clock atomic.Int64 // of the server when it took the last ping that came back, Unix ms; 0: unknown

	toldNewer atomic.Int64 // when the log last told of records of a newer release, Unix ns
}

// Times that the steps of a call to Redis may take. A stalled Redis must cost a
// request less than a second, so they are short and retries are few; callTimeout
// stands over them.
const (
	dialTimeout = 250 * time.Millisecond
	ioTimeout   = 250 * time.Millisecond
	poolTimeout = 300 * time.Millisecond
	maxRetries  = 2
)

// Open returns a client. It only reads the URL and does not wait for Redis. The
// error says what is wrong with the URL and never shows its password.
func Open(o Options) (*Client, error) {
	u, err := parseURL(o.URL)
	if err != nil {
		return nil, err
	}
	u.Dialer = o.Dial
	return newClient(u, o.Recorder, o.Log), nil
}

// libraryLog takes what the library would write to standard error by itself;
// every failure it speaks of also comes back as an error.
type libraryLog struct{ log *slog.Logger }

func (l libraryLog) Printf(ctx context.Context, format string, v ...any) {
	l.log.DebugContext(ctx, "redis library", "said", fmt.Sprintf(format, v...))
}

func newClient(u *redis.UniversalOptions, rec Recorder, log *slog.Logger) *Client {
	if rec == nil {
		rec = mute{}
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	redis.SetLogger(libraryLog{log})
	u.DialTimeout, u.ReadTimeout, u.WriteTimeout = dialTimeout, ioTimeout, ioTimeout
	u.PoolTimeout, u.MaxRetries, u.DialerRetries = poolTimeout, maxRetries, 1
	if u.IsClusterMode {
		u.MaxRetries, u.MaxRedirects = -1, maxRetries+1 // else every redirection is tried so often again
	}
	u.ContextTimeoutEnabled = true // off, a call waits for Redis beyond its context
	u.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	l := &lines{open: map[*line]struct{}{}}
	u.Dialer = l.dialer(u.Dialer, u.TLSConfig)
	rdb := redis.NewUniversalClient(u)
	rdb.AddHook(bounded{})
	return &Client{rdb: rdb, rec: rec, log: log, lines: l}
}

// Close closes the connections, and ends the embedded store with all it holds.
func (c *Client) Close() error {
	err := c.rdb.Close()
	if c.stop != nil {
		c.stop()
	}
	return err
}

// Ping asks Redis for a sign of life. The error names the remedy.
func (c *Client) Ping(ctx context.Context) error {
	err := c.rdb.Ping(ctx).Err()
	c.record("ping", err)
	switch {
	case err == nil:
		return nil
	case redis.HasErrorPrefix(err, "NOAUTH"):
		return fmt.Errorf("redisstore: Redis asks for a password; put it into GATEHOUSE_REDIS_URL: %w", err)
	case redis.HasErrorPrefix(err, "WRONGPASS"), redis.HasErrorPrefix(err, "AUTH"):
		return fmt.Errorf("redisstore: Redis refuses user or password; correct them in GATEHOUSE_REDIS_URL: %w", err)
	case redis.IsPermissionError(err):
		return fmt.Errorf("redisstore: the Redis user may not do this; give it the commands and the keys gh:* that the documentation lists: %w", err)
	}
	if _, ok := errors.AsType[redis.Error](err); ok {
		return fmt.Errorf("redisstore: Redis answers with an error: %w", err)
	}
	return fmt.Errorf("redisstore: Redis cannot be reached; see that it runs and that host and port in GATEHOUSE_REDIS_URL are right: %w", err)
}

// Check returns what an operator should know of this Redis: settings under which
// sessions may get lost, each with its remedy. Nothing to say is an empty list.
func (c *Client) Check(ctx context.Context) []string {
	if c.stop != nil {
		return nil // what there is to say of the embedded store, its user was told
	}
	info, err := c.info(ctx)
	if err != nil {
		return []string{"Redis does not say how it is set up: " + err.Error()}
	}
	var found []string
	if v := info["redis_version"]; olderThan7(v) {
		found = append(found, "Redis "+v+" is older than 7.0, the oldest version that is supported")
	}
	if p := info["maxmemory_policy"]; p != "" && p != "noeviction" {
		found = append(found, "maxmemory-policy is "+p+": Redis may throw sessions away; set it to noeviction")
	}
	if info["role"] == "slave" {
		found = append(found, "this Redis is a read-only replica; name the primary, or use redis+sentinel://")
	}
	return found
}

// info reads the sections of INFO that matter here into one map. Of a cluster's
// servers it is that of any one that takes changes.
func (c *Client) info(ctx context.Context) (map[string]string, error) {
	var mu sync.Mutex
	m := map[string]string{} // guarded by mu
	err := c.eachPrimary(ctx, func(ctx context.Context, _ string, one redis.Cmdable) error {
		for _, section := range []string{"server", "memory", "replication"} {
			text, err := one.Info(ctx, section).Result()
			c.record("info", err)
			if err != nil {
				return err
			}
			mu.Lock()
			for line := range strings.Lines(text) {
				if k, v, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
					m[k] = v
				}
			}
			mu.Unlock()
		}
		return nil
	})
	if err != nil {
		return nil, fail("info", err)
	}
	return m, nil
}

func olderThan7(version string) bool {
	major, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(major)
	return err == nil && n < 7
}

// eval runs a script on the keys of one slot and reports it under op. Scripts
// are idempotent by their attempt id, so the library may repeat them.
func (c *Client) eval(ctx context.Context, op string, s *redis.Script, keys []string, args ...any) *redis.Cmd {
	cmd := s.Run(ctx, c.rdb, keys, args...)
	c.record(op, cmd.Err())
	return cmd
}

// record reports the outcome of one operation. A missing key is an answer, and
// so, as to whether Redis is up, is an error about this one command.
func (c *Client) record(op string, err error) {
	outcome, up := "ok", true
	switch {
	case err == nil || errors.Is(err, redis.Nil):
	case isTimeout(err):
		outcome, up = "timeout", false
	default:
		outcome, up = "error", answered(err)
	}
	c.rec.StoreOp(op, outcome)
	if errors.Is(err, context.Canceled) {
		return // whoever asked is gone, which says nothing of the store
	}
	c.rec.StoreUp(up)
	if down := !up; c.down.Swap(down) != down {
		c.logUp(up, err)
	}
}

func (c *Client) logUp(up bool, err error) {
	if up {
		c.log.Info("the store answers again")
		return
	}
	c.log.Warn("the store does not answer: checked sessions go on from memory for a while, all else is 503", "error", err)
}

// CheckURL returns what is wrong with the URL of Options; it does not connect.
func CheckURL(text string) error {
	_, err := parseURL(text)
	return err
}

func isTimeout(err error) bool {
	ne, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	return ok && ne.Timeout()
}

// mute is the Recorder of those who want none.
type mute struct{}

func (mute) StoreOp(string, string) {}
func (mute) StoreUp(bool)           {}
func (mute) FeedLag(time.Duration)  {}
