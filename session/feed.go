package session

import (
	"context"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// EventKind says what an Event reports.
type EventKind string

// The kinds of event.
const (
	EventRevoked  EventKind = "revoked"  // a session ended
	EventChosen   EventKind = "chosen"   // an API token with a chosen text was made
	EventKeys     EventKind = "keys"     // the manifest of signing keys was changed
	EventAlive    EventKind = "alive"    // this replica's own ping came back
	EventReset    EventKind = "reset"    // events may have been missed since the last EventAlive
	EventFailover EventKind = "failover" // as EventReset, and another server answers: its last writes may be lost
)

// Event is one message of the feed.
type Event struct {
	Kind   EventKind
	SID    token.SID // of EventRevoked and EventChosen
	Reason string    // of EventRevoked
	At     time.Time // of EventAlive: the store's clock when it took the ping
}

// Feed carries events to every replica. It only shortens the wait: the store is
// the truth, and what a feed loses is found there.
type Feed interface {
	// Announce tells all replicas, this one too.
	Announce(ctx context.Context, e Event) error
	// Follow hands every event to on, one at a time, until ctx ends, and returns
	// after its last call. While the feed works, this replica's own ping comes
	// back as EventAlive at least every 600 ms. It survives failures of the store.
	Follow(ctx context.Context, on func(Event)) error
}
