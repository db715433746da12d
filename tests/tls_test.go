package tests

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestFrontDoorServesTLS(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	cert, key := ca.issue(t, "127.0.0.1")
	g := start(t, newBackend(t).account(t).with("TLS_CERT_FILE", cert, "TLS_KEY_FILE", key))
	c := newTLSClient(t, g.URL, &tls.Config{RootCAs: ca.pool})
	p := c.login(t, "alice", userPassword)
	wantStatus(t, "call over TLS", c.get(t, snapshots, p.access), http.StatusOK)

	old := newTLSClient(t, g.URL, &tls.Config{RootCAs: ca.pool, MaxVersion: tls.VersionTLS11})
	if _, err := old.do(t.Context(), request{path: snapshots}); err == nil {
		t.Error("TLS 1.1 was accepted")
	}
}

// tlsBackend is a backend whose certificate is for the given name and comes from
// an authority that only the test knows.
func tlsBackend(t testing.TB, name string) (*backend, *authority) {
	t.Helper()
	ca := newAuthority(t)
	b := unstartedBackend()
	b.Server = httptest.NewUnstartedServer(b)
	b.TLS = &tls.Config{Certificates: []tls.Certificate{ca.pair(t, name)}}
	b.StartTLS()
	t.Cleanup(b.Close)
	return b, ca
}

func TestBackendCertificateIsChecked(t *testing.T) {
	t.Parallel()
	b, ca := tlsBackend(t, "127.0.0.1")
	named, namedCA := tlsBackend(t, "ipf.example.net")
	for _, tt := range []struct {
		name     string
		settings settings
		ok       bool
		log      []string // what the log says then
	}{
		{"by its authority", b.account(t).with("BACKEND_CA_FILE", ca.file), true, nil},
		{"unknown authority", b.account(t), false, []string{"certificate", "set ca_file"}},
		{"another name", named.account(t).with("BACKEND_CA_FILE", namedCA.file), false, []string{"certificate", "set server_name", "ipf.example.net"}},
		{"server name set", named.account(t).with("BACKEND_CA_FILE", namedCA.file, "BACKEND_SERVER_NAME", "ipf.example.net"), true, nil},
		{"unchecked", b.account(t).with("BACKEND_INSECURE", "true"), true, []string{"is not checked"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := start(t, tt.settings)
			c := g.client(t)
			p := c.login(t, "alice", userPassword)
			a := c.get(t, snapshots, p.access)
			if tt.ok {
				wantStatus(t, "call", a, http.StatusOK)
			} else if a.status != http.StatusBadGateway && a.status != http.StatusServiceUnavailable {
				t.Errorf("call = %d %s; want 502 or 503", a.status, a.body)
			}
			for _, want := range tt.log {
				eventually(t, 2*time.Second, "the log names "+want, func() bool { return strings.Contains(g.log.String(), want) })
			}
		})
	}
}
