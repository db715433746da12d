package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

const (
	defaultPublish = 10 * time.Minute
	// hurried is how long a key is published that is to sign at once: events reach
	// the other replicas in less.
	hurried = time.Second
	// leastKeep and keepMargin are for clocks that differ and for what is under way.
	leastKeep  = time.Hour
	keepMargin = time.Minute
	maxKeys    = 16 // in the manifest
	swapTries  = 5
)

// What an operator is told.
var (
	errKeysBusy = errors.New("session: the signing keys are changed by others all the time")
	errManyKeys = token.Fail(token.Denied, "There are 16 signing keys already. Wait until the oldest one is removed; gatehouse keys says when.", nil)
	errNoPage   = token.Fail(token.Malformed, "No page goes on there: after is the next of the page before.", nil)
	errStranded = token.Fail(token.Denied, "The stored signing keys cannot be used here; /readyz says why.", nil)
)

// KeyRotation is a change of signing keys.
type KeyRotation struct {
	KID   string    // the new key
	From  time.Time // when it signs
	Begun bool      // false: a rotation was under way, and this is it
}

// Rotate makes a new signing key, which is published now and signs after a while;
// now: as soon as the others can know it. A rotation that is under way is not
// begun again, but hurried if now says so; of operators who rotate at once one
// does. Errors are *token.Error: Denied when there are too many keys, Unavailable.
func (k *Keeper) Rotate(ctx context.Context, now bool) (KeyRotation, error) {
	fresh, err := makeKey(k.o.Keyring)
	if err != nil {
		return KeyRotation{}, token.Fail(token.Internal, "", err)
	}
	lead := k.o.PublishFor
	if now {
		lead = min(lead, hurried)
	}
	t := &turning{fresh: fresh, lead: lead, keep: k.keepFor(), hurry: now}
	err = k.change(ctx, t.edit)
	if err == nil {
		k.Changed() // what else is to be sealed anew
		return t.done, nil
	}
	if _, ok := errors.AsType[*token.Error](err); ok {
		return KeyRotation{}, err
	}
	if errors.Is(err, ErrNoSigningKey) {
		return KeyRotation{}, errStranded
	}
	return KeyRotation{}, unavailable(err)
}

// keepFor is how long a retired key is kept.
func (k *Keeper) keepFor() time.Duration {
	if k.o.KeepFor > 0 {
		return k.o.KeepFor
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return max(leastKeep, k.longest.Signed+keepMargin)
}

// turning is one rotation, tried until its change is made.
type turning struct {
	fresh      keyEntry
	lead, keep time.Duration
	hurry      bool
	met        map[string]bool // the keys that there were at the first try
	done       KeyRotation
}

func (t *turning) edit(man *keyManifest, at time.Time) (bool, error) {
	at = at.UTC()
	signer, pending := man.signer(at), man.pending(at)
	if signer == nil {
		return false, ErrNoSigningKey
	}
	if begun := t.others(man); pending == nil {
		pending = begun
	}
	if pending != nil {
		changed := false
		if from := at.Add(t.lead); t.hurry && pending.from().After(from) {
			pending.From, signer.Gone, changed = from, from.Add(t.keep), true
		}
		t.done = KeyRotation{KID: pending.KID, From: pending.from(), Begun: pending.KID == t.fresh.KID}
		return changed, nil
	}
	man.settle(at)
	if len(man.Keys) >= maxKeys {
		return false, errManyKeys
	}
	e := t.fresh
	e.State, e.Since, e.From = keyPublished, at, at.Add(t.lead)
	man.signer(at).Gone = e.From.Add(t.keep)
	man.Keys = append(man.Keys, e)
	t.done = KeyRotation{KID: e.KID, From: e.From, Begun: true}
	return true, nil
}

// others returns a key that has come since the first try, or that signed only
// later then.
func (t *turning) others(man *keyManifest) *keyEntry {
	first := t.met == nil
	if first {
		t.met = map[string]bool{}
	}
	for i := range man.Keys {
		e := &man.Keys[i]
		if !first && (!t.met[e.KID] || e.KID == t.done.KID) {
			return e
		}
		t.met[e.KID] = true
	}
	return nil
}

// change edits the manifest until nobody comes between, and tells the others.
// edit returns false if there is nothing to change.
func (k *Keeper) change(ctx context.Context, edit func(*keyManifest, time.Time) (bool, error)) error {
	for range swapTries {
		text, at, err := k.o.Store.Load(ctx)
		if err != nil {
			return fmt.Errorf("session: signing keys: %w", err)
		}
		man, err := readManifest(text)
		if err != nil {
			return err
		}
		changed, err := edit(&man, at)
		if err != nil || !changed {
			return err
		}
		next, err := man.text()
		if err != nil {
			return err
		}
		swapped, err := k.o.Store.Swap(ctx, text, next)
		if err != nil {
			return fmt.Errorf("session: signing keys: %w", err)
		}
		if swapped {
			k.announce(ctx)
			return k.keys.stored.load(ctx)
		}
	}
	return errKeysBusy
}

// announce tells every replica to look. Who does not hear it looks by itself.
func (k *Keeper) announce(ctx context.Context) {
	if k.o.Feed == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callLimit)
	defer cancel()
	if err := k.o.Feed.Announce(ctx, Event{Kind: EventKeys}); err != nil {
		k.o.Log.WarnContext(ctx, "other replicas were not told of the new signing keys; they find them by themselves", "error", err)
	}
}

// tidy removes signing keys whose time is over, and seals them anew when another
// secret has come into use. What fails is done in the next turn. The caller holds
// mu.
func (k *Keeper) tidy(ctx context.Context) {
	using := k.o.Keyring.Using()
	v := k.keys.stored.view.Load()
	man := keyManifest{Keys: append([]keyEntry(nil), v.man.Keys...)}
	if k.resealed == using && !man.settle(v.at()) {
		return
	}
	err := k.change(ctx, func(man *keyManifest, at time.Time) (bool, error) {
		settled := man.settle(at)
		sealed, err := man.reseal(k.o.Keyring)
		return settled || sealed, err
	})
	if err != nil {
		k.o.Log.WarnContext(ctx, "the signing keys could not be tidied up; trying again", "error", err)
		return
	}
	k.resealed = using
}
