package redistest

import (
	"crypto/rand"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Master is the name by which the Sentinels know the primary.
const Master = "gatehouse"

// Replicated is a primary with one replica, and Sentinels that watch them.
type Replicated struct {
	Servers   []*Server // the two of them; which one is the primary changes
	Sentinels []*Server // with no password of their own
}

// WithSentinels runs a primary, its replica and so many Sentinels, and waits
// until they could fail over. They take a silent primary for dead after a second.
func WithSentinels(t testing.TB, sentinels int, lines ...string) *Replicated {
	t.Helper()
	password := rand.Text()
	primary := newServer(t, password, lines...)
	replica := newServer(t, password, append(slices.Clone(lines), "replicaof "+hostPort(t, primary.Addr))...)
	r := &Replicated{Servers: []*Server{primary, replica}}
	for _, s := range r.Servers {
		s.start(t)
		s.waitReady(t)
	}
	for range sentinels {
		s := &Server{Addr: freeAddress(t), mode: []string{"--sentinel"}}
		s.configure(t, []string{
			fmt.Sprintf("sentinel monitor %s %s %d", Master, hostPort(t, primary.Addr), sentinels/2+1),
			"sentinel auth-pass " + Master + " " + password,
			"sentinel down-after-milliseconds " + Master + " 1000",
			"sentinel failover-timeout " + Master + " 2000",
		})
		s.start(t)
		s.waitReady(t)
		r.Sentinels = append(r.Sentinels, s)
	}
	for _, s := range r.Sentinels {
		r.waitSentinel(t, s)
	}
	r.WaitReplica(t)
	return r
}

// waitSentinel waits until a Sentinel knows the replica and all other Sentinels.
func (r *Replicated) waitSentinel(t testing.TB, s *Server) {
	t.Helper()
	rdb := s.sentinel(t)
	wait(t, "the Sentinel knows all the others", func() bool {
		state, err := rdb.Master(t.Context(), Master).Result()
		if err != nil || state["num-slaves"] != "1" || state["num-other-sentinels"] != fmt.Sprint(len(r.Sentinels)-1) {
			return false
		}
		replicas, err := rdb.Replicas(t.Context(), Master).Result()
		return err == nil && len(replicas) == 1 && replicas[0]["master-link-status"] == "ok" && replicas[0]["flags"] == "slave"
	})
}

func (s *Server) sentinel(t testing.TB) *redis.SentinelClient {
	t.Helper()
	rdb := redis.NewSentinelClient(&redis.Options{Addr: s.Addr})
	t.Cleanup(func() { _ = rdb.Close() }) // nothing is left to do about it
	return rdb
}

// URL is the set's redis+sentinel:// address for GATEHOUSE_REDIS_URL.
func (r *Replicated) URL() string {
	var hosts []string
	for _, s := range r.Sentinels {
		hosts = append(hosts, s.Addr)
	}
	q := url.Values{"password": {r.Servers[0].Password}}
	return "redis+sentinel://" + Master + "@" + strings.Join(hosts, ",") + "/0?" + q.Encode()
}

// Primary returns the server that the first Sentinel takes for the primary, and
// the other one.
func (r *Replicated) Primary(t testing.TB) (primary, replica *Server) {
	t.Helper()
	at, err := r.Sentinels[0].sentinel(t).GetMasterAddrByName(t.Context(), Master).Result()
	if err != nil {
		t.Fatal(err)
	}
	if r.Servers[0].Addr == net.JoinHostPort(at[0], at[1]) {
		return r.Servers[0], r.Servers[1]
	}
	return r.Servers[1], r.Servers[0]
}

// Failover has the first Sentinel make the replica the primary, and waits until
// it is. The former primary, if it runs, is made a replica only up to ten seconds
// later, and what is written to it meanwhile is lost.
func (r *Replicated) Failover(t testing.TB) {
	t.Helper()
	_, next := r.Primary(t)
	rdb := r.Sentinels[0].sentinel(t)
	wait(t, "the Sentinel agrees to a failover", func() bool {
		return rdb.Failover(t.Context(), Master).Err() == nil
	})
	r.WaitPrimary(t, next)
}

// WaitReplica waits until the server that is not the primary follows it.
func (r *Replicated) WaitReplica(t testing.TB) {
	t.Helper()
	_, replica := r.Primary(t)
	rdb := replica.Client(t)
	wait(t, "the replica follows the primary", func() bool {
		return replica.info(t, rdb, "master_link_status") == "up"
	})
}

// WaitPrimary waits until the Sentinels have made a server the primary.
func (r *Replicated) WaitPrimary(t testing.TB, s *Server) {
	t.Helper()
	rdb := s.Client(t)
	wait(t, "the replica has become the primary", func() bool {
		p, _ := r.Primary(t)
		return p == s && s.info(t, rdb, "role") == "master"
	})
}
