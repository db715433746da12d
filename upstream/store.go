package upstream

import (
	"context"
	"errors"
	"strings"
	"time"
)

// Ref names one backend session.
type Ref struct {
	// Owner is a session id (16 hex digits), in whose slot the record then lies,
	// or the keyed name of an account, which begins with "a.".
	Owner   string
	Backend string
}

// OfSession reports whether a client session owns it, so that it must not
// outlive that session.
func (r Ref) OfSession() bool { return !strings.HasPrefix(r.Owner, "a.") }

// Record is what the store keeps of a backend session. The tokens are sealed
// for the version they were stored with.
type Record struct {
	Version  uint64        // counts the commits; 0: none yet
	Access   string        // sealed
	Refresh  string        // sealed; empty: the backend gave none
	Left     time.Duration // until the access token expires, negative once it has
	Life     time.Duration // of the access token when it was new; 0: it never expires
	Failures int           // calls that failed since the last commit
	Pinned   bool          // the backend ties something to the access token; see dialect.Pin
}

// State is what a Store says of a backend session.
type State uint8

// The states. The zero one permits nothing.
const (
	// Dead: there are no tokens and there will be none.
	Dead State = iota
	// Gone: the client session that owned it has ended.
	Gone
	// Fresh: the store has tokens newer than those seen, or than those committed.
	Fresh
	// Wait: another holds the lease; Wait says for how long at most.
	Wait
	// BackOff: the last call failed; Wait says when to try again.
	BackOff
	// Lead: the lease is the caller's. The record's tokens are the last ones.
	Lead
	// Done: the change was made.
	Done
	// Stale: another version is stored than the caller named.
	Stale
	// Stopped: the credential was refused too often and is not tried again.
	Stopped
	// Doubt: the lease was taken over by nobody yet, but a call of its last holder
	// may be under way, and a strict claim must not make another; Wait says for how
	// long at most.
	Doubt
	// Alive: the owner's session lives, or is about to be opened; Wait says for
	// how long yet. An account lives always, without a Wait.
	Alive
)

// Answer is what a Store answers.
type Answer struct {
	State  State
	Record Record // with Fresh, Lead, Stale, and Done and Alive of End; else zero
	// Wait is a time with Wait, BackOff, Doubt and Alive. With Lead it is for how
	// long a call of a holder whose lease was taken over may still be under way, so
	// that what the backend says of the tokens is not the last word; 0: none is.
	Wait time.Duration
}

// A Claim asks for newer tokens, or for the lease to get them.
type Claim struct {
	Ref    Ref
	Holder string        // random, one for all claims of one renewal
	Seen   uint64        // the version that is not good enough
	Lease  time.Duration // from now, at most MaxLease; the holder claims again in time; 0: only look
	// Call is within what time the call ends that is about to be made; 0: none is,
	// or one that was told before goes on.
	Call time.Duration
	// Renew says that the holder has the lease already: without it the claim comes
	// to nothing, and the answer is Wait.
	Renew bool
	// Strict says that the backend voids a refresh token once it is used, so that
	// none may be sent while another's call with it may be under way.
	Strict bool
	With   string // digest of where and as whom it would log in
	// Opens says that the holder can log in, so that a session without tokens may
	// have the lease too. It speaks of sessions only: an account always can.
	Opens bool
}

// A Commit stores new tokens.
type Commit struct {
	Ref     Ref
	Attempt string // random, the same for all tries of this commit
	Holder  string // the claim's, whose lease ends with the commit; empty: none
	Record  Record // Version is the new one: its predecessor must be stored now
	// Opening, if over 0, says that the client session does not exist yet and
	// will within that time.
	Opening time.Duration
}

// Outcome says what became of a lease that ends without new tokens.
type Outcome uint8

// The outcomes.
const (
	Failed    Outcome = iota // try again after the back off
	Died                     // the tokens are dead and cannot be had anew
	LoggedOut                // they were logged out at the backend
)

// A Release gives a lease back.
type Release struct {
	Ref     Ref
	Holder  string
	Version uint64 // what Died and LoggedOut speak of; another version is left alone
	Outcome Outcome
	BackOff time.Duration // for Failed: nobody tries before
	With    string        // for Failed: as in Claim; the back off holds for the same only
}

// A Farewell takes the tokens of a backend session in order to log them out.
type Farewell struct {
	Ref    Ref
	Holder string
	Lease  time.Duration
	IfGone bool // only if the client session that owns it is gone
}

// Trial is a step in the life of one login attempt.
type Trial uint8

// The steps.
const (
	Begin    Trial = iota // before the call
	Accepted              // the backend took the credential
	Rejected              // it refused it
	Void                  // nothing was decided: the attempt does not count
	Forgiven              // an operator has seen to it: nothing counts any more, and no back off holds
)

// An Attempt counts a login before it is made, so that a wrong password never
// locks an account out, however many gateways try and crash.
type Attempt struct {
	Ref    Ref // the account, or the user of a pass-through backend
	ID     string
	Trial  Trial
	Digest string        // keyed digest of the credential; another one starts anew
	Window time.Duration // with Begin: an attempt still open after this counts as rejected
	Keep   time.Duration // the count is forgotten after this without attempts
}

// MaxAttempts is how many attempts of one credential may be open or rejected.
const MaxAttempts = 2

// Store keeps backend sessions. Every method is one atomic change and is
// idempotent: the same request made again, because its answer was lost, gets
// the same answer and changes nothing. Time is the store's. An error means that
// the store could not be asked. What belongs to a session that is gone answers
// Gone, unless it was committed as Opening and the time for that is not over.
type Store interface {
	// Acquire answers Fresh, Wait, BackOff, Doubt, Lead, Dead or Gone, and only
	// Fresh, Dead or Gone to a claim without a lease. Whoever holds the lease and
	// claims it again has it for longer.
	Acquire(ctx context.Context, c Claim) (Answer, error)
	// Commit answers Done, Fresh (these tokens were stored before, and others after
	// them: the record is theirs), Stale (with the record that is stored) or Gone. It
	// goes by the version alone: a lease that was lost meanwhile does not matter
	// if nobody else committed. A pin stays with the successors of its token.
	Commit(ctx context.Context, c Commit) (Answer, error)
	// Release ends the holder's lease; without one it does nothing.
	Release(ctx context.Context, r Release) error
	// End answers Done with the record to log out, Dead when there is nothing to
	// log out, Wait when another is at it or they are being renewed, or Alive. After
	// Done a session's
	// record takes no commit and is kept for ten minutes.
	End(ctx context.Context, f Farewell) (Answer, error)
	// Attempt answers Done, Wait (two are open) or Stopped to Begin, and Done to
	// the others.
	Attempt(ctx context.Context, a Attempt) (Answer, error)
}

// Pins notes to which backend sessions something is pinned; see dialect.Pin. The
// note ends with the tokens.
type Pins interface {
	// Pin answers Done, Dead if there are no tokens, or Gone if the client session
	// that owns them has ended or they were taken to be logged out. It is
	// idempotent. An error means that the store could not be asked.
	Pin(ctx context.Context, r Ref, pinned bool) (Answer, error)
}

// Duties remembers who is still logged in where, so that a logout is made even
// if the process that owed it is gone. pool names a backend and account. Errors
// mean that the store could not be asked.
type Duties interface {
	// Enter is Add, unless as many others are there as the limit says; then it
	// answers false. 0 is no limit.
	Enter(ctx context.Context, d Duty, limit int) (bool, error)
	// Add makes sure that owner is looked at after the given time, instead of
	// when it was to be looked at before.
	Add(ctx context.Context, backend, pool, owner string, in time.Duration) error
	// Due returns at most n owners to be looked at within the given time.
	Due(ctx context.Context, backend, pool string, within time.Duration, n int) ([]string, error)
	// Remove forgets owner.
	Remove(ctx context.Context, backend, pool, owner string) error
}

// Duty is an owner that is to be looked at after a time.
type Duty struct {
	Backend, Pool, Owner string
	In                   time.Duration
}

// Notice says that tokens were committed. Version 0 says instead that an operator
// wants what failed before to be tried again.
type Notice struct {
	Ref     Ref
	Version uint64
	// Lost says, of no backend session in particular and to this process alone, that
	// the store may have lost its last writes.
	Lost bool
}

// Notices carries news of commits to every process. It only shortens the wait: the
// store is the truth, and what gets lost is found there.
type Notices interface {
	// Tell tells all processes, this one too.
	Tell(ctx context.Context, n Notice) error
	// Hear has on called for each notice from now on. on must not block.
	Hear(on func(Notice))
}

// Challenges keeps, for a while, which second factor a backend asked a client
// for. ids are 20 hex digits, and what is kept is sealed. Every method is
// idempotent. Errors other than ErrNoChallenge mean that the store could not be
// asked.
type Challenges interface {
	// Keep keeps a text under an id for life from now. A repeat changes nothing.
	Keep(ctx context.Context, backend, id, sealed string, life time.Duration) error
	// Find returns it, or ErrNoChallenge.
	Find(ctx context.Context, backend, id string) (sealed string, err error)
	// Drop forgets it. It is no error if it was not there.
	Drop(ctx context.Context, backend, id string) error
}

// ErrNoChallenge says that no challenge is kept under an id, or none any more.
var ErrNoChallenge = errors.New("upstream: no such challenge")

// Times that a Store keeps by itself.
const (
	// KeepEnded is for how long a record outlives its session, to be logged out.
	KeepEnded = 10 * time.Minute
	// KeepOpening is for how long the record of a session that is still to be
	// opened is kept if nobody looks after it: longer than an outage of all
	// gateways, since the session may exist by then.
	KeepOpening = 24 * time.Hour
	// KeepUnused is for how long an account's record is kept without a change.
	KeepUnused = 400 * 24 * time.Hour
	// KeepForever is for how long it is kept if its access token never expires:
	// there may be no change in years of use, and every login in between would
	// leave a token at the backend that nothing ends.
	KeepForever = 36500 * 24 * time.Hour
	// MaxBackOff is the longest back off believed, and the longest call; what is
	// further ahead is of a clock that was set back. MaxLease is the same of a lease.
	MaxBackOff = 10 * time.Minute
	MaxLease   = time.Minute
)
