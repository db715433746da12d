package metrics

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// RouteMeter measures the requests of one route. Begin and Done come in pairs;
// neither allocates. It is an alias of a plain interface so that a package with
// the same one of its own need not know this.
type RouteMeter = interface {
	Begin()
	// Done takes the method and the status as they are, whatever they are.
	Done(method string, code int, d time.Duration)
}

// methods are the values of the label method; the last stands for all others.
// The first declaredMethods get through the front door, so they exist at 0.
var methods = [...]string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions,
	http.MethodConnect, http.MethodTrace, other,
}

const declaredMethods = 7

// codes are the values of the label code: the statuses that mean something of
// their own at a gateway, and a class for the rest, so that code=~"5.." finds
// all of a class either way. The last is for what is no status.
var codes = [...]string{
	"1xx", "2xx", "3xx", "4xx", "5xx",
	"401", "403", "404", "413", "429", "500", "502", "503", "504", other,
}

// firstExact is the place of the first single status in codes.
const firstExact = 5

var exactCodes = [...]int{401, 403, 404, 413, 429, 500, 502, 503, 504}

// requests are the metrics of the requests that come in.
type requests struct {
	total    *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	inFlight *prometheus.GaugeVec
	routes   atomic.Pointer[map[Route]bool]
}

func newRequests(f factory) *requests {
	r := &requests{
		total: f.counterVec("http_requests_total",
			"Requests answered. code is a class, or one of the statuses listed here, which their class then leaves out.",
			"route", "backend", "method", "code"),
		seconds: f.histogramVec("http_request_duration_seconds",
			"From the arrival of a request to the end of its answer; upgraded connections (status 101) are left out.",
			[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}, "route", "backend"),
		inFlight: f.gaugeVec("http_requests_in_flight", "Requests that are being answered.", "route", "backend"),
	}
	r.routes.Store(&map[Route]bool{})
	return r
}

func (r *requests) declare(routes []Route) {
	known := make(map[Route]bool, len(routes))
	for _, rt := range routes {
		known[rt] = true
		r.meter(rt)
	}
	r.routes.Store(&known)
}

// Route returns the meter of a route that Declare has made known. Every other
// route is measured as "other".
func (m *Metrics) Route(route, backend string) RouteMeter {
	rt := Route{route, backend}
	if !(*m.http.routes.Load())[rt] {
		rt = Route{other, other}
	}
	return m.http.meter(rt)
}

// meter holds the series of one route, so that a request looks nothing up.
type meter struct {
	rare     *prometheus.CounterVec // of the route, for methods that are never let through
	counts   [declaredMethods][len(codes)]prometheus.Counter
	seconds  prometheus.Observer
	inFlight prometheus.Gauge
}

func (r *requests) meter(rt Route) *meter {
	m := &meter{
		rare:     r.total.MustCurryWith(prometheus.Labels{"route": rt.Name, "backend": rt.Backend}),
		seconds:  r.seconds.WithLabelValues(rt.Name, rt.Backend),
		inFlight: r.inFlight.WithLabelValues(rt.Name, rt.Backend),
	}
	for i := range m.counts {
		for j, code := range codes {
			m.counts[i][j] = m.rare.WithLabelValues(methods[i], code)
		}
	}
	return m
}

func (m *meter) Begin() { m.inFlight.Inc() }

func (m *meter) Done(method string, code int, d time.Duration) {
	m.inFlight.Dec()
	if code != http.StatusSwitchingProtocols {
		m.seconds.Observe(d.Seconds())
	}
	i, j := methodIndex(method), codeIndex(code)
	if i < declaredMethods {
		m.counts[i][j].Inc()
		return
	}
	m.rare.WithLabelValues(methods[i], codes[j]).Inc()
}

func methodIndex(method string) int {
	for i, m := range methods[:len(methods)-1] {
		if m == method {
			return i
		}
	}
	return len(methods) - 1
}

func codeIndex(code int) int {
	for i, exact := range exactCodes {
		if exact == code {
			return firstExact + i
		}
	}
	if code < 100 || code > 599 {
		return len(codes) - 1
	}
	return code/100 - 1
}
