package session

import (
	"slices"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// Inherit takes over from a manager that has stopped, in the same process and
// over the same store, what it would still have done: revocations to say again
// after a failover, backend sessions to end later, uses to note in the index.
// Issuers of m are to be known to it before.
func (m *Manager) Inherit(from *Manager) {
	dues, moved, ends := from.house.handOver()
	for _, d := range dues {
		if b := m.house.backends.of(d.source); b != nil {
			d.backend = b
		}
		m.house.later(d)
	}
	for _, rec := range moved {
		m.house.used(&rec)
	}
	m.house.mu.Lock()
	defer m.house.mu.Unlock()
	m.house.ends = append(m.house.ends, ends...)
	slices.SortFunc(m.house.ends, func(a, b ending) int { return a.at.Compare(b.at) })
	m.house.ends = m.house.ends[max(0, len(m.house.ends)-maxNotes):]
	if from.house.reassert.Load() {
		m.house.reassert.Store(true)
	}
}

// handOver empties the lists and returns them.
func (h *house) handOver() ([]due, map[token.SID]Record, []ending) {
	h.mu.Lock()
	defer h.mu.Unlock()
	dues, moved, ends := h.dues, h.moved, h.ends
	h.dues, h.moved, h.ends = nil, map[token.SID]Record{}, nil
	return dues, moved, ends
}
