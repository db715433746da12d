package admin

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"
)

// healthTimeout is shorter than what container engines give a probe.
const healthTimeout = 3 * time.Second

// Healthcheck asks /healthz of the gateway that listens on adminListen, from
// the same machine or container. It returns nil if the answer is 200.
// adminListen is as in ADMIN_LISTEN; an address that stands for every interface
// is asked on loopback.
func Healthcheck(ctx context.Context, adminListen string) error {
	address, err := Local(adminListen)
	if err != nil {
		return fmt.Errorf("admin: healthcheck: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/healthz", nil)
	if err != nil {
		return fmt.Errorf("admin: healthcheck: %w", err)
	}
	// RoundTrip follows no redirect, and a Transport without Proxy ignores
	// HTTP_PROXY: what is asked is this gateway or nothing.
	t := &http.Transport{DisableKeepAlives: true}
	res, err := t.RoundTrip(r)
	if err != nil {
		return fmt.Errorf("admin: healthcheck: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("admin: healthcheck: %s answers %s", address, res.Status)
	}
	return nil
}

// Local turns an address to listen on into one to call from the same machine.
func Local(listen string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", err
	}
	switch ip := net.ParseIP(host); {
	case host == "", ip.Equal(net.IPv4zero):
		host = "127.0.0.1"
	case ip != nil && ip.IsUnspecified():
		host = "::1"
	}
	return net.JoinHostPort(host, port), nil
}
