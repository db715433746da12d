package session

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"time"

	"github.com/gatehouse-gateway/gatehouse/seal"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// What callers are given to name a request for approval is 32 hex digits, as the
// vendor's is: the id in the store and an authentication code over it. So junk
// costs no call to the store, and the store holds nothing to poll with.
const (
	pushID   = 10 // bytes
	pushCode = 6
)

func (c *codes) pushSession(id string) string {
	raw, err := hex.DecodeString(id)
	if err != nil {
		return "" // ids are made here
	}
	full := append(raw, make([]byte, pushCode)...)
	c.push.Sum(full[pushID:], full[:pushID])
	return hex.EncodeToString(full)
}

// openPushSession checks what pushSession made and returns the id.
func (c *codes) openPushSession(text string) (id string, ok bool) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != pushID+pushCode || hex.EncodeToString(raw) != text ||
		!c.push.Verify(raw[pushID:], raw[:pushID]) {
		return "", false
	}
	return hex.EncodeToString(raw[:pushID]), true
}

func pushPlace(id string) seal.Place { return seal.Place{Owner: "push", Field: id} }

// openPush opens a request for approval and returns its name for the caller.
func (m *Manager) openPush(ctx context.Context, p party) (string, error) {
	var b [pushID]byte
	rand.Read(b[:])
	push := Push{
		ID: hex.EncodeToString(b[:]), User: p.user, Name: p.id.Name,
		Issuer: p.iss.Name, Client: p.client(), Address: p.grant.Address,
	}
	push.Sealed = m.o.Keyring.Seal(pushPlace(push.ID), []byte(drawText(alphabet, answerText)))
	var wait time.Duration
	a := NewAttempt()
	err := m.ask(ctx, "open push", func(ctx context.Context) (err error) {
		wait, err = m.o.Pushes.OpenPush(ctx, a, push, ChallengeLife)
		return err
	})
	if err != nil {
		return "", err
	}
	if wait > 0 {
		return "", tooManyChallenges(wait)
	}
	m.o.Log.InfoContext(ctx, "a login waits for approval", "challenge", push.ID, "user", push.Name, "issuer", push.Issuer)
	return m.codes.pushSession(push.ID), nil
}

// lookPush reads a request for approval by its name. ErrNotFound for junk too.
func (m *Manager) lookPush(ctx context.Context, text string) (Push, error) {
	id, ok := m.codes.openPushSession(text)
	if !ok {
		return Push{}, ErrNotFound
	}
	var push Push
	err := m.ask(ctx, "look push", func(ctx context.Context) (err error) {
		push, err = m.o.Pushes.LookPush(ctx, id)
		return err
	})
	if err == nil && !m.clock().Before(push.Ends) && push.Status != PushDenied && push.Status != PushClosed {
		push.Status = pushExpired
	}
	return push, err
}

func (m *Manager) settlePush(ctx context.Context, id string, from, to PushStatus) (bool, error) {
	var done bool
	a := NewAttempt()
	err := m.ask(ctx, "settle push", func(ctx context.Context) (err error) {
		done, err = m.o.Pushes.SettlePush(ctx, a, id, from, to)
		return err
	})
	return done, err
}

// Poll says how far a pending second factor is: with status success comes the
// Response to answer with. It is for whoever knows the session, as the vendor's
// call is. In pass-through the backend is asked. Errors: NotFound, also for a
// challenge of another issuer, and Unavailable.
func (m *Manager) Poll(ctx context.Context, iss *Issuer, session string) (token.Challenge, error) {
	if iss.Backend != nil {
		return iss.Backend.Poll(ctx, session)
	}
	push, err := m.lookPush(ctx, session)
	if errors.Is(err, ErrNotFound) || err == nil && push.Issuer != iss.Name {
		return token.Challenge{}, errNoSuchChallenge
	}
	if err != nil {
		return token.Challenge{}, err
	}
	c := token.Challenge{Challenge: challenge, Method: methodPush, Session: session, Status: string(push.Status)}
	if push.Status == PushApproved {
		answer, err := m.o.Keyring.Open(pushPlace(push.ID), push.Sealed)
		if err != nil {
			return token.Challenge{}, token.Fail(token.Internal, "", err)
		}
		c.Response = token.NewSecret(string(answer))
	}
	return c, nil
}

// PendingChallenge is a login that waits for an operator's approval.
type PendingChallenge struct {
	ID      string    `json:"id"` // 20 hex digits
	User    string    `json:"user"`
	Issuer  string    `json:"issuer"`
	Client  string    `json:"client,omitempty"`
	Address string    `json:"address"`
	Made    time.Time `json:"made"`
	Ends    time.Time `json:"ends"`
}

// PendingChallenges lists the logins that wait for approval, the oldest first.
// The only error is Unavailable.
func (m *Manager) PendingChallenges(ctx context.Context) ([]PendingChallenge, error) {
	var pushes []Push
	if m.o.Pushes == nil {
		return nil, nil
	}
	err := m.ask(ctx, "list pushes", func(ctx context.Context) (err error) {
		pushes, err = m.o.Pushes.ListPushes(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	list := make([]PendingChallenge, len(pushes))
	for i, p := range pushes {
		list[i] = PendingChallenge{p.ID, p.Name, p.Issuer, p.Client, p.Address, p.Made, p.Ends}
	}
	return list, nil
}

// ApproveChallenge lets a pending login go on. id is that of PendingChallenges,
// or the session that the caller was given. Errors: NotFound, Gone for one that
// is decided or over, and Unavailable.
func (m *Manager) ApproveChallenge(ctx context.Context, id string) error {
	return m.decide(ctx, id, PushApproved)
}

// DenyChallenge refuses a pending login. Errors are those of ApproveChallenge.
func (m *Manager) DenyChallenge(ctx context.Context, id string) error {
	return m.decide(ctx, id, PushDenied)
}

func (m *Manager) decide(ctx context.Context, id string, to PushStatus) error {
	if known, ok := m.codes.openPushSession(id); ok {
		id = known
	}
	if raw, err := hex.DecodeString(id); err != nil || len(raw) != pushID || m.o.Pushes == nil {
		return errNoSuchChallenge
	}
	done, err := m.settlePush(ctx, id, PushPending, to)
	if err != nil {
		return err
	}
	if !done {
		return m.undecidable(ctx, id)
	}
	m.o.Log.InfoContext(ctx, "a login was decided about", "challenge", id, "status", string(to))
	return nil
}

// undecidable says why a request for approval could not be decided about.
func (m *Manager) undecidable(ctx context.Context, id string) error {
	err := m.ask(ctx, "look push", func(ctx context.Context) error {
		_, err := m.o.Pushes.LookPush(ctx, id)
		return err
	})
	switch {
	case errors.Is(err, ErrNotFound):
		return errNoSuchChallenge
	case err != nil:
		return err
	}
	return errDecided
}
