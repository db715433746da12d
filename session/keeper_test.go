package session_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/seal"
	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/session/sessiontest"
	"github.com/gatehouse-gateway/gatehouse/token"
)

const (
	oldSecret   = "the old secret of all the replicas"
	newSecret   = "the new secret of all the replicas"
	otherSecret = "a secret that nobody else has heard of"
	beatEvery   = 3 * time.Second
)

func keyringOf(t testing.TB, secrets ...string) *seal.Keyring {
	t.Helper()
	var list []token.Secret
	for _, s := range secrets {
		list = append(list, token.NewSecret(s))
	}
	k, err := seal.New(list)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func printOf(t testing.TB, secret string) string { return keyringOf(t, secret).Using() }

// replica is a keeper with what it keeps, as a process has them.
type replica struct {
	*session.Keeper
	t    testing.TB
	ring *seal.Keyring
	keys *session.Keys
	stop func()
}

// tryReplica starts a replica as far as it comes.
func tryReplica(t testing.TB, store *sessiontest.Memory, id string, secrets ...string) (*replica, error) {
	t.Helper()
	r := &replica{t: t, ring: keyringOf(t, secrets...)}
	r.Keeper = session.NewKeeper(session.KeeperOptions{
		Keyring: r.ring, Store: store, Replicas: store, Feed: store, Every: beatEvery,
		Self: session.Replica{ID: id, Host: "gate", Version: "v1", Started: time.Now().UTC()},
	})
	var err error
	if r.keys, err = r.Open(t.Context()); err != nil {
		return nil, err
	}
	if err := r.Join(t.Context(), session.Lives{Signed: 2 * time.Hour, Any: 24 * time.Hour}); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { r.Run(ctx) })
	wg.Go(func() {
		store.Follow(ctx, func(e session.Event) {
			if e.Kind == session.EventKeys {
				r.Changed()
			}
		})
	})
	r.stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	return r, nil
}

func startReplica(t testing.TB, store *sessiontest.Memory, id string, secrets ...string) *replica {
	t.Helper()
	r, err := tryReplica(t, store, id, secrets...)
	if err != nil {
		t.Fatalf("replica %s does not start: %v", id, err)
	}
	return r
}

// restart stops a replica in good order and starts it with another list.
func (r *replica) restart(store *sessiontest.Memory, id string, secrets ...string) *replica {
	r.t.Helper()
	r.end()
	return startReplica(r.t, store, id, secrets...)
}

func (r *replica) end() {
	if _, err := r.Leave(r.t.Context()); err != nil {
		r.t.Error(err)
	}
	r.stop()
}

func inBubble(t *testing.T, do func(t *testing.T, store *sessiontest.Memory)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { do(t, sessiontest.NewMemory()) })
}

func (r *replica) uses(secret string) {
	r.t.Helper()
	if got, want := r.ring.Using(), printOf(r.t, secret); got != want {
		r.t.Errorf("makes new values with %s; want %s", got, want)
	}
}

// Whatever step of a rolling change two replicas are at, what one makes the other
// can check: added at the front on one, nobody uses the new secret.
func TestNewSecretWaitsUntilAllKnowIt(t *testing.T) {
	inBubble(t, func(t *testing.T, store *sessiontest.Memory) {
		a, b := startReplica(t, store, "a", oldSecret), startReplica(t, store, "b", oldSecret)
		a = a.restart(store, "a2", newSecret, oldSecret)
		a.uses(oldSecret)
		time.Sleep(beatEvery)
		synctest.Wait()
		if s := b.Standing(); len(s.Waiting) != 0 || len(s.Degraded) != 1 || !strings.Contains(s.Degraded[0], printOf(t, newSecret)) {
			t.Errorf("standing of the one that lacks it = %+v; want it degraded", s)
		}
		b = b.restart(store, "b2", newSecret, oldSecret)
		b.uses(newSecret)
		time.Sleep(beatEvery)
		synctest.Wait()
		a.uses(newSecret)
		if s := b.Standing(); len(s.Waiting)+len(s.Degraded) != 0 {
			t.Errorf("standing = %+v; want nothing", s)
		}
		a.end()
		b.end()
	})
}

// A crashed replica has no say once it has missed three beats, and until then it has.
func TestReplicaThatIsGoneHasNoSay(t *testing.T) {
	inBubble(t, func(t *testing.T, store *sessiontest.Memory) {
		dead := startReplica(t, store, "dead", oldSecret)
		dead.stop()
		a := startReplica(t, store, "a", newSecret, oldSecret)
		time.Sleep(2 * beatEvery)
		synctest.Wait()
		a.uses(oldSecret)
		time.Sleep(2 * beatEvery)
		synctest.Wait()
		a.uses(newSecret)
		a.end()
	})
}

func TestReplicaWithoutTheSecretInUseDoesNotStart(t *testing.T) {
	inBubble(t, func(t *testing.T, store *sessiontest.Memory) {
		a := startReplica(t, store, "a", newSecret, oldSecret)
		_, err := tryReplica(t, store, "b", oldSecret)
		if err == nil || !strings.Contains(err.Error(), printOf(t, newSecret)) || !strings.Contains(err.Error(), "GATEHOUSE_SECRET") || !strings.Contains(err.Error(), "gate/a") {
			t.Errorf("start = %v; want it refused with the replica, the secret and the setting", err)
		}
		time.Sleep(beatEvery)
		synctest.Wait()
		a.uses(newSecret) // one that does not serve has no say
		if s := a.Standing(); len(s.Waiting)+len(s.Degraded) != 0 {
			t.Errorf("standing of the others = %+v; want nothing", s)
		}
		b := startReplica(t, store, "b", oldSecret, newSecret)
		b.uses(oldSecret)
		a.end()
		b.end()
	})
}

// A replica that was away while the others went on is not ready when it comes back.
func TestReplicaThatMissedTheSwitchIsNotReady(t *testing.T) {
	inBubble(t, func(t *testing.T, store *sessiontest.Memory) {
		b := startReplica(t, store, "b", oldSecret)
		a := startReplica(t, store, "a", newSecret, oldSecret)
		b.stop() // as SIGSTOP does
		time.Sleep(4 * beatEvery)
		synctest.Wait()
		a.uses(newSecret)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { b.Run(ctx) })
		time.Sleep(beatEvery)
		synctest.Wait()
		if s := b.Standing(); len(s.Waiting) != 1 || !strings.Contains(s.Waiting[0], printOf(t, newSecret)) {
			t.Errorf("standing = %+v; want it to wait for the secret", s)
		}
		time.Sleep(beatEvery)
		synctest.Wait()
		a.uses(newSecret)
		cancel()
		wg.Wait()
		a.end()
	})
}

// Removing a secret that nobody uses is no reason to wait, and the signing keys do
// not hang on it any more.
func TestRemovedSecretIsNotMissed(t *testing.T) {
	inBubble(t, func(t *testing.T, store *sessiontest.Memory) {
		a, b := startReplica(t, store, "a", oldSecret), startReplica(t, store, "b", oldSecret)
		a = a.restart(store, "a2", oldSecret, newSecret)
		b = b.restart(store, "b2", oldSecret, newSecret)
		a = a.restart(store, "a3", newSecret, oldSecret)
		b = b.restart(store, "b3", newSecret, oldSecret)
		time.Sleep(beatEvery)
		synctest.Wait()
		kid, _ := a.keys.Signing()
		a = a.restart(store, "a4", newSecret)
		b = b.restart(store, "b4", newSecret)
		if now, _ := b.keys.Signing(); now != kid {
			t.Errorf("signs with %s; want still %s", now, kid)
		}
		report, err := a.Report(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(report.Secrets, func(s session.Secret) bool { return s.Fingerprint == printOf(t, oldSecret) })
		if i < 0 {
			t.Fatalf("secrets = %+v; want the old one remembered", report.Secrets)
		}
		old := report.Secrets[i]
		if old.Place != 0 || old.Using || old.Keys != 0 || len(old.Unknown) != 2 || !old.Safe.Equal(old.Last.Add(24*time.Hour)) {
			t.Errorf("old secret = %+v; want it out of use and safe a day after its last use", old)
		}
		if s := report.Secrets[0]; s.Place != 1 || !s.Using || s.Keys != 1 || len(s.Unknown) != 0 || !s.Safe.IsZero() {
			t.Errorf("new secret = %+v; want it in use, with the signing key", s)
		}
		a.end()
		b.end()
	})
}

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

func TestLastOneAliveKnowsIt(t *testing.T) {
	inBubble(t, func(t *testing.T, store *sessiontest.Memory) {
		a, b := startReplica(t, store, "a", oldSecret), startReplica(t, store, "b", oldSecret)
		if last, err := a.Leave(t.Context()); err != nil || last {
			t.Errorf("Leave = %v, %v; want false: another one is alive", last, err)
		}
		time.Sleep(beatEvery)
		store.SetDown(true)
		if last, err := b.Leave(t.Context()); err == nil || last {
			t.Errorf("Leave without the store = %v, %v; want false and an error", last, err)
		}
		store.SetDown(false)
		if last, err := b.Leave(t.Context()); err != nil || !last {
			t.Errorf("Leave = %v, %v; want true", last, err)
		}
		a.stop()
		b.stop()
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

// counted is a Sealed of one page.
type counted struct{ err error }

func (c counted) Sealed(context.Context, string) (session.SealedPage, error) {
	return session.SealedPage{Looked: 1}, c.err
}

func TestSealedValuesTellWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		sealed session.Sealed
		want   token.Kind
		looked int
	}{
		{sealed: nil}, {sealed: counted{}, looked: 1},
		{sealed: counted{session.ErrNotFound}, want: token.Malformed}, {sealed: counted{sessiontest.ErrDown}, want: token.Unavailable},
	} {
		k := session.NewKeeper(session.KeeperOptions{Keyring: keyringOf(t, oldSecret), Store: sessiontest.NewMemory(), Sealed: c.sealed})
		page, err := k.SealedValues(t.Context(), "")
		if failed := err != nil; failed != (c.want != 0) || failed && token.KindOf(err) != c.want || page.Looked != c.looked {
			t.Errorf("SealedValues = %+v, %v; want kind %v", page, err, c.want)
		}
	}
}
