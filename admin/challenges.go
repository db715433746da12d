package admin

import (
	"context"
	"unicode/utf8"
)

func (h *handler) challenges() (Challenges, error) {
	if c := h.o.Challenges(); c != nil {
		return c, nil
	}
	return nil, errNotReady
}

func (h *handler) listChallenges(x *exchange) (any, error) {
	c, err := h.challenges()
	if err != nil {
		return nil, err
	}
	list, err := c.PendingChallenges(x.r.Context())
	if err != nil {
		return nil, err
	}
	return ChallengeList{Challenges: append([]Challenge{}, list...)}, nil
}

func (h *handler) approve(x *exchange) (any, error) {
	return h.decide(x, true, Challenges.ApproveChallenge)
}

func (h *handler) deny(x *exchange) (any, error) { return h.decide(x, false, Challenges.DenyChallenge) }

func (h *handler) decide(x *exchange, approved bool, do func(Challenges, context.Context, string) error) (any, error) {
	x.event.Target = unknownTarget
	c, err := h.challenges()
	if err != nil {
		return nil, err
	}
	if err := do(c, x.r.Context(), x.id); err != nil {
		return nil, err
	}
	x.event.Target = shortID(x.id)
	return Decided{ID: x.id, Approved: approved}, nil
}

// shortID is what the audit line shows of a challenge's id, as of a session's.
func shortID(id string) string {
	const shown = 6
	if utf8.RuneCountInString(id) <= shown {
		return id
	}
	return string([]rune(id)[:shown])
}
