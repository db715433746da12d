package upstream

import (
	"context"
	"sync"
)

// crew is the goroutines of a Backend. Unlike a sync.WaitGroup it may be waited
// for while more are being started, and the wait ends with its context.
type crew struct {
	mu   sync.Mutex
	n    int           // guarded by mu: how many are running
	idle chan struct{} // guarded by mu: closed when n is 0; nil when nobody waits
}

// run starts f.
func (c *crew) run(f func()) {
	c.mu.Lock()
	c.n++
	c.mu.Unlock()
	go func() {
		defer c.leave()
		f()
	}()
}

func (c *crew) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n--
	if c.n == 0 && c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}

// wait returns when none is running, or with the context's error.
func (c *crew) wait(ctx context.Context) error {
	c.mu.Lock()
	if c.n == 0 {
		c.mu.Unlock()
		return nil
	}
	if c.idle == nil {
		c.idle = make(chan struct{})
	}
	idle := c.idle
	c.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
