package tests

import (
	"net/http"
	"testing"
)

func TestSessionsSurviveACrash(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	for _, mode := range []struct {
		name           string
		settings       func(*testing.T, *backend) settings
		user, password string
	}{
		{"account", func(t *testing.T, b *backend) settings { t.Helper(); return b.account(t) }, "alice", userPassword},
		{"pass-through", func(_ *testing.T, b *backend) settings { return b.settings() }, backendUser, backendPassword},
	} {
		t.Run(mode.name, func(t *testing.T) {
			b := newBackend(t)
			g := start(t, mode.settings(t, b).with(r.store()...).with("DATA_DIR", t.TempDir()))
			c := g.client(t)
			p := c.login(t, mode.user, mode.password)
			wantStatus(t, "call before", c.get(t, snapshots, p.access), http.StatusOK)

			g.kill(t)
			g.restart(t)

			wantStatus(t, "same access token", c.get(t, snapshots, p.access), http.StatusOK)
			next := c.refresh(t, p.refresh)
			wantStatus(t, "its successor", c.get(t, snapshots, next.access), http.StatusOK)
			if got := b.counted("login"); got != 1 {
				t.Errorf("backend logins = %d; want 1", got)
			}
		})
	}
}
