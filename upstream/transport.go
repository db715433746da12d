package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

// TransportConfig says how to connect to a backend.
type TransportConfig struct {
	CAFile             string        // PEM certificates to trust instead of the system's; empty: the system's
	ServerName         string        // the name that the certificate must be for; empty: the URL's host
	InsecureSkipVerify bool          // trust any certificate: for trying things out only
	HeaderTimeout      time.Duration // how long response headers are waited for; 0: 120 s
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
		DialContext:            (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext,
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
