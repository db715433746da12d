package session_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/session/sessiontest"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// states returns the keys of a report by state.
func (r *replica) states() map[string][]session.SigningKey {
	r.t.Helper()
	report, err := r.Report(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	m := map[string][]session.SigningKey{}
	for _, k := range report.Signing {
		m[k.State] = append(m[k.State], k)
	}
	return m
}

func (r *replica) rotate(now bool) session.KeyRotation {
	r.t.Helper()
	done, err := r.Rotate(r.t.Context(), now)
	if err != nil {
		r.t.Fatalf("Rotate = %v; want no error", err)
	}
	return done
}

func published(t testing.TB, k *session.Keys) []string {
	t.Helper()
	var set struct{ Keys []struct{ KID string } }
	if err := json.Unmarshal(k.JWKS(), &set); err != nil {
		t.Fatal(err)
	}
	var kids []string
	for _, k := range set.Keys {
		kids = append(kids, k.KID)
	}
	return kids
}

// The states of a key follow the times in the manifest, on every replica at once.
func TestSigningKeyIsPublishedThenSignsThenRetires(t *testing.T) {
	inBubble(t, func(t *testing.T, store *sessiontest.Memory) {
		a, b := startReplica(t, store, "a", oldSecret), startReplica(t, store, "b", oldSecret)
		former, _ := a.keys.Signing()
		hmac := b.keys.For("ipfabric", "users")
		done := a.rotate(false)
		if !done.Begun || !done.From.Equal(time.Now().Add(10*time.Minute).UTC()) {
			t.Errorf("rotation = %+v; want one begun that signs in 10 min", done)
		}
		synctest.Wait()
		check := func(what, signing string, kids ...string) {
			t.Helper()
			synctest.Wait()
			for name, k := range map[string]*session.Keys{"a": a.keys, "b": b.keys, "b's own": hmac} {
				if got, key := k.Signing(); got != signing || session.Thumbprint(&key.PublicKey) != got {
					t.Errorf("%s: %s signs with %s; want %s", what, name, got, signing)
				}
				if got := published(t, k); !slices.Equal(got, kids) {
					t.Errorf("%s: %s publishes %v; want %v", what, name, got, kids)
				}
				for _, kid := range kids {
					if _, err := k.Public(kid); err != nil {
						t.Errorf("%s: %s does not verify %s: %v", what, name, kid, err)
					}
				}
			}
		}
		check("published", former, former, done.KID)
		time.Sleep(10*time.Minute - time.Millisecond)
		check("just before", former, former, done.KID)
		time.Sleep(2 * time.Millisecond)
		check("active", done.KID, done.KID, former)
		if s := a.states(); s["active"][0].KID != done.KID || s["retired"][0].KID != former {
			t.Errorf("states = %+v", s)
		}
		time.Sleep(2*time.Hour + time.Minute - 3*time.Millisecond)
		check("just before the end", done.KID, done.KID, former)
		time.Sleep(beatEvery)
		check("removed", done.KID, done.KID)
		if _, err := b.keys.Public(former); err == nil {
			t.Error("a removed key verifies")
		}
		if s := a.states(); len(s["retired"]) != 0 {
			t.Errorf("states = %+v; want the former one gone from the store", s)
		}
		a.end()
		b.end()
	})
}

func TestHurriedKeySignsAfterASecond(t *testing.T) {
	inBubble(t, func(t *testing.T, store *sessiontest.Memory) {
		a, b := startReplica(t, store, "a", oldSecret), startReplica(t, store, "b", oldSecret)
		slow := a.rotate(false)
		if again := b.rotate(false); again.Begun || again.KID != slow.KID || !again.From.Equal(slow.From) {
			t.Errorf("second rotation = %+v; want %+v, which is under way", again, slow)
		}
		time.Sleep(time.Minute)
		if fast := b.rotate(true); fast.Begun || fast.KID != slow.KID || !fast.From.Equal(time.Now().Add(time.Second).UTC()) {
			t.Errorf("hurried = %+v; want the same key in a second", fast)
		}
		time.Sleep(time.Second + time.Millisecond)
		synctest.Wait()
		for _, r := range []*replica{a, b} {
			if kid, _ := r.keys.Signing(); kid != slow.KID {
				t.Errorf("signs with %s; want %s", kid, slow.KID)
			}
		}
		if next := a.rotate(true); !next.Begun || next.KID == slow.KID {
			t.Errorf("a further rotation = %+v; want a new key", next)
		}
		a.end()
		b.end()
	})
}

func TestOperatorsAtOnceMakeOneRotation(t *testing.T) {
	for _, now := range []bool{false, true} {
		t.Run(fmt.Sprintf("now=%v", now), func(t *testing.T) {
			inBubble(t, func(t *testing.T, store *sessiontest.Memory) {
				a, b := startReplica(t, store, "a", oldSecret), startReplica(t, store, "b", oldSecret)
				done := make(chan session.KeyRotation, 8)
				for _, r := range []*replica{a, b, a, b, a, b, a, b} {
					go func() { done <- r.rotate(now) }()
				}
				begun, kids := 0, map[string]bool{}
				for range cap(done) {
					d := <-done
					kids[d.KID] = true
					if d.Begun {
						begun++
					}
				}
				if s := a.states(); begun != 1 || len(kids) != 1 || len(s["published"]) != 1 || len(s["active"]) != 1 {
					t.Errorf("begun %d, kids %v, states %+v; want one rotation", begun, kids, s)
				}
				a.end()
				b.end()
			})
		})
	}
}

// lateStore is a store that one operator's change reaches late.
type lateStore struct {
	*sessiontest.Memory
	by time.Duration
}

func (s lateStore) Swap(ctx context.Context, old, next string) (bool, error) {
	time.Sleep(s.by)
	return s.Memory.Swap(ctx, old, next)
}

// Another operator's rotation may have come to its end before this one's change
// arrives. It was still the same rotation that both asked for.
func TestRotationThatComesLateIsTheOneThatIsOver(t *testing.T) {
	inBubble(t, func(t *testing.T, memory *sessiontest.Memory) {
		a := startReplica(t, memory, "a", oldSecret)
		late := session.NewKeeper(session.KeeperOptions{Keyring: keyringOf(t, oldSecret), Store: lateStore{memory, 2 * time.Second}})
		if _, err := late.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		done := make(chan session.KeyRotation)
		go func() {
			r, err := late.Rotate(t.Context(), true)
			if err != nil {
				t.Error(err)
			}
			done <- r
		}()
		time.Sleep(time.Second / 2)
		first := a.rotate(true)
		if second := <-done; !first.Begun || second.Begun || second.KID != first.KID {
			t.Errorf("rotations = %+v, %+v; want the second to be the first", first, second)
		}
		a.end()
	})
}

// The manifest is bounded, and says so at the bound.
func TestSixteenSigningKeysAndNoSeventeenth(t *testing.T) {
	inBubble(t, func(t *testing.T, store *sessiontest.Memory) {
		a := startReplica(t, store, "a", oldSecret)
		for range 15 {
			if d := a.rotate(true); !d.Begun {
				t.Fatalf("rotation = %+v; want it begun", d)
			}
			time.Sleep(2 * time.Second)
		}
		if got := len(published(t, a.keys)); got != 16 {
			t.Fatalf("published = %d keys; want 16", got)
		}
		if _, err := a.Rotate(t.Context(), true); err == nil || token.KindOf(err) != token.Denied {
			t.Errorf("one more = %v; want denied", err)
		}
		time.Sleep(2*time.Hour + 2*time.Minute) // the retired ones are gone
		if d := a.rotate(true); !d.Begun {
			t.Errorf("rotation = %+v; want it begun", d)
		}
		a.end()
	})
}

func TestRotationWhoseReplyIsLost(t *testing.T) {
	inBubble(t, func(t *testing.T, store *sessiontest.Memory) {
		a := startReplica(t, store, "a", oldSecret)
		store.LoseReplies()
		if _, err := a.Rotate(t.Context(), false); err == nil || token.KindOf(err) != token.Unavailable {
			t.Fatalf("Rotate = %v; want unavailable", err)
		}
		time.Sleep(2 * beatEvery) // the heartbeat's reply is lost too
		if again := a.rotate(false); again.Begun {
			t.Errorf("the operator's second try = %+v; want the rotation that is under way", again)
		}
		if s := a.states(); len(s["published"]) != 1 {
			t.Errorf("states = %+v; want one new key", s)
		}
		a.Leave(t.Context()) // its reply is lost too
		a.end()
	})
}

// Events may be lost. Who meets a key that is new to it looks before it refuses,
// once a second, and could-not-ask is not no.
func TestUnknownKeyIsLookedForBeforeItIsRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, store *sessiontest.Memory) {
		a := startReplica(t, store, "a", oldSecret)
		deaf, err := session.LoadKeys(t.Context(), store, keyringOf(t, oldSecret))
		if err != nil {
			t.Fatal(err)
		}
		one := a.rotate(false)
		a.end()
		if _, err := deaf.Public(one.KID); err != nil {
			t.Errorf("Public of a new key = %v; want it found in the store", err)
		}
		before := store.Calls()
		for range 100 {
			if _, err := deaf.Public("junk"); err == nil || token.KindOf(err) == token.Unavailable {
				t.Fatalf("Public of junk = %v; want that there is none", err)
			}
		}
		if n := store.Calls() - before; n != 0 {
			t.Errorf("calls for junk within the second = %d; want 0", n)
		}
		time.Sleep(time.Second)
		if deaf.Public("junk"); store.Calls()-before != 1 {
			t.Errorf("calls = %d; want 1 after a second", store.Calls()-before)
		}
		time.Sleep(time.Second)
		store.SetDown(true)
		if _, err := deaf.Public("junk"); token.KindOf(err) != token.Unavailable {
			t.Errorf("Public without the store = %v; want unavailable", err)
		}
		if _, err := deaf.Public(one.KID); err != nil {
			t.Errorf("Public of a known key without the store = %v", err)
		}
	})
}

// A switch needs no store when its time has come, and FLUSHALL takes no key away.
func TestSwitchAndKeysOutliveTheStore(t *testing.T) {
	inBubble(t, func(t *testing.T, store *sessiontest.Memory) {
		a := startReplica(t, store, "a", oldSecret)
		done := a.rotate(false)
		synctest.Wait()
		store.SetDown(true)
		time.Sleep(10*time.Minute + time.Second)
		if kid, _ := a.keys.Signing(); kid != done.KID {
			t.Errorf("signs with %s; want %s", kid, done.KID)
		}
		store.SetDown(false)
		store.Forget()
		time.Sleep(2 * beatEvery)
		b := startReplica(t, store, "b", oldSecret)
		if kid, _ := b.keys.Signing(); kid != done.KID {
			t.Errorf("after everything was lost a new replica signs with %s; want %s", kid, done.KID)
		}
		a.end()
		b.end()
	})
}

func TestForeignSigningKeysStopAReplicaThatRuns(t *testing.T) {
	inBubble(t, func(t *testing.T, store *sessiontest.Memory) {
		a := startReplica(t, store, "a", oldSecret)
		kid, _ := a.keys.Signing()
		store.Forget()
		foreign := sessiontest.NewMemory()
		if _, err := session.LoadKeys(t.Context(), foreign, keyringOf(t, otherSecret)); err != nil {
			t.Fatal(err)
		}
		text, _, err := foreign.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Settle(t.Context(), text); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * beatEvery)
		synctest.Wait()
		if s := a.Standing(); len(s.Waiting) != 1 || !strings.Contains(s.Waiting[0], printOf(t, otherSecret)) {
			t.Errorf("standing = %+v; want it to wait for the secret of the signing keys", s)
		}
		if now, _ := a.keys.Signing(); now != kid {
			t.Errorf("signs with %s; want still %s", now, kid)
		}
		if _, err := a.Rotate(t.Context(), false); token.KindOf(err) != token.Denied {
			t.Errorf("Rotate = %v; want denied", err)
		}
		a.end()
	})
}
