// Package tests drives the built binary from outside: its command line, its
// environment, its files and the network. One file holds one promise.
//
// Every test has processes of its own and runs beside others, by t.Parallel. Those
// that hold a promise of a second or two, or send a burst, have the machine to
// themselves.
//
// A test that needs a program which this machine lacks (redis-server, Chromium)
// is left out and says how to get it; with CI=true that is a failure. The binary
// is built with the race detector if the tests are.
package tests

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/tests/freeport"
	"github.com/gatehouse-gateway/gatehouse/tests/kit"
)

// buildDir holds what the tests build; set by TestMain.
var buildDir string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "gatehouse-tests-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	buildDir = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

var (
	binary = sync.OnceValues(func() (string, error) {
		if underRace() {
			return build("gatehouse-race", "-race")
		}
		return plainBinary()
	})
	// plainBinary has no race detector: for what is measured in megabytes.
	plainBinary = sync.OnceValues(func() (string, error) { return build("gatehouse") })
)

func build(name string, flags ...string) (string, error) { return kit.Build(buildDir, name, flags...) }

func underRace() bool { return kit.UnderRace() }

// requireProgram leaves the test out if the program is not there.
func requireProgram(t testing.TB, name, remedy string) string {
	t.Helper()
	return kit.RequireProgram(t, name, remedy)
}

// settings are GATEHOUSE_ variables without their prefix.
type settings map[string]string

// with returns a copy of s with the given pairs of name and value.
func (s settings) with(pairs ...string) settings {
	c := settings{}
	for k, v := range s {
		c[k] = v
	}
	for i := 0; i < len(pairs); i += 2 {
		c[pairs[i]] = pairs[i+1]
	}
	return c
}

// plain marks the name of a variable that has no prefix.
const plain = "="

// withPlain is with for variables of the operator's own, without the prefix.
func (s settings) withPlain(pairs ...string) settings {
	named := slices.Clone(pairs)
	for i := 0; i < len(named); i += 2 {
		named[i] = plain + named[i]
	}
	return s.with(named...)
}

// environ is all that a process started by a test sees. The race detector would
// wait for a second at the end of every process, for what main has left behind.
func (s settings) environ() []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GORACE=halt_on_error=1 atexit_sleep_ms=50"}
	for k, v := range s {
		if name, ok := strings.CutPrefix(k, plain); ok {
			env = append(env, name+"="+v)
			continue
		}
		env = append(env, "GATEHOUSE_"+k+"="+v)
	}
	return env
}

// gateway is one running process.
type gateway struct {
	URL, Admin string
	settings   settings
	cmd        *exec.Cmd
	log        *logBuffer
	stderr     *os.File      // instead of log; nil: log
	done       chan struct{} // closed when the process has ended
}

// start runs the gateway and waits until it is ready.
func start(t testing.TB, s settings) *gateway {
	t.Helper()
	g := launch(t, s)
	g.waitReady(t)
	return g
}

// launch runs the gateway on free ports and does not wait.
func launch(t testing.TB, s settings) *gateway {
	t.Helper()
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return launchBinary(t, bin, s)
}

func launchBinary(t testing.TB, bin string, s settings) *gateway {
	t.Helper()
	g := prepare(t, s)
	g.run(t, bin, "serve")
	return g
}

// prepare returns a gateway with free ports that is not run yet.
func prepare(t testing.TB, s settings) *gateway {
	t.Helper()
	// Nobody in front of a test's gateway has to notice that it drains.
	defaults := settings{"LISTEN": freeAddress(t), "ADMIN_LISTEN": freeAddress(t), "DRAIN_DELAY": "0s"}
	for k, v := range s {
		defaults[k] = v
	}
	g := &gateway{settings: defaults, URL: "http://" + defaults["LISTEN"], Admin: "http://" + defaults["ADMIN_LISTEN"]}
	if defaults["TLS_CERT_FILE"] != "" {
		g.URL = "https://" + defaults["LISTEN"]
	}
	return g
}

// run starts the process; it is asked to end when the test has ended.
func (g *gateway) run(t testing.TB, bin string, args ...string) {
	t.Helper()
	g.log, g.done = &logBuffer{}, make(chan struct{})
	cmd := exec.CommandContext(t.Context(), bin, args...)
	cmd.Env = g.settings.environ()
	cmd.Stdout, cmd.Stderr = g.log, g.log
	if g.stderr != nil {
		cmd.Stderr = g.stderr
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done, log := g.done, g.log
	go func() {
		_ = cmd.Wait() // how it ended is in cmd.ProcessState
		close(done)
	}()
	g.cmd = cmd
	t.Cleanup(func() {
		<-done
		inspect(t, cmd, log)
	})
}

// inspect fails the test if the process met a race or a panic, and shows the
// log of a failed test.
func inspect(t testing.TB, cmd *exec.Cmd, log *logBuffer) {
	t.Helper()
	text := log.String()
	kit.CheckLog(t, text)
	if t.Failed() {
		lines := strings.SplitAfter(text, "\n")
		t.Logf("end of the log of %v (%v):\n%s", cmd.Args[1:], cmd.ProcessState, strings.Join(lines[max(0, len(lines)-20):], ""))
	}
}

func (g *gateway) waitReady(t testing.TB) {
	t.Helper()
	eventually(t, 15*time.Second, "the gateway is ready", func() bool {
		select {
		case <-g.done:
			t.Fatalf("the gateway ended at start (%v):\n%s", g.cmd.ProcessState, g.log)
		default:
		}
		return g.readyStatus(t) == http.StatusOK
	})
}

// readyStatus returns the status of /readyz; 0 if nobody answers.
func (g *gateway) readyStatus(t testing.TB) int {
	t.Helper()
	a, err := newClient(t, g.Admin).do(t.Context(), request{path: "/readyz"})
	if err != nil {
		return 0
	}
	return a.status
}

// kill ends the process as a crash does, with SIGKILL.
func (g *gateway) kill(t testing.TB) {
	t.Helper()
	if err := g.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-g.done
}

// restart starts the same binary with the same settings and waits until it is
// ready.
func (g *gateway) restart(t testing.TB) {
	t.Helper()
	g.run(t, g.cmd.Path, g.cmd.Args[1:]...)
	g.waitReady(t)
}

// logBuffer keeps what a process prints. It is safe for concurrent use.
type logBuffer = kit.LogBuffer

// eventually polls until ok holds.
func eventually(t testing.TB, within time.Duration, what string, ok func() bool) {
	t.Helper()
	kit.Eventually(t, within, what, ok)
}

// freeAddress returns a loopback address nobody listens on.
func freeAddress(t testing.TB) string {
	t.Helper()
	return freeAddressOn(t, "127.0.0.1")
}

func freeAddressOn(t testing.TB, host string) string {
	t.Helper()
	return freeport.Address(t, host)
}

// writeFile writes a file that other users may read and returns its path.
func writeFile(t testing.TB, name, text string) string {
	t.Helper()
	return kit.WriteFile(t, name, text)
}
