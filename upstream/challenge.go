package upstream

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"github.com/gatehouse-gateway/gatehouse/seal"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// In pass-through a backend's challenge goes to the client as it came, but for
// the name that the backend gave it: the client gets one of ours, which is good
// for the same user of the same OAuth client, at this backend, for five minutes.
// It is 32 hex digits, as the vendor's is: the id in the store and an
// authentication code over it. So junk costs no call to the store, the store
// holds nothing to poll or answer with, and neither name opens anything at the
// other side.
const (
	challengeID   = 10 // bytes
	challengeCode = 6
	keepChallenge = 5 * time.Minute
)

const (
	msgFactor      = "The backend asks for a second factor."
	msgNoChallenge = "There is no such challenge, or it is over."
)

// asker is who was asked, and so may answer.
type asker struct {
	Username string `json:"username"`
	Realm    string `json:"realm"`
	Client   string `json:"client"` // OAuth client id, the gateway's
}

// keptChallenge is what is sealed in the store.
type keptChallenge struct {
	asker
	Session string `json:"session"` // the backend's
}

// asksFactor reports whether the backend's API has second factors.
func (b *Backend) asksFactor() bool { return b.speaks(token.OpPoll) }

// challengeName makes the name that clients are given of an id.
func (n names) challengeName(id string) string {
	raw, err := hex.DecodeString(id)
	if err != nil {
		return "" // ids are made here
	}
	full := append(raw, make([]byte, challengeCode)...)
	n.challenge.Sum(full[challengeID:], []byte(n.backend), full[:challengeID])
	return hex.EncodeToString(full)
}

// challengeOf checks what challengeName made and returns the id.
func (n names) challengeOf(name string) (id string, ok bool) {
	raw, err := hex.DecodeString(name)
	if err != nil || len(raw) != challengeID+challengeCode || hex.EncodeToString(raw) != name ||
		!n.challenge.Verify(raw[challengeID:], []byte(n.backend), raw[:challengeID]) {
		return "", false
	}
	return hex.EncodeToString(raw[:challengeID]), true
}

func (n names) challengePlace(id string) seal.Place {
	return seal.Place{Owner: "challenge", Backend: n.backend, Field: id}
}

// passOn makes the error by which a challenge reaches the client.
func (b *Backend) passOn(ctx context.Context, who asker, c token.Challenge) *token.Error {
	c.Response = token.Secret{}
	if c.Session != "" {
		var raw [challengeID]byte
		rand.Read(raw[:])
		id := hex.EncodeToString(raw[:])
		text, err := json.Marshal(keptChallenge{who, c.Session})
		if err != nil {
			return token.Fail(token.Internal, "", err)
		}
		sealed := b.names.keyring.Seal(b.names.challengePlace(id), text)
		if err := b.cfg.Challenges.Keep(ctx, b.cfg.Name, id, sealed, keepChallenge); err != nil {
			return unavailable(msgStore, err, 0)
		}
		c.Session = b.names.challengeName(id)
	}
	return &token.Error{Kind: token.FactorNeeded, Msg: msgFactor, Challenge: &c}
}

// challenge finds what a client's name of a challenge stands for. The error is
// ErrNoChallenge or says that the store could not be asked.
func (b *Backend) challenge(ctx context.Context, name string) (keptChallenge, error) {
	var kept keptChallenge
	id, ok := b.names.challengeOf(name)
	if !ok {
		return kept, ErrNoChallenge
	}
	sealed, err := b.cfg.Challenges.Find(ctx, b.cfg.Name, id)
	if err != nil {
		return kept, err
	}
	text, err := b.names.keyring.Open(b.names.challengePlace(id), sealed)
	if err == nil {
		err = json.Unmarshal(text, &kept)
	}
	if err != nil {
		return kept, errors.Join(ErrNoChallenge, err) // sealed under a secret that is gone
	}
	return kept, nil
}

// answering returns a client's answer in the backend's terms; nil for none, or
// where the backend asks for nothing. A challenge that is another's, or over, is
// a wrong answer that the backend need not be asked about.
func (b *Backend) answering(ctx context.Context, who asker, f *token.Factor) (*token.Factor, error) {
	if f == nil || !b.asksFactor() {
		return nil, nil
	}
	theirs := *f
	if f.Session == "" {
		return &theirs, nil
	}
	kept, err := b.challenge(ctx, f.Session)
	switch {
	case errors.Is(err, ErrNoChallenge), err == nil && kept.asker != who:
		return nil, token.Fail(token.BadCredentials, msgBadLogin, err)
	case err != nil:
		return nil, unavailable(msgStore, err, 0)
	}
	theirs.Session = kept.Session
	return &theirs, nil
}

// answered forgets a challenge that brought a client in.
func (b *Backend) answered(f *token.Factor) {
	if f == nil || f.Session == "" {
		return
	}
	id, ok := b.names.challengeOf(f.Session)
	if !ok {
		return
	}
	b.crew.run(func() {
		ctx, cancel := detached(storeTimeout)
		defer cancel()
		if err := b.cfg.Challenges.Drop(ctx, b.cfg.Name, id); err != nil {
			b.log.Warn("a challenge that was met is left to run out", "error", err)
		}
	})
}

// Poll asks the backend how far a challenge is that Verify answered with, by the
// name in it. Once it is met it has the backend's own response, which is of use
// with user name, password and our name of the challenge only. Failures are a
// *token.Error: NotFound, Unavailable, or the error of ctx.
func (b *Backend) Poll(ctx context.Context, session string) (token.Challenge, error) {
	if b.mode() != modeOwn || !b.asksFactor() {
		return token.Challenge{}, token.Fail(token.NotFound, msgNoChallenge, nil)
	}
	kept, err := b.challenge(ctx, session)
	if errors.Is(err, ErrNoChallenge) {
		return token.Challenge{}, token.Fail(token.NotFound, msgNoChallenge, err)
	}
	if err != nil {
		return token.Challenge{}, unavailable(msgStore, err, 0)
	}
	type result struct {
		c   token.Challenge
		err error
	}
	done := make(chan result, 1)
	b.crew.run(func() {
		c, err := b.poll(kept.Session)
		done <- result{c, err}
	})
	select {
	case r := <-done:
		return polled(session, r.c, r.err)
	case <-ctx.Done():
		return token.Challenge{}, ctx.Err()
	}
}

// polled says the answer to a poll in the client's terms.
func polled(session string, c token.Challenge, err error) (token.Challenge, error) {
	r, refused := errors.AsType[*refusal](err)
	switch {
	case refused && r.status >= 400 && final(r):
		return token.Challenge{}, token.Fail(token.NotFound, msgNoChallenge, err)
	case err != nil:
		return token.Challenge{}, unavailable(msgUnavailable, err, asked(err))
	}
	c.Session = session
	return c, nil
}
