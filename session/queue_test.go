package session_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
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

// deaf is a store that does not answer when asked for a session.
type deaf struct {
	session.Store
	on atomic.Bool
}

func (d *deaf) Lookup(ctx context.Context, sid token.SID) (session.Record, error) {
	if !d.on.Load() {
		return d.Store.Lookup(ctx, sid)
	}
	time.Sleep(hang)
	return session.Record{}, errors.New("timeout")
}

// passing is a Backend of pass-through that has nothing to say.
type passing struct{ session.Backend }

func (passing) Renew(context.Context, token.SID, token.Grant) error { return nil }
func (passing) End(token.SID)                                       {}

func TestRefreshesThatQueueWaitForAHangingStoreOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &deaf{}
		w := newWorld(t, func(o *session.Options) { d.Store, o.Store = o.Store, d })
		w.iss.Backend = passing{}
		set := w.login(session.KindLogin)
		d.on.Store(true)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				began := time.Now()
				_, err := w.refresh(set.Refresh)
				if took := time.Since(began); token.KindOf(err) != token.Unavailable || took > hang {
					t.Errorf("Refresh = %v after %v; want Unavailable in %v", err, took, hang)
				}
			})
		}
		all.Wait()
	})
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
