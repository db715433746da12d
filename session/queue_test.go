package session_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// hanging is a throttle in a store that does not answer.
type hanging struct{ session.Throttle }

const hang = 540 * time.Millisecond

func (h hanging) Allow(context.Context, string, string) (time.Duration, time.Time, error) {
	time.Sleep(hang)
	return 0, time.Time{}, errors.New("timeout")
}

// Of many logins of one account few are tried at once. Those that wait their turn
// while the store hangs do not wait for it once more.
func TestLoginsThatQueueWaitForAHangingStoreOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *session.Options) { o.Throttle = hanging{o.Throttle} })
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				began := time.Now()
				_, err := w.m.Login(t.Context(), w.iss, session.KindLogin, grant("alice", "right"))
				if took := time.Since(began); token.KindOf(err) != token.Unavailable || took > hang {
					t.Errorf("Login = %v after %v; want Unavailable in %v", err, took, hang)
				}
			})
		}
		all.Wait()
	})
}
