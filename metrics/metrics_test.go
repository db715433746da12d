package metrics

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

var someNames = Declared{
	Routes:   []Route{{"ipf.example.com/", "fabric"}},
	Backends: []string{"fabric"},
	Dialects: []string{"ipfabric"},
	Rules:    []string{"#1", "operators"},
	StoreOps: []string{"rotate"},
}

func newMetrics(t testing.TB) (*Metrics, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	m := New(reg, BuildInfo{Version: "1.2.3", Revision: "abc", GoVersion: "go1.26"})
	m.Declare(someNames)
	return m, reg
}

// series returns every sample of ours as text: `name{labels} value`.
func series(t testing.TB, m *Metrics) []string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status = %d; want 200: %s", w.Code, w.Body)
	}
	var lines []string
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, namespace+"_") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

func wantSample(t *testing.T, m *Metrics, want string) {
	t.Helper()
	all := series(t, m)
	if !slices.Contains(all, want) {
		name, _, _ := strings.Cut(want, "{")
		var near []string
		for _, s := range all {
			if strings.HasPrefix(s, name) && !strings.HasSuffix(s, " 0") {
				near = append(near, s)
			}
		}
		t.Errorf("no sample %s; there are %s", want, strings.Join(near, "\n"))
	}
}

func TestEverythingKnownExistsAtZero(t *testing.T) {
	m, _ := newMetrics(t)
	for _, want := range []string{
		`gatehouse_http_requests_total{backend="fabric",code="2xx",method="GET",route="ipf.example.com/"} 0`,
		`gatehouse_http_requests_total{backend="fabric",code="503",method="OPTIONS",route="ipf.example.com/"} 0`,
		`gatehouse_http_request_duration_seconds_count{backend="fabric",route="ipf.example.com/"} 0`,
		`gatehouse_http_requests_in_flight{backend="fabric",route="ipf.example.com/"} 0`,
		`gatehouse_logins_total{dialect="ipfabric",outcome="bad_credentials"} 0`,
		`gatehouse_logins_total{dialect="portal",outcome="throttled"} 0`,
		`gatehouse_refreshes_total{dialect="ipfabric",outcome="reused"} 0`,
		`gatehouse_token_checks_total{dialect="ipfabric",outcome="revoked"} 0`,
		`gatehouse_sessions_opened_total 0`,
		`gatehouse_sessions_ended_total{reason="evicted"} 0`,
		`gatehouse_sessions_active 0`,
		`gatehouse_policy_decisions_total{outcome="denied",rule="operators"} 0`,
		`gatehouse_policy_decisions_total{outcome="anonymous",rule="none"} 0`,
		`gatehouse_upstream_logins_total{backend="fabric",outcome="rejected"} 0`,
		`gatehouse_upstream_renewals_total{backend="fabric",outcome="dead"} 0`,
		`gatehouse_upstream_replays_total{backend="fabric",outcome="unsafe"} 0`,
		`gatehouse_upstream_pins_total{backend="fabric",outcome="lost"} 0`,
		`gatehouse_upstream_wait_seconds_count 0`,
		`gatehouse_backend_insecure{backend="fabric"} 0`,
		`gatehouse_journal_records 0`,
		`gatehouse_journal_replays_total{backend="fabric",outcome="stored"} 0`,
		`gatehouse_journal_skipped_total{reason="damaged"} 0`,
		`gatehouse_store_operations_total{op="rotate",outcome="timeout"} 0`,
		`gatehouse_store_up 0`,
		`gatehouse_store_embedded 0`,
		`gatehouse_degraded 0`,
		`gatehouse_config_reloads_total{outcome="ok"} 0`,
		`gatehouse_config_reloads_total{outcome="refused"} 0`,
		`gatehouse_config_reloads_total{outcome="unavailable"} 0`,
		`gatehouse_revocation_lag_seconds_count 0`,
		`gatehouse_build_info{goversion="go1.26",revision="abc",version="1.2.3"} 1`,
	} {
		wantSample(t, m, want)
	}
}

func TestEveryRecorderCallShows(t *testing.T) {
	m, _ := newMetrics(t)
	rt := m.Route("ipf.example.com/", "fabric")
	rt.Begin()
	rt.Begin()
	rt.Done(http.MethodGet, 204, 20*time.Millisecond)
	m.Login("ipfabric", "ok")
	m.Refresh("ipfabric", "rotated")
	m.TokenCheck("portal", "expired")
	m.Opened()
	m.Ended("logout")
	m.Active(func() int { return 42 })
	m.FeedLag(3 * time.Millisecond)
	m.Decision("#1", "allowed")
	m.Decision("", "denied")
	m.UpstreamLogin("fabric", "ok")
	m.UpstreamRenewal("fabric", "ok")
	m.UpstreamReplay("fabric", "held")
	m.UpstreamPin("fabric", "taken")
	m.UpstreamWait(2 * time.Second)
	m.JournalRecords(3)
	m.JournalReplay("fabric", "superseded")
	m.JournalSkipped("foreign")
	m.UpstreamTokenExpiry("fabric", time.UnixMilli(1_700_000_000_500))
	m.SetInsecureBackend("fabric", true)
	m.StoreOp("rotate", "error")
	m.StoreUp(true)
	m.SetEmbedded(true)
	m.Reload("refused")
	m.CertificateExpiry(time.Unix(1_700_000_000, 0))
	m.Degraded(func() bool { return true })
	for _, want := range []string{
		`gatehouse_http_requests_total{backend="fabric",code="2xx",method="GET",route="ipf.example.com/"} 1`,
		`gatehouse_http_requests_in_flight{backend="fabric",route="ipf.example.com/"} 1`,
		`gatehouse_http_request_duration_seconds_bucket{backend="fabric",route="ipf.example.com/",le="0.025"} 1`,
		`gatehouse_http_request_duration_seconds_bucket{backend="fabric",route="ipf.example.com/",le="0.01"} 0`,
		`gatehouse_logins_total{dialect="ipfabric",outcome="ok"} 1`,
		`gatehouse_refreshes_total{dialect="ipfabric",outcome="rotated"} 1`,
		`gatehouse_token_checks_total{dialect="portal",outcome="expired"} 1`,
		`gatehouse_sessions_opened_total 1`,
		`gatehouse_sessions_ended_total{reason="logout"} 1`,
		`gatehouse_sessions_active 42`,
		`gatehouse_revocation_lag_seconds_bucket{le="0.005"} 1`,
		`gatehouse_policy_decisions_total{outcome="allowed",rule="#1"} 1`,
		`gatehouse_policy_decisions_total{outcome="denied",rule="none"} 1`,
		`gatehouse_upstream_logins_total{backend="fabric",outcome="ok"} 1`,
		`gatehouse_upstream_renewals_total{backend="fabric",outcome="ok"} 1`,
		`gatehouse_upstream_replays_total{backend="fabric",outcome="held"} 1`,
		`gatehouse_upstream_wait_seconds_bucket{le="2.5"} 1`,
		`gatehouse_upstream_pins_total{backend="fabric",outcome="taken"} 1`,
		`gatehouse_upstream_wait_seconds_sum 2`,
		`gatehouse_journal_records 3`,
		`gatehouse_journal_replays_total{backend="fabric",outcome="superseded"} 1`,
		`gatehouse_journal_skipped_total{reason="foreign"} 1`,
		`gatehouse_upstream_token_expiry_seconds{backend="fabric"} 1.7000000005e+09`,
		`gatehouse_backend_insecure{backend="fabric"} 1`,
		`gatehouse_store_operations_total{op="rotate",outcome="error"} 1`,
		`gatehouse_store_up 1`,
		`gatehouse_store_embedded 1`,
		`gatehouse_degraded 1`,
		`gatehouse_config_reloads_total{outcome="refused"} 1`,
		`gatehouse_tls_certificate_expiry_seconds 1.7e+09`,
	} {
		wantSample(t, m, want)
	}
	m.UpstreamTokenExpiry("fabric", time.Time{})
	wantSample(t, m, `gatehouse_upstream_token_expiry_seconds{backend="fabric"} +Inf`)
	m.Degraded(func() bool { return false })
	wantSample(t, m, `gatehouse_degraded 0`)
}

// anything calls everything that takes a run-time label value with texts of next and a
// status: 24 texts.
func anything(m *Metrics, code int, next func() string) {
	for _, call := range []func(a, b string){
		m.Login, m.Refresh, m.TokenCheck, m.Decision, m.UpstreamLogin, m.UpstreamRenewal, m.UpstreamReplay, m.UpstreamPin, m.StoreOp,
		m.JournalReplay,
	} {
		call(next(), next())
	}
	m.Ended(next())
	m.JournalSkipped(next())
	m.UpstreamTokenExpiry(next(), time.Unix(1, 0))
	rt := m.Route(next(), next())
	rt.Begin()
	rt.Done(next(), code, 0)
}

func TestUnknownValuesAddNoSeries(t *testing.T) {
	m, _ := newMetrics(t)
	rt := m.Route("ipf.example.com/", "fabric")
	noise := func(n int) {
		for i := range n {
			anything(m, i%700, func() string { return fmt.Sprintf("%x-%d", rand.Uint64(), i) })
			rt.Begin()
			rt.Done(fmt.Sprintf("M%d", i), i%700, time.Duration(i))
		}
	}
	noise(700) // every status once
	before := len(series(t, m))
	noise(5000)
	if after := len(series(t, m)); after != before {
		t.Errorf("%d series after more than 100 000 unknown values; want the %d of before", after, before)
	}
	for _, want := range []string{`dialect="other",outcome="other"`, `rule="other",outcome`, `method="other"`, `route="other"`, `code="other"`, `reason="other"`} {
		if name, _, two := strings.Cut(want, ","); two {
			want = name
		}
		if !slices.ContainsFunc(series(t, m), func(s string) bool { return strings.Contains(s, want) }) {
			t.Errorf("no series with %s", want)
		}
	}
}

func TestMethodsAndCodesAreClosed(t *testing.T) {
	for _, c := range []struct {
		method string
		code   int
		want   string
	}{
		{"GET", 200, "GET 2xx"},
		{"get", 200, "other 2xx"},
		{"TRACE", 405, "TRACE 4xx"},
		{"CONNECT", 101, "CONNECT 1xx"},
		{"PROPFIND", 207, "other 2xx"},
		{"PUT", 401, "PUT 401"},
		{"PUT", 403, "PUT 403"},
		{"PUT", 404, "PUT 404"},
		{"PUT", 413, "PUT 413"},
		{"PUT", 429, "PUT 429"},
		{"PUT", 499, "PUT 4xx"},
		{"HEAD", 500, "HEAD 500"},
		{"HEAD", 502, "HEAD 502"},
		{"HEAD", 503, "HEAD 503"},
		{"HEAD", 504, "HEAD 504"},
		{"HEAD", 501, "HEAD 5xx"},
		{"", 0, "other other"},
		{"GET", 99, "GET other"},
		{"GET", 100, "GET 1xx"},
		{"GET", 599, "GET 5xx"},
		{"GET", 600, "GET other"},
		{"GET", -1, "GET other"},
	} {
		if got := methods[methodIndex(c.method)] + " " + codes[codeIndex(c.code)]; got != c.want {
			t.Errorf("%q %d counts as %s; want %s", c.method, c.code, got, c.want)
		}
	}
}

func TestUpgradedConnectionsLeaveDurationsAlone(t *testing.T) {
	m, _ := newMetrics(t)
	rt := m.Route("ipf.example.com/", "fabric")
	rt.Begin()
	rt.Done(http.MethodGet, http.StatusSwitchingProtocols, time.Hour)
	wantSample(t, m, `gatehouse_http_requests_total{backend="fabric",code="1xx",method="GET",route="ipf.example.com/"} 1`)
	wantSample(t, m, `gatehouse_http_request_duration_seconds_count{backend="fabric",route="ipf.example.com/"} 0`)
}

func TestRouteIsKnownWithItsBackendOnly(t *testing.T) {
	m, _ := newMetrics(t)
	rt := m.Route("ipf.example.com/", "another")
	rt.Begin()
	wantSample(t, m, `gatehouse_http_requests_in_flight{backend="other",route="other"} 1`)
}

func TestDeclareAgainKeepsCountersAndForgetsGauges(t *testing.T) {
	m, _ := newMetrics(t)
	m.UpstreamTokenExpiry("fabric", time.Unix(100, 0))
	m.SetInsecureBackend("fabric", true)
	m.UpstreamLogin("fabric", "ok")
	m.Declare(Declared{Backends: []string{"sbc"}})
	m.UpstreamLogin("fabric", "ok")
	wantSample(t, m, `gatehouse_upstream_logins_total{backend="fabric",outcome="ok"} 1`)
	wantSample(t, m, `gatehouse_upstream_logins_total{backend="other",outcome="ok"} 1`)
	wantSample(t, m, `gatehouse_backend_insecure{backend="sbc"} 0`)
	for _, s := range series(t, m) {
		if strings.HasPrefix(s, `gatehouse_backend_insecure{backend="fabric"`) || strings.HasPrefix(s, "gatehouse_upstream_token_expiry") {
			t.Errorf("%s is still there", s)
		}
	}
}

func TestInsecureBackendMayBeSetBeforeDeclare(t *testing.T) {
	m := New(prometheus.NewPedanticRegistry(), BuildInfo{})
	m.SetInsecureBackend("fabric", true)
	m.Declare(someNames)
	wantSample(t, m, `gatehouse_backend_insecure{backend="fabric"} 1`)
}

func TestPromlintIsClean(t *testing.T) {
	m, reg := newMetrics(t)
	m.UpstreamTokenExpiry("fabric", time.Unix(1, 0))
	problems, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestHistogramsAreClassicAndNative(t *testing.T) {
	m, reg := newMetrics(t)
	rt := m.Route("ipf.example.com/", "fabric")
	rt.Begin()
	rt.Done(http.MethodGet, 200, time.Millisecond)
	m.UpstreamWait(time.Millisecond)
	m.FeedLag(time.Millisecond)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range families {
		for _, x := range f.GetMetric() {
			h := x.GetHistogram()
			if h == nil || !strings.HasPrefix(f.GetName(), namespace) {
				continue
			}
			n++
			if len(h.GetBucket()) == 0 || h.GetSchema() != 3 || len(h.GetPositiveSpan()) == 0 {
				t.Errorf("%s: %d classic buckets, schema %d, %d native spans", f.GetName(), len(h.GetBucket()), h.GetSchema(), len(h.GetPositiveSpan()))
			}
		}
	}
	if n != 3 {
		t.Errorf("%d histograms; want 3", n)
	}
}

func TestProcessAndRuntimeAreMeasured(t *testing.T) {
	_, reg := newMetrics(t)
	n, err := testutil.GatherAndCount(reg, "go_goroutines", "process_start_time_seconds")
	if err != nil || n != 2 {
		t.Errorf("GatherAndCount = %d, %v; want 2", n, err)
	}
}

func TestHotPathDoesNotAllocate(t *testing.T) {
	m, _ := newMetrics(t)
	rt := m.Route("ipf.example.com/", "fabric")
	rt.Done(http.MethodGet, 200, 3*time.Millisecond)
	if n := testing.AllocsPerRun(1000, func() {
		rt.Begin()
		rt.Done(http.MethodGet, 200, 3*time.Millisecond)
		m.TokenCheck("ipfabric", "ok")
		m.Decision("#1", "allowed")
	}); n != 0 {
		t.Errorf("%v allocations a request; want 0", n)
	}
}

func BenchmarkRequest(b *testing.B) {
	m, _ := newMetrics(b)
	rt := m.Route("ipf.example.com/", "fabric")
	b.ReportAllocs()
	d := time.Duration(0)
	for b.Loop() {
		rt.Begin()
		rt.Done(http.MethodGet, 200, d)
		m.TokenCheck("ipfabric", "ok")
		m.Decision("#1", "allowed")
		d = (d + 7*time.Microsecond) % (2 * time.Second)
	}
}
