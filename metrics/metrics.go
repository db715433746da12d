// Package metrics holds every metric of the gateway. The other packages state
// what happened through small Recorder interfaces of their own, which Metrics
// implements; none of them knows Prometheus.
//
// The number of series is fixed by the configuration. A label value comes from
// a closed list or from what Declare was told; anything else counts as "other".
// No path, user name, address or text of a request is ever a label.
package metrics

import (
	"math"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	namespace = "gatehouse"
	other     = "other" // stands for every label value that is not known
	noRule    = "none"  // the rule label where no rule matched
	portal    = "portal"
)

// BuildInfo says what is running.
type BuildInfo struct {
	Version   string // of Gatehouse
	Revision  string // the commit it was built from
	GoVersion string
}

// Route is a route's name with the name of its backend.
type Route struct{ Name, Backend string }

// Declared are the names that the configuration gives, which become label
// values.
type Declared struct {
	Routes   []Route
	Backends []string
	Dialects []string // without profile; "portal" is always known
	Rules    []string // of the policy
	StoreOps []string // what the store calls its operations
}

// Metrics records what happens. It is safe for concurrent use.
type Metrics struct {
	reg *prometheus.Registry

	http      *requests
	sessions  *sessions
	upstream  *upstream
	store     *store
	decisions *counters

	declaring sync.Mutex
	backends  atomic.Pointer[set]
}

// New registers every metric, those of the process and of the Go runtime
// included, with reg. It panics if reg has one of them already. Label values
// from the configuration are unknown until Declare.
func New(reg *prometheus.Registry, info BuildInfo) *Metrics {
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	f := factory{reg}
	f.gauge(prometheus.GaugeOpts{
		Name: "build_info", Help: "What is running; always 1.",
		ConstLabels: prometheus.Labels{"version": info.Version, "revision": info.Revision, "goversion": info.GoVersion},
	}).Set(1)
	m := &Metrics{
		reg:      reg,
		http:     newRequests(f),
		sessions: newSessions(f),
		upstream: newUpstream(f),
		store:    newStore(f),
		decisions: f.counters("policy_decisions_total",
			"Decisions on requests, by the policy rule that decided; none: no rule matched.", "rule",
			"allowed", "denied", "anonymous"),
	}
	m.backends.Store(&set{})
	return m
}

// Handler serves the registry in the Prometheus text formats and, where asked
// for, as protocol buffers with native histograms.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.reg, promhttp.HandlerOpts{
		EnableOpenMetrics:   true,
		MaxRequestsInFlight: 8,
		ErrorHandling:       promhttp.ContinueOnError,
		Timeout:             10 * time.Second,
	})
}

// Declare makes the names of the configuration known as label values and lets
// every combination exist at 0. It has to be called before Route. After a change
// of the configuration it is called again: counters of what is gone stay,
// gauges of backends that are gone go.
func (m *Metrics) Declare(d Declared) {
	m.declaring.Lock()
	defer m.declaring.Unlock()
	m.http.declare(d.Routes)
	m.sessions.declare(append([]string{portal}, d.Dialects...))
	m.decisions.declare(append([]string{noRule}, d.Rules...))
	m.upstream.declare(d.Backends)
	m.store.ops.declare(d.StoreOps)

	now := setOf(d.Backends)
	for backend := range *m.backends.Load() {
		if !now[backend] {
			m.upstream.forget(backend)
		}
	}
	m.backends.Store(&now)
}

// Decision counts a decision of the policy: allowed, denied or anonymous. rule
// is empty when no rule matched.
func (m *Metrics) Decision(rule, outcome string) {
	if rule == "" {
		rule = noRule
	}
	m.decisions.inc(rule, outcome)
}

// sessions are the metrics of the gateway's own sessions and tokens.
type sessions struct {
	logins, refreshes, checks *counters
	opened                    prometheus.Counter
	ended                     *prometheus.CounterVec
	reasons                   set
	active                    atomic.Pointer[func() int]
	lag                       prometheus.Histogram
}

func newSessions(f factory) *sessions {
	s := &sessions{
		logins: f.counters("logins_total", "Logins at the gateway.", "dialect",
			"ok", "bad_credentials", "throttled", "local_auth_off", "unavailable", "malformed", "factor_needed", "client_refused"),
		refreshes: f.counters("refreshes_total", "Refresh tokens presented to the gateway.", "dialect",
			"rotated", "grace", "reused", "healed", "expired", "refused", "unavailable"),
		checks: f.counters("token_checks_total", "Access and API tokens checked.", "dialect",
			"ok", "invalid", "expired", "revoked", "unavailable"),
		opened:  f.counter("sessions_opened_total", "Sessions opened."),
		ended:   f.counterVec("sessions_ended_total", "Sessions ended; those that expire unused are not among them.", "reason"),
		reasons: setOf([]string{"logout", "reuse", "revoked", "evicted", "user_gone", "backend_dead"}),
		lag: f.histogram("revocation_lag_seconds", "How long a message takes from one replica to another through the store.",
			[]float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15, 60}),
	}
	for reason := range s.reasons {
		s.ended.WithLabelValues(reason)
	}
	f.gaugeFunc("sessions_active", "Sessions that this replica holds in memory.", func() float64 {
		if count := s.active.Load(); count != nil {
			return float64((*count)())
		}
		return 0
	})
	return s
}

func (s *sessions) declare(dialects []string) {
	s.logins.declare(dialects)
	s.refreshes.declare(dialects)
	s.checks.declare(dialects)
}

// Login counts a login: ok, bad_credentials, throttled, local_auth_off,
// unavailable, malformed or factor_needed.
func (m *Metrics) Login(dialect, outcome string) { m.sessions.logins.inc(dialect, outcome) }

// Refresh counts a refresh: rotated, grace, reused, healed, expired, refused or
// unavailable.
func (m *Metrics) Refresh(dialect, outcome string) { m.sessions.refreshes.inc(dialect, outcome) }

// TokenCheck counts the check of a token: ok, invalid, expired, revoked or
// unavailable.
func (m *Metrics) TokenCheck(dialect, outcome string) { m.sessions.checks.inc(dialect, outcome) }

// Opened counts a session that was opened.
func (m *Metrics) Opened() { m.sessions.opened.Inc() }

// Ended counts a session that was ended: logout, reuse, revoked, evicted,
// user_gone or backend_dead.
func (m *Metrics) Ended(reason string) {
	m.sessions.ended.WithLabelValues(m.sessions.reasons.pick(reason)).Inc()
}

// Active sets how the number of sessions in memory is found out. count is called
// at every scrape, possibly by several at once.
func (m *Metrics) Active(count func() int) { m.sessions.active.Store(&count) }

// FeedLag records how long an event took through the store and back.
func (m *Metrics) FeedLag(d time.Duration) { m.sessions.lag.Observe(d.Seconds()) }

// upstream are the metrics of the sessions at the backends.
type upstream struct {
	logins, renewals, replays, pins *counters
	wait                            prometheus.Histogram
	expiry, insecure                *prometheus.GaugeVec
}

func newUpstream(f factory) *upstream {
	return &upstream{
		logins: f.counters("upstream_logins_total", "Logins of the gateway at a backend.", "backend",
			"ok", "rejected", "local_auth_off", "misconfigured", "factor_needed", "stopped", "full", "unavailable"),
		renewals: f.counters("upstream_renewals_total", "Renewals of a backend's tokens.", "backend",
			"ok", "dead", "unavailable"),
		replays: f.counters("upstream_replays_total", "Requests that a backend refused because of an expired token.", "backend",
			"replayed", "unsafe", "held", "failed"),
		pins: f.counters("upstream_pins_total", "Locks that a backend ties to an access token: taken and released by clients, ended with their session, or lost.", "backend",
			"taken", "released", "ended", "lost"),
		wait: f.histogram("upstream_wait_seconds", "How long a request waited for a backend's tokens.",
			[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}),
		expiry: f.gaugeVec("upstream_token_expiry_seconds",
			"When the access token of a backend's shared account expires, in Unix time; +Inf: never. Absent until there is one.", "backend"),
		insecure: f.gaugeVec("backend_insecure", "1 where the certificate of a backend is not verified.", "backend"),
	}
}

func (u *upstream) declare(backends []string) {
	u.logins.declare(backends)
	u.renewals.declare(backends)
	u.replays.declare(backends)
	u.pins.declare(backends)
	for _, backend := range backends {
		u.insecure.WithLabelValues(backend)
	}
}

func (u *upstream) forget(backend string) {
	u.expiry.DeleteLabelValues(backend)
	u.insecure.DeleteLabelValues(backend)
}

// UpstreamLogin counts a login at a backend: ok, rejected, local_auth_off,
// misconfigured, factor_needed, stopped, full or unavailable.
func (m *Metrics) UpstreamLogin(backend, outcome string) { m.upstream.logins.inc(backend, outcome) }

// UpstreamRenewal counts a renewal of a backend's tokens: ok, dead or
// unavailable.
func (m *Metrics) UpstreamRenewal(backend, outcome string) { m.upstream.renewals.inc(backend, outcome) }

// UpstreamReplay counts a request that a backend refused because of an expired
// token: replayed, unsafe, held or failed.
func (m *Metrics) UpstreamReplay(backend, outcome string) { m.upstream.replays.inc(backend, outcome) }

// UpstreamPin counts what became of a lock that a backend ties to an access token:
// taken, released, ended or lost.
func (m *Metrics) UpstreamPin(backend, outcome string) { m.upstream.pins.inc(backend, outcome) }

// UpstreamWait records how long a request waited for a backend's tokens.
func (m *Metrics) UpstreamWait(d time.Duration) { m.upstream.wait.Observe(d.Seconds()) }

// UpstreamTokenExpiry sets when the access token of a backend's shared account
// expires. The zero time stands for never.
func (m *Metrics) UpstreamTokenExpiry(backend string, at time.Time) {
	v := math.Inf(1)
	if !at.IsZero() {
		v = float64(at.UnixMilli()) / 1000
	}
	m.upstream.expiry.WithLabelValues(m.backends.Load().pick(backend)).Set(v)
}

// SetInsecureBackend says whether the certificate of a backend goes unverified.
// It belongs to taking over a configuration: backend is a name out of that, and
// the call may come before or after Declare.
func (m *Metrics) SetInsecureBackend(backend string, insecure bool) {
	m.upstream.insecure.WithLabelValues(backend).Set(number(insecure))
}

// store are the metrics of Redis or the embedded store.
type store struct {
	ops          *counters
	up, embedded prometheus.Gauge
	degraded     atomic.Pointer[func() bool]
}

func newStore(f factory) *store {
	s := &store{
		ops:      f.counters("store_operations_total", "Operations on the store.", "op", "ok", "timeout", "error"),
		up:       f.gauge(prometheus.GaugeOpts{Name: "store_up", Help: "1 while the store answers."}),
		embedded: f.gauge(prometheus.GaugeOpts{Name: "store_embedded", Help: "1 where the store is embedded: one replica only, and its sessions end with it."}),
	}
	f.gaugeFunc("degraded", "1 while something that /readyz names does not work as it should.", func() float64 {
		ask := s.degraded.Load()
		return number(ask != nil && (*ask)())
	})
	return s
}

// StoreOp counts an operation on the store: ok, timeout or error.
func (m *Metrics) StoreOp(op, outcome string) { m.store.ops.inc(op, outcome) }

// StoreUp says whether the store answers.
func (m *Metrics) StoreUp(up bool) { m.store.up.Set(number(up)) }

// SetEmbedded says whether the store is the embedded one.
func (m *Metrics) SetEmbedded(embedded bool) { m.store.embedded.Set(number(embedded)) }

// Degraded sets how it is found out whether something does not work as it
// should. ask is called at every scrape, possibly by several at once.
func (m *Metrics) Degraded(ask func() bool) { m.store.degraded.Store(&ask) }

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
