package sessiontest

import (
	"context"
	"slices"
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// codeRow is an authorization code with its end.
type codeRow struct {
	code  session.Code
	until time.Time
}

// PutCode implements session.Codes.
func (m *Memory) PutCode(_ context.Context, digest string, c session.Code, life time.Duration) error {
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return err
	}
	if m.code(digest) == nil {
		c.Scopes = slices.Clone(c.Scopes)
		c.Made = clock()
		m.codes[digest] = &codeRow{c, clock().Add(life)}
	}
	return m.lost("put code")
}

// code returns a code that has not ended; nil for none.
func (m *Memory) code(digest string) *codeRow {
	if r := m.codes[digest]; r != nil && clock().Before(r.until) {
		return r
	}
	delete(m.codes, digest)
	return nil
}

// FindCode implements session.Codes.
func (m *Memory) FindCode(_ context.Context, digest string) (session.Code, error) {
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return session.Code{}, err
	}
	r := m.code(digest)
	if r == nil {
		return session.Code{}, session.ErrNotFound
	}
	return r.code, nil
}

// TakeCode implements session.Codes.
func (m *Memory) TakeCode(_ context.Context, digest string, by token.SID, keep time.Duration) (token.SID, error) {
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return token.SID{}, err
	}
	r := m.code(digest)
	if r == nil {
		return token.SID{}, session.ErrNotFound
	}
	if r.code.TakenBy.IsZero() {
		r.code.TakenBy, r.until = by, clock().Add(keep)
	}
	return r.code.TakenBy, m.lost("take code")
}

var _ session.Codes = (*Memory)(nil)
