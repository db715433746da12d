package session_test

import (
	"context"
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
		{sealed: nil},
		{sealed: counted{}, looked: 1},
		{sealed: counted{session.ErrNotFound}, want: token.Malformed},
		{sealed: counted{sessiontest.ErrDown}, want: token.Unavailable},
	} {
		k := session.NewKeeper(session.KeeperOptions{Keyring: keyringOf(t, oldSecret), Store: sessiontest.NewMemory(), Sealed: c.sealed})
		page, err := k.SealedValues(t.Context(), "")
		if failed := err != nil; failed != (c.want != 0) || failed && token.KindOf(err) != c.want || page.Looked != c.looked {
			t.Errorf("SealedValues = %+v, %v; want kind %v", page, err, c.want)
		}
	}
}
