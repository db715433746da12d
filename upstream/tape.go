package upstream

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
)

// maxTape is how much of a request's body is kept for a second try.
const maxTape = 64 << 10

var (
	errTakeOver = errors.New("upstream: the request is being sent again")
	errTapeFull = errors.New("upstream: too much of the body was read to send it again")
)

// tape copies a request's body while it is being sent, so that it can be sent
// again: what was copied, then the rest. Reading it all beforehand would lock
// up with a client that sends more only after it has received something.
//
// A transport may still be reading for the first take when the answer is there,
// so a take that is over reads no more, and none can close the body under the
// next one.
type tape struct {
	src  io.ReadCloser
	full atomic.Bool // more was read than kept: it cannot be played again

	reading sync.Mutex // held while src is read or closed
	kept    []byte     // guarded by reading
	size    int        // guarded by reading: how much of src was read
	ended   error      // guarded by reading: how src ended
	closed  bool       // guarded by reading: src is closed

	mu   sync.Mutex
	take *take // guarded by mu: the one that may read
	last bool  // guarded by mu: there will be no further take
}

// take is the body of one try.
type take struct {
	tape *tape
	at   int  // how much of the kept part was read; used by one reader at a time
	done bool // guarded by tape.mu: closed by the transport
}

// next returns the body of a further try; the one before it ends.
func (t *tape) next() *take {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.take = &take{tape: t}
	return t.take
}

// finish says that there will be no further take, so that the body is closed
// when the current one is.
func (t *tape) finish() {
	t.mu.Lock()
	t.last = true
	t.mu.Unlock()
	t.closeIfOver()
}

// closeIfOver closes src once nobody will read it any more. It never waits for
// a read under way, which a slow client can hold up for long: whoever is
// reading comes by here afterwards.
func (t *tape) closeIfOver() {
	t.mu.Lock()
	over := t.last && (t.take == nil || t.take.done)
	t.mu.Unlock()
	if !over || !t.reading.TryLock() {
		return
	}
	defer t.reading.Unlock()
	if !t.closed {
		t.closed = true
		t.src.Close()
	}
}

func (k *take) Close() error {
	k.tape.mu.Lock()
	k.done = true
	k.tape.mu.Unlock()
	k.tape.closeIfOver()
	return nil
}

// live reports whether the take may read.
func (k *take) live() bool {
	k.tape.mu.Lock()
	defer k.tape.mu.Unlock()
	return k.tape.take == k && !k.done
}

func (k *take) Read(p []byte) (int, error) {
	defer k.tape.closeIfOver()
	k.tape.reading.Lock()
	defer k.tape.reading.Unlock()
	return k.read(p)
}

func (k *take) read(p []byte) (int, error) {
	t := k.tape
	switch {
	case !k.live():
		return 0, errTakeOver
	case k.at < len(t.kept):
		n := copy(p, t.kept[k.at:])
		k.at += n
		return n, nil
	case k.at < t.size:
		return 0, errTapeFull
	}
	n, err := t.read(p)
	k.at += n
	return n, err
}

// read reads on in src and keeps what fits. A read that would cross the limit
// stops at it, so that one which a past take began never fills the tape.
func (t *tape) read(p []byte) (int, error) {
	if t.ended != nil {
		return 0, t.ended
	}
	room := maxTape - len(t.kept)
	if !t.full.Load() && room > 0 && len(p) > room {
		p = p[:room]
	}
	n, err := t.src.Read(p)
	t.size += n
	switch {
	case t.full.Load():
	case n > room:
		t.full.Store(true)
		t.kept = nil
	default:
		t.kept = append(t.kept, p[:n]...)
	}
	t.ended = err
	return n, err
}

// repeatable reports whether a request of this kind may be made twice at all.
// The backend answered that it did not accept the caller, so the method does
// not matter; what matters is that the first try is surely over.
func repeatable(r *http.Request) bool {
	h := r.Header
	return len(h["Upgrade"]) == 0 && len(h["Expect"]) == 0 && !strings.HasPrefix(h.Get("Content-Type"), "application/grpc")
}
