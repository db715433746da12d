package faults

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// shifted is a library that is loaded before the C library and moves the wall
// clock by the seconds that stand in a file. It moves Redis's; the gateway asks
// the kernel itself, and a time namespace has the wall clock of its parent.
const shifted = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

static int64_t zero, *shift = &zero;

__attribute__((constructor)) static void begin(void) {
	const char *path = getenv("SHIFTED_CLOCK");
	int fd = path ? open(path, O_RDONLY) : -1;
	void *p = fd < 0 ? MAP_FAILED : mmap(0, 8, PROT_READ, MAP_SHARED, fd, 0);
	if (p != MAP_FAILED) shift = p;
}

int clock_gettime(clockid_t id, struct timespec *t) {
	static int (*real)(clockid_t, struct timespec *);
	if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
	int r = real(id, t);
	if (id == CLOCK_REALTIME) t->tv_sec += *shift;
	return r;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
	struct timespec s;
	int r = clock_gettime(CLOCK_REALTIME, &s);
	t->tv_sec = s.tv_sec;
	t->tv_usec = s.tv_nsec / 1000;
	return r;
}

time_t time(time_t *t) {
	struct timespec s;
	clock_gettime(CLOCK_REALTIME, &s);
	if (t) *t = s.tv_sec;
	return s.tv_sec;
}
`

// clock moves the wall clock of every dynamically linked process that is started
// after it was made, as long as the test runs.
type clock struct {
	file string
	why  string // it cannot; empty: it can
}

func newClock(t testing.TB) *clock {
	t.Helper()
	dir := t.TempDir()
	c := &clock{file: filepath.Join(dir, "shift")}
	source, library := filepath.Join(dir, "shift.c"), filepath.Join(dir, "shift.so")
	if err := os.WriteFile(source, []byte(shifted), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := exec.CommandContext(t.Context(), "gcc", "-O2", "-shared", "-fPIC", "-o", library, source, "-ldl").CombinedOutput(); err != nil {
		c.why = "a C compiler is needed to move the clock of Redis: " + err.Error() + " " + string(b)
		return c
	}
	c.shift(t, 0)
	t.Setenv("LD_PRELOAD", library)
	t.Setenv("SHIFTED_CLOCK", c.file)
	return c
}

// shift moves the clock by so much against the machine's, in whole seconds.
func (c *clock) shift(t testing.TB, d time.Duration) {
	t.Helper()
	f, err := os.OpenFile(c.file, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 8)
	binary.NativeEndian.PutUint64(b, uint64(d/time.Second))
	if _, err := f.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
}

// runRedisClock moves the clock of Redis.
func runRedisClock(f *field, d time.Duration, r *result) {
	if f.clock.why != "" {
		r.leftOut(f.clock.why)
		return
	}
	from := time.Now()
	for _, by := range []time.Duration{time.Hour, 0, -time.Hour, 0} {
		f.clock.shift(f.t, by)
		wait(f.t.Context().Done(), 100*time.Millisecond)
		now, err := f.redis.Client(f.t).Time(f.t.Context()).Result()
		off := time.Until(now.Add(-by)).Abs()
		r.require(err == nil && off < 2*time.Second, "the clock of Redis is %v off where it should be, %v", off, err)
		wait(f.t.Context().Done(), d/4)
	}
	w := f.load.window(from, time.Now())
	r.require(w.count(failed, broken) == 0, "%q", w.details(3, failed, broken))
	r.measured("%d good and %d times 503 meanwhile", w.count(ok), w.count(unavailable))
}
