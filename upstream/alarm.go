package upstream

import (
	"sync"
	"time"
)

// alarmEvery is how often the same trouble is logged.
const alarmEvery = time.Minute

// alarm keeps a message that every request would cause from filling the log.
type alarm struct {
	mu   sync.Mutex
	next time.Time // guarded by mu
}

// due reports whether to say it again.
func (a *alarm) due() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if now.Before(a.next) {
		return false
	}
	a.next = now.Add(alarmEvery)
	return true
}
