package faults

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/tests/freeport"
	"github.com/gatehouse-gateway/gatehouse/tests/kit"
)

// replica is one gateway process, which may be ended and started again on the
// same ports and the same DATA_DIR. It is safe for concurrent use.
type replica struct {
	name          string
	listen, admin string
	env           []string
	wire          *wire // to Redis; nil: there is none between

	ready atomic.Bool // as /readyz last said

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	logs []string      // paths, one for each process
	want bool          // it is meant to run
	fell []string      // ends that nobody asked for
}

func newReplica(t testing.TB, n int, w *wire, vars map[string]string) *replica {
	t.Helper()
	r := &replica{
		name: fmt.Sprintf("replica %d", n), wire: w,
		listen: freeport.Address(t, "127.0.0.1"), admin: freeport.Address(t, "127.0.0.1"),
	}
	r.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent",
		"GATEHOUSE_LISTEN=" + r.listen, "GATEHOUSE_ADMIN_LISTEN=" + r.admin, "GATEHOUSE_DATA_DIR=" + t.TempDir(),
	}
	for k, v := range vars {
		r.env = append(r.env, "GATEHOUSE_"+k+"="+v)
	}
	return r
}

// start runs the process and does not wait until it is ready.
func (r *replica) start(t testing.TB) {
	t.Helper()
	bin, err := gateway()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "log")
	log, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), bin, "serve")
	cmd.Env, cmd.Stdout, cmd.Stderr = r.env, log, log
	cmd.Cancel = func() error { return cmd.Process.Kill() } // also one that is paused
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	r.mu.Lock()
	r.cmd, r.done, r.want = cmd, done, true
	r.logs = append(r.logs, path)
	r.mu.Unlock()
	go func() {
		_ = cmd.Wait() // how it ended is in cmd.ProcessState
		_ = log.Close()
		r.mu.Lock()
		if r.want && r.cmd == cmd && t.Context().Err() == nil {
			r.fell = append(r.fell, fmt.Sprintf("%s ended by itself: %v", r.name, cmd.ProcessState))
		}
		r.mu.Unlock()
		close(done)
	}()
	t.Cleanup(func() { <-done })
}

// process returns the current one.
func (r *replica) process() (*exec.Cmd, chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cmd, r.done
}

func (r *replica) signal(s os.Signal) {
	cmd, _ := r.process()
	_ = cmd.Process.Signal(s) // it may have ended
}

// kill ends the process as a crash does.
func (r *replica) kill() {
	r.mu.Lock()
	r.want = false
	cmd, done := r.cmd, r.done
	r.mu.Unlock()
	_ = cmd.Process.Kill() // it may have ended
	<-done
	r.ready.Store(false)
}

// stop asks the process to end and returns how it did.
func (r *replica) stop() *os.ProcessState {
	r.mu.Lock()
	r.want = false
	cmd, done := r.cmd, r.done
	r.mu.Unlock()
	_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	<-done
	return cmd.ProcessState
}

// falls returns the ends that nobody asked for since the last call.
func (r *replica) falls() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.fell
	r.fell = nil
	return f
}

// runs reports whether the process runs.
func (r *replica) runs() bool {
	_, done := r.process()
	select {
	case <-done:
		return false
	default:
		return true
	}
}

// log returns all that its processes have printed.
func (r *replica) log() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []byte
	for _, path := range r.logs {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		all = append(all, b...)
	}
	return all
}

// badLines returns the lines of its log that tell of a panic.
func (r *replica) badLines() []string {
	var bad []string
	for line := range bytes.Lines(r.log()) {
		for _, s := range []string{"panic: ", "fatal error: ", "runtime error"} {
			if bytes.Contains(line, []byte(s)) {
				bad = append(bad, r.name+": "+string(bytes.TrimSpace(line)))
			}
		}
	}
	return bad
}

// awaitReady waits until /readyz says so.
func (r *replica) awaitReady(t testing.TB) {
	t.Helper()
	kit.Eventually(t, 20*time.Second, r.name+" is ready", func() bool {
		if !r.runs() {
			t.Fatalf("%s ended at its start:\n%s", r.name, r.log())
		}
		return r.probe(t.Context())
	})
	r.ready.Store(true)
}

var probes = &http.Client{Timeout: 400 * time.Millisecond, Transport: &http.Transport{DisableKeepAlives: true}}

// probe asks /readyz.
func (r *replica) probe(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.admin+"/readyz", http.NoBody)
	if err != nil {
		return false
	}
	resp, err := probes.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// metric returns the value of a metric, 0 if there is none.
func (r *replica) metric(ctx context.Context, name string) float64 {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.admin+"/metrics", http.NoBody)
	if err != nil {
		return 0
	}
	resp, err := probes.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if v, found := strings.CutPrefix(lines.Text(), name+" "); found {
			n, _ := strconv.ParseFloat(v, 64) // no number, no value
			return n
		}
	}
	return 0
}

// balancer hands out replicas in turn, as a load balancer does that asks each
// for its readiness five times a second. If none is ready it tries them all.
type balancer struct {
	replicas []*replica
	turn     atomic.Uint64
}

func (b *balancer) watch(ctx context.Context, every time.Duration) {
	var wg sync.WaitGroup
	for _, r := range b.replicas {
		wg.Go(func() {
			for ctx.Err() == nil {
				r.ready.Store(r.probe(ctx))
				wait(ctx.Done(), every)
			}
		})
	}
	wg.Wait()
}

// next returns one to send to.
func (b *balancer) next() *replica {
	n := b.turn.Add(1)
	size := uint64(len(b.replicas))
	for i := range size {
		if r := b.replicas[(n+i)%size]; r.ready.Load() {
			return r
		}
	}
	return b.replicas[n%size]
}
