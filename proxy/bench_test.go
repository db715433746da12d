package proxy_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-gateway/gatehouse/proxy"
)

// bare is what the gateway is measured against: the same parts without it.
func bare(target *url.URL, transport http.RoundTripper) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: transport,
	}
}

// gate is the whole gateway with its log, and the credential of a caller.
func gate(b *testing.B, target *url.URL, transport http.RoundTripper) (http.Handler, string) {
	b.Helper()
	log := slog.NewJSONHandler(io.Discard, nil) //nolint:sloglint // the line in the log is part of what is measured
	h := open(b, setup{transport: transport, signedIn: true, log: log, change: func(rt *proxy.Route) { rt.Target = target }})
	return h, "Bearer " + h.login(b, "alice")
}

// BenchmarkForward is the way through the gateway alone: no sockets.
func BenchmarkForward(b *testing.B) {
	target := &url.URL{Scheme: "http", Host: "fabric.test"}
	empty := roundTrip(func(r *http.Request) (*http.Response, error) {
		return respond(r, http.Header{"Content-Type": {"application/json"}}, "[]"), nil
	})
	run := func(b *testing.B, h http.Handler, auth string) {
		b.Helper()
		b.ReportAllocs()
		for b.Loop() {
			r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/api/v7.0/snapshots", nil)
			r.Header.Set("Authorization", auth)
			rec := httptest.NewRecorder()
			if h.ServeHTTP(rec, r); rec.Code != http.StatusOK {
				b.Fatal(rec.Code)
			}
		}
	}
	b.Run("bare", func(b *testing.B) { run(b, bare(target, empty), "Bearer x") })
	b.Run("gateway", func(b *testing.B) {
		h, auth := gate(b, target, empty)
		run(b, h, auth)
	})
}

// BenchmarkForwardLoopback has a real server, a real backend and 1 KiB answers.
func BenchmarkForwardLoopback(b *testing.B) {
	body := strings.Repeat("x", 1024)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
	b.Cleanup(backend.Close)
	target, err := url.Parse(backend.URL)
	if err != nil {
		b.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}
	b.Cleanup(transport.CloseIdleConnections)
	run := func(b *testing.B, h http.Handler, auth string) {
		b.Helper()
		front := httptest.NewServer(h)
		b.Cleanup(front.Close)
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
		b.ReportAllocs()
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, front.URL+"/api/v7.0/snapshots", nil)
				if err != nil {
					b.Error(err)
					return
				}
				r.Host = "gateway.test"
				r.Header.Set("Authorization", auth)
				res, err := client.Do(r)
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, res.Body)
				if _ = res.Body.Close(); res.StatusCode != http.StatusOK {
					b.Error(res.StatusCode)
					return
				}
			}
		})
	}
	b.Run("bare", func(b *testing.B) { run(b, bare(target, transport), "Bearer x") })
	b.Run("gateway", func(b *testing.B) {
		h, auth := gate(b, target, transport)
		run(b, h, auth)
	})
}
