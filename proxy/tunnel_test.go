package proxy

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// joined is a tunnel with a peer at either end, copied as ReverseProxy does.
type joined struct {
	*tunnel
	client, backend net.Conn      // the peers' ends
	over            chan struct{} // closed when nothing is copied any more
}

// join must be called inside a bubble. Its copying starts with start.
func join(t *testing.T) (j *joined, start func()) {
	t.Helper()
	client, near := net.Pipe()
	backend, far := net.Pipe()
	s := &stream{ReadCloser: far, of: &streams{}, stop: func() {}}
	j = &joined{tunnel: newTunnel(s, far), client: client, backend: backend, over: make(chan struct{})}
	s.of.add(s, j)
	conn := j.take(near)
	return j, func() {
		failed := make(chan error, 2)
		go func() { _, err := io.Copy(conn, j); failed <- err }()
		go func() { _, err := io.Copy(j, conn); failed <- err }()
		go func() {
			defer close(j.over)
			if err := <-failed; err == nil {
				<-failed
			}
			j.Close()
			conn.Close()
		}()
	}
}

// heard collects what a peer reads until its connection ends.
func heard(c net.Conn) <-chan []byte {
	ch := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(c) // the end of a pipe is an error too
		c.Close()
		ch <- b
	}()
	return ch
}

func TestTunnelEndsByACloseFrameToEitherEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, start := join(t)
		start()
		text := frame(1, 200, false)
		go j.backend.Write(text)
		io.ReadFull(j.client, make([]byte, len(text)))
		client, backend := heard(j.client), heard(j.backend)
		j.end(SessionOver)
		<-j.over
		if got, want := <-client, closeFrame(SessionOver, false); !bytes.Equal(got, want) {
			t.Errorf("the client hears %x; want %x", got, want)
		}
		var f frames
		if got := <-backend; f.next(got) != len(got) || !f.closed || got[1]&0x80 == 0 {
			t.Errorf("the backend hears %x; want one masked close frame", got)
		}
	})
}

func TestCloseFrameWaitsForTheFrameUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, start := join(t)
		start()
		text := append(frame(2, 70000, false), frame(1, 5, false)...)
		whole := len(text) - 7
		client := heard(j.client)
		j.backend.Write(text[:100])
		synctest.Wait()
		j.end(GoingAway)
		time.Sleep(frameWait / 2)
		go func() {
			j.backend.Write(text[100:]) // the second frame comes too late
			heard(j.backend)
		}()
		<-j.over
		if got, want := <-client, append(text[:whole:whole], closeFrame(GoingAway, false)...); !bytes.Equal(got, want) {
			t.Errorf("the client hears %d bytes ending in %x; want %d ending in %x", len(got), got[len(got)-10:], len(want), want[len(want)-10:])
		}
	})
}

func TestFrameWithoutEndIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, start := join(t)
		start()
		client, text := heard(j.client), frame(2, 500, false)[:100]
		j.backend.Write(text)
		heard(j.backend)
		synctest.Wait()
		began := time.Now()
		j.end(GoingAway)
		<-j.over
		if d := time.Since(began); d < frameWait || d > frameWait+replyWait {
			t.Errorf("it took %v; want 1s to 2s", d)
		}
		if got := <-client; !bytes.Equal(got, text) {
			t.Errorf("the client hears %x; want %x and nothing inside the frame", got, text)
		}
	})
}

// Neither a client that reads nothing nor a backend that does so can hold a
// tunnel open.
func TestStalledPeersAreCut(t *testing.T) {
	for name, stall := range map[string]func(j *joined){
		"client reads nothing":  func(j *joined) { heard(j.backend); go j.backend.Write(frame(1, 100, false)) },
		"backend reads nothing": func(j *joined) { heard(j.client); go j.client.Write(frame(1, 100, true)) },
		"both are silent":       func(*joined) {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j, start := join(t)
				start()
				stall(j)
				synctest.Wait()
				began := time.Now()
				j.end(GoingAway)
				if !within(j.over, time.Minute) || time.Since(began) > frameWait+replyWait {
					t.Errorf("it took %v; want 2s at most", time.Since(began))
				}
				j.client.Close()
				j.backend.Close()
			})
		})
	}
}

func TestNothingFollowsTheBackendsOwnCloseFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, start := join(t)
		start()
		client, last := heard(j.client), frame(opClose, 2, false)
		j.backend.Write(last)
		heard(j.backend)
		synctest.Wait()
		j.end(GoingAway)
		<-j.over
		if got := <-client; !bytes.Equal(got, last) {
			t.Errorf("the client hears %x; want %x alone", got, last)
		}
	})
}

// A tunnel may have to end before ReverseProxy has sent the head of the answer,
// which the close frame must not overtake.
func TestCloseFrameDoesNotOvertakeTheHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, start := join(t)
		client := heard(j.client)
		heard(j.backend)
		j.end(GoingAway)
		time.Sleep(frameWait / 2)
		if _, err := j.conn.Write([]byte("head ")); err != nil {
			t.Fatal(err)
		}
		start()
		<-j.over
		if got, want := <-client, append([]byte("head "), closeFrame(GoingAway, false)...); !bytes.Equal(got, want) {
			t.Errorf("the client hears %q; want %q", got, want)
		}
	})
}

func TestStreamsThatBeginTooLateEndAtOnce(t *testing.T) {
	p := &Proxy{}
	p.CloseStreams(GoingAway)
	s := &stream{of: &p.streams}
	if over := p.streams.add(s, s); over != GoingAway {
		t.Errorf("add = %d; want %d", over, GoingAway)
	}
}

func TestEventsThatAreCutEndInOrder(t *testing.T) {
	for _, tt := range []struct {
		name  string
		plain bool
		want  error
	}{{"events", true, io.EOF}, {"gRPC", false, io.ErrClosedPipe}} {
		r, _ := io.Pipe()
		s := &stream{ReadCloser: r, plain: tt.plain}
		s.end(GoingAway)
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, tt.want) {
			t.Errorf("%s: Read = %v; want %v", tt.name, err, tt.want)
		}
	}
}
