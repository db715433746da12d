package upstream_test

import (
	"net/http"
	"testing"

	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream"
)

// instant answers at once, so that only the Backend is measured.
func instant(c *upstream.Config) {
	inner := c.Transport
	answer := &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody}
	c.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.URL.Path == "/api/v7.0/snapshots" {
			return answer, nil
		}
		return inner.RoundTrip(r)
	})
}

func BenchmarkRoundTripAccount(b *testing.B) {
	w := newWorld(b, instant)
	benchmark(b, w, anyone)
}

func BenchmarkRoundTripPassThrough(b *testing.B) {
	w := newWorld(b, func(c *upstream.Config) {
		instant(c)
		c.Account = nil
	})
	benchmark(b, w, as(w.signIn(b)))
}

func benchmark(b *testing.B, w *world, c token.Caller) {
	w.wantGet(b, c, 200)
	r := request(b, c, http.MethodGet, nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.RoundTrip(r); err != nil {
			b.Fatal(err)
		}
	}
}
