// Package faults breaks what a gateway stands on, one part after the other,
// while three real gateway processes serve a mixed load, and keeps a ledger of
// every token, session and POST. The scenarios are data, in scenarios_test.go; the short
// form is
//
//	go test ./tests/faults
//
// and ./tests/faults/run also runs the long one and writes docs/reliability.md.
package faults

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/tests/kit"
	"github.com/gatehouse-gateway/gatehouse/tests/redistest"
)

var (
	long    = flag.Bool("long", false, "run the long form, of half an hour and more")
	only    = flag.String("only", "", "run only scenarios whose name holds this")
	logs    = flag.String("logs", "", "write the replicas' logs to this folder if something fails")
	out     = flag.String("out", "", "write what was measured to this file, as JSON")
	began   = time.Now()
	binDir  string
	built   = flag.String("gatehouse", "", "the binary to run; empty: it is built")
	gateway = sync.OnceValues(func() (string, error) {
		if *built != "" {
			return *built, nil
		}
		return kit.Build(binDir, "gatehouse")
	})
	results report
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "gatehouse-faults-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binDir = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// progress prints a line with the time since the start.
func progress(format string, args ...any) {
	d := time.Since(began).Round(time.Second)
	fmt.Fprintf(os.Stderr, "%3d:%02d  %s\n", int(d.Minutes()), int(d.Seconds())%60, fmt.Sprintf(format, args...))
}

// report is what one run of the suite has found out.
type report struct {
	Form    string
	Date    string
	Go      string
	Redis   string
	Cores   int
	Took    string
	Load    string
	Results []*result
}

func TestFaults(t *testing.T) {
	kit.RequireProgram(t, "redis-server", "apt-get install redis-server, or ./tests/run where it may install")
	f := shortForm
	if *long {
		f = longForm
	}
	results = report{Form: f.Name, Date: time.Now().UTC().Format(time.DateOnly), Go: runtime.Version(), Redis: redisVersion(t), Cores: runtime.NumCPU()}
	results.Load = fmt.Sprintf("%d requests a second, %d sessions, access tokens live %s", rate, f.sessions, short(f.life))
	t.Run("standalone", func(t *testing.T) { runField(t, "standalone", f, standalone()) })
	t.Run("Sentinel", func(t *testing.T) { runField(t, "Sentinel", f, withSentinel()) })
	t.Run("Cluster", func(t *testing.T) { runField(t, "Cluster", f, inCluster()) })
	results.Took = time.Since(began).Round(time.Second).String()
	if *out != "" {
		b, err := json.MarshalIndent(results, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(*out, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// runField runs scenarios before one Redis topology.
func runField(t *testing.T, name string, form form, all []scenario) {
	t.Helper()
	var some []scenario
	for _, s := range all {
		if strings.Contains(s.name, *only) {
			some = append(some, s)
		}
	}
	if len(some) == 0 {
		t.Skip("left out by -only")
	}
	f := newField(t, name, form)
	f.begin(f.topology(name))
	wait(t.Context().Done(), 500*time.Millisecond)
	if took, calm := f.settle(time.Now()); !calm {
		w := f.load.window(time.Now().Add(-time.Second), time.Now())
		t.Fail()
		keepLogs(t, f)
		t.Fatalf("after %v not all is well before anything was broken, clients wait: %v, %v: %q", took, f.load.waiting(), w.kinds(), w.details(3, failed, broken, lost, unavailable))
	}
	progress("     %-10s is up", name)
	for _, s := range some {
		results.Results = append(results.Results, f.play(t, s)...)
	}
	results.Results = append(results.Results, f.finish(t)...)
	keepLogs(t, f)
}

// topology starts Redis and returns its URL for each replica.
func (f *field) topology(name string) ([]string, []*wire) {
	f.t.Helper()
	switch name {
	case "Sentinel":
		f.sentinel = redistest.WithSentinels(f.t, 3)
		u := f.sentinel.URL()
		return []string{u, u, u}, nil
	case "Cluster":
		f.cluster = redistest.StartCluster(f.t, 1)
		u := f.cluster.URL()
		return []string{u, u, u}, nil
	}
	f.clock = newClock(f.t) // before Redis, which is started with it
	f.redis = redistest.Standalone(f.t)
	var urls []string
	var wires []*wire
	for range 3 {
		w := newWire(f.t, f.redis.Addr)
		wires, urls = append(wires, w), append(urls, f.redis.URLBy(w.Addr))
	}
	return urls, wires
}

// keepLogs says where the replicas' logs are, if something failed.
func keepLogs(t *testing.T, f *field) {
	t.Helper()
	if *logs == "" || !t.Failed() {
		return
	}
	for _, r := range f.replicas {
		path := filepath.Join(*logs, f.name+" "+r.name+".log")
		if err := os.WriteFile(path, r.log(), 0o600); err != nil {
			t.Error(err)
		}
	}
}

func redisVersion(t *testing.T) string {
	t.Helper()
	b, err := exec.CommandContext(t.Context(), "redis-server", "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range strings.Fields(string(b)) {
		if v, ok := strings.CutPrefix(f, "v="); ok {
			return v
		}
	}
	return "unknown"
}
