package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// TransportConfig says how to connect to a backend.
type TransportConfig struct {
	CAFile             string        // PEM certificates to trust instead of the system's; empty: the system's
	ServerName         string        // the name that the certificate must be for; empty: the URL's host
	InsecureSkipVerify bool          // trust any certificate: for trying things out only
	HeaderTimeout      time.Duration // how long response headers are waited for; 0: 120 s
	// Places has one for each connection that may be open at once, over all
	// transports that share it; nil: there is no bound. Full, if it is not nil, is
	// called when a connection finds none: it should close idle ones.
	Places chan struct{}
	Full   func()
}

// Limits of a transport.
const (
	dialTimeout          = 2 * time.Second
	handshakeTimeout     = 3 * time.Second
	defaultHeaderTimeout = 120 * time.Second
	idlePerHost          = 256
	idleTimeout          = 60 * time.Second
	maxHeaderBytes       = 64 << 10
)

// NewTransport returns a transport tuned for one backend. It goes through no
// proxy of the environment and unpacks no body. The error names the CA file with
// the user id and the file mode that keep it from being read.
func NewTransport(c TransportConfig) (*http.Transport, error) {
	conf := &tls.Config{ServerName: c.ServerName, InsecureSkipVerify: c.InsecureSkipVerify, MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		pool, err := readCAs(c.CAFile)
		if err != nil {
			return nil, err
		}
		conf.RootCAs = pool
	}
	if c.HeaderTimeout <= 0 {
		c.HeaderTimeout = defaultHeaderTimeout
	}
	return &http.Transport{
		DialContext:            c.dialer(),
		TLSClientConfig:        conf,
		TLSHandshakeTimeout:    handshakeTimeout,
		ResponseHeaderTimeout:  c.HeaderTimeout,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    idlePerHost,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		ExpectContinueTimeout:  time.Second,
		ForceAttemptHTTP2:      true,
	}, nil
}

// errNoPlace is what a connection gets that found no place in time.
var errNoPlace = errors.New("no place for another connection")

type dial func(ctx context.Context, network, addr string) (net.Conn, error)

// dialer returns what makes connections: each by asking the name service anew,
// and only with a place for it.
func (c TransportConfig) dialer() dial {
	direct := (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext
	if c.Places == nil {
		return direct
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if err := c.place(ctx); err != nil {
			return nil, err
		}
		conn, err := direct(ctx, network, addr)
		if err != nil {
			<-c.Places
			return nil, err
		}
		return &placed{Conn: conn, leave: sync.OnceFunc(func() { <-c.Places })}, nil
	}
}

// place waits for a free one, for as long as making a connection may take.
func (c TransportConfig) place(ctx context.Context) error {
	select {
	case c.Places <- struct{}{}:
		return nil
	default:
	}
	if c.Full != nil {
		c.Full()
	}
	select {
	case c.Places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(dialTimeout):
		return errNoPlace
	}
}

// placed is a connection that gives its place back.
type placed struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (p *placed) Close() error {
	defer p.leave()
	return p.Conn.Close()
}

func readCAs(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		mode := "no mode is known"
		if info, statErr := os.Stat(file); statErr == nil {
			mode = "mode " + info.Mode().String()
		}
		return nil, fmt.Errorf("upstream: ca_file as uid %d, %s: %w", os.Getuid(), mode, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("upstream: ca_file %s holds no PEM certificate", file)
	}
	return pool, nil
}
