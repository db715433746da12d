package proxy

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// How long the end of a WebSocket may take, so that it is over two seconds after
// the gateway has found that it has to end.
const (
	frameWait = time.Second // until the frame under way is through
	replyWait = time.Second // until both ends have said goodbye
)

// A tunnel is the body of an answer that opens a WebSocket, whose frames pass
// untouched. The gateway ends it as RFC 6455 section 7.1 wants it, by a close
// frame to either end.
type tunnel struct {
	*stream
	toClient, toBackend lane
	closing             atomic.Bool
	silent              chan struct{} // closed when the backend says no more
	gone                chan struct{} // closed when ReverseProxy has let go

	mu   sync.Mutex
	conn net.Conn // guarded by mu: the client's; nil until it is taken over
	cut  bool     // guarded by mu: conn is to be closed at once
}

func newTunnel(s *stream, backend io.Writer) *tunnel {
	return &tunnel{
		stream: s, silent: make(chan struct{}), gone: make(chan struct{}),
		toClient: newLane(nil), toBackend: newLane(backend),
	}
}

// Read reads what the backend says. Once the tunnel is being closed it ends
// without an error, which would end the other direction too.
func (t *tunnel) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	if err != nil {
		t.signal(t.silent)
		if t.closing.Load() {
			err = io.EOF
		}
	}
	return n, err
}

// Write sends the backend what the client says.
func (t *tunnel) Write(p []byte) (int, error) { return t.toBackend.Write(p) }

// Close is called by ReverseProxy when either side has ended. The backend's side
// of a tunnel that is being closed stays open until that is done.
func (t *tunnel) Close() error {
	t.signal(t.gone)
	if t.closing.Load() {
		t.release()
		return nil
	}
	return t.stream.Close()
}

// signal closes one of the tunnel's channels, once.
func (t *tunnel) signal(ch chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-ch:
	default:
		close(ch)
	}
}

// take makes the client's connection part of the tunnel.
func (t *tunnel) take(c net.Conn) net.Conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conn = c; t.cut {
		c.Close()
	}
	return &clientConn{Conn: c, t: t}
}

// clientConn is the client's connection as ReverseProxy sees it once the head of
// the answer is out.
type clientConn struct {
	net.Conn
	t *tunnel
}

// Read reads what the client says. The first call tells that the head is out.
func (c *clientConn) Read(p []byte) (int, error) {
	c.t.toClient.open(c.Conn)
	return c.Conn.Read(p)
}

// Write sends the client what the backend says.
func (c *clientConn) Write(p []byte) (int, error) {
	c.t.toClient.open(c.Conn)
	return c.t.toClient.Write(p)
}

// CloseWrite tells the client that the backend says no more.
func (c *clientConn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

// end closes the tunnel and does not wait.
func (t *tunnel) end(why Closing) {
	if !t.closing.Swap(true) {
		go t.goodbye(why)
	}
}

// goodbye tells the client first: once the backend knows it may hang up.
func (t *tunnel) goodbye(why Closing) {
	late := time.NewTimer(frameWait)
	defer late.Stop()
	go t.toClient.finish(closeFrame(why, false))
	select {
	case <-t.toClient.sent:
	case <-t.gone:
	case <-late.C:
	}
	go t.toBackend.finish(closeFrame(why, true))
	late.Reset(replyWait)
	for _, done := range []<-chan struct{}{t.toBackend.sent, t.silent, t.gone} {
		select {
		case <-done:
			continue
		case <-late.C:
		}
		break
	}
	t.hangUp()
}

// hangUp closes both connections, whatever is under way on them.
func (t *tunnel) hangUp() {
	t.ReadCloser.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cut = true; t.conn != nil {
		t.conn.Close()
	}
}

// lane is one direction of a tunnel.
type lane struct {
	sent chan struct{} // closed when a close frame has gone out

	// turn is held by who writes, for as long as the peer takes to read.
	turn   chan struct{}
	to     io.Writer // guarded by turn; nil until frames may pass
	frames frames    // guarded by turn
	last   []byte    // guarded by turn: the close frame that follows the frame under way; nil: none
}

func newLane(to io.Writer) lane {
	return lane{sent: make(chan struct{}), turn: make(chan struct{}, 1), to: to}
}

// open lets frames pass to w.
func (l *lane) open(w io.Writer) {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	if l.to == nil {
		l.to = w
		l.conclude()
	}
}

// Write passes frames on. After a close frame of the gateway's nothing may
// follow: what comes then is taken and dropped.
func (l *lane) Write(p []byte) (int, error) {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	n := 0
	for n < len(p) && (l.last == nil || !l.frames.between()) {
		n += l.frames.next(p[n:])
	}
	if n > 0 {
		if wrote, err := l.to.Write(p[:n]); err != nil {
			return wrote, err
		}
	}
	l.conclude()
	return len(p), nil
}

// finish sends a close frame, now or behind the frame under way. Where the other
// end has sent one itself, that was the last.
func (l *lane) finish(frame []byte) {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	l.last = frame
	l.conclude()
}

// conclude sends the last frame if it is there and may be sent now. l.turn is held.
func (l *lane) conclude() {
	if l.last == nil || l.to == nil || !l.frames.between() {
		return
	}
	select {
	case <-l.sent:
		return
	default:
	}
	if !l.frames.closed {
		_, _ = l.to.Write(l.last) // whoever cannot be told is gone
	}
	close(l.sent)
}
