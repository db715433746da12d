package session

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

const (
	maxFound   = 10               // sessions that a short id may stand for
	findLimit  = 20 * time.Second // for a look at everything that is stored
	ownersRead = 100              // owners at once
	// ownersVisited is how many owners one page looks at, so that a page of few
	// finds takes no longer than one of many.
	ownersVisited = 500
)

// States of a session as operators see it.
const (
	StateActive   = "active"
	StateClosed   = "closed"    // logged out the vendor's way: its access tokens live out their time
	StateUserGone = "user_gone" // its user is not known any more; its next use ends it
	StateExpired  = "expired"
	StateRevoked  = "revoked"
)

// What operators are told.
var (
	errNoSession  = token.Fail(token.NotFound, "There is no session of this id: it never was, or it ended long ago.", nil)
	errNoTokenID  = token.Fail(token.NotFound, "There is no API token of this id.", nil)
	errNoUser     = token.Fail(token.NotFound, "No user of this name has or lately had a session. Names count letter by letter.", nil)
	errSessionID  = token.Fail(token.Malformed, "A session id is 16 hex digits, or the first 6 of them as logs show it.", nil)
	errTooMany    = token.Fail(token.Malformed, "So many sessions start with these digits that the whole id is needed.", nil)
	errPageCursor = token.Fail(token.Malformed, "The place to go on from is not one that an answer has named.", nil)
)

// Listed is a session as operators see it.
type Listed struct {
	Record
	State string // one of the States
}

func (m *Manager) listed(recs []Record) []Listed {
	all := make([]Listed, len(recs))
	for i := range recs {
		all[i] = Listed{recs[i], m.state(&recs[i])}
	}
	return all
}

// state says what has become of the session of a record.
func (m *Manager) state(r *Record) string {
	_, known := m.current(r)
	switch {
	case r.Revoked != "":
		return StateRevoked
	case !m.clock().Before(r.End()):
		return StateExpired
	case !known:
		return StateUserGone
	case r.Closed:
		return StateClosed
	}
	return StateActive
}

// Find returns the sessions, API tokens among them, that an id may stand for: one
// for the whole id of 16 hex digits, up to ten for the first six as logs show
// them. Ended ones are found while the store keeps a trace of them.
//
// Errors are *token.Error: Malformed, NotFound, Unavailable.
func (m *Manager) Find(ctx context.Context, id string) ([]Listed, error) {
	sids, err := m.starting(ctx, id)
	if err != nil {
		return nil, err
	}
	recs, err := m.lookUp(ctx, sids)
	if err == nil && len(recs) == 0 {
		err = errNoSession
	}
	return m.listed(recs), err
}

func (m *Manager) starting(ctx context.Context, id string) ([]token.SID, error) {
	if sid, err := token.ParseSID(id); err == nil {
		return []token.SID{sid}, nil
	}
	if !isShort(id) || m.o.Roll == nil {
		return nil, errSessionID
	}
	// Not behind the breaker: that this takes long says nothing of the store.
	ctx, cancel := context.WithTimeout(ctx, findLimit)
	defer cancel()
	sids, err := m.o.Roll.Starting(ctx, id, maxFound+1)
	switch {
	case err != nil:
		return nil, unavailable(fmt.Errorf("session: find: %w", err))
	case len(sids) > maxFound:
		return nil, errTooMany
	}
	slices.SortFunc(sids, func(a, b token.SID) int { return slices.Compare(a[:], b[:]) })
	return sids, nil
}

func isShort(id string) bool {
	b, err := hex.DecodeString(id)
	return err == nil && len(id) == len(token.SID{}.Short()) && hex.EncodeToString(b) == id
}

// FindAPITokens is Find for API tokens, by the id of their session or by the one
// that their owner knows. The latter is unique only among the tokens of one
// owner; user, unless empty, says whose.
//
// Errors are *token.Error: NotFound, Unavailable.
func (m *Manager) FindAPITokens(ctx context.Context, id, user string) ([]Listed, error) {
	recs, err := m.Find(ctx, id)
	if isKind(err, token.Unavailable) {
		return nil, err
	}
	recs = slices.DeleteFunc(recs, func(r Listed) bool { return r.API == nil || (user != "" && r.Identity.Name != user) })
	if len(recs) > 0 {
		return recs, nil
	}
	for q := (Query{User: user, APITokens: true, Limit: MaxPage}); ; {
		page, err := m.List(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, r := range page.Sessions {
			if r.TokenID() == id {
				recs = append(recs, r)
			}
		}
		if q.After = page.Next; q.After == "" {
			break
		}
	}
	if len(recs) == 0 {
		return nil, errNoTokenID
	}
	return recs, nil
}

// lookUp reads sessions, a few at a time, in the order of sids. Those of which
// there is no trace are left out.
func (m *Manager) lookUp(ctx context.Context, sids []token.SID) ([]Record, error) {
	var mu sync.Mutex
	found, errs := map[token.SID]Record{}, []error(nil) // guarded by mu
	m.together(sids, func(sid token.SID) {
		var rec Record
		err := ctx.Err()
		if err == nil {
			err = m.ask(ctx, "read", func(ctx context.Context) (err error) {
				rec, err = m.o.Store.Lookup(ctx, sid)
				return err
			})
		} else {
			err = unavailable(err)
		}
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err == nil:
			found[sid] = rec
		case !errors.Is(err, ErrNotFound):
			errs = append(errs, err)
		}
	})
	if len(errs) > 0 {
		return nil, errs[0]
	}
	recs := make([]Record, 0, len(found))
	for _, sid := range sids {
		if rec, ok := found[sid]; ok {
			recs = append(recs, rec)
		}
	}
	return recs, nil
}

// Revoke ends a session on an operator's word, at once on every replica. ended is
// false if it had ended before. The error is Unavailable: it has not ended.
func (m *Manager) Revoke(ctx context.Context, sid token.SID) (ended bool, err error) {
	return m.end(ctx, sid, reasonRevoked)
}

// Revoked counts what a RevokeUser ended.
type Revoked struct {
	Sessions, APITokens int
}

// RevokeUser ends all sessions of the users of a name, whatever their identity
// source, and their API tokens if tokens is set. Logging in again is not refused.
//
// Errors are *token.Error: NotFound if nobody of this name is on the roll, or
// Unavailable, with what was ended until then.
func (m *Manager) RevokeUser(ctx context.Context, name string, tokens bool) (Revoked, error) {
	var n Revoked
	owners, err := m.named(ctx, name)
	if err != nil {
		return n, err
	}
	for _, o := range owners {
		m.beginEpoch(ctx, owner(o.Source, o.ID))
		sids, err := m.lists(ctx, o, false)
		if err != nil {
			return n, err
		}
		ended, err := m.endAll(ctx, sids)
		n.Sessions += ended
		if err != nil {
			return n, err
		}
		if !tokens {
			continue
		}
		if sids, err = m.lists(ctx, o, true); err != nil {
			return n, err
		}
		ended, err = m.endAll(ctx, sids)
		n.APITokens += ended
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// beginEpoch ends what an owner has that is no session yet: authorization codes,
// halves of a sign-in, logins under way, requests for approval. A store that takes
// no changes makes no session of them either.
func (m *Manager) beginEpoch(ctx context.Context, owner string) {
	epoch, err := m.outdate(ctx, owner, time.Time{})
	if err == nil {
		m.house.note(ending{owner: owner, epoch: epoch})
	}
	if err == nil && m.o.Pushes != nil {
		err = m.ask(ctx, "close pushes", func(ctx context.Context) error { return m.o.Pushes.ClosePushes(ctx, owner) })
	}
	if err != nil {
		m.o.Log.WarnContext(ctx, "what a user has begun to log in with was not ended; it is good for five minutes at most", "error", err)
	}
}

func (m *Manager) outdate(ctx context.Context, owner string, at time.Time) (epoch time.Time, err error) {
	err = m.tell(ctx, "outdate", func(ctx context.Context) (err error) {
		epoch, err = m.o.Index.Outdate(ctx, owner, at)
		return err
	})
	return epoch, err
}

// named returns all owners of a name.
func (m *Manager) named(ctx context.Context, name string) ([]Owner, error) {
	var all []Owner
	for after := (Owner{}); name != ""; {
		some, err := m.owners(ctx, name, after)
		if err != nil {
			return nil, err
		}
		if all = append(all, some...); len(some) < ownersRead {
			break
		}
		after = some[len(some)-1]
	}
	if len(all) == 0 {
		return nil, errNoUser
	}
	return all, nil
}

// endAll goes on when one cannot be ended, and returns the first error.
func (m *Manager) endAll(ctx context.Context, sids []token.SID) (n int, err error) {
	var mu sync.Mutex // guards n and err
	m.together(sids, func(sid token.SID) {
		ended, failed := m.Revoke(ctx, sid)
		mu.Lock()
		defer mu.Unlock()
		if ended {
			n++
		}
		if failed != nil {
			err = failed
		}
	})
	return n, err
}
