package admin

import (
	"context"
	"log/slog"
)

// auditVersion is of the form of an audit line. It grows when a key changes its
// meaning or goes away, not when one is added.
const auditVersion = 1

// Event is one call of the operator's API. Nothing in it is a secret, and nothing
// is text that a caller made up.
type Event struct {
	Action  string // "sessions.revoke"; "unknown" for a path or method that there is not
	Outcome string // see the outcomes
	// Target is a session by its short id, a user, an API token by its id, a second
	// factor's challenge by the first six characters of its id, a backend by its name
	// or a signing key by its id. It is empty for a call that is about all, "unknown"
	// where nothing was found.
	Target  string
	Client  string // the caller's address
	Request string // id of the request, which the answer carries too
}

// The outcomes of an operator's call.
const (
	outcomeOK           = "ok"
	outcomeOff          = "off"          // no admin token is set
	outcomeUnauthorized = "unauthorized" // without the token, or with a wrong one
	outcomeThrottled    = "throttled"    // too many wrong ones
	outcomeNotFound     = "not_found"
	outcomeMalformed    = "malformed"   // the call cannot be understood, or has another method
	outcomeConflict     = "conflict"    // an id that stands for several, or what is decided already
	outcomeUnavailable  = "unavailable" // the store could not be asked
	outcomeFailed       = "failed"      // something nobody foresaw
)

// unknownTarget stands for what was not found: what the caller typed instead may
// be anything, a password too.
const unknownTarget = "unknown"

// Auditor keeps what operators do. It must not block.
type Auditor interface {
	Audit(ctx context.Context, e Event)
}

// LogAuditor writes an audit line into a log, with the message "audit" and the
// keys v, event, action, outcome, target, client and request, always all of them.
type LogAuditor struct{ Log *slog.Logger }

// Audit implements Auditor.
func (a LogAuditor) Audit(ctx context.Context, e Event) {
	a.Log.LogAttrs(ctx, slog.LevelInfo, "audit", slog.Int("v", auditVersion), slog.String("event", "operator"),
		slog.String("action", e.Action), slog.String("outcome", e.Outcome), slog.String("target", e.Target),
		slog.String("client", e.Client), slog.String("request", e.Request))
}

type mute struct{}

func (mute) Audit(context.Context, Event) {}
