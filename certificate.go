package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-gateway/gatehouse/config"
)

// certificate reads the front door's certificate; nil if there is none.
func certificate(c config.TLS) (*tls.Certificate, error) {
	if c.CertFile == "" {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("GATEHOUSE_TLS_CERT_FILE, GATEHOUSE_TLS_KEY_FILE: %w", err)
	}
	return &cert, nil
}

// tlsConfig shows every new connection the certificate there is now; those that
// are open keep theirs.
func (s *server) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if cert := s.swapped.cert.Load(); cert != nil {
				return cert, nil
			}
			return nil, errors.New("the front door has no certificate")
		},
	}
}

// lastWarnings are how long before its end a certificate is warned of.
var lastWarnings = []time.Duration{21 * 24 * time.Hour, 7 * 24 * time.Hour, 24 * time.Hour, 0}

// warnOfCertificate warns of the certificate's end as it comes nearer.
func (r *reloader) warnOfCertificate(now time.Time) {
	cert := r.swapped.cert.Load()
	if cert == nil || cert.Leaf == nil {
		return
	}
	left, stage := cert.Leaf.NotAfter.Sub(now), 0
	for stage < len(lastWarnings) && left <= lastWarnings[stage] {
		stage++
	}
	if stage > r.aged {
		r.log.Warn("the certificate of the front door expires: put another into GATEHOUSE_TLS_CERT_FILE", "at", cert.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	r.aged = stage
}
