package upstreamtest_test

import (
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/upstream/upstreamtest"
)

func TestMemoryKeepsTheContract(t *testing.T) {
	upstreamtest.Run(t, func(*testing.T) upstreamtest.Fixture {
		m := upstreamtest.NewMemory()
		return upstreamtest.Fixture{
			Store: m, Pins: m, Duties: m, Challenges: m,
			OpenSession: m.OpenSession, RevokeSession: m.RevokeSession, DropSession: m.DropSession,
			Advance: func(d time.Duration) { <-time.After(d) },
		}
	})
}
