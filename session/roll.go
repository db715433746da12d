package session

import (
	"context"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// Owner is a user as an operator finds him: whose sessions and API tokens they
// are.
type Owner struct {
	Name   string `json:"name"`   // as proved at login
	Source string `json:"source"` // see Session.Source
	ID     string `json:"id"`     // within the source
}

// Roll keeps who has sessions. Only operators ask it; no request depends on what
// it answers.
type Roll interface {
	// Enlist notes that an owner has a session which can be read until end. Owners
	// whose last end has passed are forgotten.
	Enlist(ctx context.Context, o Owner, end time.Time) error
	// Owners returns up to limit owners whose end has not passed, in an order that
	// never changes, beginning behind after; the zero Owner stands before all. Name
	// restricts them to the owners of exactly this name; empty: all. Fewer than
	// limit are the last ones.
	Owners(ctx context.Context, name string, after Owner, limit int) ([]Owner, error)
	// Starting returns up to limit sessions whose id starts with the hex digits of
	// prefix, ended ones too while they can be read. It may have to look at
	// everything that is stored, so ctx should have a deadline.
	Starting(ctx context.Context, prefix string, limit int) ([]token.SID, error)
}

// ownerOn is the owner of a record as the roll has him.
func ownerOn(r *Record) Owner {
	return Owner{Name: r.Identity.Name, Source: r.Origin.Source, ID: r.Identity.ID}
}

// enlist puts the owner of a record on the roll until end.
func (m *Manager) enlist(ctx context.Context, rec *Record, end time.Time) error {
	if m.o.Roll == nil {
		return nil
	}
	return m.ask(ctx, "enlist", func(ctx context.Context) error { return m.o.Roll.Enlist(ctx, ownerOn(rec), end) })
}
