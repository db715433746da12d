package freeport_test

import (
	"net"
	"strconv"
	"testing"

	"github.com/gatehouse-gateway/gatehouse/tests/freeport"
)

func TestNoPortIsGivenTwice(t *testing.T) {
	seen := map[int]bool{}
	for i := range 300 {
		n := 1 + i%3
		_, text, err := net.SplitHostPort(freeport.Row(t, "127.0.0.1", n))
		if err != nil {
			t.Fatal(err)
		}
		first, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		for port := first; port < first+n; port++ {
			if seen[port] {
				t.Fatalf("port %d was given twice", port)
			}
			seen[port] = true
		}
	}
}

func TestPortInUseIsPassedOver(t *testing.T) {
	_, text, err := net.SplitHostPort(freeport.Address(t, "127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	last, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(last+2)))
	if err != nil {
		t.Skipf("left out: port %d, the one after the next, is in use already", last+2)
	}
	defer l.Close()
	for range 5 {
		if a := freeport.Row(t, "127.0.0.1", 2); a == l.Addr().String() || a == net.JoinHostPort("127.0.0.1", strconv.Itoa(last+1)) {
			t.Errorf("%s, in use, is in the row of two from %s", l.Addr(), a)
		}
	}
}
