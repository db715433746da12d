package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-gateway/gatehouse/seal"
)

const (
	// missedBeats make a replica count as gone.
	missedBeats  = 3
	defaultEvery = 3 * time.Second
	// beatTries bound how often one beat is said again because of its answer.
	beatTries = 4
	keepLimit = time.Second // of one turn of the keeper's
)

// KeeperOptions are what a Keeper is made of.
type KeeperOptions struct {
	Keyring  *seal.Keyring
	Store    KeyStore
	Replicas Replicas // nil: nobody else uses the store
	Sealed   Sealed   // nil: nothing that is sealed can be counted
	Feed     Feed     // nil: others hear of a rotation when they next look
	// Self is this process: ID, Host, Version and Started.
	Self  Replica
	Every time.Duration // between heartbeats; 0: 3 s
	// PublishFor is how long a new signing key is published before it signs; 0: 10 min.
	PublishFor time.Duration
	// KeepFor is how long a retired one still verifies; 0: as long as the longest
	// token that it signs, and at least an hour.
	KeepFor time.Duration
	// Beside says that another Keeper speaks for the same replica until this one
	// joins, so that this one only listens until then.
	Beside bool
	Log    *slog.Logger // nil: nothing is logged
}

// Keeper has this replica use the same keys as the others: it tells them which
// secrets it knows, makes new values with the first one that all of them know,
// and switches signing keys when their time has come. It is safe for concurrent
// use.
type Keeper struct {
	o       KeeperOptions
	keys    *Keys
	changed chan struct{} // somebody changed the manifest
	left    chan struct{} // closed by Leave
	leaving sync.Once
	longest Lives

	mu       sync.Mutex // held over the calls of one turn; guards all below
	want     string     // the secret that is said to be in use
	joined   bool
	resealed string   // the secret that the signing keys were last seen sealed under
	broken   error    // why the signing keys that are stored cannot be used
	lacking  []string // why this replica must not serve
	standing atomic.Pointer[Standing]
}

// Lives are the longest lives of what is made; 0: unknown or none.
type Lives struct {
	Signed time.Duration // of tokens under a signing key
	Any    time.Duration // of anything under a secret, since its last use
}

// NewKeeper returns a keeper that has asked nobody yet.
func NewKeeper(o KeeperOptions) *Keeper {
	if o.Every <= 0 {
		o.Every = defaultEvery
	}
	if o.PublishFor <= 0 {
		o.PublishFor = defaultPublish
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	k := &Keeper{o: o, changed: make(chan struct{}, 1), left: make(chan struct{}), want: o.Keyring.Using()}
	k.standing.Store(&Standing{})
	return k
}

// Open looks who is alive, so that the right secret is used from the start, and
// then opens the signing keys. It fails while the store cannot be asked, and
// while this replica lacks a secret that others use.
func (k *Keeper) Open(ctx context.Context) (*Keys, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.beat(ctx); err != nil {
		return nil, err
	}
	if err := k.barred(); err != nil {
		return nil, err
	}
	keys, err := LoadKeys(ctx, k.o.Store, k.o.Keyring)
	if err != nil {
		return nil, err
	}
	k.keys = keys
	return keys, nil
}

// Join says that this replica serves from now on. l are the longest lives of what
// it makes. It fails as Open does.
func (k *Keeper) Join(ctx context.Context, l Lives) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.longest, k.joined = l, true
	err := k.beat(ctx)
	if err == nil {
		err = k.barred()
	}
	if err != nil {
		k.joined = false
		return err
	}
	k.tidy(ctx)
	return nil
}

// Run keeps all that up to date until ctx ends or this replica leaves.
func (k *Keeper) Run(ctx context.Context) error {
	for {
		t := time.NewTimer(k.pause())
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-k.left:
			t.Stop()
			return nil
		case <-k.changed:
			t.Stop()
		case <-t.C:
		}
		k.turn(ctx)
	}
}

// pause is how long nothing is to be done.
func (k *Keeper) pause() time.Duration {
	v := k.keys.stored.view.Load()
	at := v.at()
	if next := v.man.next(at); !next.IsZero() && next.Sub(at) < k.o.Every {
		return next.Sub(at)
	}
	return k.o.Every
}

// Changed has the manifest of signing keys read now: somebody changed it. It does
// not wait.
func (k *Keeper) Changed() {
	select {
	case k.changed <- struct{}{}:
	default: // it is about to be read
	}
}

// Standing returns what there is to say of readiness. It does not wait.
func (k *Keeper) Standing() Standing { return *k.standing.Load() }

// turn looks once at the signing keys and at the other replicas.
func (k *Keeper) turn(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, keepLimit)
	defer cancel()
	k.mu.Lock()
	defer k.mu.Unlock()
	select {
	case <-k.left:
		return
	default:
	}
	k.reload(ctx)
	if err := k.beat(ctx); err == nil && k.joined && k.broken == nil {
		k.tidy(ctx)
	}
}

// reload reads the manifest, or turns to what the one read last says of this time.
// One that is gone, with all else in the store, is put back: every replica has
// the same.
func (k *Keeper) reload(ctx context.Context) {
	stored := k.keys.stored
	err := stored.load(ctx)
	if errors.Is(err, ErrNotFound) {
		if _, err = k.o.Store.Settle(ctx, stored.view.Load().text); err == nil {
			err = stored.load(ctx)
		}
	}
	switch broken := errors.Is(err, ErrNoSigningKey); {
	case broken:
		if k.broken == nil {
			k.o.Log.ErrorContext(ctx, "the stored signing keys cannot be used; those known until now go on", "error", err)
		}
		k.broken = err
	case err == nil:
		k.broken = nil
	default: // could not ask
		if err := stored.turn(); err != nil {
			k.o.Log.ErrorContext(ctx, "the signing keys cannot be turned to their time", "error", err)
		}
	}
}

// beat tells the others of this replica and hears of them, until what was said
// still holds with the answer. So the one who begins to use a secret and the one
// who comes without it cannot miss each other: whoever speaks second sees it. The
// caller holds mu.
func (k *Keeper) beat(ctx context.Context) error {
	if k.o.Replicas == nil {
		return nil
	}
	for range beatTries {
		said := k.self()
		roster, err := k.say(ctx, said)
		if err != nil {
			return fmt.Errorf("session: heartbeat: %w", err)
		}
		others := roster.others(said.ID)
		k.judge(ctx, others)
		k.want = choose(said.Secrets, k.o.Keyring.Using(), others)
		if now := k.self(); now.Using == said.Using && now.Serving == said.Serving {
			break
		}
	}
	if from := k.o.Keyring.Using(); k.want != from {
		k.o.Keyring.Prefer(k.want)
		k.o.Log.InfoContext(ctx, "new values are made with another secret of GATEHOUSE_SECRET", "secret", k.want, "former", from)
	}
	return nil
}

// say makes one beat, or only asks who is alive while another speaks for this
// replica. The caller holds mu.
func (k *Keeper) say(ctx context.Context, said Replica) (Roster, error) {
	if k.o.Beside && !k.joined {
		return k.o.Replicas.Leave(ctx, "")
	}
	return k.o.Replicas.Beat(ctx, said, missedBeats*k.o.Every)
}

// self is what this replica says of itself now.
func (k *Keeper) self() Replica {
	r := k.o.Self
	r.Secrets, r.Using = k.o.Keyring.Fingerprints(), k.want
	r.Serving = k.joined && k.broken == nil && len(k.lacking) == 0
	if k.keys != nil {
		r.Keys = k.keys.IDs()
	}
	return r
}

// Rest ends the heartbeats without leaving: another Keeper of the same replica has
// taken them over.
func (k *Keeper) Rest() { k.leaving.Do(func() { close(k.left) }) }

// Leave says that this replica is gone. It returns whether it was the last one;
// with an error nobody knows.
func (k *Keeper) Leave(ctx context.Context) (last bool, err error) {
	k.Rest()
	k.mu.Lock() // a heartbeat under way would put it back
	defer k.mu.Unlock()
	if k.o.Replicas == nil {
		return true, nil
	}
	roster, err := k.o.Replicas.Leave(ctx, k.o.Self.ID)
	if err != nil {
		return false, fmt.Errorf("session: leave: %w", err)
	}
	return len(roster.Alive) == 0, nil
}
