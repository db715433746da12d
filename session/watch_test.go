package session_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

func TestStreamHearsOfTheEndOfItsSession(t *testing.T) {
	for name, end := range map[string]func(*world, token.SID){
		"revoked": func(w *world, sid token.SID) {
			if err := w.m.End(w.Context(), sid, "revoked"); err != nil {
				w.Fatal(err)
			}
		},
		"expired": func(*world, token.SID) { time.Sleep(2 * time.Hour) },
		"user gone": func(w *world, _ token.SID) {
			w.people.set(func() { w.people.gone = true })
		},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(w *world) {
				w.iss.RefreshTTL = time.Hour
				s := w.alive(w.login(session.KindLogin).Access)
				told, stopped, late := 0, 0, 0
				stop := w.m.Watch(s.SID, func() { told++ })
				defer stop()
				w.m.Watch(s.SID, func() { stopped++ })()
				time.Sleep(time.Minute)
				synctest.Wait()
				if told != 0 {
					w.Fatal("told of an end while the session lives")
				}
				end(w, s.SID)
				time.Sleep(6 * time.Second)
				synctest.Wait()
				if told != 1 || stopped != 0 {
					w.Errorf("told %d times, and %d after stop; want 1 and 0", told, stopped)
				}
				w.m.Watch(s.SID, func() { late++ })
				time.Sleep(6 * time.Second)
				synctest.Wait()
				if late != 1 {
					w.Errorf("a watch on an ended session was told %d times; want 1", late)
				}
			})
		})
	}
}

func TestStreamOutlivesAnOutageOfTheStore(t *testing.T) {
	in(t, func(w *world) {
		s := w.alive(w.login(session.KindLogin).Access)
		told := 0
		defer w.m.Watch(s.SID, func() { told++ })()
		w.store.SetDown(true)
		time.Sleep(5 * time.Minute)
		w.store.SetDown(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		if told != 0 {
			w.Error("an outage ended a stream")
		}
	})
}
