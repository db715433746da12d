package main

import (
	"slices"
	"sync"
	"testing"
)

// callLog is what a backend of a test was asked, in order.
type callLog struct {
	mu    sync.Mutex
	calls []string // guarded by mu
}

// want compares the calls since the last time.
func (l *callLog) want(t *testing.T, calls ...string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Equal(l.calls, calls) {
		t.Errorf("the backend got %q; want %q", l.calls, calls)
	}
	l.calls = nil
}
