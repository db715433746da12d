package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
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

// line is one connection. The library looks through it at the socket, to see
// whether the other end is gone.
type line struct {
	net.Conn

	of *lines
}

// dialer returns what the library is to connect by.
func (l *lines) dialer(conf *tls.Config) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		one := &line{conn, l}
		l.mu.Lock()
		l.open[one] = struct{}{}
		l.mu.Unlock()
		if conf == nil {
			return one, nil
		}
		return shake(ctx, one, addr, conf)
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

var errNoSocket = errors.New("redisstore: the connection has no socket")

// SyscallConn implements syscall.Conn.
func (c *line) SyscallConn() (syscall.RawConn, error) {
	s, ok := c.Conn.(syscall.Conn)
	if !ok {
		return nil, errNoSocket
	}
	return s.SyscallConn()
}
