package sessiontest

import (
	"context"
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
)

const (
	maxFailures   = 10
	failureWindow = 15 * time.Minute
	pingEvery     = 300 * time.Millisecond
)

// Allow implements session.Throttle.
func (m *Memory) Allow(_ context.Context, account, address string) (time.Duration, time.Time, error) {
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return 0, time.Time{}, err
	}
	now := clock()
	return max(m.blocked(account, now), m.blocked(address, now)), now, nil
}

// Outdate implements session.Index.
func (m *Memory) Outdate(_ context.Context, owner string, at time.Time) (time.Time, error) {
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return time.Time{}, err
	}
	if at.IsZero() {
		at = clock()
	}
	if at.After(m.epochs[owner]) {
		m.epochs[owner] = at
	}
	return m.epochs[owner], m.lost("outdate")
}

// ForgetEpochs and ForgetLists lose what a failover to a copy may lose.
func (m *Memory) ForgetEpochs() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.epochs)
}

// ForgetLists empties the index.
func (m *Memory) ForgetLists() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.lists)
}

func (m *Memory) blocked(who string, now time.Time) time.Duration {
	f := m.failures[who]
	if len(f) < maxFailures {
		return 0
	}
	return max(0, f[len(f)-maxFailures].Add(failureWindow).Sub(now))
}

// Fail implements session.Throttle.
func (m *Memory) Fail(_ context.Context, account, address string) error {
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return err
	}
	now := clock()
	for _, who := range []string{account, address} {
		m.failures[who] = append(m.failures[who], now)
	}
	return nil
}

// Announce implements session.Feed.
func (m *Memory) Announce(ctx context.Context, e session.Event) error {
	err := m.begin()
	chans := make([]chan session.Event, 0, len(m.follow))
	for c := range m.follow {
		chans = append(chans, c)
	}
	m.mu.Unlock()
	if err != nil {
		return err
	}
	for _, c := range chans {
		select {
		case c <- e:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Follow implements session.Feed.
func (m *Memory) Follow(ctx context.Context, on func(session.Event)) error {
	c := make(chan session.Event, 1024)
	m.mu.Lock()
	m.follow[c] = struct{}{}
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.follow, c)
	}()
	t := time.NewTicker(pingEvery)
	defer t.Stop()
	m.ping(on)
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-c:
			on(e)
		case <-t.C:
			m.ping(on)
		}
	}
}

func (m *Memory) ping(on func(session.Event)) {
	m.mu.Lock()
	down := m.down
	m.mu.Unlock()
	if !down {
		on(session.Event{Kind: session.EventAlive, At: time.Now()})
	}
}

var (
	_ session.Store    = (*Memory)(nil)
	_ session.Index    = (*Memory)(nil)
	_ session.Roll     = (*Memory)(nil)
	_ session.Throttle = (*Memory)(nil)
	_ session.KeyStore = (*Memory)(nil)
	_ session.Feed     = (*Memory)(nil)
)
