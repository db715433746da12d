package sessiontest

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// Enlist implements session.Roll.
func (m *Memory) Enlist(_ context.Context, o session.Owner, end time.Time) error {
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return err
	}
	if end.After(m.roll[o]) {
		m.roll[o] = end
	}
	return m.lost("enlist")
}

// Owners implements session.Roll.
func (m *Memory) Owners(_ context.Context, name string, after session.Owner, limit int) ([]session.Owner, error) {
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return nil, err
	}
	var found []session.Owner
	for o, end := range m.roll {
		behind := after == session.Owner{} || compareOwners(o, after) > 0
		if behind && clock().Before(end) && (name == "" || o.Name == name) {
			found = append(found, o)
		}
	}
	slices.SortFunc(found, compareOwners)
	return found[:min(len(found), limit)], nil
}

func compareOwners(a, b session.Owner) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Source, b.Source), strings.Compare(a.ID, b.ID))
}

// Starting implements session.Roll.
func (m *Memory) Starting(_ context.Context, prefix string, limit int) ([]token.SID, error) {
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return nil, err
	}
	var found []token.SID
	for sid := range m.rows {
		if strings.HasPrefix(sid.String(), prefix) && m.row(sid, clock()) != nil && len(found) < limit {
			found = append(found, sid)
		}
	}
	return found, nil
}
