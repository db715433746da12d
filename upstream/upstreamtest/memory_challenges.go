package upstreamtest

import (
	"context"
	"time"

	"github.com/gatehouse-gateway/gatehouse/upstream"
)

// challenge is one that is kept.
type challenge struct {
	sealed string
	ends   time.Time
}

// Keep implements upstream.Challenges.
func (m *Memory) Keep(_ context.Context, backend, id, sealed string, life time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.broken["Keep"]; err != nil {
		return err
	}
	at := [2]string{backend, id}
	if c, ok := m.asked[at]; !ok || !time.Now().Before(c.ends) {
		m.asked[at] = challenge{sealed, time.Now().Add(life)}
	}
	return nil
}

// Find implements upstream.Challenges.
func (m *Memory) Find(_ context.Context, backend, id string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.broken["Find"]; err != nil {
		return "", err
	}
	c, ok := m.asked[[2]string{backend, id}]
	if !ok || !time.Now().Before(c.ends) {
		return "", upstream.ErrNoChallenge
	}
	return c.sealed, nil
}

// Drop implements upstream.Challenges.
func (m *Memory) Drop(_ context.Context, backend, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.broken["Drop"]; err != nil {
		return err
	}
	delete(m.asked, [2]string{backend, id})
	return nil
}
