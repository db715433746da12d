package redistest

import (
	"testing"

	"github.com/redis/go-redis/v9"
)

func TestAServerKeepsItsDataThroughACrash(t *testing.T) {
	s := Standalone(t)
	set(t, s.Client(t), "k")
	s.Kill(t)
	s.Start(t)
	if v, err := s.Client(t).Get(t.Context(), "k").Result(); v != "v" {
		t.Errorf("after kill and start k = %q, %v; want v", v, err)
	}
	s.Pause(t)
	if err := s.Client(t).Ping(t.Context()).Err(); err == nil {
		t.Error("a paused server answers")
	}
	s.Resume(t)
	if err := s.Client(t).Ping(t.Context()).Err(); err != nil {
		t.Errorf("a resumed server: %v", err)
	}
}

func TestSentinelsFailOver(t *testing.T) {
	r := WithSentinels(t, 3)
	old, next := r.Primary(t)
	set(t, old.Client(t), "k")
	r.Failover(t)
	if p, _ := r.Primary(t); p != next {
		t.Fatal("the replica is not the primary")
	}
	r.WaitReplica(t)
	next.Kill(t)
	r.WaitPrimary(t, old)
	if v, err := old.Client(t).Get(t.Context(), "k").Result(); v != "v" {
		t.Errorf("after both failovers k = %q, %v; want v", v, err)
	}
}

func TestAClusterFailsOver(t *testing.T) {
	c := StartCluster(t, 1)
	p, r := c.Owner(t, "k")
	set(t, p.Client(t), "k")
	c.Failover(t, "k")
	if now, was := c.Owner(t, "k"); now != r || was != p {
		t.Fatal("primary and replica have not changed places")
	}
	r.Kill(t)
	c.WaitOwner(t, "k", p)
	if v, err := p.Client(t).Get(t.Context(), "k").Result(); v != "v" {
		t.Errorf("after both failovers k = %q, %v; want v", v, err)
	}
}

func set(t *testing.T, rdb *redis.Client, key string) {
	t.Helper()
	if err := rdb.Set(t.Context(), key, "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := rdb.Do(t.Context(), "WAIT", 1, 500).Err(); err != nil {
		t.Fatal(err)
	}
}
