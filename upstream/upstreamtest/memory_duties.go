package upstreamtest

import (
	"context"
	"slices"
	"time"

	"github.com/gatehouse-gateway/gatehouse/upstream"
)

// Enter implements upstream.Duties.
func (m *Memory) Enter(_ context.Context, d upstream.Duty, limit int) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.broken["Add"]; err != nil {
		return false, err
	}
	owners := m.due[[2]string{d.Backend, d.Pool}]
	if _, in := owners[d.Owner]; limit > 0 && !in && len(owners) >= limit {
		return false, nil
	}
	m.add(d)
	return true, nil
}

// Add implements upstream.Duties.
func (m *Memory) Add(_ context.Context, backend, pool, owner string, in time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.broken["Add"]; err != nil {
		return err
	}
	m.add(upstream.Duty{Backend: backend, Pool: pool, Owner: owner, In: in})
	return nil
}

// add sets when to look at an owner. The caller holds mu.
func (m *Memory) add(d upstream.Duty) {
	at := [2]string{d.Backend, d.Pool}
	if m.due[at] == nil {
		m.due[at] = map[string]time.Time{}
	}
	m.due[at][d.Owner] = time.Now().Add(d.In)
}

// Due implements upstream.Duties.
func (m *Memory) Due(_ context.Context, backend, pool string, within time.Duration, n int) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.broken["Due"]; err != nil {
		return nil, err
	}
	all := m.due[[2]string{backend, pool}]
	var owners []string
	for owner, at := range all {
		if !at.After(time.Now().Add(within)) {
			owners = append(owners, owner)
		}
	}
	slices.SortFunc(owners, func(a, b string) int { return all[a].Compare(all[b]) })
	return owners[:min(n, len(owners))], nil
}

// Remove implements upstream.Duties.
func (m *Memory) Remove(_ context.Context, backend, pool, owner string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.broken["Remove"]; err != nil {
		return err
	}
	delete(m.due[[2]string{backend, pool}], owner)
	return nil
}
