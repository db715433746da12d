package upstream_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream"
	"github.com/gatehouse-gateway/gatehouse/upstream/upstreamtest"
)

// A failover to a copy that lacks the last commit leaves the store with a refresh
// token that the backend has voided, and this process with the one after it.
func TestNewerTokensInMemoryAreRenewedAfterAFailover(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*upstream.Config)
		until  time.Duration // the next renewal
	}{
		"account":                     {nil, 29 * time.Minute},
		"pass-through":                {passThrough, 29 * time.Minute},
		"pass-through, long not used": {passThrough, 31 * time.Minute},
	} {
		t.Run(name, inBubble(func(t *testing.T) {
			w := newWorld(t, c.change)
			who := anyone
			if c.change != nil {
				who = as(w.signIn(t))
			}
			w.wantGet(t, who, 200)
			failover := w.store.Copy()
			advance(29 * time.Minute)
			w.wantGet(t, who, 200)
			advance(time.Second)
			failover()
			advance(c.until)
			w.wantGet(t, who, 200)
			advance(time.Second)
			w.wantGet(t, who, 200)
			w.wantCounts(t, 1, 2, 0)
			w.twin(t, nil).wantGet(t, who, 200)
		}))
	}
}

func TestTokensThatWaitedForTheStoreOutliveAFailover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, passThrough)
		sid := w.signIn(t)
		failover := w.store.Copy()
		advance(31 * time.Minute)
		w.wantGet(t, as(sid), 200)
		w.store.Break("Commit", errors.New("down"))
		advance(31 * time.Minute)
		w.wantGet(t, as(sid), 200)
		failover()
		w.store.Break("Commit", nil)
		advance(10 * time.Second)
		w.wantGet(t, as(sid), 200)
		w.wantCounts(t, 1, 2, 0)
		w.twin(t, nil).wantGet(t, as(sid), 200)
		w.wantCounts(t, 1, 2, 0)
	})
}

// The store had taken the tokens, but its answer was lost; others have renewed them
// since. A logout would end what goes on with their successors.
func TestTokensThatOthersHaveRenewedAreNotLoggedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProcess(t, nil, t.TempDir(), nil)
		p.wantGet(t, anyone, 200)
		advance(31 * time.Minute)
		p.way.lost.Store(true)
		p.wantGet(t, anyone, 200)
		p.way.down.Store(true)
		other := newProcess(t, p, t.TempDir(), nil)
		advance(25 * time.Minute)
		other.wantGet(t, anyone, 200)
		other.wantGet(t, anyone, 200)
		advance(500 * time.Millisecond)
		p.wantCounts(t, 1, 2, 0)
		p.way.lost.Store(false)
		p.way.down.Store(false)
		p.wantGet(t, anyone, 200)
		advance(time.Minute)
		p.wantGet(t, anyone, 200)
		p.wantCounts(t, 1, 2, 0)
	})
}

// Whoever asks the store first once it is back must find the tokens there, and not
// the ones before them, which are void.
func TestTokensAreStoredAsSoonAsTheStoreIsBack(t *testing.T) {
	for _, outage := range []time.Duration{time.Minute, 5 * time.Minute, 20 * time.Minute} {
		t.Run(outage.String(), inBubble(func(t *testing.T) {
			w := newWorld(t, passThrough)
			sids := []token.SID{w.signIn(t), w.signIn(t)}
			advance(29 * time.Minute)
			w.store.Break("Commit", errors.New("down"))
			for _, sid := range sids {
				w.wantGet(t, as(sid), 200)
			}
			advance(outage + 100*time.Millisecond)
			w.store.Break("Commit", nil)
			advance(time.Second)
			other := w.twin(t, nil)
			for _, sid := range sids {
				other.wantGet(t, as(sid), 200)
			}
			w.wantCounts(t, 2, 2, 0)
		}))
	}
}

func TestTokensOfAJournalOutliveAFailover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		p := newProcess(t, nil, dir, nil)
		p.wantGet(t, anyone, 200)
		failover := p.store.Copy()
		advance(31 * time.Minute)
		p.wantGet(t, anyone, 200)
		p.way.down.Store(true)
		advance(31 * time.Minute)
		p.wantGet(t, anyone, 200)
		p.die()
		failover()
		next := newProcess(t, p, dir, nil)
		next.wantReplay(t, "stored", 1)
		next.wantGet(t, anyone, 200)
		next.wantCounts(t, 1, 2, 0)
	})
}

// Another gateway that finds the store back before the new tokens are there leaves
// them a moment to come.
func TestARenewalAfterAnOutageLetsOthersStoreWhatTheyHave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, passThrough)
		sid := w.signIn(t)
		advance(29 * time.Minute)
		down := errors.New("down")
		w.store.Break("Commit", down)
		w.wantGet(t, as(sid), 200)
		synctest.Wait()
		w.store.Break("Acquire", down)
		advance(time.Minute + 300*time.Millisecond)
		other := w.twin(t, nil)
		other.wantKind(t, as(sid), token.Unavailable)
		advance(200 * time.Millisecond)
		w.store.Break("Acquire", nil)
		w.store.Break("Commit", nil)
		began := time.Now()
		other.wantGet(t, as(sid), 200)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("a request just after an outage took %v; want 2s at most", took)
		}
		w.wantCounts(t, 1, 1, 0)
	})
}

// slowCommits is a store that takes its time to answer a commit.
type slowCommits struct{ *upstreamtest.Memory }

func (s slowCommits) Commit(ctx context.Context, c upstream.Commit) (upstream.Answer, error) {
	a, err := s.Memory.Commit(ctx, c)
	time.Sleep(300 * time.Millisecond)
	return a, err
}

func TestTokensThatAreOfferedTwiceAtOnceAreNotLoggedOut(t *testing.T) {
	for offset := range 14 {
		t.Run(strconv.Itoa(offset), inBubble(func(t *testing.T) {
			w := newWorld(t, func(c *upstream.Config) {
				passThrough(c)
				c.Store = slowCommits{c.Store.(*upstreamtest.Memory)}
			})
			sid := w.signIn(t)
			failover := w.store.Copy()
			for range 2 {
				advance(31 * time.Minute)
				w.wantGet(t, as(sid), 200)
				w.store.Break("Commit", errors.New("down"))
			}
			advance(25*time.Minute + time.Duration(offset)*100*time.Millisecond)
			failover()
			w.store.Break("Commit", nil)
			w.wantGet(t, as(sid), 200) // has it renewed, for which it is stored before: beside the offer
			advance(time.Minute)
			w.wantGet(t, as(sid), 200)
			w.twin(t, nil).wantGet(t, as(sid), 200)
			w.wantCounts(t, 1, 3, 0)
		}))
	}
}
