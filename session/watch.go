package session

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// watchEvery is how often the store is asked about watched sessions, so that
// one which expires is noticed as well as one which is revoked.
const watchEvery = 3 * time.Second

// watches holds who wants to know of the end of a session: streams outlive the
// check at their beginning. The zero value is empty.
type watches struct {
	mu sync.Mutex
	m  map[token.SID]map[*func()]struct{} // guarded by mu
}

// Watch has ended called once when the session ends, at most three seconds
// later. ended must not block. stop ends the watch and may be called at any
// time, also more than once.
func (m *Manager) Watch(sid token.SID, ended func()) (stop func()) {
	m.watched.add(sid, &ended)
	if m.denied.has(sid, m.now()) { // revoked between check and watch
		m.watched.end(sid)
	}
	return func() { m.watched.remove(sid, &ended) }
}

func (w *watches) add(sid token.SID, ended *func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.m == nil {
		w.m = map[token.SID]map[*func()]struct{}{}
	}
	if w.m[sid] == nil {
		w.m[sid] = map[*func()]struct{}{}
	}
	w.m[sid][ended] = struct{}{}
}

func (w *watches) remove(sid token.SID, ended *func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if delete(w.m[sid], ended); len(w.m[sid]) == 0 {
		delete(w.m, sid)
	}
}

// end tells whoever watches a session that it has ended.
func (w *watches) end(sid token.SID) {
	w.mu.Lock()
	told := w.m[sid]
	delete(w.m, sid)
	w.mu.Unlock()
	for ended := range told {
		(*ended)()
	}
}

func (w *watches) sids() []token.SID {
	w.mu.Lock()
	defer w.mu.Unlock()
	sids := make([]token.SID, 0, len(w.m))
	for sid := range w.m {
		sids = append(sids, sid)
	}
	return sids
}

// lookAfter asks the store about the watched sessions. One that it cannot be
// asked about goes on: an outage ends nothing.
func (m *Manager) lookAfter(ctx context.Context) {
	m.together(m.watched.sids(), func(sid token.SID) {
		_, b, err := m.reread(ctx, sid)
		switch {
		case errors.Is(err, ErrNotFound) || errors.Is(err, errRevoked):
			m.watched.end(sid)
		case err == nil:
			if _, known := m.current(&b.rec); !known || b.end <= m.clock().UnixNano() {
				m.watched.end(sid)
			}
		}
	})
}
