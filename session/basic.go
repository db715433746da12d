package session

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/gatehouse-gateway/gatehouse/token"
)

const (
	basicFor     = time.Minute      // how long a proved password is remembered
	basicLinger  = time.Minute      // how much longer its session lives, for calls under way
	basicRefused = 5 * time.Second  // how long a wrong one is
	basicLimit   = 30 * time.Second // for one proof; the Verifier has limits of its own
	basicSize    = 10_000
)

// doors is what the ways in remember in this process only.
type doors struct {
	key     []byte // of the digests of passwords in memory; ends with the process
	basic   *cache[string, *basic]
	proving *singleflight.Group
	chosen  *chosen
	turns   *gates[token.SID, time.Time] // refreshes of one pass-through session
	logins  *gates[string, struct{}]     // of one account or address
}

func newDoors() doors {
	d := doors{
		key: make([]byte, 32), proving: &singleflight.Group{}, chosen: &chosen{m: map[token.SID]struct{}{}},
		turns: &gates[token.SID, time.Time]{}, logins: &gates[string, struct{}]{},
	}
	rand.Read(d.key)
	d.basic = newCache[string, *basic](basicSize, tail, nil)
	return d
}

// basic is one user name and password that was tried.
type basic struct {
	until int64 // monotonic
	err   error // it was wrong
	sid   token.SID
	entry *entry
}

// Basic checks a user name and password that came with an ordinary call
// (RFC 7617) and returns a session of kind KindBasic. The proof is remembered
// for a minute, a refusal for five seconds; callers with the same password wait
// for one proof. The session is shared: treat it as read-only. It has no tokens.
//
// Errors are those of Login.
func (m *Manager) Basic(ctx context.Context, iss *Issuer, g token.Grant) (*Session, error) {
	if iss.LocalAuthOff {
		return nil, errLocalAuthOff
	}
	key := m.doors.basicKey(iss, g)
	if s, err, known := m.knownBasic(ctx, iss, key); known {
		return s, err
	}
	v, err, _ := m.doors.proving.Do(key, func() (any, error) {
		if s, err, known := m.knownBasic(ctx, iss, key); known {
			return s, err
		}
		// One who hangs up must not fail those who wait with him.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), basicLimit)
		defer cancel()
		return m.openBasic(ctx, iss, key, g)
	})
	s, _ := v.(*Session)
	return s, err
}

func (d *doors) basicKey(iss *Issuer, g token.Grant) string {
	h := hmac.New(sha256.New, d.key)
	fmt.Fprintf(h, "%q %q %q %q %q", iss.Source, iss.Name, g.Realm, g.Username, g.Password.Reveal())
	return string(h.Sum(nil))
}

// knownBasic answers from memory; known is false if the password must be proved.
func (m *Manager) knownBasic(ctx context.Context, iss *Issuer, key string) (s *Session, err error, known bool) {
	b, ok := m.doors.basic.get(key)
	if !ok || m.now() >= b.until {
		return nil, nil, false
	}
	if b.err != nil {
		return nil, b.err, true
	}
	if s := m.warm(b.entry, []*Issuer{iss}, time.Now()); s != nil {
		return s, nil, true
	}
	l, belief, err := m.learn(ctx, b.sid, 0)
	if isKind(err, token.Unavailable) {
		return nil, err, true
	}
	if err != nil {
		m.doors.basic.remove(key)
		return nil, nil, false //nolint:nilerr // a session that is gone is no failure: the password is proved anew
	}
	e := &entry{dialect: iss.Dialect, live: l}
	if s = m.show(e, belief, m.now()); s == nil {
		return nil, errBadCredentials, true
	}
	m.doors.basic.put(key, &basic{until: b.until, sid: b.sid, entry: e})
	return s, nil, true
}

func (m *Manager) openBasic(ctx context.Context, iss *Issuer, key string, g token.Grant) (*Session, error) {
	rec, err := m.open(ctx, iss, KindBasic, g)
	m.o.Recorder.Login(iss.Dialect, loginOutcome(err))
	if isKind(err, token.BadCredentials) || isKind(err, token.FactorNeeded) {
		m.doors.basic.put(key, &basic{until: m.now() + int64(basicRefused), err: err})
	}
	if err != nil {
		return nil, err
	}
	m.o.Recorder.Opened()
	if iss.Backend != nil {
		m.house.later(due{at: rec.Ends, sid: rec.SID, source: iss.Source, backend: iss.Backend})
	}
	l, belief, err := m.learn(ctx, rec.SID, 0)
	if err != nil {
		return nil, callerError(err, false)
	}
	e := &entry{dialect: iss.Dialect, live: l}
	s := m.show(e, belief, m.now())
	if s == nil {
		return nil, errBadCredentials
	}
	m.doors.basic.put(key, &basic{until: m.now() + int64(basicFor), sid: rec.SID, entry: e})
	return s, nil
}
