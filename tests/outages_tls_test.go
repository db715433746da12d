package tests

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A backend whose certificate becomes worthless hears nothing more: callers get
// 502 without the reason, the log has it, and no credential goes out. With a good
// certificate it goes on as before, also without a restart.
func TestBackendWithWorthlessCertificateHearsNothing(t *testing.T) {
	t.Parallel()
	ca, foreign := newAuthority(t), newAuthority(t)
	good := ca.pair(t, "127.0.0.1")
	for _, tt := range []struct {
		name string
		cert tls.Certificate
		log  string
	}{
		{"expired", loadPair(t, "127.0.0.1", func(t testing.TB, name string) (string, string) {
			t.Helper()
			return ca.issueUntil(t, name, time.Now().Add(-time.Minute))
		}), "the backend's certificate is expired"},
		{"another authority", foreign.pair(t, "127.0.0.1"), "signed by an authority that is not trusted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var cert atomic.Pointer[tls.Certificate]
			cert.Store(&good)
			b := unstartedBackend()
			b.Server = httptest.NewUnstartedServer(b)
			b.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
				return &tls.Config{Certificates: []tls.Certificate{*cert.Load()}}, nil
			}}
			b.StartTLS()
			t.Cleanup(b.Close)
			g := start(t, b.account(t).with("BACKEND_CA_FILE", ca.file))
			c := g.client(t)
			p := c.login(t, "alice", userPassword)
			wantStatus(t, "call before", c.get(t, snapshots, p.access), http.StatusOK)

			cert.Store(&tt.cert)
			b.CloseClientConnections()
			before := len(b.seen())
			var a answer
			eventually(t, 5*time.Second, "calls are refused", func() bool {
				a = c.get(t, snapshots, p.access)
				return a.status != http.StatusOK
			})
			wantStatus(t, "call", a, http.StatusBadGateway)
			wantStatus(t, "call with a body", c.must(t, request{method: http.MethodPost, path: snapshots, body: `{}`, header: bearer(p.access)}), http.StatusBadGateway)
			if strings.Contains(strings.ToLower(a.body), "certificate") || strings.Contains(a.body, "127.0.0.1") {
				t.Errorf("the caller is told %s; want no reason", a.body)
			}
			if got := b.seen(); len(got) != before {
				t.Errorf("the backend heard %d requests; want none", len(got)-before)
			}
			eventually(t, 2*time.Second, "the log has the reason", func() bool { return strings.Contains(g.log.String(), tt.log) })

			cert.Store(&good)
			wantStatus(t, "call afterwards", c.get(t, snapshots, p.access), http.StatusOK)
		})
	}
}
