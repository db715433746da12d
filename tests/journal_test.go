package tests

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A backend voids a refresh token with its first use. The gateway is killed when
// it has the answer to a renewal, and before Redis has it.
func TestTokensRenewedAtTheTimeOfAKillAreNotLost(t *testing.T) {
	for _, mode := range []struct {
		name           string
		settings       func(*testing.T, *backend) settings
		user, password string
		replica        bool // another one, that shares the folder, goes on; else the same is started anew
	}{
		{"account", func(t *testing.T, b *backend) settings { t.Helper(); return b.account(t) }, "alice", userPassword, false},
		{"pass-through", func(_ *testing.T, b *backend) settings { return b.settings() }, backendUser, backendPassword, false},
		{"another replica", func(_ *testing.T, b *backend) settings { return b.settings() }, backendUser, backendPassword, true},
	} {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			r := startRedis(t)
			rdb := r.client(t)
			memory := func(limit string) {
				if err := rdb.ConfigSet(t.Context(), "maxmemory", limit).Err(); err != nil {
					t.Error(err)
				}
			}
			b := unstartedBackend()
			b.accessTTL = 6 * time.Second
			var once sync.Once
			b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if strings.HasSuffix(req.URL.Path, "/auth/token") {
					once.Do(func() { memory("1") }) // from here on Redis takes nothing
				}
				b.ServeHTTP(w, req)
			}))
			t.Cleanup(b.Close)
			dir := t.TempDir()
			s := mode.settings(t, b).with(r.store()...).with("DATA_DIR", dir)
			g, next := start(t, s), (*gateway)(nil)
			if mode.replica {
				next = start(t, s)
			}
			c := g.client(t)
			p := c.login(t, mode.user, mode.password)
			eventually(t, 15*time.Second, "the journal holds renewed tokens", func() bool {
				c.get(t, snapshots, p.access)
				return journaled(t, dir) > 0
			})
			g.kill(t)
			memory("0")
			if next == nil {
				g.restart(t)
				next = g
			}
			c = next.client(t)

			wantStatus(t, "same access token", c.get(t, snapshots, p.access), http.StatusOK)
			eventually(t, 15*time.Second, "the tokens are renewed once more", func() bool {
				wantStatus(t, "same access token", c.get(t, snapshots, p.access), http.StatusOK)
				return b.counted("refresh") == 2
			})
			wantStatus(t, "after it", c.get(t, snapshots, p.access), http.StatusOK)
			if got := b.counted("login"); got != 1 {
				t.Errorf("backend logins = %d; want 1", got)
			}
			eventually(t, 5*time.Second, "the journal is empty", func() bool { return journaled(t, dir) == 0 })
			if text := newClient(t, next.Admin).get(t, "/metrics", "").body; !strings.Contains(text, `outcome="stored"} 1`) {
				t.Error("the metrics tell of no record that was stored")
			}
		})
	}
}

// journaled returns how many bytes the journals under a DATA_DIR have.
func journaled(t testing.TB, dir string) int64 {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "journal", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil {
			size += info.Size()
		}
	}
	return size
}

func TestReadinessSaysWhatTheJournalLacks(t *testing.T) {
	r := startRedis(t)
	b := newBackend(t)
	broken := t.TempDir()
	inTheWay := filepath.Join(broken, "journal")
	if err := os.WriteFile(inTheWay, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name     string
		settings settings
		want     string // empty: nothing is degraded
	}{
		{"no folder", b.settings().with(r.store()...), "there is no journal"},
		{"a folder that cannot be written", b.settings().with(r.store()...).with("DATA_DIR", broken), "the journal does not work"},
		{"a folder", b.settings().with(r.store()...).with("DATA_DIR", t.TempDir()), ""},
		{"the embedded store", b.settings(), ""},
		{"a backend without a token API", b.settings().with(r.store()...).with("BACKEND_SPEAK", "none", "SERVE", "ipfabric/7.0", "USERS_FILE", usersFile(t)), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := start(t, tt.settings)
			ops := newClient(t, g.Admin)
			// Just after the start the store's events do not come in yet.
			var body string
			eventually(t, 10*time.Second, "nothing but the journal is degraded", func() bool {
				body = ops.get(t, "/readyz", "").body
				return !strings.Contains(body, "events")
			})
			if !strings.Contains(body, tt.want) || strings.Contains(body, `"degraded":[]`) != (tt.want == "") {
				t.Errorf("/readyz = %s; want %q in it", body, tt.want)
			}
			if tt.want == "" {
				return
			}
			if !strings.Contains(body, "GATEHOUSE_DATA_DIR") && !strings.Contains(body, broken) {
				t.Errorf("/readyz = %s; want what to do", body)
			}
			c := g.client(t)
			p := c.login(t, backendUser, backendPassword)
			wantStatus(t, "a call all the same", c.get(t, snapshots, p.access), http.StatusOK)
		})
	}

	t.Run("a folder that is mended", func(t *testing.T) {
		dir := t.TempDir()
		inTheWay := filepath.Join(dir, "journal")
		if err := os.WriteFile(inTheWay, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		g := start(t, b.settings().with(r.store()...).with("DATA_DIR", dir))
		if err := os.Remove(inTheWay); err != nil {
			t.Fatal(err)
		}
		g.client(t).login(t, backendUser, backendPassword)
		if body := newClient(t, g.Admin).get(t, "/readyz", "").body; strings.Contains(body, "journal") {
			t.Errorf("/readyz after the next login = %s; want nothing of the journal", body)
		}
	})
}
