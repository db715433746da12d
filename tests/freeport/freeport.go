// Package freeport finds ports for the processes that tests start.
package freeport

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
)

// The ports given away lie below those that the system gives away by itself, on
// Linux from 32768 on. So no connection takes one between the moment a test asks
// for it and that at which the test's process listens there.
const (
	lowest = 10_000
	ports  = 22_000
)

// Every port is given away once in a round, so that tests that run side by side
// do not meet; the rounds of test binaries begin in different places.
var (
	first = rand.IntN(ports)
	given atomic.Int64
)

// Address returns an address of host, an IP address, where nobody listens.
func Address(t testing.TB, host string) string {
	t.Helper()
	return Row(t, host, 1)
}

// Row returns an address of host at whose port, and the n-1 ports after it, nobody
// listens.
func Row(t testing.TB, host string, n int) string {
	t.Helper()
	for range 100 {
		port := lowest + (first+int(given.Add(int64(n)))-n)%ports
		if free(t, host, port, n) {
			return net.JoinHostPort(host, strconv.Itoa(port))
		}
	}
	t.Fatalf("no %d ports in a row are free on %s", n, host)
	return ""
}

// free reports whether nobody listens on n ports from port on.
func free(t testing.TB, host string, port, n int) bool {
	t.Helper()
	for p := port; p < port+n; p++ {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort(host, strconv.Itoa(p)))
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}
