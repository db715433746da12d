package session

import (
	"context"
	"time"
)

// Tries keeps, for each user, what of a second factor must happen once across
// all replicas: how often a wrong answer was given, which time step was used
// last, and the code that was sent. Every method is one atomic change and
// idempotent by its attempt id; an error means that the store could not be
// asked. Users are hex digests.
type Tries interface {
	// IssueCode notes a code that is about to be sent.
	IssueCode(ctx context.Context, a Attempt, c IssuedCode) (Issue, error)
	// WithdrawCode forgets a code that could not be sent. It still counts as sent.
	WithdrawCode(ctx context.Context, user, digest string) error
	// TryFactor judges one answer, and uses up what proved it.
	TryFactor(ctx context.Context, a Attempt, t Try) (Verdict, error)
}

// Limits of a second factor, for one user and counted in the store.
const (
	ChallengeLife = 5 * time.Minute  // of a challenge, and of the memory of wrong answers
	MaxWrong      = 5                // wrong answers within ChallengeLife; then all are refused
	SendGap       = 30 * time.Second // between two codes
	MaxSends      = 5                // codes within SendWindow
	SendWindow    = 15 * time.Minute
	MaxPushes     = 5              // requests for approval within ChallengeLife
	StepKept      = 24 * time.Hour // how long the last time step is remembered
)

// IssuedCode is a code that is to be sent.
type IssuedCode struct {
	User   string
	Digest string        // keyed, in hex; the code itself is not kept
	Life   time.Duration // of the code, and how long wrong answers count
	Gap    time.Duration // to the code before
}

// Issue is the answer to IssueCode.
type Issue struct {
	// Wait is how long no further code is sent; 0: send this one, or see Standing.
	Wait time.Duration
	// Standing says that the code before was sent so short a time ago that it
	// still holds: nothing was noted, and nothing is to be sent.
	Standing bool
}

// Try is one answer to a second factor. It is right if any of the three proofs
// holds and the user has not given MaxWrong wrong answers within Within.
type Try struct {
	User    string
	Proved  bool     // proved by what was used up before: an approval
	Step    int64    // the time step whose code was given; it must be later than any used before; 0: none
	Digests []string // of the text given, one for each root secret: one must be that of the code that was sent
	Within  time.Duration
}

// Verdict is the judgement on a Try.
type Verdict string

// The verdicts.
const (
	TryPassed Verdict = "passed" // right; what proved it, and any code sent, is used up
	TryWrong  Verdict = "wrong"  // counted
	TryDead   Verdict = "dead"   // counted as the last one allowed, or not judged at all; any code sent is dead
)

// Pushes keeps requests for approval until an operator decides about them. They
// can be read for a while after their end. Every changing method is one atomic
// change and idempotent by its attempt id.
type Pushes interface {
	// OpenPush notes a new one, pending and with its life starting now. It
	// returns for how long the user may open no more; 0: it was opened.
	OpenPush(ctx context.Context, a Attempt, p Push, life time.Duration) (wait time.Duration, err error)
	// LookPush reads one; ErrNotFound if there is none.
	LookPush(ctx context.Context, id string) (Push, error)
	// ListPushes returns those that are pending, the oldest first.
	ListPushes(ctx context.Context) ([]Push, error)
	// SettlePush moves one on, if it has not ended and its status is from; false
	// otherwise, also if there is none.
	SettlePush(ctx context.Context, a Attempt, id string, from, to PushStatus) (bool, error)
	// ClosePushes moves all of a user's that are pending or approved to closed.
	ClosePushes(ctx context.Context, user string) error
}

// PushStatus is how far a request for approval is.
type PushStatus string

// The statuses.
const (
	PushPending  PushStatus = "pending"
	PushApproved PushStatus = "success" // as FortiAuthenticator's pushpoll says it
	PushDenied   PushStatus = "denied"
	PushClosed   PushStatus = "closed"  // used, or not needed any more
	pushExpired  PushStatus = "expired" // its life is over; never stored
)

// Push is a request for approval. It holds nothing that could be used as a
// credential. Times are the store's, in milliseconds.
type Push struct {
	ID      string // 20 hex digits; not what callers are given
	User    string // digest, as in Try
	Name    string // who he is, for the operator
	Issuer  string // Issuer.Name
	Client  string // OAuth client id; empty: the API knows no clients
	Address string // where the login came from
	Sealed  string // what the caller answers with once it is approved
	Made    time.Time
	Ends    time.Time
	Status  PushStatus
}
