package main

import (
	"errors"
	"log/slog"
	"net"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// maxDescriptors stands for a limit of open files that is none.
const maxDescriptors = 1 << 20

// share divides the file descriptors that a process may have: so many are for
// connections of clients, as many for those to backends, since each client may
// need one, and some for operators. What is left is for Redis, whose client
// alone keeps up to ten connections a processor, and for files.
func share(descriptors int) (clients, operators int) {
	reserve := min(64+10*runtime.GOMAXPROCS(0), descriptors/2)
	return (descriptors - reserve) / 2, max(1, reserve/4)
}

const (
	// relieveEvery is how often a full door looks for idle connections again.
	relieveEvery = time.Second
	// tellEvery is how often the log may say that a door is full.
	tellEvery = time.Minute
)

// door is a listener that has no more connections open than it has places.
// Others wait in the kernel's queue, where they cost no descriptor. While it is
// full it has idle connections closed, so that nobody keeps others out by doing
// nothing. One goroutine may accept.
type door struct {
	net.Listener
	who    string        // come in here: clients or operators
	places chan struct{} // holds one for each connection, and one for Accept
	open   atomic.Int64
	closed chan struct{}
	close  func() error
	log    *slog.Logger
	told   time.Time // when the log last said that it is full

	// keepAlive says whether connections may stay open between requests; false
	// also closes those that do nothing just now. It is set before Accept.
	keepAlive func(bool)
}

func newDoor(l net.Listener, who string, places int, log *slog.Logger) *door {
	d := &door{Listener: l, who: who, places: make(chan struct{}, places), closed: make(chan struct{}), log: log, keepAlive: func(bool) {}}
	d.close = sync.OnceValue(func() error {
		close(d.closed)
		return l.Close()
	})
	return d
}

// Accept implements net.Listener.
func (d *door) Accept() (net.Conn, error) {
	if err := d.place(); err != nil {
		return nil, err
	}
	c, err := d.Listener.Accept()
	if err != nil {
		<-d.places
		return nil, err
	}
	d.open.Add(1)
	return &guest{Conn: c, leave: sync.OnceFunc(func() { d.open.Add(-1); <-d.places })}, nil
}

// place waits for a free one.
func (d *door) place() error {
	select {
	case d.places <- struct{}{}:
		return nil
	default:
	}
	if now := time.Now(); now.Sub(d.told) >= tellEvery {
		d.told = now
		d.log.Warn(d.trouble())
	}
	defer d.keepAlive(true)
	look := time.NewTicker(relieveEvery)
	defer look.Stop()
	for {
		d.keepAlive(false)
		select {
		case d.places <- struct{}{}:
			return nil
		case <-d.closed:
			return net.ErrClosed
		case <-look.C:
		}
	}
}

// trouble says that the door is full; nothing while it is not.
func (d *door) trouble() string {
	if int(d.open.Load()) < cap(d.places) {
		return ""
	}
	return "all " + strconv.Itoa(cap(d.places)) + " connections of " + d.who + " are open that the limit of open files leaves room for; new ones wait: raise the limit (ulimit -n)"
}

// count returns how many connections are open and how many may be.
func (d *door) count() (open, limit int) { return int(d.open.Load()), cap(d.places) }

// Close implements net.Listener.
func (d *door) Close() error { return d.close() }

// guest is a connection that gives its place back.
type guest struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (g *guest) Close() error {
	defer g.leave()
	return g.Conn.Close()
}

// CloseWrite is what net/http does first before it closes a connection that has
// sent more than was read: closed at once, the answer could be lost.
func (g *guest) CloseWrite() error {
	if c, ok := g.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.ErrUnsupported
}
