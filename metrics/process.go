package metrics

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// process are the metrics of the process around the gateway.
type process struct {
	reloads     *prometheus.CounterVec
	outcomes    set
	certificate *prometheus.GaugeVec
	dropped     atomic.Pointer[func() uint64]
	clients     atomic.Pointer[func() (open, limit int)]
}

func newProcess(f factory) *process {
	p := &process{
		reloads: f.counterVec("config_reloads_total",
			"Changes of the configuration on disk: taken over (ok), faulty and so not taken (refused), or not taken because the store could not be asked (unavailable).",
			"outcome"),
		outcomes: setOf([]string{"ok", "refused", "unavailable"}),
		certificate: f.gaugeVec("tls_certificate_expiry_seconds",
			"When the certificate of the front door expires, in Unix time. Absent without one."),
	}
	for outcome := range p.outcomes {
		p.reloads.WithLabelValues(outcome)
	}
	f.counterFunc("log_lines_dropped_total", "Log lines that were lost because standard error took them too slowly or not at all.", func() float64 {
		if count := p.dropped.Load(); count != nil {
			return float64((*count)())
		}
		return 0
	})
	f.gaugeFunc("client_connections", "Connections of clients that are open.", func() float64 {
		open, _ := p.connections()
		return float64(open)
	})
	f.gaugeFunc("client_connections_limit", "How many connections of clients may be open at once, which comes from the limit of open files.", func() float64 {
		_, limit := p.connections()
		return float64(limit)
	})
	return p
}

func (p *process) connections() (open, limit int) {
	if count := p.clients.Load(); count != nil {
		return (*count)()
	}
	return 0, 0
}

// LogDropped sets how the number of lost log lines is found out. count is called
// at every scrape, possibly by several at once.
func (m *Metrics) LogDropped(count func() uint64) { m.process.dropped.Store(&count) }

// Clients sets how the number of clients' connections is found out, with how many
// there may be. count is called at every scrape, possibly by several at once.
func (m *Metrics) Clients(count func() (open, limit int)) { m.process.clients.Store(&count) }

// Reload counts a change of the configuration on disk: ok, refused or unavailable.
func (m *Metrics) Reload(outcome string) {
	m.process.reloads.WithLabelValues(m.process.outcomes.pick(outcome)).Inc()
}

// CertificateExpiry sets when the certificate of the front door expires.
func (m *Metrics) CertificateExpiry(at time.Time) {
	m.process.certificate.WithLabelValues().Set(float64(at.Unix()))
}
