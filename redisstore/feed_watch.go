package redisstore

import (
	"context"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/upstream"
)

// watchEvery is how often the servers are asked who they are: the library
// connects anew without a word, also to another server.
const watchEvery = 300 * time.Millisecond

// runs are the run ids of the servers that take changes, by address. A server
// draws one at its start.
type runs map[string]string

// watch says so when another server answers than before, be it another one's
// replica or the same one started anew: its stream may not be the one read so
// far, and it may lack the last writes. In a cluster that holds for every one of
// the servers: sessions are on all of them. The embedded store is always the
// same.
func (r *reader) watch(ctx context.Context) {
	if r.f.c.stop != nil {
		return
	}
	var known runs
	for {
		if now, err := r.f.c.runs(ctx); err == nil {
			now = now.keeping(known)
			if known != nil && now.brings(known) {
				r.f.c.log.WarnContext(ctx, "another Redis server answers, or one that was started anew: its last writes may be lost")
				r.f.spread(upstream.Notice{Lost: true})
				r.emit(ctx, session.Event{Kind: session.EventFailover})
				r.anew.Store(true)
			}
			known = now
		}
		if !pause(ctx, watchEvery) {
			return
		}
	}
}

// keeping returns r with what was known of servers that did not answer.
func (r runs) keeping(known runs) runs {
	all := maps.Clone(r)
	for addr, run := range all {
		if run == "" {
			all[addr] = known[addr]
		}
	}
	return all
}

// brings reports whether there is a server in r that was not known. One that never
// answered may have been there all the time.
func (r runs) brings(known runs) bool {
	for addr, run := range r {
		if old, was := known[addr]; run != "" && run != old && (!was || old != "") {
			return true
		}
	}
	return false
}

// runs asks the servers who they are. One that does not answer has no run id.
func (c *Client) runs(ctx context.Context) (runs, error) {
	ctx, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	var mu sync.Mutex
	found := runs{} // guarded by mu
	err := c.eachPrimary(ctx, func(ctx context.Context, addr string, one redis.Cmdable) error {
		info, _ := one.Info(ctx, "server").Result() // the feed itself tells who does not answer
		mu.Lock()
		defer mu.Unlock()
		found[addr] = runID(info)
		return nil
	})
	return found, err
}

// eachPrimary calls f for every server that takes changes, in a cluster for all of
// them at once. The address is empty where there is one server, whichever it is.
func (c *Client) eachPrimary(ctx context.Context, f func(ctx context.Context, addr string, one redis.Cmdable) error) error {
	cluster, ok := c.rdb.(*redis.ClusterClient)
	if !ok {
		return f(ctx, "", c.rdb)
	}
	return cluster.ForEachMaster(ctx, func(ctx context.Context, one *redis.Client) error {
		return f(ctx, one.Options().Addr, one)
	})
}

// runID is the id that a server draws at its start, or nothing if it tells none.
func runID(info string) string {
	for line := range strings.Lines(info) {
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "run_id:"); ok {
			return id
		}
	}
	return ""
}
