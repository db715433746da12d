// Package journal keeps on this machine's disk what a backend gave until the
// store has it. Where a backend voids a refresh token with its first use, the
// answer to a renewal is the only copy there is; a process that is killed before
// it has stored that copy would end the session at the backend.
//
// A Journal is one file of one process, under a lock that ends with the process.
// Its room is limited and reserved beforehand, so that no call is begun whose
// answer could not be kept. A record is sealed for its place in its file, written
// and flushed to the disk before it is used; when the store has it, it is marked
// as done, and the file is emptied when nothing is open. A file without a lock
// belongs to a process that is gone: whoever finds it replays it.
package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/gatehouse-gateway/gatehouse/seal"
)

// The limits of one file.
const (
	MaxRecords = 1000    // open or reserved
	MaxBytes   = 4 << 20 // of the whole file
	// room is what a reserved record is thought to need. One that needs more is
	// taken as long as it fits.
	room = MaxBytes / MaxRecords
)

// ErrFull says that there is no room for a record.
var ErrFull = fmt.Errorf("journal: it is full: %d records or %d MiB wait for the store", MaxRecords, MaxBytes>>20)

// errSlot is a programmer's error.
var errSlot = errors.New("journal: the slot is not reserved, or written already")

// Recorder is told what happened, for metrics. The reasons are a closed list.
type Recorder interface {
	// JournalRecords: how many records are written and not done.
	JournalRecords(open int)
	// JournalSkipped counts records found on the disk that cannot be replayed:
	// damaged, or foreign (sealed under a secret that is not known).
	JournalSkipped(reason string)
}

// Options say where a Journal is.
type Options struct {
	// Dir must exist. The files are in a folder "journal" in it, which is made.
	Dir      string
	Keyring  *seal.Keyring
	Recorder Recorder     // nil: nobody is told
	Log      *slog.Logger // nil: nothing is logged
}

// Journal is the file of this process, and the way to those of processes that
// are gone. It is safe for concurrent use.
type Journal struct {
	dir string
	rec Recorder
	log *slog.Logger

	mu       sync.Mutex
	keyring  *seal.Keyring      // guarded by mu
	last     uint64             // guarded by mu: the slot given out last
	slots    map[uint64]*record // guarded by mu: nil while nothing is written
	written  int                // guarded by mu: how many are not nil
	bytes    int                // guarded by mu: of those, in the file
	file     *file              // guarded by mu; nil: none could be made yet
	trouble  error              // guarded by mu: why the disk does not take records; nil: it does
	closed   bool               // guarded by mu
	reported map[string]bool    // guarded by mu: files of which it was said what cannot be replayed
}

// record is one that is not done.
type record struct {
	text    []byte
	written time.Time
}

// Open returns the journal in a folder. It does not fail: where the file cannot
// be made Trouble says why, and it is tried again with every record and by Run.
func Open(o Options) *Journal {
	j := &Journal{
		dir: filepath.Join(o.Dir, "journal"), keyring: o.Keyring, rec: o.Recorder, log: o.Log,
		slots: map[uint64]*record{}, reported: map[string]bool{},
	}
	if j.rec == nil {
		j.rec = silent{}
	}
	if j.log == nil {
		j.log = slog.New(slog.DiscardHandler)
	}
	j.mend()
	return j
}

// Reserve makes sure that there is room for one record, and names it. Done gives
// it back. The error is ErrFull. A disk that takes nothing is none: then records
// are kept in memory.
func (j *Journal) Reserve() (slot uint64, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if reserved := len(j.slots) - j.written; len(j.slots) >= MaxRecords || j.bytes+(reserved+1)*room > MaxBytes {
		return 0, ErrFull
	}
	j.last++
	j.slots[j.last] = nil
	return j.last, nil
}

// Append writes the record of a reserved slot. Without an error it is on the
// disk. With one it is not, but will be as soon as the disk takes it, unless it
// is done before.
func (j *Journal) Append(slot uint64, text []byte) error {
	f, n, err := j.put(slot, text)
	if err != nil {
		return err
	}
	if f.sync(n) == nil {
		return nil
	}
	return j.rescue(f)
}

// put writes a record, and returns the file and what its sync has to cover.
func (j *Journal) put(slot uint64, text []byte) (*file, uint64, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if r, ok := j.slots[slot]; !ok || r != nil {
		return nil, 0, errSlot
	}
	size := lineSize(len(text))
	if j.bytes+size > MaxBytes {
		return nil, 0, ErrFull
	}
	r := &record{text: slices.Clone(text), written: time.Now()}
	j.slots[slot] = r
	j.count(1, size)
	if f := j.file; f != nil && !f.broken && f.size+size <= MaxBytes && f.put(j.keyring, slot, r) == nil {
		return f, f.writes.Load(), nil
	}
	if err := j.renew(); err != nil {
		return nil, 0, err
	}
	return j.file, 0, nil
}

// rescue brings what f was to keep to the disk after its sync failed. What had
// been written to f is not believed any more, even if a later sync succeeds.
func (j *Journal) rescue(f *file) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file != f && j.file != nil {
		return nil // another file has taken over, with every open record
	}
	return j.renew()
}

// Done says that a slot is not needed any more, written or not. It does not wait
// for the disk: a record that is replayed although it was done changes nothing.
func (j *Journal) Done(slot uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	r, ok := j.slots[slot]
	delete(j.slots, slot)
	if !ok || r == nil {
		return
	}
	j.count(-1, -lineSize(len(r.text)))
	switch f := j.file; {
	case f == nil || f.broken:
	case j.written == 0:
		f.empty()
	case f.size+markSize <= MaxBytes: // else it is left out when the file is renewed
		f.mark(j.keyring, slot)
	}
}

// count notes that records were written or done. The caller holds mu.
func (j *Journal) count(records, bytes int) {
	j.written += records
	j.bytes += bytes
	j.rec.JournalRecords(j.written)
}

// renew puts all open records into a new file and makes it the one to write to;
// the old one is kept until the new one is on the disk. The caller holds mu.
func (j *Journal) renew() error {
	if j.closed {
		return os.ErrClosed
	}
	f, err := create(j.dir)
	if err == nil {
		if err = j.copy(f); err != nil {
			f.remove()
		}
	}
	if err != nil {
		if j.file != nil {
			j.file.broken = true
		}
		j.trouble = err
		return fmt.Errorf("journal: %w", err)
	}
	if j.file != nil {
		j.file.remove()
	}
	j.file, j.trouble = f, nil
	return nil
}

// copy writes all open records to f, in their order. The caller holds mu.
func (j *Journal) copy(f *file) error {
	slots := make([]uint64, 0, j.written)
	for slot, r := range j.slots {
		if r != nil {
			slots = append(slots, slot)
		}
	}
	slices.Sort(slots)
	for _, slot := range slots {
		if err := f.put(j.keyring, slot, j.slots[slot]); err != nil {
			return err
		}
	}
	return f.sync(f.writes.Load())
}

// mend makes a new file where the disk did not take the last one.
func (j *Journal) mend() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file != nil && j.trouble == nil || j.closed {
		return
	}
	was := j.trouble
	switch err := j.renew(); {
	case err == nil && was != nil:
		j.log.Info("the journal can be written again", "folder", j.dir)
	case err != nil && was == nil:
		j.log.Error("the journal cannot be written: tokens of backends are kept in memory only until the store has them", "folder", j.dir, "error", err)
	}
}

// Use has records sealed under another keyring from now on, those that are open
// too: the secrets they were sealed under so far may be given up.
func (j *Journal) Use(k *seal.Keyring) {
	j.mu.Lock()
	defer j.mu.Unlock()
	same := j.keyring.Using() == k.Using()
	j.keyring = k
	if same || j.written == 0 {
		return
	}
	if err := j.renew(); err != nil {
		j.log.Error("open records of the journal stay under the secret they are sealed under", "error", err)
	}
}

// ring returns the keyring in use.
func (j *Journal) ring() *seal.Keyring {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.keyring
}

// Trouble says why records are not kept, and what to do; empty if they are.
func (j *Journal) Trouble() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.trouble != nil:
		return fmt.Sprintf("it cannot be written (%v): have %s be on a disk with room, where flock works, and let the gateway's user write there", j.trouble, filepath.Dir(j.dir))
	case len(j.slots) >= MaxRecords:
		return fmt.Sprintf("it is full: %d records wait for the store", len(j.slots))
	}
	return ""
}

// Close ends the use of the file. One with open records is left for whoever
// starts next; an empty one is removed.
func (j *Journal) Close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	switch {
	case j.file == nil:
	case j.written == 0:
		j.file.remove()
	default:
		j.file.close()
	}
	j.file = nil
}

// silent is the Recorder of who wants none.
type silent struct{}

func (silent) JournalRecords(int)    {}
func (silent) JournalSkipped(string) {}
