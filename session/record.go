package session

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// SourceUsers is the identity source of account mode: the gateway's own users.
const SourceUsers = "users"

// MaxGeneration is the last generation a token can carry in its three bytes. A
// session that would go beyond ends.
const MaxGeneration = 1<<24 - 1

// HealAhead is how far ahead of the record a presented generation may be and
// still count as authentic with its write lost in a failover.
const HealAhead = 8

// Origin says where a session comes from. It never changes.
type Origin struct {
	Kind   Kind     `json:"kind"`
	Issuer string   `json:"issuer"`
	Source string   `json:"source"`
	Client string   `json:"client,omitempty"` // OAuth client id; empty: the API knows no clients
	Scopes []string `json:"scopes,omitempty"` // granted to that client
	AMR    []string `json:"amr,omitempty"`    // how the user proved himself, RFC 8176
	// Proved is when he began to, by the store's clock: a later end of all that is
	// his counts for this session too. Zero: it does not.
	Proved time.Time `json:"proved,omitzero"`
}

// TokenData is what the record of an API token keeps besides. It never changes.
type TokenData struct {
	ID          string    `json:"id,omitempty"` // on the wire, where it was asked for; empty: made from the session id
	Description string    `json:"description,omitempty"`
	Scopes      []string  `json:"scopes"`
	Expires     time.Time `json:"expires"`          // zero: never
	Digest      string    `json:"digest,omitempty"` // keyed, of a text the caller chose; empty: the text is ours
}

// Record is what the store keeps of a session. Its times are the store's, to
// the millisecond. It holds nothing that could be used as a credential.
type Record struct {
	SID      token.SID
	Origin   Origin
	Identity token.Identity // as proved at login
	API      *TokenData     // of an API token; nil for every other kind

	Generation uint32
	Made       time.Time // when the newest access token was made, with rotation: when Generation was
	Ends       time.Time // when the idle life is over and nothing renews the session any more
	AccessEnds time.Time // when the newest access token is over
	Revoked    string    // the reason why the session was ended; empty: it was not
	Closed     bool      // logged out the vendor's way: nothing is renewed, access tokens live on
	LastUsed   time.Time // as of the last Touch; zero: none yet
	Uses       int64     // as of the last Touch
}

// End returns when nothing of the session can be used any more.
func (r *Record) End() time.Time {
	if r.AccessEnds.After(r.Ends) {
		return r.AccessEnds
	}
	return r.Ends
}

// Attempt identifies one changing call through all the tries that the client
// library makes of it. The store keeps the last ones with what they changed and
// answers a repeat with the first answer.
type Attempt string

// NewAttempt draws an attempt id.
func NewAttempt() Attempt {
	var b [12]byte
	rand.Read(b[:])
	return Attempt(hex.EncodeToString(b[:]))
}

// Life is how long things live from the moment of a change, by the store's
// clock. Stores keep whole milliseconds.
type Life struct {
	Idle   time.Duration // until Record.Ends
	Access time.Duration // until Record.AccessEnds; 0: the session has no such token
	Keep   time.Duration // how long the ended record can still be read
}

// Rotation asks for the successor of a refresh token.
type Rotation struct {
	SID         token.SID
	Presented   uint32        // the generation of the token presented
	Client      string        // the client that presents it
	Rotates     bool          // false: the generation stays, only the lives start again
	Grace       time.Duration // how long the token before the current one still gets the same answer
	RefuseReuse bool          // on reuse: refuse only, do not revoke
	Life        Life
}

// Outcome is the answer to a Rotation.
type Outcome string

// The outcomes of a rotation, in the order in which they are tested.
const (
	Gone    Outcome = "gone"    // no such session, it was revoked, or it is closed for refreshing
	Expired Outcome = "expired" // its idle life is over
	Refused Outcome = "refused" // another client's token, or a generation too far ahead
	Rotated Outcome = "rotated" // the session moved to a new generation
	Grace   Outcome = "grace"   // the answer of the rotation just before, again
	Reused  Outcome = "reused"  // an old token: somebody has a copy
	Healed  Outcome = "healed"  // ahead of the record, whose last writes were lost
	Ended   Outcome = "ended"   // the generations are used up; the session was revoked
)

// Turn is the result of a Rotation: for Rotated, Grace and Healed the record's
// Generation and Made are those to mint from.
type Turn struct {
	Outcome Outcome
	Record  Record    // zero for Gone without a trace
	Now     time.Time // the store's clock
}

// Use reports that a session was used.
type Use struct {
	SID  token.SID
	Idle time.Duration // restarts the idle life; 0: leaves it
	Keep time.Duration // as in Life
	Uses int64         // how many uses to add
}

// Revocation asks for the end of a session.
type Revocation struct {
	SID    token.SID
	Reason string // one of the reasons of Recorder.Ended
	// KeepAccess only closes the session for refreshing (a vendor's logout).
	KeepAccess bool
}

// Store keeps sessions. Every method is one atomic change and idempotent by its
// attempt id. An error that is neither ErrNotFound nor ErrExists means that the
// store could not be asked or did not answer. Times are the store's own clock.
type Store interface {
	// Create writes a new session with its generation and lives starting now,
	// and returns it as written. ErrExists if the id is taken.
	Create(ctx context.Context, a Attempt, r Record, l Life) (Record, error)
	// Lookup reads a session, also an ended one while the store still keeps it.
	Lookup(ctx context.Context, sid token.SID) (Record, error)
	// Rotate applies the rules of refreshing. It fails only if it could not ask.
	Rotate(ctx context.Context, a Attempt, r Rotation) (Turn, error)
	// Touch counts uses. ErrNotFound if the session has ended or expired.
	Touch(ctx context.Context, a Attempt, u Use) error
	// Revoke ends a session, leaving a tombstone for 24 hours, and returns the
	// record as it was before, so that an empty Revoked in it says that this call
	// ended it. ErrNotFound if there is no trace of it.
	Revoke(ctx context.Context, a Attempt, r Revocation) (Record, error)
}

// Index keeps which sessions belong together: those of a user, his API tokens.
// Owners are hex digests or fixed words.
type Index interface {
	// Add notes that a session of owner was used now and lives until end. It
	// returns the least recently used ones beyond limit, which the caller is to
	// end and Remove; limit 0 is none. What has passed its end is forgotten.
	// ErrOutdated, and nothing is noted, if the owner's epoch is not before
	// Member.Proved.
	Add(ctx context.Context, owner string, m Member, limit int) (over []token.SID, err error)
	// List returns the sessions of owner, the least recently used first.
	List(ctx context.Context, owner string) ([]token.SID, error)
	// Remove forgets a session. It is no error if it was not there.
	Remove(ctx context.Context, owner string, sid token.SID) error
	// Outdate begins a new epoch of owner at a time, zero is now, and returns when
	// it began: that, or the latest there was.
	Outdate(ctx context.Context, owner string, at time.Time) (time.Time, error)
}

// Member is a session in an Index.
type Member struct {
	SID    token.SID
	End    time.Time
	Proved time.Time // see Origin.Proved
}
