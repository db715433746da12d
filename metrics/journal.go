package metrics

import "github.com/prometheus/client_golang/prometheus"

// journal are the metrics of the local journal.
type journal struct {
	records prometheus.Gauge
	replays *counters
	skipped *prometheus.CounterVec
	reasons set
}

func newJournal(f factory) *journal {
	j := &journal{
		records: f.gauge(prometheus.GaugeOpts{Name: "journal_records", Help: "New tokens of backends that are in the local journal because the store does not have them yet."}),
		replays: f.counters("journal_replays_total",
			"Tokens found in the journal of a process that is gone: stored, superseded by later ones, discarded (logged out, since others won or the session is over), deferred (to be tried again) or dropped.", "backend",
			"stored", "superseded", "discarded", "deferred", "dropped"),
		skipped: f.counterVec("journal_skipped_total", "Records found in a journal that cannot be replayed: damaged, or foreign (sealed under a secret that is not known).", "reason"),
		reasons: setOf([]string{"damaged", "foreign"}),
	}
	for reason := range j.reasons {
		j.skipped.WithLabelValues(reason)
	}
	return j
}

// JournalRecords sets how many records are open in the journal.
func (m *Metrics) JournalRecords(open int) { m.journal.records.Set(float64(open)) }

// JournalReplay counts a record that was replayed: stored, superseded, discarded,
// deferred or dropped.
func (m *Metrics) JournalReplay(backend, outcome string) { m.journal.replays.inc(backend, outcome) }

// JournalSkipped counts a record that cannot be replayed: damaged or foreign.
func (m *Metrics) JournalSkipped(reason string) {
	m.journal.skipped.WithLabelValues(m.journal.reasons.pick(reason)).Inc()
}
