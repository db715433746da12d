package sessiontest_test

import (
	"testing"

	"github.com/gatehouse-gateway/gatehouse/session/sessiontest"
)

func TestMemoryKeepsTheContract(t *testing.T) {
	sessiontest.Run(t, func(testing.TB) sessiontest.Subject {
		m := sessiontest.NewMemory()
		return sessiontest.Subject{
			Store: m, Index: m, Roll: m, Throttle: m, Keys: m, Replicas: m, Codes: m, Feed: m, Tries: m, Pushes: m, LoseReplies: m.LoseReplies,
		}
	})
}
