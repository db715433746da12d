package logs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// pipe is a reader that may stop reading, or fail.
type pipe struct {
	gate chan struct{} // a Write takes one; closed: all pass

	mu   sync.Mutex
	got  bytes.Buffer // guarded by mu
	room int          // guarded by mu: bytes until writes fail; negative: no end
}

func newPipe() *pipe { return &pipe{gate: make(chan struct{}), room: -1} }

func openPipe() *pipe {
	p := newPipe()
	close(p.gate)
	return p
}

func (p *pipe) Write(b []byte) (int, error) {
	<-p.gate
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.room < 0 {
		return p.got.Write(b)
	}
	n, _ := p.got.Write(b[:min(p.room, len(b))])
	p.room -= n
	if n < len(b) {
		return n, errors.New("no space left on device")
	}
	return n, nil
}

func (p *pipe) setRoom(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.room = n
}

// lines returns what has come so far, without what the handler adds.
func (p *pipe) lines() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Split(strings.TrimSuffix(p.got.String(), "\n"), "\n")
}

// bare prints only message and attributes, so that lines have a size to count on.
func bare(w io.Writer) slog.Handler {
	return slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
			return slog.Attr{}
		}
		return a
	}})
}

func TestLinesComeInTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openPipe()
		l := New(p, bare)
		var want []string
		for i := range 1000 {
			l.Info("line", "i", i)
			want = append(want, fmt.Sprintf("msg=line i=%d", i))
		}
		if !l.Close(time.Second) {
			t.Error("Close = false; want all written")
		}
		if diff := cmp.Diff(want, p.lines()); diff != "" {
			t.Errorf("lines (-want +got):\n%s", diff)
		}
		if n := l.Dropped(); n != 0 {
			t.Errorf("Dropped = %d; want 0", n)
		}
	})
}

// Nobody waits for a reader that does not read. As many lines as there is room
// for come out later, and one for all others.
func TestBlockedReaderCostsLinesOnly(t *testing.T) {
	line := func(i int) string { return fmt.Sprintf("msg=%01023d", i)[:1023] }
	msg := func(i int) string { return strings.TrimPrefix(line(i), "msg=") }
	for _, over := range []int{0, 1, 500} {
		synctest.Test(t, func(t *testing.T) {
			p := newPipe()
			l := New(p, bare)
			l.Info("first")
			synctest.Wait() // it is on its way, and stuck
			want := []string{"msg=first"}
			for i := range room/1024 + over {
				l.Info(msg(i))
				if i < room/1024 {
					want = append(want, line(i))
				}
			}
			if n := l.Dropped(); n != uint64(over) {
				t.Errorf("Dropped = %d; want %d", n, over)
			}
			if over > 0 {
				want = append(want, fmt.Sprintf(`msg="log lines were dropped, since nobody took them" lines=%d`, over))
			}
			close(p.gate)
			synctest.Wait()
			l.Info("last")
			l.Close(time.Second)
			if diff := cmp.Diff(append(want, "msg=last"), p.lines()); diff != "" {
				t.Errorf("over by %d: lines (-want +got):\n%s", over, diff)
			}
		})
	}
}

func TestCloseWaitsNoLongerThanItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipe()
		l := New(p, bare)
		l.Info("stuck")
		began := time.Now()
		if l.Close(time.Second) {
			t.Error("Close = true; want false")
		}
		if d := time.Since(began); d != time.Second {
			t.Errorf("Close took %v; want 1s", d)
		}
		l.Info("too late")
		if n := l.Dropped(); n != 1 {
			t.Errorf("Dropped = %d; want 1", n)
		}
		close(p.gate)
	})
}

// A full disk loses lines, also a half one, and what comes when it has room again
// begins on a line of its own.
func TestFullDiskIsToldOfWhenItHasRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openPipe()
		l := New(p, bare)
		say := func(msg string) {
			l.Info(msg)
			synctest.Wait()
		}
		p.setRoom(len("msg=one\nmsg="))
		for _, msg := range []string{"one", "two", "three"} {
			say(msg)
		}
		if n := l.Dropped(); n != 2 {
			t.Errorf("Dropped = %d; want 2", n)
		}
		p.setRoom(-1)
		say("four")
		say("five")
		l.Close(time.Second)
		want := []string{"msg=one", "msg=", "msg=four", `msg="log lines were dropped, since nobody took them" lines=2`, "msg=five"}
		if diff := cmp.Diff(want, p.lines()); diff != "" {
			t.Errorf("lines (-want +got):\n%s", diff)
		}
	})
}

func BenchmarkLine(b *testing.B) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	json := func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) }
	line := func(b *testing.B, l *slog.Logger) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				l.LogAttrs(b.Context(), slog.LevelInfo, "request", slog.String("request", "0123456789abcdef"), slog.String("method", "GET"),
					slog.String("host", "gate.example.com"), slog.String("path", "/api/v7.0/snapshots"), slog.Int("status", 200))
			}
		})
	}
	b.Run("direct", func(b *testing.B) { line(b, slog.New(json(null))) })
	b.Run("queued", func(b *testing.B) {
		l := New(null, json)
		line(b, l.Logger)
		l.Close(time.Second)
		b.ReportMetric(float64(l.Dropped())/float64(b.N), "dropped/op")
	})
}
