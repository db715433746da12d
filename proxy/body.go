package proxy

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// How long a request's body may take to arrive. Whoever may send one to the
// gateway itself need not have logged in, so nobody may hold a connection by one
// that never ends; net/http waits for it without a limit, before and after the
// answer. Bodies on their way to a backend take the time they take.
const (
	bodyTime = 10 * time.Second // of a body that the gateway reads or leaves unread
	restTime = 5 * time.Second  // of what a backend's answer left unread
)

// body is the body of a request, with a deadline on the connection until it was
// read to its end. A deadline that stays behind does no harm: net/http sets its
// own for the next request.
type body struct {
	io.ReadCloser
	conn   *http.ResponseController
	failed atomic.Bool // reading it failed: the client's fault, not the backend's
}

// watchBody sets the deadline for a request that has a body.
func (x *exchange) watchBody() {
	if x.r.Body == nil || x.r.Body == http.NoBody || x.r.ContentLength == 0 {
		return
	}
	x.body = &body{ReadCloser: x.r.Body, conn: http.NewResponseController(x.w)}
	x.r.Body = x.body
	x.body.within(bodyTime)
}

// within gives the rest of the body so long, 0 for as long as it takes. A writer
// that knows no deadlines is one of a test.
func (b *body) within(d time.Duration) {
	at := time.Time{}
	if d > 0 {
		at = time.Now().Add(d)
	}
	_ = b.conn.SetReadDeadline(at)
}

// Read takes the deadline away at the end of the body: net/http then reads on to
// notice a client that goes away, and would take a deadline for that.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		b.within(0)
	default:
		b.failed.Store(true)
	}
	return n, err
}
