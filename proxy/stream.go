package proxy

import (
	"io"
	"net/http"
	"strings"
)

// watch has an answer that may go on for long (a WebSocket, server-sent events,
// gRPC) end with the session it was given to.
func (p *Proxy) watch(x *exchange, res *http.Response) {
	if x.session == nil || x.session.SID.IsZero() || !streams(res) {
		return
	}
	body := res.Body
	stop := p.o.Sessions.Watch(x.session.SID, func() { go body.Close() }) // Close may wait for a write
	if tunnel, ok := body.(io.ReadWriteCloser); ok {
		res.Body = &watchedTunnel{tunnel, stop}
		return
	}
	res.Body = &watchedBody{body, stop}
}

// streams reports whether an answer has no end of its own.
func streams(res *http.Response) bool {
	return res.StatusCode == http.StatusSwitchingProtocols || isGRPC(res.Header) ||
		strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream")
}

type watchedBody struct {
	io.ReadCloser
	stop func()
}

func (b *watchedBody) Close() error {
	b.stop()
	return b.ReadCloser.Close()
}

// watchedTunnel is a watchedBody of a 101, which is written to as well.
type watchedTunnel struct {
	io.ReadWriteCloser
	stop func()
}

func (b *watchedTunnel) Close() error {
	b.stop()
	return b.ReadWriteCloser.Close()
}
