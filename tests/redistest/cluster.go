package redistest

import (
	"crypto/rand"
	"net"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Cluster is a Redis Cluster of three primaries, each with the same number of
// replicas.
type Cluster struct{ Nodes []*Server }

// StartCluster runs a cluster and waits until all its nodes agree. A node that
// is silent for two seconds counts as failed.
func StartCluster(t testing.TB, replicas int, lines ...string) *Cluster {
	t.Helper()
	cli := program(t, "redis-cli")
	password := rand.Text()
	c := &Cluster{}
	args := []string{"--no-auth-warning", "-a", password, "--cluster", "create"}
	for range 3 * (replicas + 1) {
		_, bus, err := net.SplitHostPort(freeAddress(t))
		if err != nil {
			t.Fatal(err)
		}
		s := newServer(t, password, append([]string{
			"cluster-enabled yes", "cluster-port " + bus, "cluster-node-timeout 2000", "cluster-replica-validity-factor 0",
		}, lines...)...)
		s.start(t)
		s.waitReady(t)
		c.Nodes = append(c.Nodes, s)
		args = append(args, s.Addr)
	}
	args = append(args, "--cluster-replicas", strconv.Itoa(replicas), "--cluster-yes")
	if out, err := exec.CommandContext(t.Context(), cli, args...).CombinedOutput(); err != nil {
		t.Fatalf("redis-cli --cluster create: %v\n%s", err, out)
	}
	for _, s := range c.Nodes {
		c.waitNode(t, s, replicas)
	}
	return c
}

// waitNode waits until a node knows all others and, if it is a replica, has what
// its primary has.
func (c *Cluster) waitNode(t testing.TB, s *Server, replicas int) {
	t.Helper()
	rdb := s.Client(t)
	wait(t, "the node on "+s.Addr+" is part of a whole cluster", func() bool {
		info, err := rdb.ClusterInfo(t.Context()).Result()
		if err != nil || !strings.Contains(info, "cluster_state:ok") {
			return false
		}
		nodes, err := rdb.ClusterNodes(t.Context()).Result()
		if err != nil || strings.Count(nodes, " slave ")+strings.Count(nodes, ",slave ") != 3*replicas {
			return false
		}
		return s.info(t, rdb, "role") == "master" || s.info(t, rdb, "master_link_status") == "up"
	})
}

// URL is the cluster's redis+cluster:// address for GATEHOUSE_REDIS_URL.
func (c *Cluster) URL() string {
	var hosts []string
	for _, s := range c.Nodes {
		hosts = append(hosts, s.Addr)
	}
	u := url.URL{User: url.UserPassword("", c.Nodes[0].Password)}
	return "redis+cluster://" + u.User.String() + "@" + strings.Join(hosts, ",")
}

// Owner returns the primary that has a key, and its replica, nil if there is
// none.
func (c *Cluster) Owner(t testing.TB, key string) (primary, replica *Server) {
	t.Helper()
	for _, s := range c.Nodes {
		rdb := s.Client(t)
		text, err := rdb.ClusterNodes(t.Context()).Result()
		if err != nil {
			continue // this one is down
		}
		if primary, replica = c.owner(text, slot(t, rdb, key)); primary != nil {
			return primary, replica
		}
	}
	t.Fatalf("no node of the cluster says who has %s", key)
	return nil, nil
}

func slot(t testing.TB, rdb *redis.Client, key string) int {
	t.Helper()
	n, err := rdb.ClusterKeySlot(t.Context(), key).Result()
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}

// owner reads CLUSTER NODES: a line for each node, of id, address, flags, id of
// the primary, four more fields, and ranges of slots.
func (c *Cluster) owner(text string, slot int) (primary, replica *Server) {
	id := ""
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		for _, r := range f[min(len(f), 8):] {
			first, last, ok := strings.Cut(r, "-")
			if !ok {
				last = first
			}
			from, _ := strconv.Atoi(first)
			if to, err := strconv.Atoi(last); err == nil && from <= slot && slot <= to {
				id, primary = f[0], c.at(f[1])
			}
		}
	}
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); id != "" && f[3] == id {
			replica = c.at(f[1])
		}
	}
	return primary, replica
}

// at finds a node by its address as CLUSTER NODES gives it.
func (c *Cluster) at(addr string) *Server {
	for _, s := range c.Nodes {
		if strings.HasPrefix(addr, s.Addr+"@") {
			return s
		}
	}
	return nil
}

// Failover makes the replica of the primary that has a key the primary, and
// waits until all nodes know it.
func (c *Cluster) Failover(t testing.TB, key string) {
	t.Helper()
	old, next := c.Owner(t, key)
	if next == nil {
		t.Fatalf("who has %s has no replica", key)
	}
	if err := next.Client(t).ClusterFailover(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	c.wait(t, key, func(primary, replica *Server) bool { return primary == next && replica == old })
}

// WaitOwner waits until all nodes that run agree that a server has a key.
func (c *Cluster) WaitOwner(t testing.TB, key string, s *Server) {
	t.Helper()
	c.wait(t, key, func(primary, _ *Server) bool { return primary == s })
}

// wait waits until every node that runs says of a key what holds.
func (c *Cluster) wait(t testing.TB, key string, holds func(primary, replica *Server) bool) {
	t.Helper()
	for _, s := range c.Nodes {
		rdb := s.Client(t)
		wait(t, "the node on "+s.Addr+" knows the new primary", func() bool {
			text, err := rdb.ClusterNodes(t.Context()).Result()
			if err != nil {
				return s.ended()
			}
			return holds(c.owner(text, slot(t, rdb, key)))
		})
	}
}
