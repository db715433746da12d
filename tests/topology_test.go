package tests

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/tests/redistest"
)

// sessionKeys match the hashes of sessions, and nothing beside them.
const sessionKeys = "gh:{????????????????}"

// many is a set of Redis servers that can take each other's place.
type many struct {
	url      string
	servers  []*redistest.Server
	failover func(key string) // the replica of who has a key becomes the primary
	crash    func(key string) // who has a key is killed, and its replica becomes the primary
}

func underSentinels(t *testing.T) many {
	t.Helper()
	r := redistest.WithSentinels(t, 3)
	password := url.QueryEscape(r.Servers[0].Password)
	return many{
		url:     strings.Split(r.URL(), "/0?")[0] + "?db=2&user=default&password=" + password,
		servers: r.Servers, failover: func(string) { r.Failover(t) },
		crash: func(string) {
			r.WaitReplica(t)
			p, next := r.Primary(t)
			p.Kill(t)
			r.WaitPrimary(t, next)
		},
	}
}

func clustered(t *testing.T) many {
	t.Helper()
	c := redistest.StartCluster(t, 1)
	_, hosts, _ := strings.Cut(c.URL(), "@")
	return many{
		url:     "redis+cluster://" + hosts + "?user=default&password=" + url.QueryEscape(c.Nodes[0].Password),
		servers: c.Nodes, failover: func(key string) { c.Failover(t, key) },
		crash: func(key string) {
			p, next := c.Owner(t, key)
			p.Kill(t)
			c.WaitOwner(t, key, next)
		},
	}
}

// find returns the keys of all sessions for which holds is true, and who has them.
func (m many) find(t *testing.T, db int, holds func(key string, fields map[string]string) bool) map[string]*redistest.Server {
	t.Helper()
	found := map[string]*redistest.Server{}
	for _, s := range m.servers {
		rdb := s.Client(t).Conn()
		defer rdb.Close()
		if role, err := rdb.Do(t.Context(), "ROLE").Slice(); err != nil || role[0] != "master" {
			continue // a replica, or one that was killed
		}
		if err := rdb.Select(t.Context(), db).Err(); err != nil {
			t.Fatal(err)
		}
		for _, key := range rdb.Keys(t.Context(), sessionKeys).Val() {
			if holds(key, rdb.HGetAll(t.Context(), key).Val()) {
				found[key] = s
			}
		}
	}
	return found
}

// Sessions, and the ends of sessions, outlive every change of the servers behind
// them, planned or not.
func TestSessionsOutliveFailovers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		db    int
		begin func(*testing.T) many
	}{{"sentinel", 2, underSentinels}, {"cluster", 0, clustered}} {
		t.Run(c.name, func(t *testing.T) {
			m := c.begin(t)
			conf := newBackend(t).account(t).with("REDIS_URL", m.url, "SECRET", rootSecret, "DATA_DIR", t.TempDir())
			here, there := start(t, conf), start(t, conf)
			stays, leaves := newHolder(t, here), newHolder(t, there)
			stays.pair = stays.c.refresh(t, stays.pair.refresh)
			wantStatus(t, "call at the other replica", there.client(t).get(t, snapshots, stays.pair.access), http.StatusOK)
			wantStatus(t, "call at the other replica", here.client(t).get(t, snapshots, leaves.pair.access), http.StatusOK)

			key, server := m.end(t, c.db, leaves)
			call := request{path: snapshots, header: bearer(leaves.pair.access)}
			dead(t, "the ended session", here.client(t), call)

			// As on a replica that the end had not reached when it became the primary.
			rdb := server.Client(t).Conn()
			if err := rdb.Select(t.Context(), c.db).Err(); err != nil {
				t.Fatal(err)
			}
			if err := rdb.HDel(t.Context(), key, "rv", "ra").Err(); err != nil {
				t.Fatal(err)
			}
			if err := rdb.Do(t.Context(), "WAIT", 1, 1000).Err(); err != nil {
				t.Fatal(err)
			}
			for _, change := range []func(string){m.failover, m.crash} {
				change(key)
				eventually(t, 10*time.Second, "the session goes on", func() bool {
					a := stays.c.must(t, refreshRequest(stays.pair.refresh))
					if a.status == http.StatusOK {
						stays.pair = a.pair()
					}
					return a.status == http.StatusOK && stays.page(t).status == http.StatusOK
				})
				eventually(t, 10*time.Second, "the end is said again", func() bool {
					return len(m.find(t, c.db, func(k string, f map[string]string) bool { return k == key && f["rv"] != "" })) == 1
				})
			}
			third := start(t, conf) // which remembers nothing
			wantStatus(t, "the ended session", third.client(t).must(t, call), http.StatusUnauthorized)
			wantStatus(t, "the other one", third.client(t).get(t, snapshots, stays.pair.access), http.StatusOK)
		})
	}
}

// end logs a holder out and returns the key of his session, and who has it.
func (m many) end(t *testing.T, db int, h *holder) (string, *redistest.Server) {
	t.Helper()
	out := h.c.must(t, request{method: http.MethodPost, path: "/api/auth/logout", header: http.Header{"Cookie": {"accessToken=" + h.pair.access}}})
	if out.status >= http.StatusMultipleChoices {
		t.Fatalf("logout = %d %s; want it done", out.status, out.body)
	}
	for key, server := range m.find(t, db, func(_ string, f map[string]string) bool { return f["rv"] == "logout" }) {
		return key, server
	}
	t.Fatal("no session has ended")
	return "", nil
}
