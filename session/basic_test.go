package session_test

import (
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

func TestBasicIsProvedOnceAMinute(t *testing.T) {
	in(t, func(w *world) {
		done := make(chan error, 50)
		for range 50 {
			go func() { _, err := w.m.Basic(w.Context(), w.iss, grant("alice", "right")); done <- err }()
		}
		for range 50 {
			if err := <-done; err != nil {
				w.Errorf("Basic = %v; want no error", err)
			}
		}
		sleep(59 * time.Second)
		s, err := w.m.Basic(w.Context(), w.iss, grant("alice", "right"))
		if err != nil || s.Kind != session.KindBasic || w.people.proofs != 1 {
			w.Fatalf("Basic = %+v, %v after %d proofs; want one proof", s, err, w.people.proofs)
		}
		sleep(time.Second)
		if _, err := w.m.Basic(w.Context(), w.iss, grant("alice", "right")); err != nil || w.people.proofs != 2 {
			w.Errorf("Basic after a minute = %v, %d proofs; want 2", err, w.people.proofs)
		}
	})
}

func TestBasicRefusalIsRememberedFiveSeconds(t *testing.T) {
	in(t, func(w *world) {
		for range 5 {
			_, err := w.m.Basic(w.Context(), w.iss, grant("alice", "wrong"))
			w.refused(err, token.BadCredentials)
		}
		sleep(5 * time.Second)
		_, err := w.m.Basic(w.Context(), w.iss, grant("alice", "wrong"))
		w.refused(err, token.BadCredentials)
		if w.people.proofs != 2 {
			w.Errorf("proofs = %d; want 2, one in five seconds", w.people.proofs)
		}
	})
}

func TestEndedBasicSessionIsProvedAgain(t *testing.T) {
	in(t, func(w *world) {
		b := &backend{}
		w.iss.Backend, w.iss.Source = b, "backend:fabric"
		s, err := w.m.Basic(w.Context(), w.iss, grant("alice", "right"))
		if err != nil {
			w.Fatal(err)
		}
		if err := w.m.End(w.Context(), s.SID, "revoked"); err != nil {
			w.Fatal(err)
		}
		next, err := w.m.Basic(w.Context(), w.iss, grant("alice", "right"))
		if err != nil || next.SID == s.SID || w.people.proofs != 2 {
			w.Errorf("Basic = %v, %d proofs; want a new session", err, w.people.proofs)
		}
		sleep(3 * time.Minute)
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.ended) == 0 || b.ended[len(b.ended)-1] != next.SID {
			w.Errorf("backend sessions ended: %v; want %v too", b.ended, next.SID)
		}
	})
}
