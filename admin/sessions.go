package admin

import (
	"fmt"

	"github.com/gatehouse-gateway/gatehouse/session"
)

// defaultPage is how many a page holds where the call does not say.
const defaultPage = 100

func (h *handler) sessions() (Sessions, error) {
	if s := h.o.Sessions(); s != nil {
		return s, nil
	}
	return nil, errNotReady
}

// page reads a page of sessions or of API tokens.
func (h *handler) page(x *exchange, api bool) (session.Page, error) {
	user := x.query.Get("user")
	if user != "" {
		x.event.Target = unknownTarget
	}
	limit, err := x.number("limit", defaultPage, session.MaxPage)
	if err != nil {
		return session.Page{}, err
	}
	s, err := h.sessions()
	if err != nil {
		return session.Page{}, err
	}
	page, err := s.List(x.r.Context(), session.Query{User: user, APITokens: api, After: x.query.Get("after"), Limit: limit})
	if err == nil && user != "" && len(page.Sessions) > 0 {
		x.event.Target = user
	}
	return page, err
}

func (h *handler) listSessions(x *exchange) (any, error) {
	page, err := h.page(x, false)
	if err != nil {
		return nil, err
	}
	list := SessionList{Sessions: make([]Session, len(page.Sessions)), Next: page.Next}
	for i := range page.Sessions {
		list.Sessions[i] = sessionOf(&page.Sessions[i])
	}
	return list, nil
}

func (h *handler) listTokens(x *exchange) (any, error) {
	page, err := h.page(x, true)
	if err != nil {
		return nil, err
	}
	list := TokenList{Tokens: make([]APIToken, len(page.Sessions)), Next: page.Next}
	for i := range page.Sessions {
		list.Tokens[i] = apiTokenOf(&page.Sessions[i])
	}
	return list, nil
}

func (h *handler) showSession(x *exchange) (any, error) {
	_, l, err := h.findOne(x)
	if err != nil {
		return nil, err
	}
	return sessionOf(l), nil
}

// findOne finds the one session that the id in the path stands for.
func (h *handler) findOne(x *exchange) (Sessions, *session.Listed, error) {
	x.event.Target = unknownTarget
	s, err := h.sessions()
	if err != nil {
		return nil, nil, err
	}
	found, err := s.Find(x.r.Context(), x.id)
	if err != nil {
		return nil, nil, err
	}
	l, err := only(found)
	if err != nil {
		return nil, nil, err
	}
	x.event.Target = l.SID.Short()
	return s, l, nil
}

// only refuses to choose among several.
func only(found []session.Listed) (*session.Listed, error) {
	if len(found) == 1 {
		return &found[0], nil
	}
	sids := make([]string, len(found))
	for i := range found {
		sids[i] = found[i].SID.String()
	}
	return nil, errSeveral(sids)
}

func (h *handler) revokeSession(x *exchange) (any, error) {
	s, l, err := h.findOne(x)
	if err != nil {
		return nil, err
	}
	return end(x, s, l)
}

func end(x *exchange, s Sessions, l *session.Listed) (any, error) {
	ended, err := s.Revoke(x.r.Context(), l.SID)
	if err != nil {
		return nil, err
	}
	return Ended{SID: l.SID.String(), User: l.Identity.Name, Ended: ended}, nil
}

func (h *handler) revokeToken(x *exchange) (any, error) {
	x.event.Target = unknownTarget
	s, err := h.sessions()
	if err != nil {
		return nil, err
	}
	found, err := s.FindAPITokens(x.r.Context(), x.id, x.query.Get("user"))
	if err != nil {
		return nil, err
	}
	l, err := only(found)
	if err != nil {
		return nil, err
	}
	x.event.Target = l.TokenID()
	return end(x, s, l)
}

// revokeUser needs the name of a user: nothing ends everybody's sessions.
func (h *handler) revokeUser(x *exchange) (any, error) {
	x.event.Target = unknownTarget
	user := x.query.Get("user")
	if user == "" {
		return nil, malformed("Say whose sessions are to end: ?user=NAME.")
	}
	tokens := x.query.Get("tokens")
	if tokens != "" && tokens != "true" && tokens != "false" {
		return nil, malformed("The parameter tokens is true or false.")
	}
	s, err := h.sessions()
	if err != nil {
		return nil, err
	}
	n, err := s.RevokeUser(x.r.Context(), user, tokens == "true")
	if err == nil || n != (session.Revoked{}) {
		x.event.Target = user
	}
	if err != nil {
		p := classify(err)
		if n != (session.Revoked{}) {
			p.detail += fmt.Sprintf(" Until then %d sessions and %d API tokens were ended; make the call again.", n.Sessions, n.APITokens)
		}
		return nil, p
	}
	return EndedAll{Sessions: n.Sessions, Tokens: n.APITokens}, nil
}
