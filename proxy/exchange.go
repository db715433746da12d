package proxy

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// An exchange is one request on its way through the gate with all that was
// found out about it.
type exchange struct {
	w     *recorder
	r     *http.Request
	id    string // of the request: header, log line and error body carry it
	from  string // the client's address
	start time.Time

	body    *body            // nil: there is none
	route   *passage         // nil until found
	meter   Meter            // of the route; nil until found
	served  *Served          // the dialect that errors are written in; nil: none
	session *session.Session // nil: anonymous
	caller  token.Caller     // on whose behalf the backend is called
	inject  bool             // a credential of the backend is to be injected
	rule    string           // the policy rule that decided
	login   string           // who logged in or tried to, as far as a log may say; empty: nobody
	failed  credential       // the credential that was presented and refused
	cause   error            // what went wrong, for the log
}

// requestIDHeader names a request towards clients and backends.
const requestIDHeader = "X-Request-Id"

func (p *Proxy) begin(w http.ResponseWriter, r *http.Request) *exchange {
	var b [8]byte
	rand.Read(b[:])
	x := &exchange{w: &recorder{ResponseWriter: w}, r: r, id: hex.EncodeToString(b[:]), from: p.o.Edge.ClientIP(r), start: time.Now()}
	w.Header().Set(requestIDHeader, x.id)
	return x
}

// measure starts the meter of the request's route.
func (x *exchange) measure(m Meter) {
	x.meter = m
	m.Begin()
}

// end writes the request's line in the log. A panic becomes a plain 500 where
// nothing was sent yet; the deliberate abort of a broken stream goes on.
func (p *Proxy) end(x *exchange) {
	v := recover()
	if v != nil && v != http.ErrAbortHandler { //nolint:errorlint // a recovered value is compared, not an error chain
		x.cause = fmt.Errorf("proxy: panic: %v", v)
		if x.w.status == 0 {
			p.fail(x, x.cause)
		}
	}
	d := time.Since(x.start)
	if x.meter == nil {
		x.measure(p.none)
	}
	x.meter.Done(x.r.Method, x.w.code(), d)
	p.logLine(x, d)
	if v == http.ErrAbortHandler { //nolint:errorlint // as above
		panic(v)
	}
}

// logLine writes one line a request, from a closed list of keys.
func (p *Proxy) logLine(x *exchange, d time.Duration) {
	level := slog.LevelInfo
	if x.w.code() >= http.StatusInternalServerError {
		level = slog.LevelWarn
	}
	ctx := x.r.Context()
	if !p.log.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 13)
	attrs = append(attrs, slog.String("request", x.id), slog.String("method", x.r.Method),
		slog.String("host", x.r.Host), slog.String("path", x.r.URL.EscapedPath()), slog.Int("status", x.w.code()),
		slog.Int64("bytes", x.w.bytes), slog.Float64("seconds", d.Seconds()), slog.String("client", x.from))
	if x.route != nil {
		attrs = append(attrs, slog.String("route", x.route.Name))
	}
	if x.rule != "" {
		attrs = append(attrs, slog.String("rule", x.rule))
	}
	if s := x.session; s != nil {
		attrs = append(attrs, slog.String("user", s.Identity.Name))
		if !s.SID.IsZero() {
			attrs = append(attrs, slog.String("session", s.SID.Short()))
		}
	}
	if x.login != "" {
		attrs = append(attrs, slog.String("login", x.login))
	}
	if x.cause != nil {
		attrs = append(attrs, slog.String("error", x.cause.Error()))
	}
	p.log.LogAttrs(ctx, level, "request", attrs...)
}

// recorder remembers what was answered. http.ResponseController finds Flush
// through Unwrap.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
	tunnel *tunnel // that takes over the connection; nil: none does
}

func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Hijack implements http.Hijacker.
func (w *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil && w.tunnel != nil {
		conn = w.tunnel.take(conn)
	}
	return conn, rw, err
}

func (w *recorder) WriteHeader(code int) {
	if w.status == 0 && (code >= 200 || code == http.StatusSwitchingProtocols) {
		w.status = code
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// code is the status for log and metrics: 200 where a handler wrote nothing,
// as net/http then does, and 499 where the client went away first.
func (w *recorder) code() int {
	if w.status == 0 {
		return http.StatusOK
	}
	return w.status
}
