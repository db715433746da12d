package proxy

import (
	"crypto/rand"
	"encoding/binary"
)

// maxFrameHead is the longest head of a frame: two bytes, a length of eight and
// a masking key of four.
const maxFrameHead = 14

// opClose is the opcode of a close frame.
const opClose = 0x8

// frames follows one direction of a WebSocket (RFC 6455 section 5.2) as far as
// it takes to know where a frame ends. It neither unmasks nor judges anything:
// that is for the two ends. The zero value stands before the first frame.
type frames struct {
	head   [maxFrameHead]byte
	have   int    // bytes of the head so far
	left   uint64 // bytes of the payload still to come
	closed bool   // a close frame has gone by as a whole
}

// next takes the bytes of p that belong to the frame under way, or to the one
// that begins with p, and returns how many they are.
func (f *frames) next(p []byte) int {
	n := 0
	for n < len(p) && f.have < f.headLen() {
		f.head[f.have] = p[n]
		f.have++
		n++
		if f.have == f.headLen() {
			f.left = f.payload()
		}
	}
	if f.have < f.headLen() {
		return n
	}
	take := min(uint64(len(p)-n), f.left)
	n += int(take)
	if f.left -= take; f.left == 0 {
		f.closed = f.closed || f.head[0]&0x0f == opClose
		f.have = 0
	}
	return n
}

// between reports whether no frame is under way.
func (f *frames) between() bool { return f.have == 0 }

// headLen is how long the head is, as far as its bytes so far tell.
func (f *frames) headLen() int {
	if f.have < 2 {
		return 2
	}
	n := 2
	switch f.head[1] & 0x7f {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if f.head[1]&0x80 != 0 {
		n += 4
	}
	return n
}

// payload is the length that a whole head tells.
func (f *frames) payload() uint64 {
	switch n := f.head[1] & 0x7f; n {
	case 126:
		return uint64(binary.BigEndian.Uint16(f.head[2:]))
	case 127:
		return binary.BigEndian.Uint64(f.head[2:])
	default:
		return uint64(n)
	}
}

// closeFrame is a close frame (RFC 6455 section 5.5.1). What a client sends is
// masked by a key that nobody can guess (section 5.3), and towards the backend the gateway
// is the client.
func closeFrame(why Closing, masked bool) []byte {
	body := append(binary.BigEndian.AppendUint16(nil, uint16(why)), why.String()...)
	frame := []byte{0x80 | opClose, byte(len(body))}
	if !masked {
		return append(frame, body...)
	}
	var key [4]byte
	rand.Read(key[:])
	frame[1] |= 0x80
	frame = append(frame, key[:]...)
	for i, c := range body {
		frame = append(frame, c^key[i%4])
	}
	return frame
}
