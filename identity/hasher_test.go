package identity

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// With every slot taken and the queue full, one more is told to come again.
func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slots, queue = 2, 3
		h := NewHasher(slots, queue)
		for range slots {
			if err := h.enter(t.Context()); err != nil {
				t.Fatalf("a free slot: %v", err)
			}
		}
		waited := make(chan error, queue)
		for range queue {
			go func() { waited <- h.enter(t.Context()) }()
		}
		synctest.Wait()
		err := h.enter(t.Context())
		if e, ok := errors.AsType[*token.Error](err); !ok || e.Kind != token.Unavailable || e.RetryAfter <= 0 || e.Msg == "" {
			t.Errorf("one more than slots and queue: %v; want unavailable, with a time to come again", err)
		}
		for range queue {
			h.leave()
			if err := <-waited; err != nil {
				t.Errorf("one who waited: %v", err)
			}
		}
		h.leave()
		if err := h.enter(t.Context()); err != nil {
			t.Errorf("after a slot came free: %v", err)
		}
	})
}

func TestWaitingEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHasher(1, 1)
		if err := h.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		waited := make(chan error, 1)
		go func() { waited <- h.enter(ctx) }()
		synctest.Wait()
		cancel()
		if err := <-waited; token.KindOf(err) != token.Unavailable || !errors.Is(err, context.Canceled) {
			t.Errorf("enter = %v; want unavailable, because of the context", err)
		}
		h.leave()
		if err := h.enter(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("enter with a free slot for one who has gone = %v; want refused", err)
		}
		go func() { waited <- h.enter(t.Context()) }()
		if err := <-waited; err != nil {
			t.Errorf("the queue kept the place of one who has gone: %v", err)
		}
	})
}

func TestDefaultSlotsBoundMemory(t *testing.T) {
	h := NewHasher(0, 0)
	if got, want := cap(h.slots), min(runtime.GOMAXPROCS(0), 2); got != want {
		t.Errorf("%d slots; want %d", got, want)
	}
	if h.queue != 64 {
		t.Errorf("a queue of %d; want 64", h.queue)
	}
}
