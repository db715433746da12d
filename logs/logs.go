// Package logs brings log lines out of the process without ever having anybody
// wait for whoever reads them: a pipe that nobody empties and a full disk cost
// lines, and no request.
package logs

import (
	"bytes"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// room is how many bytes of lines may wait; as many again may be on their way
// out. At some 300 bytes a line that is about 7000 lines each.
const room = 2 << 20

// Log is a logger whose lines wait in memory of a fixed size until they are
// written. Their order is kept. Lines without room are dropped and counted, and
// once lines flow again one in their place says how many. It is safe for
// concurrent use.
type Log struct {
	*slog.Logger
	form  func(io.Writer) slog.Handler
	lines *queue
	done  chan struct{} // closed when the last line is out

	// Of the goroutine that writes:
	out    io.Writer
	untold int  // dropped lines that out was not told of
	torn   bool // out ends in the middle of a line
}

// New returns a log whose lines form makes and out gets, by one goroutine and
// possibly many at once. Close ends it.
func New(out io.Writer, form func(io.Writer) slog.Handler) *Log {
	l := &Log{form: form, lines: newQueue(room), done: make(chan struct{}), out: out}
	l.Logger = slog.New(form(l.lines))
	go l.run()
	return l
}

// Dropped returns how many lines were lost so far.
func (l *Log) Dropped() uint64 { return l.lines.dropped.Load() }

// Close writes what waits and reports whether that could be done within that
// time. Lines that come later are dropped.
func (l *Log) Close(within time.Duration) bool {
	l.lines.close()
	select {
	case <-l.done:
		return true
	case <-time.After(within):
		return false
	}
}

func (l *Log) run() {
	defer close(l.done)
	for open := true; open; {
		var batch []byte
		var missed int
		batch, missed, open = l.lines.take()
		ok := l.write(batch)
		l.untold += missed
		if ok && l.untold > 0 && l.write(l.gap()) {
			l.untold = 0
		}
	}
}

// gap is the line that stands for those that were dropped.
func (l *Log) gap() []byte {
	var b bytes.Buffer
	slog.New(l.form(&b)).Warn("log lines were dropped, since nobody took them", "lines", l.untold)
	return b.Bytes()
}

// write writes lines and reports whether all are out. Those that are not are
// dropped: on a full disk there is no telling when it has room again.
func (l *Log) write(lines []byte) bool {
	if len(lines) == 0 {
		return true
	}
	if l.torn {
		if _, err := l.out.Write([]byte{'\n'}); err != nil {
			return l.lose(lines)
		}
		l.torn = false
	}
	n, err := l.out.Write(lines)
	if err == nil {
		return true
	}
	if n > 0 {
		l.torn = lines[n-1] != '\n'
	}
	return l.lose(lines[n:])
}

// lose counts lines that out did not take, half ones too.
func (l *Log) lose(rest []byte) bool {
	n := bytes.Count(rest, []byte{'\n'})
	l.untold += n
	l.lines.dropped.Add(uint64(n))
	return false
}

// queue holds the lines that wait. Two slices of a fixed size take turns: one is
// filled while the other is written.
type queue struct {
	dropped atomic.Uint64
	some    chan struct{} // holds one: look again

	mu     sync.Mutex
	wait   []byte // guarded by mu: whole lines
	spare  []byte // guarded by mu: what take gave last, which is free at the next take
	missed int    // guarded by mu: lines dropped since the last of wait
	closed bool   // guarded by mu
}

func newQueue(size int) *queue {
	return &queue{some: make(chan struct{}, 1), wait: make([]byte, 0, size), spare: make([]byte, 0, size)}
}

// Write keeps one line or drops it. After one is dropped all are until the next
// take, so that a gap is in one place.
func (q *queue) Write(line []byte) (int, error) {
	q.mu.Lock()
	if q.closed || q.missed > 0 || len(q.wait)+len(line) > cap(q.wait) {
		q.missed++
		q.dropped.Add(1)
	} else {
		q.wait = append(q.wait, line...)
	}
	q.mu.Unlock()
	q.wake()
	return len(line), nil
}

func (q *queue) wake() {
	select {
	case q.some <- struct{}{}:
	default:
	}
}

// take waits for lines and returns them with how many were dropped after them,
// and false if these are the last. They are the caller's until the next take.
func (q *queue) take() (lines []byte, missed int, open bool) {
	<-q.some
	q.mu.Lock()
	defer q.mu.Unlock()
	lines, missed = q.wait, q.missed
	q.wait, q.spare, q.missed = q.spare[:0], lines, 0
	return lines, missed, !q.closed
}

func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.wake()
}
