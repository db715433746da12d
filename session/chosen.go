package session

import (
	"context"
	"sync"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

func (m *Manager) freshenChosen(ctx context.Context) error {
	if m.doors.chosen.fresh(m.now(), m.contact.live(m.now())) {
		return nil
	}
	_, err, _ := m.reads.Do(chosenOwner, func() (any, error) {
		began := m.now()
		sids, err := m.list(ctx, chosenOwner)
		if err == nil {
			m.doors.chosen.load(sids, began)
		}
		return nil, err
	})
	return err
}

// chosen is the set of sessions whose token text a caller chose, kept so that
// junk costs no call to the store. A member too many costs one, a missing one
// would lock somebody out: so it is only ever added to, except by revocation.
type chosen struct {
	mu     sync.RWMutex
	m      map[token.SID]struct{} // guarded by mu
	loaded int64                  // guarded by mu: monotonic; 0: not, or events were missed
}

func (c *chosen) has(sid token.SID) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	_, ok := c.m[sid]
	return ok
}

// fresh reports whether the set is complete, give or take a second while no
// events come in.
func (c *chosen) fresh(now int64, live bool) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.loaded != 0 && (live || now-c.loaded < int64(time.Second))
}

func (c *chosen) load(sids []token.SID, began int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, sid := range sids {
		c.m[sid] = struct{}{}
	}
	c.loaded = began
}

func (c *chosen) add(sid token.SID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.m[sid] = struct{}{}
}

func (c *chosen) remove(sid token.SID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.m, sid)
}

func (c *chosen) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.loaded = 0
}
