package session

import (
	"context"
	"errors"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// Lives reports whether a session can still be used, for what hangs on it. It
// asks the store; one that cannot be asked ends nothing, so then it lives.
func (m *Manager) Lives(ctx context.Context, sid token.SID) bool {
	var rec Record
	err := m.ask(ctx, "read", func(ctx context.Context) (err error) {
		rec, err = m.o.Store.Lookup(ctx, sid)
		return err
	})
	if err != nil {
		return !errors.Is(err, ErrNotFound)
	}
	return rec.Revoked == "" && m.clock().Before(rec.End())
}
