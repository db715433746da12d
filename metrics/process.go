package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// process are the metrics of the process around the gateway.
type process struct {
	reloads     *prometheus.CounterVec
	outcomes    set
	certificate *prometheus.GaugeVec
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
	return p
}

// Reload counts a change of the configuration on disk: ok, refused or unavailable.
func (m *Metrics) Reload(outcome string) {
	m.process.reloads.WithLabelValues(m.process.outcomes.pick(outcome)).Inc()
}

// CertificateExpiry sets when the certificate of the front door expires.
func (m *Metrics) CertificateExpiry(at time.Time) {
	m.process.certificate.WithLabelValues().Set(float64(at.Unix()))
}
