package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/gatehouse-gateway/gatehouse/journal"
	"github.com/gatehouse-gateway/gatehouse/upstream"
)

// firstReplay is how long a start waits for what an earlier process left in its
// journal. It is stored before requests come that would renew the tokens before
// it, which the backend may have voided.
const firstReplay = 5 * time.Second

// openJournal opens the journal, where it is of use: the embedded store ends with
// the process, and the tokens with it.
func (s *server) openJournal() error {
	if s.cfg.DataDir == "" || s.cfg.RedisURL.IsZero() {
		return nil
	}
	ring, err := keyring(s.cfg, s.lasting.drawn)
	if err != nil {
		return err
	}
	s.lasting.journal = journal.Open(journal.Options{Dir: s.cfg.DataDir, Keyring: ring, Recorder: s.metrics, Log: s.log})
	return nil
}

func (s *server) closeJournal() {
	if s.lasting.journal != nil {
		s.lasting.journal.Close()
	}
}

// journalTrouble says why tokens of backends would be lost with this process;
// empty if they would not, or there are none.
func (s *server) journalTrouble(g *gateway) string {
	const loss = ": if this process dies before Redis has a backend's new tokens, they are lost"
	switch {
	case s.cfg.RedisURL.IsZero() || !g.journals():
		return ""
	case s.lasting.journal == nil:
		return "there is no journal" + loss + "; set GATEHOUSE_DATA_DIR to a folder that the gateway may write to"
	}
	if trouble := s.lasting.journal.Trouble(); trouble != "" {
		return "the journal does not work" + loss + "; " + trouble
	}
	return ""
}

// journals reports whether some backend gives tokens that a journal should keep.
func (g *gateway) journals() bool {
	for _, b := range g.backends {
		if b.Journals() {
			return true
		}
	}
	return false
}

// journaled is where backends keep new tokens until the store has them; nil for
// nowhere.
func (o outside) journaled() upstream.Journal {
	if o.journal == nil {
		return nil
	}
	return o.journal
}

// replay makes a journal's records this gateway's affair.
func (g *gateway) replay(o outside) {
	if o.journal == nil {
		return
	}
	r := upstream.NewReplayer(g.backends, o.metrics, o.log)
	g.journal, g.replayed = o.journal, func(ctx context.Context, rec journal.Record) error {
		return r.Replay(ctx, rec.Text, rec.Written)
	}
}

// replayFirst replays what there is, before requests are let in.
func (g *gateway) replayFirst(ctx context.Context, log *slog.Logger) {
	if g.journal == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, firstReplay)
	defer cancel()
	if left := g.journal.Replay(ctx, g.replayed); left > 0 {
		log.Warn("records of the journal wait to be replayed", "records", left)
	}
}
