package upstreamtest

import (
	"github.com/gatehouse-gateway/gatehouse/upstream"
)

// Copy remembers the backend sessions as they are now. What it returns has them be
// so again, as after a failover to a copy that lacks the last writes.
func (m *Memory) Copy() (failover func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	then := map[upstream.Ref]kept{}
	for ref, k := range m.records {
		then[ref] = *k
	}
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		clear(m.records)
		for ref, k := range then {
			m.records[ref] = &k
		}
	}
}
