package redisstore

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"syscall"
)

// lines are the open connections to Redis and Sentinels. The library keeps them in
// pools of its own and closes only those whose failure it sees itself.
type lines struct {
	mu   sync.Mutex
	open map[*line]struct{} // guarded by mu
}

// line is one connection.
type line struct {
	net.Conn

	of *lines
}

// socket is a line of a real socket. The library looks through it, to see whether
// the other end is gone.
type socket struct {
	*line
	syscall.Conn
}

// dial connects to an address.
type dial func(ctx context.Context, network, addr string) (net.Conn, error)

// dialer returns what the library is to connect by: by, or the network if that is
// nil.
func (l *lines) dialer(by dial, conf *tls.Config) dial {
	if by == nil {
		by = new(net.Dialer).DialContext
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		conn, err := by(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		one := &line{conn, l}
		l.mu.Lock()
		l.open[one] = struct{}{}
		l.mu.Unlock()
		if conf != nil {
			return shake(ctx, one, addr, conf)
		}
		if s, ok := conn.(syscall.Conn); ok {
			return socket{one, s}, nil
		}
		return one, nil
	}
}

// shake begins TLS, with the host that was dialled where the settings name none.
func shake(ctx context.Context, one *line, addr string, conf *tls.Config) (net.Conn, error) {
	if conf.ServerName == "" {
		conf = conf.Clone()
		conf.ServerName, _, _ = net.SplitHostPort(addr)
	}
	secure := tls.Client(one, conf)
	if err := secure.HandshakeContext(ctx); err != nil {
		one.Close()
		return nil, err
	}
	return secure, nil
}

// hangUp closes all connections. Calls under way fail, and are tried again on new
// ones.
func (l *lines) hangUp() {
	l.mu.Lock()
	open := l.open
	l.open = map[*line]struct{}{}
	l.mu.Unlock()
	for one := range open {
		one.Conn.Close()
	}
}

// Close closes the connection.
func (c *line) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}
