package journal

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Times between two looks for files of processes that are gone.
const (
	// lookEvery is shorter than the time for which other gateways leave a backend
	// session alone whose gateway is gone while a call was under way (12 s): what
	// that call brought is stored before they give it up.
	lookEvery  = 5 * time.Second
	firstAgain = time.Second // while records wait; doubled each time
	lastAgain  = 30 * time.Second
)

// Record is what a process that is gone had written and not done.
type Record struct {
	Written time.Time // by the clock of its machine, to the millisecond
	Text    []byte
	slot    uint64
}

// Run replays, now and from then on whenever there is a file to replay, and
// brings to the disk what that did not take before. It returns the context's
// error when that ends.
func (j *Journal) Run(ctx context.Context, replay func(context.Context, Record) error) error {
	again := firstAgain
	for {
		wait := lookEvery
		if j.Replay(ctx, replay) > 0 {
			wait, again = again, min(2*again, lastAgain)
		} else {
			again = firstAgain
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
		j.mend()
	}
}

// Replay hands the open records of every file whose process is gone to replay,
// one at a time. A record that it returns nil for is done; with an error it stays
// for the next time. Replay returns how many stay, but for those under a secret
// that is not known, which stay in any case. Each file is replayed by one process
// at a time. When ctx ends, what is left stays.
func (j *Journal) Replay(ctx context.Context, replay func(context.Context, Record) error) (left int) {
	paths, err := filepath.Glob(filepath.Join(j.dir, "*"+suffix))
	if err != nil {
		return 0 // only of a malformed pattern
	}
	for _, path := range paths {
		n, err := j.adopt(ctx, path, replay)
		if err != nil {
			j.log.Warn("a journal cannot be read", "path", path, "error", err)
		}
		left += n
	}
	return left
}

// adopt replays one file, if its process is gone, and removes it if nothing is
// left in it.
func (j *Journal) adopt(ctx context.Context, path string, replay func(context.Context, Record) error) (left int, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			err = nil // another process was faster
		}
		return 0, err
	}
	l := &file{path: path, id: strings.TrimSuffix(filepath.Base(path), suffix), f: f}
	defer l.close()
	switch err := lock(f); {
	case errors.Is(err, errInUse):
		return 0, nil
	case err != nil:
		return 0, err
	case !stands(f, path):
		return 0, nil // it was replayed between the opening and the lock
	}
	ring := j.ring()
	c, err := parse(f, ring, l.id)
	if err != nil {
		return 0, err
	}
	if !c.whole {
		_, _ = io.WriteString(f, "\n") // a mark is not to be glued to half a line
	}
	for _, r := range c.open {
		if ctx.Err() != nil || replay(ctx, r) != nil {
			left++
			continue
		}
		l.mark(ring, r.slot)
	}
	j.report(path, c)
	if left+c.foreign == 0 {
		err = os.Remove(path)
	}
	return left, err
}

// report says what a file held that could not be replayed, once.
func (j *Journal) report(path string, c contents) {
	j.mu.Lock()
	said := j.reported[path]
	j.reported[path] = c.foreign+c.damaged > 0
	j.mu.Unlock()
	if said {
		return
	}
	for range c.damaged {
		j.rec.JournalSkipped("damaged")
	}
	if c.damaged > 0 {
		j.log.Warn("a journal has lines that were torn or altered; they are skipped", "path", path, "lines", c.damaged)
	}
	for range c.foreign {
		j.rec.JournalSkipped("foreign")
	}
	if c.foreign > 0 {
		j.log.Error("a journal has records under a secret that is not known; they stay in their file", "path", path, "records", c.foreign,
			"remedy", "add the secret they were sealed under to GATEHOUSE_SECRET and start anew, or remove the file")
	}
}
