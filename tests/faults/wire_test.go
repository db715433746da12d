package faults

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// strain is what a wire does to what passes. The zero value is a good wire.
type strain struct {
	delay  time.Duration // of every reply
	silent bool          // nothing passes, and nobody is told: a partition
	// cutReplies is the share of scripts whose reply is replaced by a reset of the
	// connection; the script ran.
	cutReplies float64
	cutAny     float64 // the share of all reads after which the connection is reset
}

// wire is a TCP proxy between one replica and Redis. It is safe for concurrent
// use.
type wire struct {
	Addr   string
	target string

	mu     sync.Mutex
	strain strain
	eased  chan struct{} // closed when the strain ends
	cuts   int
}

func newWire(t testing.TB, target string) *wire {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Addr: l.Addr().String(), target: target, eased: make(chan struct{})}
	ctx := t.Context()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { w.serve(ctx, c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		w.put(strain{})
		wg.Wait()
	})
	return w
}

// put puts the wire under a strain, and ends the one before.
func (w *wire) put(s strain) {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.eased)
	w.eased, w.strain = make(chan struct{}), s
}

// reset returns how many connections were cut so far.
func (w *wire) reset() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cuts
}

func (w *wire) now() (strain, chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.strain, w.eased
}

func (w *wire) serve(ctx context.Context, down net.Conn) {
	defer down.Close()
	up, err := new(net.Dialer).DialContext(ctx, "tcp", w.target)
	if err != nil {
		return
	}
	defer up.Close()
	defer context.AfterFunc(ctx, func() { down.Close(); up.Close() })()
	j := &joint{wire: w, up: up, down: down}
	var wg sync.WaitGroup
	wg.Go(j.requests)
	wg.Go(j.replies)
	wg.Wait()
}

// joint is one connection through a wire.
type joint struct {
	*wire
	up, down net.Conn
	mu       sync.Mutex
	cut      bool // guarded by mu: the next reply is to be lost
}

var evalsha = []byte("evalsha")

func (j *joint) requests() {
	defer j.up.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := j.down.Read(buf)
		if !j.pass() {
			return
		}
		s, _ := j.now()
		if s.cutReplies > 0 && bytes.Contains(bytes.ToLower(buf[:n]), evalsha) && rand.Float64() < s.cutReplies {
			j.mu.Lock()
			j.cut = true
			j.mu.Unlock()
		}
		if _, werr := j.up.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

func (j *joint) replies() {
	defer j.down.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := j.up.Read(buf)
		s, eased := j.now()
		if s.delay > 0 {
			wait(eased, s.delay)
		}
		if !j.pass() || j.lost(s) {
			return
		}
		if _, werr := j.down.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

// pass waits as long as nothing passes. What was held back then is gone, and its
// connection with it.
func (j *joint) pass() bool {
	s, eased := j.now()
	if !s.silent {
		return true
	}
	<-eased
	return false
}

// lost resets the connection if this reply is to be lost.
func (j *joint) lost(s strain) bool {
	j.mu.Lock()
	cut := j.cut
	j.mu.Unlock()
	if !cut && (s.cutAny == 0 || rand.Float64() >= s.cutAny) {
		return false
	}
	if c, ok := j.down.(*net.TCPConn); ok {
		_ = c.SetLinger(0) // a reset, not an orderly end
	}
	j.wire.mu.Lock()
	j.cuts++
	j.wire.mu.Unlock()
	return true
}
