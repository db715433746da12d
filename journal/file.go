package journal

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-gateway/gatehouse/seal"
)

// A file is lines of three words: what it is, its slot, and a sealed value that
// opens only as that slot of that file.
//
//	record 12 <ms since 1970, 8 bytes, and the text>
//	done 12 <nothing>
const (
	suffix     = ".journal"
	kindRecord = "record"
	kindDone   = "done"
)

// What lines need at most.
const (
	sealing  = 8 + 1 + 12 + 16 // fingerprint and dot; nonce and tag, before base64
	markSize = len(kindRecord) + 1 + 20 + 1 + 1 + sealing*4/3 + 2
)

// lineSize is what a record with a text of n bytes needs in a file at most.
func lineSize(n int) int { return markSize + base64.RawURLEncoding.EncodedLen(8+n) + 2 }

// file is a journal that this process writes. Its methods but sync are called
// under the Journal's mu.
type file struct {
	path, id string
	f        *os.File
	size     int
	broken   bool          // its end may hold half a line: nothing is added
	writes   atomic.Uint64 // how many were made

	syncing sync.Mutex
	synced  uint64 // guarded by syncing: how many of the writes are on the disk
	failed  error  // guarded by syncing: a sync failed, so nothing is known any more
}

// errInUse says that another has the lock of a file.
var errInUse = errors.New("journal: the file is in use")

// errTaken says that a new file was taken by another process before it could be
// locked.
var errTaken = errors.New("new files in it are taken away")

// create makes a new file in a folder, which is made if it is not there, and
// locks it.
func create(dir string) (*file, error) {
	if err := os.Mkdir(dir, 0o700); err == nil {
		if err := syncFolder(filepath.Dir(dir)); err != nil {
			return nil, err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	for range 3 {
		f, err := createOnce(dir)
		if err == nil || !errors.Is(err, errTaken) {
			return f, err
		}
	}
	return nil, errTaken
}

func createOnce(dir string) (*file, error) {
	l := &file{id: rand.Text()}
	l.path = filepath.Join(dir, l.id+suffix)
	var err error
	if l.f, err = os.OpenFile(l.path, os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return nil, err
	}
	// Before the lock is had, the file looks like that of a process that is gone.
	switch err := lock(l.f); {
	case errors.Is(err, errInUse):
		l.close()
		return nil, errTaken
	case err != nil:
		l.remove()
		return nil, err
	case !stands(l.f, l.path):
		l.close()
		return nil, errTaken
	}
	if err := syncFolder(dir); err != nil {
		l.remove()
		return nil, err
	}
	return l, nil
}

// syncFolder brings the names in a folder to the disk.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// stands reports whether path still leads to f.
func stands(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(path)
	return err == nil && os.SameFile(a, b)
}

func place(id, kind string, slot uint64) seal.Place {
	return seal.Place{Owner: "journal", Backend: id, Field: kind, Version: slot}
}

func line(k *seal.Keyring, id, kind string, slot uint64, text []byte) []byte {
	return fmt.Appendf(nil, "%s %d %s\n", kind, slot, k.Seal(place(id, kind, slot), text))
}

// put writes a record, for the next sync.
func (l *file) put(k *seal.Keyring, slot uint64, r *record) error {
	text := slices.Concat(binary.BigEndian.AppendUint64(nil, uint64(r.written.UnixMilli())), r.text)
	return l.write(line(k, l.id, kindRecord, slot, text))
}

// mark writes that a record is done.
func (l *file) mark(k *seal.Keyring, slot uint64) {
	_ = l.write(line(k, l.id, kindDone, slot, nil)) // if it fails the next record goes to a new file, without this one
}

func (l *file) write(b []byte) error {
	n, err := l.f.Write(b)
	l.size += n
	if err != nil {
		l.broken = true
		return err
	}
	l.writes.Add(1)
	return nil
}

// empty removes all lines.
func (l *file) empty() {
	if err := l.f.Truncate(0); err != nil {
		l.broken = true
		return
	}
	l.size = 0
}

// sync returns when the first n writes are on the disk. One flush serves all who
// wait for one.
func (l *file) sync(n uint64) error {
	l.syncing.Lock()
	defer l.syncing.Unlock()
	if l.failed != nil || l.synced >= n {
		return l.failed
	}
	covered := l.writes.Load()
	if l.failed = l.f.Sync(); l.failed == nil {
		l.synced = covered
	}
	return l.failed
}

// close gives up the lock.
func (l *file) close() { _ = l.f.Close() } // all that counts was flushed

// remove is close, and the file is gone.
func (l *file) remove() {
	_ = os.Remove(l.path) // if it stays, its records are replayed and it is removed then
	l.close()
}

// contents is what a file holds.
type contents struct {
	open    []Record // in the order they were written
	foreign int      // records under a secret that is not known
	damaged int      // lines that are torn or were altered
	whole   bool     // the last line has its end
}

// parse reads the file of that id.
func parse(r io.Reader, k *seal.Keyring, id string) (contents, error) {
	all, err := io.ReadAll(io.LimitReader(r, MaxBytes+1))
	if err != nil {
		return contents{}, err
	}
	c := contents{whole: len(all) == 0 || all[len(all)-1] == '\n'}
	done := map[uint64]bool{}
	for text := range bytes.Lines(all) {
		c.add(k, id, strings.TrimSuffix(string(text), "\n"), done)
	}
	c.open = slices.DeleteFunc(c.open, func(r Record) bool { return done[r.slot] })
	return c, nil
}

// add takes one line in.
func (c *contents) add(k *seal.Keyring, id, text string, done map[uint64]bool) {
	words := strings.Split(text, " ")
	if text == "" {
		return // it parts half a line from what was added later
	}
	if len(words) != 3 {
		c.damaged++
		return
	}
	kind, sealed := words[0], words[2]
	slot, err := strconv.ParseUint(words[1], 10, 64)
	if err != nil {
		c.damaged++
		return
	}
	plain, err := k.Open(place(id, kind, slot), sealed)
	switch {
	case err != nil && kind == kindRecord && foreign(k, sealed):
		c.foreign++
	case err != nil:
		c.damaged++
	case kind == kindDone:
		done[slot] = true
	case kind == kindRecord && len(plain) >= 8:
		c.open = append(c.open, Record{Written: time.UnixMilli(int64(binary.BigEndian.Uint64(plain))), Text: plain[8:], slot: slot})
	default:
		c.damaged++
	}
}

// foreign reports whether a value is sealed under a secret that is not known.
func foreign(k *seal.Keyring, sealed string) bool {
	id, _, ok := strings.Cut(sealed, ".")
	raw, err := hex.DecodeString(id)
	return ok && err == nil && len(raw) == 4 && !slices.Contains(k.Fingerprints(), id)
}
