package upstream

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// source is a request's body.
type source struct {
	io.Reader
	closed int
}

func (s *source) Close() error {
	s.closed++
	return nil
}

func TestTapePlaysCopyAndRest(t *testing.T) {
	const text = "0123456789"
	for cut := range len(text) + 1 {
		tp := &tape{src: &source{Reader: strings.NewReader(text)}}
		first := tp.next()
		if _, err := io.ReadFull(first, make([]byte, cut)); err != nil {
			t.Fatal(err)
		}
		second := tp.next()
		if _, err := first.Read(make([]byte, 1)); !errors.Is(err, errTakeOver) {
			t.Errorf("read of a past take = %v; want errTakeOver", err)
		}
		got, err := io.ReadAll(second)
		if err != nil || string(got) != text {
			t.Errorf("after %d bytes the second take reads %q, %v; want everything", cut, got, err)
		}
	}
}

func TestTapeHolds64KiB(t *testing.T) {
	for _, tt := range []struct {
		size int
		full bool
	}{{maxTape, false}, {maxTape + 1, true}} {
		for _, slow := range []bool{false, true} {
			var src io.Reader = bytes.NewReader(make([]byte, tt.size))
			if slow {
				src = iotest.HalfReader(src)
			}
			tp := &tape{src: &source{Reader: src}}
			n, err := io.Copy(io.Discard, tp.next())
			if err != nil || n != int64(tt.size) || tp.full.Load() != tt.full {
				t.Errorf("%d bytes: read %d, %v, full %v; want all, full %v", tt.size, n, err, tp.full.Load(), tt.full)
			}
			n, err = io.Copy(io.Discard, tp.next())
			if tt.full && (!errors.Is(err, errTapeFull) || n != 0) {
				t.Errorf("playing a full tape = %d, %v; want nothing and errTapeFull", n, err)
			}
			if !tt.full && (err != nil || n != int64(tt.size)) {
				t.Errorf("playing again = %d, %v; want all %d", n, err, tt.size)
			}
		}
	}
}

func TestTapeTakesOverFromAReadUnderWay(t *testing.T) {
	pr, pw := io.Pipe()
	begun := make(chan struct{})
	tp := &tape{src: notify{pr, begun}}
	first := tp.next()
	go func() { _, _ = first.Read(make([]byte, 100)) }()
	<-begun // it waits for the client
	second := tp.next()
	tp.finish() // does not wait for it
	_ = first.Close()
	got := make(chan string)
	go func() {
		b, _ := io.ReadAll(second)
		got <- string(b)
	}()
	go func() {
		_, _ = io.WriteString(pw, "one ")
		_, _ = io.WriteString(pw, "two")
		pw.Close()
	}()
	if s := <-got; s != "one two" {
		t.Errorf("the second take reads %q; want what the first one was given too", s)
	}
}

// notify says when it is read for the first time.
type notify struct {
	io.ReadCloser
	begun chan struct{}
}

func (n notify) Read(p []byte) (int, error) {
	select {
	case <-n.begun:
	default:
		close(n.begun)
	}
	return n.ReadCloser.Read(p)
}

func TestTapeClosesItsSourceOnce(t *testing.T) {
	src := &source{Reader: strings.NewReader("x")}
	tp := &tape{src: src}
	first := tp.next()
	_ = first.Close()
	if src.closed != 0 {
		t.Error("closed with the first take; a second one may come")
	}
	second := tp.next()
	tp.finish()
	if src.closed != 0 {
		t.Error("closed before the last take is over")
	}
	_ = second.Close()
	_ = second.Close()
	if src.closed != 1 {
		t.Errorf("closed %d times; want once", src.closed)
	}
	if _, err := second.Read(make([]byte, 1)); err == nil {
		t.Error("read after close got through")
	}
}

func FuzzTape(f *testing.F) {
	f.Add([]byte("body"), 2, 3)
	f.Add([]byte{}, 0, 1)
	f.Fuzz(func(t *testing.T, body []byte, cut, step int) {
		if cut < 0 || step <= 0 || step > 1<<16 {
			t.Skip()
		}
		tp := &tape{src: &source{Reader: bytes.NewReader(body)}}
		first := tp.next()
		buf := make([]byte, step)
		for read := 0; read < cut; {
			n, err := first.Read(buf)
			read += n
			if err != nil {
				break
			}
		}
		if tp.full.Load() {
			return
		}
		if got, err := io.ReadAll(tp.next()); err != nil || !bytes.Equal(got, body) {
			t.Errorf("played %d bytes, %v; want the %d there are", len(got), err, len(body))
		}
	})
}
