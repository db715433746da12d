package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gatehouse-gateway/gatehouse/seal"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// SigningKey is a signing key as an operator sees it.
type SigningKey struct {
	KID    string
	State  string    // published, active, retired
	Secret string    // fingerprint of the secret that it is sealed under
	Made   time.Time // by the store's clock, as all times here
	From   time.Time // when it begins to sign
	Gone   time.Time // when it is removed; zero: not yet known
}

// Secret is a root secret as an operator sees it.
type Secret struct {
	SecretUse
	Place int  // in the list of the replica that was asked, from 1; 0: it is not there
	Using bool // some replica makes new values with it
	Keys  int  // signing keys sealed under it
	// Unknown are the replicas that serve and do not know it.
	Unknown []string
	// Safe is when all that was made with it and is not used again has ended by
	// itself; zero while it is in use, and if it never was.
	Safe time.Time
}

// KeyReport is the state of keys and secrets.
type KeyReport struct {
	At       time.Time // the store's clock
	Signing  []SigningKey
	Secrets  []Secret
	Replicas []Replica
}

// SealedValues says what is sealed under one secret.
type SealedValues struct {
	Secret string    // fingerprint
	Count  int       // backend sessions
	Until  time.Time // when the last of them ends, of those that do, unless it is written anew before
	// Endless says that some have no end.
	Endless bool
}

// SealedPage is a part of all that is sealed.
type SealedPage struct {
	Looked int // backend sessions looked at
	Values []SealedValues
	Next   string // where to go on; empty: that was all
}

// Sealed counts what is sealed in the store, a part at a time.
type Sealed interface {
	// Sealed looks at the next part after what a page gave as Next; empty: the first.
	// ErrNotFound says that no page gives such a Next.
	Sealed(ctx context.Context, after string) (SealedPage, error)
}

// Report says how keys, secrets and replicas stand. Errors are *token.Error.
func (k *Keeper) Report(ctx context.Context) (KeyReport, error) {
	text, at, err := k.o.Store.Load(ctx)
	if err != nil {
		return KeyReport{}, unavailable(fmt.Errorf("session: signing keys: %w", err))
	}
	man, err := readManifest(text)
	if err != nil {
		return KeyReport{}, token.Fail(token.Internal, "", err)
	}
	r := KeyReport{At: at}
	for i := range man.Keys {
		e := &man.Keys[i]
		r.Signing = append(r.Signing, SigningKey{
			KID: e.KID, State: man.state(e, at), Secret: seal.Under(e.Sealed), Made: e.Since, From: e.from(), Gone: e.Gone,
		})
	}
	uses := []SecretUse{}
	if k.o.Replicas != nil {
		if uses, err = k.o.Replicas.Secrets(ctx); err != nil {
			return KeyReport{}, unavailable(fmt.Errorf("session: secrets: %w", err))
		}
		if r.Replicas, err = k.alive(ctx); err != nil {
			return KeyReport{}, unavailable(err)
		}
	}
	r.Secrets = k.secrets(uses, &r)
	return r, nil
}

// alive beats once and returns who is alive.
func (k *Keeper) alive(ctx context.Context) ([]Replica, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	select {
	case <-k.left:
		return nil, errors.New("session: this replica has left")
	default:
	}
	roster, err := k.o.Replicas.Beat(ctx, k.self(), missedBeats*k.o.Every)
	if err != nil {
		return nil, fmt.Errorf("session: heartbeat: %w", err)
	}
	return roster.Alive, nil
}

// secrets puts together what is known of each: first those of the list here in
// their order, then the rest.
func (k *Keeper) secrets(uses []SecretUse, r *KeyReport) []Secret {
	own := k.o.Keyring.Fingerprints()
	var list []Secret
	for i, id := range own {
		s := Secret{SecretUse: SecretUse{Fingerprint: id}, Place: i + 1}
		if n := slices.IndexFunc(uses, func(u SecretUse) bool { return u.Fingerprint == id }); n >= 0 {
			s.SecretUse = uses[n]
		}
		list = append(list, s)
	}
	for _, u := range uses {
		if !slices.Contains(own, u.Fingerprint) {
			list = append(list, Secret{SecretUse: u})
		}
	}
	for i := range list {
		k.describe(&list[i], r)
	}
	return list
}

func (k *Keeper) describe(s *Secret, r *KeyReport) {
	s.Using = len(r.Replicas) == 0 && s.Fingerprint == k.o.Keyring.Using()
	for _, o := range r.Replicas {
		if !o.Serving {
			continue
		}
		if o.Using == s.Fingerprint {
			s.Using = true
		}
		if !slices.Contains(o.Secrets, s.Fingerprint) {
			s.Unknown = append(s.Unknown, o.name())
		}
	}
	for _, key := range r.Signing {
		if key.Secret == s.Fingerprint {
			s.Keys++
		}
	}
	if !s.Using && !s.Last.IsZero() {
		k.mu.Lock()
		s.Safe = s.Last.Add(k.longest.Any)
		k.mu.Unlock()
	}
}

// SealedValues returns a part of what is sealed in the store. Errors are
// *token.Error.
func (k *Keeper) SealedValues(ctx context.Context, after string) (SealedPage, error) {
	if k.o.Sealed == nil {
		return SealedPage{}, nil
	}
	page, err := k.o.Sealed.Sealed(ctx, after)
	if errors.Is(err, ErrNotFound) {
		return SealedPage{}, errNoPage
	}
	if err != nil {
		return SealedPage{}, unavailable(err)
	}
	return page, nil
}
