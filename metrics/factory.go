package metrics

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// set is a closed list of label values.
type set map[string]bool

func setOf(values []string) set {
	s := make(set, len(values))
	for _, v := range values {
		s[v] = true
	}
	return s
}

// pick returns v if it is in the list, else "other".
func (s set) pick(v string) string {
	if s[v] {
		return v
	}
	return other
}

// counters is a family of counters by a name from the configuration and an
// outcome from a closed list.
type counters struct {
	vec      *prometheus.CounterVec
	names    atomic.Pointer[set]
	outcomes set
}

func (c *counters) declare(names []string) {
	known := setOf(names)
	for name := range known {
		for outcome := range c.outcomes {
			c.vec.WithLabelValues(name, outcome)
		}
	}
	c.names.Store(&known)
}

func (c *counters) inc(name, outcome string) {
	c.vec.WithLabelValues(c.names.Load().pick(name), c.outcomes.pick(outcome)).Inc()
}

// factory makes metrics and registers them.
type factory struct{ reg prometheus.Registerer }

func register[C prometheus.Collector](f factory, c C) C {
	f.reg.MustRegister(c)
	return c
}

func (f factory) counters(name, help, label string, outcomes ...string) *counters {
	c := &counters{vec: f.counterVec(name, help, label, "outcome"), outcomes: setOf(outcomes)}
	c.names.Store(&set{})
	return c
}

func (f factory) counter(name, help string) prometheus.Counter {
	return register(f, prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}))
}

func (f factory) counterVec(name, help string, labels ...string) *prometheus.CounterVec {
	return register(f, prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels))
}

func (f factory) gauge(o prometheus.GaugeOpts) prometheus.Gauge {
	o.Namespace = namespace
	return register(f, prometheus.NewGauge(o))
}

func (f factory) gaugeVec(name, help string, labels ...string) *prometheus.GaugeVec {
	return register(f, prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels))
}

func (f factory) gaugeFunc(name, help string, value func() float64) {
	f.reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, value))
}

func (f factory) counterFunc(name, help string, value func() float64) {
	f.reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, value))
}

func (f factory) histogram(name, help string, buckets []float64) prometheus.Histogram {
	return register(f, prometheus.NewHistogram(histogramOpts(name, help, buckets)))
}

func (f factory) histogramVec(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return register(f, prometheus.NewHistogramVec(histogramOpts(name, help, buckets), labels))
}

// histogramOpts gives every histogram classic buckets and native ones: which of
// them a Prometheus takes is its own setting, and one that takes only the other
// kind would show nothing. 1.1 is a resolution of 10 %; beyond 100 native
// buckets it gets coarser, and finer again after an hour at the earliest.
func histogramOpts(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Namespace: namespace, Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  100,
		NativeHistogramMinResetDuration: time.Hour,
	}
}
