package upstream

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

func TestConnectionWithoutPlaceIsUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := TransportConfig{Places: make(chan struct{}, 2)}
		for range 2 {
			if err := c.place(t.Context()); err != nil {
				t.Fatalf("place = %v; want one", err)
			}
		}
		began := time.Now()
		err := c.place(t.Context())
		if took := time.Since(began); !errors.Is(err, errNoPlace) || took != dialTimeout {
			t.Fatalf("place = %v after %v; want errNoPlace after %v", err, took, dialTimeout)
		}
		e := unreachable(err)
		if e.Kind != token.Unavailable || e.RetryAfter != time.Second {
			t.Errorf("kind %v, retry after %v; want unavailable, 1s", e.Kind, e.RetryAfter)
		}

		c.Full = func() { <-c.Places } // as closing an idle connection does
		if err := c.place(t.Context()); err != nil {
			t.Errorf("place = %v; want that of the idle connection", err)
		}
		c.Full = nil
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.place(gone); !errors.Is(err, context.Canceled) {
			t.Errorf("place for a caller who is gone = %v; want context.Canceled", err)
		}
	})
}

// A connection that failed, and one that is closed, hold no place.
func TestPlacesAreGivenBack(t *testing.T) {
	c := TransportConfig{Places: make(chan struct{}, 1)}
	for range 3 {
		if _, err := c.dialer()(t.Context(), "tcp", "127.0.0.1:0"); err == nil || len(c.Places) != 0 {
			t.Fatalf("dial to nobody = %v with %d places taken; want an error and 0", err, len(c.Places))
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 3 {
		conn, err := c.dialer()(t.Context(), "tcp", l.Addr().String())
		if err != nil || len(c.Places) != 1 {
			t.Fatalf("dial = %v with %d places taken; want 1", err, len(c.Places))
		}
		conn.Close()
		conn.Close()
		if len(c.Places) != 0 {
			t.Fatalf("a closed connection holds its place")
		}
	}
}
