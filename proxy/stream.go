package proxy

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
)

// Closing is why the gateway ends a stream: a status code of RFC 6455 section
// 7.4, which a WebSocket is told.
type Closing uint16

// The reasons to end a stream.
const (
	GoingAway      Closing = 1001 // the process ends
	SessionOver    Closing = 1008 // who it was opened for may not go on
	ServiceRestart Closing = 1012 // what served it has been replaced
)

// String returns the reason in words.
func (c Closing) String() string {
	switch c {
	case GoingAway:
		return "the gateway ends; connect again"
	case SessionOver:
		return "the session is over"
	case ServiceRestart:
		return "the configuration has changed; connect again"
	}
	return ""
}

// streams holds the answers that have no end of their own: WebSockets,
// server-sent events, gRPC. The zero value is empty.
type streams struct {
	mu   sync.Mutex
	open map[*stream]ender // guarded by mu
	over Closing           // guarded by mu: no more may begin; 0: they may
}

// ender is a stream that can be ended, without waiting for it.
type ender interface{ end(why Closing) }

// stream is the body of such an answer.
type stream struct {
	io.ReadCloser
	of    *streams
	stop  func()      // ends the watch on its session
	plain bool        // its end says all; a gRPC stream without a status is broken
	cut   atomic.Bool // by the gateway
}

// hold keeps an answer that may go on for long, so that it ends with the session
// it was given to, or with the gateway.
func (p *Proxy) hold(x *exchange, res *http.Response) {
	if !endless(res) {
		return
	}
	s := &stream{ReadCloser: res.Body, of: &p.streams, stop: func() {}, plain: !isGRPC(res.Header)}
	var e ender = s
	res.Body = s
	if w, ok := s.ReadCloser.(io.Writer); ok && res.StatusCode == http.StatusSwitchingProtocols {
		t := newTunnel(s, w)
		x.w.tunnel, res.Body, e = t, t, t
	}
	over := p.streams.add(s, e)
	if x.session != nil && !x.session.SID.IsZero() {
		s.stop = p.o.Sessions.Watch(x.session.SID, func() { e.end(SessionOver) })
	}
	if over != 0 {
		e.end(over)
	}
}

// endless reports whether an answer has no end of its own.
func endless(res *http.Response) bool {
	return res.StatusCode == http.StatusSwitchingProtocols || isGRPC(res.Header) ||
		strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream")
}

// Read reads what the backend says. Events that the gateway cut off end as if
// the backend had ended them.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if err != nil && s.plain && s.cut.Load() {
		err = io.EOF
	}
	return n, err
}

// end closes the backend's side, upon which ReverseProxy ends the client's. It
// does not wait: Close may wait for a write under way.
func (s *stream) end(Closing) {
	s.cut.Store(true)
	go s.ReadCloser.Close()
}

// Close is called by ReverseProxy when either side has ended.
func (s *stream) Close() error {
	s.release()
	return s.ReadCloser.Close()
}

// release lets go of what is kept about an open stream.
func (s *stream) release() {
	s.stop()
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	delete(s.of.open, s)
}

// add notes a stream, and says why it has to end at once; 0: it has not.
func (s *streams) add(one *stream, e ender) Closing {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[*stream]ender{}
	}
	s.open[one] = e
	return s.over
}

// CloseStreams ends every stream, and those that begin later: they would go on
// for ever, and their clients know how to connect again. It does not wait;
// after two seconds, or what a write under way takes, they are gone.
func (p *Proxy) CloseStreams(why Closing) {
	p.streams.mu.Lock()
	defer p.streams.mu.Unlock()
	p.streams.over = why
	for _, e := range p.streams.open {
		e.end(why)
	}
}
