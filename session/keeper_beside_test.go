package session_test

import (
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/session/sessiontest"
)

// beside is a keeper of a replica that serves already, as a new configuration of the
// same process has it.
func beside(t testing.TB, store *sessiontest.Memory, id string, secrets ...string) *session.Keeper {
	t.Helper()
	k := session.NewKeeper(session.KeeperOptions{
		Keyring: keyringOf(t, secrets...), Store: store, Replicas: store, Every: beatEvery, Beside: true,
		Self: session.Replica{ID: id, Host: "gate", Version: "v1", Started: time.Now().UTC()},
	})
	if _, err := k.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return k
}

// Until a new configuration is in use, and for good if it never is, the old one
// speaks for the replica: that it serves, and which secrets it knows.
func TestAConfigurationThatIsNotInUseYetSaysNothing(t *testing.T) {
	for name, next := range map[string][]string{
		"the same secrets": {oldSecret},
		"another secret":   {newSecret, oldSecret},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, store *sessiontest.Memory) {
				a := startReplica(t, store, "a", oldSecret)
				defer a.stop()
				b := startReplica(t, store, "b", newSecret, oldSecret)
				defer b.stop()
				time.Sleep(2 * beatEvery)
				b.uses(oldSecret)
				k := beside(t, store, "a", next...)
				b.Changed() // has it look now
				time.Sleep(time.Millisecond)
				b.uses(oldSecret)
				time.Sleep(3 * beatEvery)
				b.uses(oldSecret)
				if s := a.Standing(); len(s.Waiting) > 0 {
					t.Errorf("the replica waits: %v", s.Waiting)
				}
				a.Rest()
				if err := k.Join(t.Context(), session.Lives{}); err != nil {
					t.Fatal(err)
				}
				b.Changed()
				time.Sleep(time.Millisecond)
				b.uses(next[0])
			})
		})
	}
}
