package upstream_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream"
)

// tlsServer starts a server whose certificate is for names and valid till then,
// and returns its URL and a file that holds the certificate.
func tlsServer(t *testing.T, till time.Time, names ...string) (address, caFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "fabric"}, DNSNames: names,
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: till, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	s.StartTLS()
	t.Cleanup(s.Close)
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return s.URL, caFile
}

// reach makes one request over a transport of its own.
func reach(t *testing.T, address string, c upstream.TransportConfig) error {
	t.Helper()
	tr, err := upstream.NewTransport(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.CloseIdleConnections)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	b := upstream.New(upstream.Config{Name: "x", URL: u, Transport: tr})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := b.RoundTrip(r)
	if err == nil {
		resp.Body.Close()
	}
	return err
}

func TestTLSFailuresNameCauseAndRemedy(t *testing.T) {
	later := time.Now().Add(time.Hour)
	good, goodCA := tlsServer(t, later, "fabric.example.net")
	old, oldCA := tlsServer(t, time.Now().Add(-time.Hour), "fabric.example.net")
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	named := func(ca string) upstream.TransportConfig {
		return upstream.TransportConfig{CAFile: ca, ServerName: "fabric.example.net"}
	}
	for _, tt := range []struct {
		name, address string
		config        upstream.TransportConfig
		want          []string // none: it works
	}{
		{"all right", good, named(goodCA), nil},
		{"anything goes", good, upstream.TransportConfig{InsecureSkipVerify: true}, nil},
		{"unknown authority", good, named(""), []string{"not trusted", "ca_file"}},
		{"another name", good, upstream.TransportConfig{CAFile: goodCA, ServerName: "other.example.net"}, []string{"other.example.net", "server_name", "fabric.example.net"}},
		{"by address", good, upstream.TransportConfig{CAFile: goodCA}, []string{"127.0.0.1", "server_name"}},
		{"expired", old, named(oldCA), []string{"expired", "renew"}},
		{"plain http", strings.Replace(plain.URL, "http:", "https:", 1), named(""), []string{"plain http", "http://"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := reach(t, tt.address, tt.config)
			if tt.want == nil {
				if err != nil {
					t.Fatalf("error = %v; want none", err)
				}
				return
			}
			e := wantKind(t, err, token.BadGateway)
			for _, text := range tt.want {
				if !strings.Contains(e.Error(), text) {
					t.Errorf("error = %v; want %q in it", e, text)
				}
				if strings.Contains(e.Msg, text) {
					t.Errorf("the client is told %q", e.Msg)
				}
			}
		})
	}
}

func TestNetworkFailuresNameCauseAndRemedy(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + l.Addr().String()
	l.Close()
	hangUp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hangUp.Close() })
	go func() {
		for {
			c, err := hangUp.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(silent.Close)
	for _, tt := range []struct {
		name, address, want string
		kind                token.Kind
	}{
		{"nobody there", closed, "connection refused: check host and port", token.BadGateway},
		{"hangs up", "http://" + hangUp.Addr().String(), "closed", token.BadGateway},
		{"says nothing", silent.URL, "did not answer in time", token.GatewayTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := wantKind(t, reach(t, tt.address, upstream.TransportConfig{HeaderTimeout: 50 * time.Millisecond}), tt.kind)
			if !strings.Contains(e.Error(), tt.want) {
				t.Errorf("error = %v; want %q in it", e, tt.want)
			}
		})
	}
}

func TestExplainNames(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&net.DNSError{Name: "fabric.invalid", IsNotFound: true}, "no such host fabric.invalid: check the host in url"},
		{&net.DNSError{Name: "fabric.invalid", IsTimeout: true}, "name service"},
		{fmt.Errorf("x: %w", context.DeadlineExceeded), "in time"},
		{errors.New("strange"), "strange"},
	} {
		if got := upstream.Explain(tt.err); !strings.Contains(got, tt.want) {
			t.Errorf("Explain(%v) = %q; want %q in it", tt.err, got, tt.want)
		}
	}
}

func TestCAFileThatCannotBeUsedIsNamed(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	_, err := upstream.NewTransport(upstream.TransportConfig{CAFile: empty})
	if err == nil || !strings.Contains(err.Error(), empty+" holds no PEM certificate") {
		t.Errorf("error = %v; want it to say what the file lacks", err)
	}
	missing := filepath.Join(dir, "missing.pem")
	_, err = upstream.NewTransport(upstream.TransportConfig{CAFile: missing})
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("error = %v; want the file named", err)
	}
	folder := filepath.Join(dir, "folder")
	if err := os.Mkdir(folder, 0o750); err != nil {
		t.Fatal(err)
	}
	_, err = upstream.NewTransport(upstream.TransportConfig{CAFile: folder})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("uid %d", os.Getuid())) || !strings.Contains(err.Error(), "drwxr-x---") {
		t.Errorf("error = %v; want user id and mode", err)
	}
}

func TestTransportIsTuned(t *testing.T) {
	tr, err := upstream.NewTransport(upstream.TransportConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if tr.Proxy != nil || !tr.DisableCompression || tr.MaxIdleConnsPerHost < 64 || tr.MaxResponseHeaderBytes != 64<<10 ||
		tr.ResponseHeaderTimeout != 120*time.Second || tr.TLSHandshakeTimeout != 3*time.Second {
		t.Errorf("transport = %+v; want no proxy, no unpacking, and limits", tr)
	}
}

// A connection that the backend closes as a request arrives must not have the
// request made again on another one (golang's Request.isReplayable).
func TestPOSTIsNeverMadeTwiceByTheTransport(t *testing.T) {
	var posts atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			return
		}
		posts.Add(1)
		c, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			c.Close()
		}
	}))
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := upstream.NewTransport(upstream.TransportConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.CloseIdleConnections)
	b := upstream.New(upstream.Config{Name: "x", URL: u, Transport: tr})
	for _, method := range []string{http.MethodGet, http.MethodPost} { // the first one leaves a connection behind
		r, err := http.NewRequestWithContext(t.Context(), method, s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Idempotency-Key", "k")
		resp, err := b.RoundTrip(r)
		if err == nil {
			resp.Body.Close()
		}
		if (err == nil) != (method == http.MethodGet) {
			t.Errorf("%s = %v", method, err)
		}
	}
	if n := posts.Load(); n != 1 {
		t.Errorf("the backend saw the POST %d times; want once", n)
	}
}
