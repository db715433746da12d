package session

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// MaxPage is the most that one Page holds.
const MaxPage = 500

// Query asks for a page of sessions or of API tokens.
type Query struct {
	User      string // exactly this name, of any identity source; empty: everybody's
	APITokens bool   // API tokens; false: all other sessions
	After     string // Page.Next of the page before; empty: the first page
	Limit     int    // 1 to MaxPage; what lies outside counts as the nearest
}

// Page is a part of a list, by owner and then by session id. A page may be
// shorter than asked for, even empty, and not be the last.
type Page struct {
	Sessions []Listed
	Next     string // for Query.After; empty: this was the last page
}

// cursor is a place in a list: behind a session of an owner, or behind all that
// is his.
type cursor struct {
	Owner Owner  `json:"owner"`
	SID   string `json:"sid,omitempty"`
}

func (c cursor) text() string {
	b, _ := json.Marshal(c) // strings always marshal
	return base64.RawURLEncoding.EncodeToString(b)
}

func readCursor(text string) (cursor, error) {
	var c cursor
	if text == "" {
		return c, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err == nil && c.SID != "" {
		_, err = token.ParseSID(c.SID)
	}
	if err != nil || c.Owner == (Owner{}) {
		return cursor{}, errPageCursor
	}
	return c, nil
}

// List returns a page of what operators see: sessions that can be used, and API
// tokens, these also for 30 days after their expiry. Sessions of HTTP Basic, which
// last two minutes, are not listed.
//
// Errors are *token.Error: Malformed for a Query that cannot be, Unavailable.
func (m *Manager) List(ctx context.Context, q Query) (Page, error) {
	at, err := readCursor(q.After)
	if err != nil {
		return Page{}, err
	}
	q.Limit = min(max(q.Limit, 1), MaxPage)
	var page Page
	if at.SID != "" {
		if full, err := m.listOwner(ctx, q, &at, &page); err != nil || full {
			return page, err
		}
	}
	for range ownersVisited / ownersRead {
		owners, err := m.owners(ctx, q.User, at.Owner)
		if err != nil {
			return Page{}, err
		}
		for _, at.Owner = range owners {
			if full, err := m.listOwner(ctx, q, &at, &page); err != nil || full {
				return page, err
			}
		}
		if len(owners) < ownersRead {
			return page, nil
		}
	}
	page.Next = at.text()
	return page, nil
}

// listOwner adds what is the owner's behind a place, and moves the place on. It
// reports whether the page is full; then the page says where the next one begins.
func (m *Manager) listOwner(ctx context.Context, q Query, at *cursor, page *Page) (full bool, err error) {
	sids, err := m.lists(ctx, at.Owner, q.APITokens)
	if err != nil {
		return false, err
	}
	sids = slices.DeleteFunc(sids, func(sid token.SID) bool { return sid.String() <= at.SID })
	for len(sids) > 0 {
		n := min(len(sids), q.Limit-len(page.Sessions))
		recs, err := m.lookUp(ctx, sids[:n])
		if err != nil {
			return false, err
		}
		for _, l := range m.listed(recs) {
			if l.belongs(q.APITokens) {
				page.Sessions = append(page.Sessions, l)
			}
		}
		at.SID, sids = sids[n-1].String(), sids[n:]
		if len(page.Sessions) >= q.Limit {
			page.Next = at.text()
			return true, nil
		}
	}
	at.SID = ""
	return false, nil
}

// belongs reports whether a session belongs in a list, of API tokens or of the
// rest.
func (l *Listed) belongs(api bool) bool {
	if api != (l.API != nil) || l.State == StateRevoked {
		return false
	}
	return api || l.State != StateExpired
}

// lists returns the ids of an owner's sessions, or of his API tokens, in order.
func (m *Manager) lists(ctx context.Context, o Owner, api bool) ([]token.SID, error) {
	name := owner(o.Source, o.ID)
	names := []string{name, name + closedSuffix}
	if api {
		names = []string{name + apiSuffix}
	}
	var all []token.SID
	for _, n := range names {
		sids, err := m.list(ctx, n)
		if err != nil {
			return nil, err
		}
		all = append(all, sids...)
	}
	slices.SortFunc(all, func(a, b token.SID) int { return slices.Compare(a[:], b[:]) })
	return slices.Compact(all), nil
}

// owners returns the next owners behind one, ownersRead of them or the last ones.
func (m *Manager) owners(ctx context.Context, name string, after Owner) ([]Owner, error) {
	if m.o.Roll == nil {
		return nil, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, unavailable(err)
	}
	var found []Owner
	err := m.ask(ctx, "owners", func(ctx context.Context) (err error) {
		found, err = m.o.Roll.Owners(ctx, name, after, ownersRead)
		return err
	})
	return found, err
}
