package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// keepNote is for how long a record of a journal is kept that is of no use here: of
// a backend that is not configured, or to be logged out of one that does not
// answer.
const keepNote = 24 * time.Hour

// ReplayRecorder is told what became of the records of a journal.
type ReplayRecorder interface {
	// JournalReplay: stored, superseded (the store has later tokens), discarded
	// (other tokens won, or the session is over; they were logged out), deferred
	// (the store or the backend could not be asked; it is tried again), dropped
	// (unreadable, or of no use for a day).
	JournalReplay(backend, outcome string)
}

// Replayer brings what processes that are gone have left in their journals to the
// store. It is safe for concurrent use.
type Replayer struct {
	backends map[string]*Backend
	rec      ReplayRecorder
	log      *slog.Logger

	mu     sync.Mutex
	warned map[string]bool      // guarded by mu: by backend that is not configured
	silent map[string]time.Time // guarded by mu: until when a backend, or "" the store, is not asked
}

// NewReplayer returns a Replayer for these backends.
func NewReplayer(backends []*Backend, rec ReplayRecorder, log *slog.Logger) *Replayer {
	r := &Replayer{backends: map[string]*Backend{}, rec: rec, log: log, warned: map[string]bool{}, silent: map[string]time.Time{}}
	for _, b := range backends {
		if b.Journals() {
			r.backends[b.cfg.Name] = b
		}
	}
	return r
}

// errNoBackend says that a record has to wait for a configuration that knows its
// backend.
var errNoBackend = errors.New("upstream: the record's backend is not configured")

// Replay offers the tokens of one record, as a Backend wrote it, to the store.
// Those that the store does not want are logged out. It returns nil if the record
// is done, and else why it is to be tried again.
func (r *Replayer) Replay(ctx context.Context, record []byte, written time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var n note
	if err := json.Unmarshal(record, &n); err != nil || n.Version == 0 {
		r.log.Error("a record of the journal is dropped: it is not of this version's making", "error", err)
		r.rec.JournalReplay("", "dropped")
		return nil
	}
	b := r.backends[n.Backend]
	if b == nil {
		return r.keep(n, written)
	}
	outcome, err := r.offer(b, n)
	if err != nil && outcome == "discarded" && time.Since(written) >= keepNote {
		b.log.Warn("unused tokens of the journal stay logged in until they expire", "error", err)
		outcome, err = "dropped", nil
	}
	if err != nil {
		outcome = "deferred"
		if b.alarm.due() {
			b.log.Warn("tokens wait in the journal", "error", err)
		}
	}
	r.rec.JournalReplay(n.Backend, outcome)
	return err
}

// keep keeps what is of a backend that is not configured, for a day.
func (r *Replayer) keep(n note, written time.Time) error {
	if time.Since(written) >= keepNote {
		r.log.Warn("tokens of the journal are dropped: their backend has not been configured for a day", "backend", n.Backend)
		r.rec.JournalReplay(n.Backend, "dropped")
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.warned[n.Backend] {
		r.warned[n.Backend] = true
		r.log.Warn("the journal has tokens of a backend that is not configured; they are kept for a day", "backend", n.Backend)
	}
	return errNoBackend
}

// ask makes a call to the store (what is "") or to a backend, unless the last one
// failed a moment ago: many records do not each wait for what is not there.
func (r *Replayer) ask(what string, call func() error) error {
	r.mu.Lock()
	until := r.silent[what]
	r.mu.Unlock()
	if time.Now().Before(until) {
		return errSilent
	}
	err := call()
	if err != nil {
		r.mu.Lock()
		r.silent[what] = time.Now().Add(firstBackOff / 2)
		r.mu.Unlock()
	}
	return err
}

// errSilent says that what has just failed is not asked again yet.
var errSilent = errors.New("upstream: the last call failed a moment ago")

// offer offers one record to the store. With an error the outcome says what was
// being done.
func (r *Replayer) offer(b *Backend, n note) (outcome string, err error) {
	c := n.commit(time.Now())
	t, err := b.names.open(c.Ref, c.Record)
	if err != nil {
		b.log.Error("tokens of the journal are dropped: they cannot be read", "error", err)
		return "dropped", nil
	}
	var ans Answer
	err = r.ask("", func() error { t, ans, err = b.put(c, t); return err })
	switch {
	case err != nil:
		return "deferred", err
	case ans.State == Done:
		b.tell(Notice{Ref: c.Ref, Version: t.version})
		b.log.Info("tokens of the journal are stored", "version", t.version)
		return "stored", nil
	case ans.State == Fresh, ans.State == Stale && ans.Record.Version > c.Record.Version:
		// They may have been stored and renewed since. To log them out could end the
		// session that goes on with their successors.
		b.log.Info("tokens of the journal were overtaken", "version", c.Record.Version, "stored", ans.Record.Version)
		return "superseded", nil
	}
	err = r.ask(n.Backend, func() error { return b.leave(t, c.Record.Pinned && ans.State != Stale) })
	if err != nil {
		return "discarded", fmt.Errorf("upstream: tokens that nobody will use cannot be logged out: %w", err)
	}
	b.log.Info("tokens of the journal were logged out: nobody will use them", "version", c.Record.Version)
	return "discarded", nil
}
