package proxy

import (
	"io"
	"net/http"
	"strings"
	"sync"
)

// streams holds the answers that have no end of their own: WebSockets,
// server-sent events, gRPC. The zero value is empty.
type streams struct {
	mu   sync.Mutex
	open map[*stream]struct{} // guarded by mu
}

// stream is the body of such an answer.
type stream struct {
	io.ReadCloser
	of   *streams
	stop func() // ends the watch on its session
}

// tunnel is the body of a 101, which is written to as well.
type tunnel struct {
	*stream
	io.Writer
}

// hold keeps an answer that may go on for long, so that it ends with the session
// it was given to, or with the gateway.
func (p *Proxy) hold(x *exchange, res *http.Response) {
	if !endless(res) {
		return
	}
	s := &stream{ReadCloser: res.Body, of: &p.streams, stop: func() {}}
	p.streams.add(s)
	if x.session != nil && !x.session.SID.IsZero() {
		s.stop = p.o.Sessions.Watch(x.session.SID, s.cut)
	}
	if w, ok := res.Body.(io.Writer); ok {
		res.Body = tunnel{s, w}
		return
	}
	res.Body = s
}

// endless reports whether an answer has no end of its own.
func endless(res *http.Response) bool {
	return res.StatusCode == http.StatusSwitchingProtocols || isGRPC(res.Header) ||
		strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream")
}

// cut closes the backend's side, upon which ReverseProxy ends the client's. It
// does not wait: Close may wait for a write under way.
func (s *stream) cut() { go s.ReadCloser.Close() }

// Close is called by ReverseProxy when either side has ended.
func (s *stream) Close() error {
	s.stop()
	s.of.mu.Lock()
	delete(s.of.open, s)
	s.of.mu.Unlock()
	return s.ReadCloser.Close()
}

func (s *streams) add(one *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[*stream]struct{}{}
	}
	s.open[one] = struct{}{}
}

// CloseStreams cuts every stream, for a gateway that is about to end: they would
// go on for ever, and their clients know how to connect again.
func (p *Proxy) CloseStreams() {
	p.streams.mu.Lock()
	defer p.streams.mu.Unlock()
	for s := range p.streams.open {
		s.cut()
	}
}
