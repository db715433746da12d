// Package kit is what black-box tests share: it builds the binary, finds
// missing programs, keeps what a process prints, and polls.
package kit

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"
)

// gatehouse is the package of the binary.
const gatehouse = "github.com/gatehouse-gateway/gatehouse"

// Build builds the gateway as dir/name and returns its path. Any user may run
// it.
func Build(dir, name string, flags ...string) (string, error) {
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	args := append([]string{"build", "-o", path}, flags...)
	cmd := exec.CommandContext(context.Background(), "go", append(args, gatehouse)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return path, nil
}

// UnderRace reports whether the tests were built with the race detector.
func UnderRace() bool {
	info, _ := debug.ReadBuildInfo()
	for _, s := range info.Settings {
		if s.Key == "-race" {
			return s.Value == "true"
		}
	}
	return false
}

// RequireProgram leaves the test out if the program is not there. With CI=true
// that is a failure.
func RequireProgram(t testing.TB, name, remedy string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatalf("%s is missing: %s", name, remedy)
	default:
		t.Skipf("left out: %s is missing: %s", name, remedy)
	}
	return path
}

// CheckLog fails the test if the log of a process tells of a race or a panic.
func CheckLog(t testing.TB, log string) {
	t.Helper()
	for _, bad := range []string{"WARNING: DATA RACE", "panic: ", "fatal error: "} {
		if strings.Contains(log, bad) {
			t.Errorf("the gateway's log holds %q", bad)
		}
	}
}

// LogBuffer keeps what a process prints. It is safe for concurrent use.
type LogBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

// Write keeps p.
func (b *LogBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// String returns all that was printed.
func (b *LogBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// Eventually polls until ok holds, and ends the test if that takes too long.
func Eventually(t testing.TB, within time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("after %v it does not hold that %s", within, what)
		}
		<-tick.C
	}
}

// WriteFile writes a file that other users may read and returns its path.
func WriteFile(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
