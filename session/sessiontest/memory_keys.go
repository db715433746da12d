package sessiontest

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
)

// keeping is what a Memory holds of signing keys, replicas and secrets.
type keeping struct {
	manifest string
	alive    map[string]presence          // by id
	secrets  map[string]session.SecretUse // by fingerprint
}

type presence struct {
	replica session.Replica
	until   time.Time
}

// Load implements session.KeyStore.
func (m *Memory) Load(context.Context) (string, time.Time, error) {
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return "", time.Time{}, err
	}
	if m.keeping.manifest == "" {
		return "", time.Time{}, session.ErrNotFound
	}
	return m.keeping.manifest, clock(), nil
}

// Settle implements session.KeyStore.
func (m *Memory) Settle(_ context.Context, manifest string) (string, error) {
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return "", err
	}
	if m.keeping.manifest == "" {
		m.keeping.manifest = manifest
	}
	return m.keeping.manifest, m.lost("settle")
}

// Swap implements session.KeyStore.
func (m *Memory) Swap(_ context.Context, old, next string) (bool, error) {
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return false, err
	}
	if m.keeping.manifest == old {
		m.keeping.manifest = next
	}
	return m.keeping.manifest == next, m.lost("swap")
}

// Beat implements session.Replicas.
func (m *Memory) Beat(_ context.Context, r session.Replica, life time.Duration) (session.Roster, error) {
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return session.Roster{}, err
	}
	k, now := &m.keeping, clock()
	if k.alive == nil {
		k.alive, k.secrets = map[string]presence{}, map[string]session.SecretUse{}
	}
	k.alive[r.ID] = presence{r, now.Add(life)}
	if r.Serving {
		for _, id := range r.Secrets {
			u, known := k.secrets[id]
			if !known {
				u = session.SecretUse{Fingerprint: id, Seen: now}
			}
			if id == r.Using {
				if u.Last = now; u.First.IsZero() {
					u.First = now
				}
			}
			k.secrets[id] = u
		}
	}
	return m.roster(now), m.lost("beat")
}

// Leave implements session.Replicas.
func (m *Memory) Leave(_ context.Context, id string) (session.Roster, error) {
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return session.Roster{}, err
	}
	delete(m.keeping.alive, id)
	return m.roster(clock()), m.lost("leave")
}

func (m *Memory) roster(now time.Time) session.Roster {
	maps.DeleteFunc(m.keeping.alive, func(_ string, p presence) bool { return !now.Before(p.until) })
	r := session.Roster{At: now}
	for _, id := range slices.Sorted(maps.Keys(m.keeping.alive)) {
		r.Alive = append(r.Alive, m.keeping.alive[id].replica)
	}
	return r
}

// Secrets implements session.Replicas.
func (m *Memory) Secrets(context.Context) ([]session.SecretUse, error) {
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return nil, err
	}
	var uses []session.SecretUse
	for _, id := range slices.Sorted(maps.Keys(m.keeping.secrets)) {
		uses = append(uses, m.keeping.secrets[id])
	}
	return uses, nil
}

// Forget loses the keys, replicas and secrets, as FLUSHALL does.
func (m *Memory) Forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keeping = keeping{}
}
