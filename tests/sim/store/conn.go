package store

import (
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// A Wire carries one message and calls deliver when it arrives, at once, later or
// never. Those of one connection and direction must arrive in order. commands are
// those sent, or replied to; a message to subscribers has none.
type Wire func(c *Conn, reply bool, commands [][]string, deliver func())

// Conn is the client's end of a connection.
type Conn struct {
	// Owner is whose it is, for those who are told of commands.
	Owner any
	store *Store
	wire  Wire

	mu     sync.Mutex
	in     []byte    // guarded by mu: replies that were not read yet
	out    []byte    // guarded by mu: the beginning of a command
	err    error     // guarded by mu: why there is nothing more; nil: there may be
	cut    bool      // guarded by mu: what is under way does not arrive any more
	readBy time.Time // guarded by mu: the deadline of reads; zero: none

	ready chan struct{} // holds one when there may be something to read
}

// Dial returns a new connection whose messages go by wire.
func (s *Store) Dial(owner any, wire Wire) *Conn {
	c := &Conn{Owner: owner, store: s, wire: wire, ready: make(chan struct{}, 1)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = append(s.conns, c)
	return c
}

func (c *Conn) wake() {
	select {
	case c.ready <- struct{}{}:
	default:
	}
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	for {
		c.mu.Lock()
		n, err, by := copy(p, c.in), c.err, c.readBy
		c.in = c.in[n:]
		c.mu.Unlock()
		switch {
		case n > 0:
			return n, nil
		case err != nil:
			return 0, err
		}
		if !c.wait(by) {
			return 0, os.ErrDeadlineExceeded
		}
	}
}

// wait waits for something to read, and reports whether it came in time.
func (c *Conn) wait(by time.Time) bool {
	if by.IsZero() {
		<-c.ready
		return true
	}
	t := time.NewTimer(time.Until(by))
	defer t.Stop()
	select {
	case <-c.ready:
		return true
	case <-t.C:
		return false
	}
}

// Write implements net.Conn. It never waits.
func (c *Conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	if c.err != nil {
		defer c.mu.Unlock()
		return 0, c.err
	}
	c.out = append(c.out, p...)
	var batch [][]string
	for {
		args, rest := readCommand(c.out)
		if args == nil {
			break
		}
		batch, c.out = append(batch, args), rest
	}
	if len(c.out) == 0 {
		c.out = nil
	}
	c.mu.Unlock()
	if batch != nil {
		c.wire(c, false, batch, func() { c.store.serve(c, batch) })
	}
	return len(p), nil
}

// reply sends the server's answer to commands.
func (c *Conn) reply(commands [][]string, text []byte) {
	c.wire(c, true, commands, func() {
		c.mu.Lock()
		c.in = append(c.in, text...)
		c.mu.Unlock()
		c.wake()
	})
}

// Close implements net.Conn. What was written before still arrives.
func (c *Conn) Close() error {
	c.end(net.ErrClosed)
	c.store.forget(c)
	return nil
}

// Cut breaks the connection for both ends, with what is under way on it.
func (c *Conn) Cut() {
	c.mu.Lock()
	c.cut = true
	c.mu.Unlock()
	c.end(syscall.ECONNRESET)
	c.store.forget(c)
}

func (c *Conn) end(why error) {
	c.mu.Lock()
	if c.err == nil {
		c.err = why
	}
	c.mu.Unlock()
	c.wake()
}

// Over reports whether the connection is closed or cut.
func (c *Conn) Over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err != nil
}

// SetReadDeadline implements net.Conn; it is for reads that begin later.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readBy = t
	return nil
}

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetWriteDeadline implements net.Conn. Writes never wait.
func (c *Conn) SetWriteDeadline(time.Time) error { return nil }

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return addr{} }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return addr{} }

type addr struct{}

func (addr) Network() string { return "memory" }
func (addr) String() string  { return "store:6379" }

// forget drops what the server knows of a connection.
func (s *Store) forget(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = without(s.conns, c)
	for channel, conns := range s.heard {
		s.heard[channel] = without(conns, c)
	}
	for _, w := range s.waiters {
		if w.c == c {
			w.end(s)
			break // a connection waits for one thing at most
		}
	}
}

func without(conns []*Conn, c *Conn) []*Conn {
	for i := range conns {
		if conns[i] == c {
			return append(conns[:i:i], conns[i+1:]...)
		}
	}
	return conns
}

// serve runs the commands of one message.
func (s *Store) serve(c *Conn, commands [][]string) {
	c.mu.Lock()
	cut := c.cut
	c.mu.Unlock()
	if cut {
		return
	}
	s.mu.Lock()
	var text []byte
	for _, args := range commands {
		reply := s.run(c, args)
		if reply != later {
			text = appendReply(text, reply)
		}
	}
	s.mu.Unlock()
	if text != nil {
		c.reply(commands, text)
	}
	s.deliverWaiting()
}

// deliverWaiting answers those who waited for what there is now.
func (s *Store) deliverWaiting() {
	for {
		s.mu.Lock()
		var w *waiter
		var text []byte
		for _, each := range s.waiters {
			if reply := s.since(each.read); reply != nil {
				w, text = each, appendReply(nil, reply)
				break
			}
		}
		if w != nil {
			w.end(s)
		}
		s.mu.Unlock()
		if w == nil {
			return
		}
		w.c.reply(w.commands, text)
	}
}

// waiter is a read that waits for something to come.
type waiter struct {
	c        *Conn
	read     read
	commands [][]string
	timer    *time.Timer
}

// end takes a waiter off the list. The caller holds the store's lock.
func (w *waiter) end(s *Store) {
	w.timer.Stop()
	for i := range s.waiters {
		if s.waiters[i] == w {
			s.waiters = append(s.waiters[:i:i], s.waiters[i+1:]...)
			return
		}
	}
}

// later is the reply of a command that is answered when there is something.
var later any = new(struct{ byte })
