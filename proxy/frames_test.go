package proxy

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// frame writes one frame with a payload of n bytes.
func frame(opcode byte, n int, masked bool) []byte {
	b := []byte{0x80 | opcode, 0}
	switch {
	case n > 0xffff:
		b = binary.BigEndian.AppendUint64([]byte{b[0], 127}, uint64(n))
	case n > 125:
		b = binary.BigEndian.AppendUint16([]byte{b[0], 126}, uint16(n))
	default:
		b[1] = byte(n)
	}
	if masked {
		b[1] |= 0x80
		b = append(b, 1, 2, 3, 4)
	}
	return append(b, bytes.Repeat([]byte{0x88}, n)...) // what looks like a close frame is none inside another
}

func TestFrameEndsAreFoundHoweverTheBytesCome(t *testing.T) {
	for _, masked := range []bool{false, true} {
		var text []byte
		var want []int
		for _, n := range []int{0, 1, 125, 126, 127, 0xffff, 0x10000, 0} {
			text = append(text, frame(0x2, n, masked)...)
			want = append(want, len(text))
		}
		for _, piece := range []int{1, 2, 3, 5, 9, 13, 14, 15, 4096, len(text)} {
			var f frames
			var got []int
			for at := 0; at < len(text); {
				end := min(at+piece, len(text))
				for at < end {
					n := f.next(text[at:end])
					if at += n; f.between() {
						got = append(got, at)
					}
				}
			}
			if diff := cmp.Diff(got, want); diff != "" {
				t.Errorf("masked %v, pieces of %d: ends (-got +want):\n%s", masked, piece, diff)
			}
			if f.closed {
				t.Errorf("masked %v, pieces of %d: a close frame was seen; there is none", masked, piece)
			}
		}
	}
}

func TestCloseFrameIsKnownWhenItIsThrough(t *testing.T) {
	text := frame(opClose, 2, true)
	var f frames
	f.next(text[:len(text)-1])
	if f.closed {
		t.Error("it counts before its last byte")
	}
	f.next(text[len(text)-1:])
	if !f.closed {
		t.Error("it does not count")
	}
}

// A length with its highest bit set is against the RFC: no end is ever found,
// and nothing is written into it.
func TestAbsurdLengthHasNoEnd(t *testing.T) {
	f := frames{}
	head := []byte{0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	if n := f.next(append(head, make([]byte, 1<<20)...)); n != len(head)+1<<20 || f.between() {
		t.Errorf("next = %d, between %v; want all of it, and no end", n, f.between())
	}
}

func TestCloseFramesSayWhy(t *testing.T) {
	for _, why := range []Closing{GoingAway, SessionOver, ServiceRestart} {
		for _, masked := range []bool{false, true} {
			b := closeFrame(why, masked)
			var f frames
			if n := f.next(b); n != len(b) || !f.between() || !f.closed {
				t.Fatalf("%d, masked %v: %x is not one close frame", why, masked, b)
			}
			body := b[2:]
			if masked {
				key := b[2:6]
				body = bytes.Clone(b[6:])
				for i := range body {
					body[i] ^= key[i%4]
				}
			}
			if len(body) > 125 || binary.BigEndian.Uint16(body) != uint16(why) || string(body[2:]) != why.String() || why.String() == "" {
				t.Errorf("%d, masked %v: body %q", why, masked, body)
			}
		}
	}
}

// whole reads frames one after the other, with all bytes at hand.
func whole(p []byte) (ends []int) {
	at := 0
	for at+2 <= len(p) {
		n, head := uint64(p[at+1]&0x7f), 2
		switch n {
		case 126:
			head = 4
		case 127:
			head = 10
		}
		if at+head > len(p) {
			return ends
		}
		switch head {
		case 4:
			n = uint64(binary.BigEndian.Uint16(p[at+2:]))
		case 10:
			n = binary.BigEndian.Uint64(p[at+2:])
		}
		if p[at+1]&0x80 != 0 {
			head += 4
		}
		if at+head > len(p) || n > uint64(len(p)-at-head) {
			return ends
		}
		at += head + int(n)
		ends = append(ends, at)
	}
	return ends
}

func FuzzFrames(f *testing.F) {
	f.Add(frame(1, 3, false), uint8(1))
	f.Add(append(frame(2, 126, true), frame(opClose, 2, true)...), uint8(3))
	f.Add(append(frame(9, 0, false), frame(0, 70000, false)...), uint8(200))
	f.Fuzz(func(t *testing.T, p []byte, piece uint8) {
		var fr frames
		var got []int
		for at := 0; at < len(p); {
			end := min(at+int(piece)+1, len(p))
			for at < end {
				n := fr.next(p[at:end])
				if n < 1 || n > end-at {
					t.Fatalf("next took %d of %d bytes", n, end-at)
				}
				if at += n; fr.between() {
					got = append(got, at)
				}
			}
		}
		if diff := cmp.Diff(got, whole(p)); diff != "" {
			t.Errorf("ends (-got +want):\n%s", diff)
		}
	})
}

// within reports whether ch is closed in time.
func within(ch <-chan struct{}, d time.Duration) bool {
	select {
	case <-ch:
		return true
	case <-time.After(d):
		return false
	}
}
