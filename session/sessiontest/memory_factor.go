package sessiontest

import (
	"context"
	"slices"
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
)

// factors is what a Memory keeps of second factors.
type factors struct {
	users  map[string]*factorRow
	pushes map[string]*pushRow
}

type factorRow struct {
	wrong  []mark // answers, the newest last
	passed []session.Attempt
	step   int64
	digest string // of the code that was sent; empty: none
	ends   time.Time
	sent   []mark
}

// mark is a moment with the attempt that made it.
type mark struct {
	at      time.Time
	attempt session.Attempt
}

type pushRow struct {
	push   session.Push
	opened session.Attempt
	moved  map[session.Attempt]bool
}

func (m *Memory) factorRow(user string) *factorRow {
	r := m.factors.users[user]
	if r == nil {
		r = &factorRow{}
		m.factors.users[user] = r
	}
	return r
}

// since returns the marks that are younger than d.
func since(marks []mark, now time.Time, d time.Duration) []mark {
	return slices.DeleteFunc(slices.Clone(marks), func(k mark) bool { return now.Sub(k.at) >= d })
}

func has(marks []mark, a session.Attempt) bool {
	return slices.ContainsFunc(marks, func(k mark) bool { return k.attempt == a })
}

// IssueCode implements session.Tries.
func (m *Memory) IssueCode(_ context.Context, a session.Attempt, c session.IssuedCode) (session.Issue, error) {
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return session.Issue{}, err
	}
	r, now := m.factorRow(c.User), clock()
	if has(r.sent, a) {
		return session.Issue{}, nil
	}
	r.sent, r.wrong = since(r.sent, now, session.SendWindow), since(r.wrong, now, c.Life)
	if n := len(r.wrong); n >= session.MaxWrong {
		return session.Issue{Wait: r.wrong[n-session.MaxWrong].at.Add(c.Life).Sub(now)}, nil
	}
	if n := len(r.sent); n > 0 {
		gap := r.sent[n-1].at.Add(c.Gap).Sub(now)
		if gap > 0 && r.digest != "" && now.Before(r.ends) {
			return session.Issue{Standing: true}, nil
		}
		if n >= session.MaxSends {
			gap = max(gap, r.sent[n-session.MaxSends].at.Add(session.SendWindow).Sub(now))
		}
		if gap > 0 {
			return session.Issue{Wait: gap}, nil
		}
	}
	r.sent = append(r.sent, mark{now, a})
	r.digest, r.ends = c.Digest, now.Add(c.Life)
	return session.Issue{}, m.lost("issue")
}

// WithdrawCode implements session.Tries.
func (m *Memory) WithdrawCode(_ context.Context, user, digest string) error {
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return err
	}
	if r := m.factorRow(user); r.digest == digest {
		r.digest = ""
	}
	return nil
}

// TryFactor implements session.Tries.
func (m *Memory) TryFactor(_ context.Context, a session.Attempt, t session.Try) (session.Verdict, error) {
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return "", err
	}
	r, now := m.factorRow(t.User), clock()
	r.wrong = since(r.wrong, now, t.Within)
	switch {
	case slices.Contains(r.passed, a):
		return session.TryPassed, nil
	case len(r.wrong) >= session.MaxWrong:
		return session.TryDead, nil
	case has(r.wrong, a):
		return session.TryWrong, nil
	}
	ok := t.Proved
	if t.Step > r.step {
		r.step, ok = t.Step, true
	}
	if r.digest != "" && now.Before(r.ends) && slices.Contains(t.Digests, r.digest) {
		ok = true
	}
	if ok {
		r.digest = ""
		r.passed = append(r.passed, a)
		return session.TryPassed, m.lost("try")
	}
	r.wrong = append(r.wrong, mark{now, a})
	if len(r.wrong) < session.MaxWrong {
		return session.TryWrong, m.lost("try")
	}
	r.digest = ""
	return session.TryDead, m.lost("try")
}

// OpenPush implements session.Pushes.
func (m *Memory) OpenPush(_ context.Context, a session.Attempt, p session.Push, life time.Duration) (time.Duration, error) {
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return 0, err
	}
	now := clock()
	if r := m.factors.pushes[p.ID]; r != nil && r.opened == a {
		return 0, nil
	}
	var ends []time.Time
	for _, r := range m.factors.pushes {
		if r.push.User == p.User && now.Before(r.push.Ends) {
			ends = append(ends, r.push.Ends)
		}
	}
	if len(ends) >= session.MaxPushes {
		return slices.MinFunc(ends, time.Time.Compare).Sub(now), nil
	}
	p.Made, p.Ends, p.Status = now, now.Add(life), session.PushPending
	m.factors.pushes[p.ID] = &pushRow{push: p, opened: a, moved: map[session.Attempt]bool{}}
	return 0, m.lost("open push")
}

// LookPush implements session.Pushes.
func (m *Memory) LookPush(_ context.Context, id string) (session.Push, error) {
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return session.Push{}, err
	}
	r := m.factors.pushes[id]
	if r == nil || !clock().Before(r.push.Ends.Add(session.ChallengeLife)) {
		return session.Push{}, session.ErrNotFound
	}
	return r.push, nil
}

// ListPushes implements session.Pushes.
func (m *Memory) ListPushes(context.Context) ([]session.Push, error) {
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return nil, err
	}
	var list []session.Push
	for _, r := range m.factors.pushes {
		if r.push.Status == session.PushPending && clock().Before(r.push.Ends) {
			list = append(list, r.push)
		}
	}
	slices.SortFunc(list, func(a, b session.Push) int { return a.Ends.Compare(b.Ends) })
	return list, nil
}

// SettlePush implements session.Pushes.
func (m *Memory) SettlePush(_ context.Context, a session.Attempt, id string, from, to session.PushStatus) (bool, error) {
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return false, err
	}
	r := m.factors.pushes[id]
	switch {
	case r == nil:
		return false, nil
	case r.moved[a]:
		return true, nil
	case r.push.Status != from || !clock().Before(r.push.Ends):
		return false, nil
	}
	r.push.Status, r.moved[a] = to, true
	return true, m.lost("settle push")
}

// ClosePushes implements session.Pushes.
func (m *Memory) ClosePushes(_ context.Context, user string) error {
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return err
	}
	for _, r := range m.factors.pushes {
		if s := r.push.Status; r.push.User == user && (s == session.PushPending || s == session.PushApproved) {
			r.push.Status = session.PushClosed
		}
	}
	return m.lost("close pushes")
}

var (
	_ session.Tries  = (*Memory)(nil)
	_ session.Pushes = (*Memory)(nil)
)
