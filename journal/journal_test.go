package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-gateway/gatehouse/seal"
	"github.com/gatehouse-gateway/gatehouse/token"
)

func ring(t testing.TB, secrets ...string) *seal.Keyring {
	t.Helper()
	var list []token.Secret
	for _, s := range secrets {
		list = append(list, token.NewSecret(strings.Repeat(s, seal.MinSecret)))
	}
	k, err := seal.New(list)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// notes is a Recorder, and keeps the log.
type notes struct {
	mu      sync.Mutex
	open    int
	skipped map[string]int
	log     bytes.Buffer
}

func (n *notes) JournalRecords(open int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open = open
}

func (n *notes) JournalSkipped(reason string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.skipped == nil {
		n.skipped = map[string]int{}
	}
	n.skipped[reason]++
}

func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.log.Write(p)
}

func (n *notes) said(text string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Count(n.log.String(), text)
}

func open(t testing.TB, dir string, k *seal.Keyring) (*Journal, *notes) {
	t.Helper()
	n := &notes{}
	j := Open(Options{Dir: dir, Keyring: k, Recorder: n, Log: slog.New(slog.NewTextHandler(n, nil))})
	t.Cleanup(j.Close)
	return j, n
}

// write keeps a record in a journal and returns its slot.
func write(t testing.TB, j *Journal, text string) uint64 {
	t.Helper()
	slot := reserve(t, j)
	if err := j.Append(slot, []byte(text)); err != nil {
		t.Fatal(err)
	}
	return slot
}

func reserve(t testing.TB, j *Journal) uint64 {
	t.Helper()
	slot, err := j.Reserve()
	if err != nil {
		t.Fatal(err)
	}
	return slot
}

// crash ends the use of a journal as the end of its process does: the lock is
// free, nothing is tidied up. It returns the file.
func crash(j *Journal) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	path := j.file.path
	j.file.close()
	j.file, j.closed = nil, true
	return path
}

// replayed replays what there is and returns it, in order, and how many records
// stayed.
func replayed(t testing.TB, j *Journal, err error) ([]string, int) {
	t.Helper()
	texts := []string{}
	left := j.Replay(t.Context(), func(_ context.Context, r Record) error {
		texts = append(texts, string(r.Text))
		return err
	})
	return texts, left
}

func wantReplayed(t testing.TB, j *Journal, want ...string) {
	t.Helper()
	got, left := replayed(t, j, nil)
	if diff := cmp.Diff(append([]string{}, want...), got); diff != "" || left != 0 {
		t.Errorf("replayed, %d left (want 0): -want +got\n%s", left, diff)
	}
}

// files returns the names in the folder of the journals.
func files(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, "journal"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestOpenRecordsOutliveTheirProcess(t *testing.T) {
	dir := t.TempDir()
	k := ring(t, "a")
	j, notes := open(t, dir, k)
	began := time.Now().Truncate(time.Millisecond)
	write(t, j, "one")
	done := write(t, j, "two")
	write(t, j, "three")
	reserve(t, j)
	j.Done(done)
	j.Done(done)
	j.Done(4711)
	if notes.open != 2 {
		t.Errorf("open records told = %d; want 2", notes.open)
	}
	path := crash(j)

	next, _ := open(t, dir, k)
	var got []string
	left := next.Replay(t.Context(), func(_ context.Context, r Record) error {
		got = append(got, string(r.Text))
		if r.Written.Before(began) || r.Written.After(time.Now()) {
			t.Errorf("written at %v; want a time since %v", r.Written, began)
		}
		return nil
	})
	if diff := cmp.Diff([]string{"one", "three"}, got); diff != "" || left != 0 {
		t.Errorf("replayed, %d left (want 0): -want +got\n%s", left, diff)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the replayed file: %v; want it gone", err)
	}
	wantReplayed(t, next)
}

func TestAFileInUseIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	j, _ := open(t, dir, ring(t, "a"))
	write(t, j, "one")
	next, _ := open(t, dir, ring(t, "a"))
	wantReplayed(t, next)
	wantReplayed(t, j)
	if got := len(files(t, dir)); got != 2 {
		t.Errorf("files = %d; want those of both processes", got)
	}
}

func TestAnOrphanIsAdoptedOnce(t *testing.T) {
	dir := t.TempDir()
	k := ring(t, "a")
	for round := range 20 {
		dead, _ := open(t, dir, k)
		write(t, dead, fmt.Sprint(round))
		crash(dead)
		a, _ := open(t, dir, k)
		b, _ := open(t, dir, k)
		var count atomic.Int32
		var wg sync.WaitGroup
		for _, j := range []*Journal{a, b} {
			wg.Go(func() {
				j.Replay(t.Context(), func(context.Context, Record) error {
					count.Add(1)
					return nil
				})
			})
		}
		wg.Wait()
		if got := count.Load(); got != 1 {
			t.Fatalf("two processes replayed the record %d times; want 1", got)
		}
		a.Close()
		b.Close()
	}
}

func TestWhatCannotBeReplayedStays(t *testing.T) {
	dir := t.TempDir()
	k := ring(t, "a")
	dead, _ := open(t, dir, k)
	write(t, dead, "one")
	write(t, dead, "two")
	if _, err := dead.file.f.WriteString("record 3 to"); err != nil { // the write it died in
		t.Fatal(err)
	}
	crash(dead)
	j, _ := open(t, dir, k)
	left := j.Replay(t.Context(), func(_ context.Context, r Record) error {
		if string(r.Text) == "two" {
			return errors.New("not now")
		}
		return nil
	})
	if left != 1 {
		t.Errorf("left = %d; want 1", left)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if left := j.Replay(ended, func(context.Context, Record) error { return nil }); left != 1 {
		t.Errorf("left after an ended context = %d; want 1", left)
	}
	wantReplayed(t, j, "two")
	wantReplayed(t, j)
}

func TestATornTailIsSkippedAtEveryOffset(t *testing.T) {
	dir := t.TempDir()
	k := ring(t, "a")
	j, _ := open(t, dir, k)
	write(t, j, "one")
	whole := j.file.size
	write(t, j, "two")
	path := crash(j)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for size := whole; size <= len(text); size++ {
		if err := os.WriteFile(path, text[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		next, notes := open(t, dir, k)
		// The first time nothing is done, so that marks come behind the torn line.
		want, damaged := []string{"one"}, 1
		if size >= len(text)-1 { // only the end of the line may be missing
			want = append(want, "two")
		}
		if size == whole || size >= len(text)-1 {
			damaged = 0
		}
		if got, left := replayed(t, next, errors.New("not now")); left != len(want) || !slices.Equal(got, want) {
			t.Fatalf("cut at %d of %d: replayed %q, %d left; want %q", size, len(text), got, left, want)
		}
		wantReplayed(t, next, want...)
		if got := notes.skipped["damaged"]; got != damaged {
			t.Fatalf("cut at %d: damaged = %d; want %d", size, got, damaged)
		}
		if got := notes.said("torn or altered"); got != damaged {
			t.Fatalf("cut at %d: said %d times that a line is torn; want %d", size, got, damaged)
		}
		next.Close()
	}
}

func TestAnAlteredRecordIsNeverReplayedAsSomethingElse(t *testing.T) {
	k := ring(t, "a")
	id := "ID"
	whole := slices.Concat(line(k, id, kindRecord, 1, []byte("00000000one")), line(k, id, kindRecord, 2, []byte("00000000two")))
	for i := range whole {
		for _, flip := range []byte{1, 0x20, 0x80} {
			b := slices.Clone(whole)
			b[i] ^= flip
			c, err := parse(bytes.NewReader(b), k, id)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range c.open {
				if text := string(r.Text); r.slot == 1 && text != "one" || r.slot == 2 && text != "two" || r.slot > 2 {
					t.Fatalf("byte %d altered: slot %d reads %q", i, r.slot, r.Text)
				}
			}
			if len(c.open) < 2 && c.damaged+c.foreign == 0 {
				t.Fatalf("byte %d altered: a record is missing and nothing is said", i)
			}
		}
	}
	for name, from := range map[string]string{"another file": "OTHER", "another slot": id} {
		moved := bytes.Replace(line(k, from, kindRecord, 1, []byte("00000000one")), []byte(" 1 "), []byte(" 2 "), 1)
		if c, err := parse(bytes.NewReader(moved), k, id); err != nil || len(c.open) != 0 || c.damaged != 1 {
			t.Errorf("a record from %s: %+v, %v; want it damaged", name, c, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	k := ring(f, "a")
	f.Add(line(k, "ID", kindRecord, 1, []byte("00000000one")))
	f.Add(line(k, "ID", kindDone, 1, nil))
	f.Add([]byte("record 1 00000000.\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parse(bytes.NewReader(b), k, "ID")
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range c.open {
			if string(r.Text) != "one" {
				t.Errorf("a record out of nothing: %q", r.Text)
			}
		}
	})
}

func TestRecordsUnderAnUnknownSecretStay(t *testing.T) {
	dir := t.TempDir()
	both := ring(t, "b", "a")
	old, _ := open(t, dir, ring(t, "a"))
	write(t, old, "old")
	path := crash(old)

	j, notes := open(t, dir, ring(t, "b"))
	for range 3 {
		wantReplayed(t, j)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the file of the unknown secret: %v", err)
	}
	if got := notes.said("a secret that is not known"); got != 1 || notes.skipped["foreign"] != 1 {
		t.Errorf("said %d times, counted %d; want once", got, notes.skipped["foreign"])
	}
	next, _ := open(t, dir, both)
	wantReplayed(t, next, "old")
}

// A secret that is given up while the process runs is not needed after it either.
func TestRecordsFollowTheSecretInUse(t *testing.T) {
	dir := t.TempDir()
	dying, _ := open(t, dir, ring(t, "a"))
	write(t, dying, "open since before")
	dying.Use(ring(t, "b", "a"))
	write(t, dying, "later")
	dying.Use(ring(t, "b"))
	crash(dying)
	next, n := open(t, dir, ring(t, "b"))
	wantReplayed(t, next, "open since before", "later")
	if len(n.skipped) > 0 {
		t.Errorf("skipped: %v; want none", n.skipped)
	}
}

func TestNothingReadableIsInTheFiles(t *testing.T) {
	dir := t.TempDir()
	j, _ := open(t, dir, ring(t, "a"))
	write(t, j, "a secret text")
	text, err := os.ReadFile(j.file.path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte("secret")) {
		t.Errorf("the file holds %q", text)
	}
	for path, want := range map[string]fs.FileMode{j.dir: 0o700 | fs.ModeDir, j.file.path: 0o600} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("mode of %s = %v; want %v", path, info.Mode(), want)
		}
	}
}

func TestRoomEndsAtItsLimitOfRecords(t *testing.T) {
	j, _ := open(t, t.TempDir(), ring(t, "a"))
	var slots []uint64
	for range MaxRecords {
		slots = append(slots, reserve(t, j))
	}
	if _, err := j.Reserve(); !errors.Is(err, ErrFull) {
		t.Errorf("record %d: %v; want ErrFull", MaxRecords+1, err)
	}
	if got := j.Trouble(); !strings.Contains(got, "full") {
		t.Errorf("Trouble = %q; want that it is full", got)
	}
	for _, slot := range slots[:3] {
		if err := j.Append(slot, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := j.Reserve(); !errors.Is(err, ErrFull) {
		t.Errorf("with three of them written: %v; want ErrFull", err)
	}
	j.Done(slots[0])
	j.Done(slots[MaxRecords-1])
	for range 2 {
		reserve(t, j)
	}
	if _, err := j.Reserve(); !errors.Is(err, ErrFull) {
		t.Errorf("after two were given back and taken: %v; want ErrFull", err)
	}
}

func TestRoomEndsAtItsLimitOfBytes(t *testing.T) {
	dir := t.TempDir()
	k := ring(t, "a")
	j, _ := open(t, dir, k)
	const n = 8
	text := 1
	for lineSize(text+1) <= MaxBytes/n {
		text++
	}
	big := strings.Repeat("x", text)
	for range n - 1 {
		write(t, j, big)
	}
	last, extra := reserve(t, j), reserve(t, j)
	if err := j.Append(last, []byte(big)); err != nil {
		t.Fatalf("the record that fills the file: %v", err)
	}
	if err := j.Append(extra, []byte(big)); !errors.Is(err, ErrFull) {
		t.Errorf("one more: %v; want ErrFull", err)
	}
	if _, err := j.Reserve(); !errors.Is(err, ErrFull) {
		t.Errorf("a reservation beside it: %v; want ErrFull", err)
	}
	info, err := os.Stat(j.file.path)
	if err != nil || info.Size() > MaxBytes {
		t.Errorf("the file has %d bytes, %v; want at most %d", info.Size(), err, MaxBytes)
	}
	crash(j)
	next, notes := open(t, dir, k)
	if got, left := replayed(t, next, nil); len(got) != n || left != 0 || notes.skipped != nil {
		t.Errorf("replayed %d of the full file, %d left, skipped %v; want %d", len(got), left, notes.skipped, n)
	}
}

func TestTheFileIsEmptiedWhenNothingIsOpen(t *testing.T) {
	j, _ := open(t, t.TempDir(), ring(t, "a"))
	a, b := write(t, j, "a"), write(t, j, "b")
	j.Done(a)
	if info, err := os.Stat(j.file.path); err != nil || info.Size() == 0 {
		t.Errorf("with one record open: %v, %v; want a file that is not empty", info, err)
	}
	j.Done(b)
	if info, err := os.Stat(j.file.path); err != nil || info.Size() != 0 {
		t.Errorf("with none open: %d bytes, %v; want 0", info.Size(), err)
	}
	write(t, j, "c")
	path := crash(j)
	next, _ := open(t, filepath.Dir(j.dir), ring(t, "a"))
	wantReplayed(t, next, "c")
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the replayed file: %v; want it gone", err)
	}
}

// With one record open all the time the file never gets empty.
func TestDoneRecordsDoNotFillTheFile(t *testing.T) {
	dir := t.TempDir()
	k := ring(t, "a")
	j, _ := open(t, dir, k)
	write(t, j, "first")
	big := strings.Repeat("x", 1<<20)
	for range 10 {
		j.Done(write(t, j, big))
	}
	write(t, j, "last")
	if info, err := os.Stat(j.file.path); err != nil || info.Size() > MaxBytes {
		t.Errorf("the file has %d bytes, %v; want at most %d", info.Size(), err, MaxBytes)
	}
	if got := len(files(t, dir)); got != 1 {
		t.Errorf("files = %d; want 1", got)
	}
	crash(j)
	next, _ := open(t, dir, k)
	wantReplayed(t, next, "first", "last")
}

func TestManyAppendAtOnce(t *testing.T) {
	dir := t.TempDir()
	k := ring(t, "a")
	j, _ := open(t, dir, k)
	var want []string
	var wg sync.WaitGroup
	for i := range 200 {
		text := fmt.Sprintf("%03d %s", i, strings.Repeat("x", 3000))
		if i%4 != 0 {
			want = append(want, text)
		}
		wg.Go(func() {
			slot, err := j.Reserve()
			if err == nil {
				err = j.Append(slot, []byte(text))
			}
			if err != nil {
				t.Errorf("append: %v", err)
			}
			if i%4 == 0 {
				j.Done(slot)
			}
		})
	}
	wg.Wait()
	crash(j)
	next, notes := open(t, dir, k)
	got, left := replayed(t, next, nil)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" || left != 0 || notes.skipped != nil {
		t.Errorf("%d left, skipped %v; -want +got\n%s", left, notes.skipped, diff)
	}
}

func TestASlotTakesOneRecord(t *testing.T) {
	j, _ := open(t, t.TempDir(), ring(t, "a"))
	slot := write(t, j, "one")
	if err := j.Append(slot, []byte("two")); err == nil {
		t.Error("a second record in the slot was taken")
	}
	if err := j.Append(slot+1, []byte("two")); err == nil {
		t.Error("a slot that is not reserved was taken")
	}
}

// A disk that fails once: the write goes to a new file, and what the old one held
// with it.
func TestAFileThatFailsIsReplaced(t *testing.T) {
	for name, breakIt := range map[string]func(*Journal){
		"write": func(j *Journal) { full(t, j) },
		"sync":  func(j *Journal) { j.file.failed = errors.New("input/output error") },
		"end":   func(j *Journal) { j.file.broken = true },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			k := ring(t, "a")
			j, _ := open(t, dir, k)
			write(t, j, "before")
			old := j.file.path
			breakIt(j)
			write(t, j, "after")
			if j.file.path == old {
				t.Error("the file that failed is written to")
			}
			if got := j.Trouble(); got != "" {
				t.Errorf("Trouble = %q; want none", got)
			}
			crash(j)
			next, _ := open(t, dir, k)
			wantReplayed(t, next, "before", "after")
		})
	}
}

// full has every write to the present file fail as on a disk without room.
func full(t testing.TB, j *Journal) {
	t.Helper()
	f, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("left out: %v", err)
	}
	j.file.f.Close()
	j.file.f = f
}

func TestADiskThatTakesNothingIsSaidAndTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		k := ring(t, "a")
		j, notes := open(t, dir, k)
		write(t, j, "before")
		full(t, j)
		away := filepath.Join(dir, "away")
		if err := os.Rename(j.dir, away); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(j.dir, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		slot := reserve(t, j)
		if err := j.Append(slot, []byte("meanwhile")); err == nil {
			t.Fatal("Append without a disk = nil; want an error")
		}
		if got := j.Trouble(); !strings.Contains(got, "cannot be written") || !strings.Contains(got, dir) {
			t.Errorf("Trouble = %q; want that %s cannot be written", got, dir)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- j.Run(ctx, func(context.Context, Record) error { return nil }) }()
		if err := os.Remove(j.dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(lookEvery + time.Second)
		synctest.Wait()
		if got := j.Trouble(); got != "" {
			t.Errorf("Trouble with the disk back = %q; want none", got)
		}
		if notes.said("can be written again") != 1 {
			t.Error("nothing is said of the disk that is back")
		}
		cancel()
		if err := <-ran; !errors.Is(err, context.Canceled) {
			t.Errorf("Run = %v; want the context's error", err)
		}
		crash(j)
		next, _ := open(t, dir, k)
		wantReplayed(t, next, "before", "meanwhile")
	})
}

func TestAFolderThatCannotBeWrittenEndsNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "missing")
	j, notes := open(t, dir, ring(t, "a"))
	if j.Trouble() == "" || notes.said("cannot be written") != 1 {
		t.Errorf("Trouble = %q, log %q; want that it cannot be written", j.Trouble(), notes.log.String())
	}
	slot := reserve(t, j)
	if err := j.Append(slot, []byte("x")); err == nil {
		t.Error("Append = nil; want an error")
	}
	j.Done(slot)
	wantReplayed(t, j)
}

func TestRunFindsOrphansAndComesBackToWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		k := ring(t, "a")
		j, _ := open(t, dir, k)
		other, _ := open(t, dir, k)
		var tries []time.Time
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() {
			ran <- j.Run(ctx, func(context.Context, Record) error {
				tries = append(tries, time.Now())
				if len(tries) < 4 {
					return errors.New("not now")
				}
				return nil
			})
		}()
		synctest.Wait()
		write(t, other, "one")
		crash(other)
		died := time.Now()
		time.Sleep(5 * time.Minute)
		cancel()
		<-ran
		var after []time.Duration
		for _, at := range tries {
			after = append(after, at.Sub(died))
		}
		want := []time.Duration{5 * time.Second, 6 * time.Second, 8 * time.Second, 12 * time.Second}
		if diff := cmp.Diff(want, after); diff != "" {
			t.Errorf("tried after: -want +got\n%s", diff)
		}
	})
}

func TestCloseLeavesOnlyWhatIsOpen(t *testing.T) {
	dir := t.TempDir()
	k := ring(t, "a")
	idle, _ := open(t, dir, k)
	j, _ := open(t, dir, k)
	slot := write(t, j, "one")
	late := reserve(t, j)
	idle.Close()
	j.Close()
	if err := j.Append(late, []byte("two")); err == nil {
		t.Error("Append after Close = nil; want an error")
	}
	j.Done(slot)
	if got := len(files(t, dir)); got != 1 {
		t.Errorf("files = %d; want the one with an open record", got)
	}
	next, _ := open(t, dir, k)
	wantReplayed(t, next, "one")
}

func BenchmarkAppend(b *testing.B) {
	text := bytes.Repeat([]byte("x"), 1500)
	for _, parallel := range []int{1, 16} {
		b.Run(fmt.Sprintf("%d at once", parallel), func(b *testing.B) {
			j, _ := open(b, b.TempDir(), ring(b, "a"))
			b.ReportAllocs()
			b.SetParallelism(parallel)
			one := func() {
				slot, err := j.Reserve()
				if err == nil {
					err = j.Append(slot, text)
				}
				if err != nil {
					b.Error(err)
				}
				j.Done(slot)
			}
			if parallel == 1 {
				for b.Loop() {
					one()
				}
				return
			}
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					one()
				}
			})
		})
	}
}

// Between the opening of a file and its lock another process may have replayed it.
func TestAFileThatIsGoneOrAnotherOneDoesNotStand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if !stands(f, path) {
		t.Error("the file itself does not stand")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if stands(f, path) {
		t.Error("a file that is gone stands")
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if stands(f, path) {
		t.Error("another file in its place stands")
	}
}
