//go:debug randseednop=0

// Package sim runs three gateways, a store, a backend and their clients in one
// process under a fake clock, with faults that a seed decides, and judges every
// step. See docs/simulation.md for the rules.
package sim_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	seedFlag   = flag.Int64("seed", -1, "run this seed alone, and print its schedule")
	seedsFlag  = flag.Int("seeds", 60, "how many seeds to run")
	forFlag    = flag.Duration("for", 0, "run seeds for so long instead of a number of them")
	leastFlag  = flag.Int("least", 0, "how many seeds there must be at least")
	fromFlag   = flag.Uint64("from", 1, "the first seed")
	procsFlag  = flag.Int("procs", runtime.NumCPU(), "how many processes share the seeds")
	countFlag  = flag.String("count", "", "a file to write to what was counted")
	strictFlag = flag.Bool("strict", false, "fail on the known gaps of the product too")
	workFlag   = flag.Uint64("work", 0, "internal: be a process that takes each such seed")
)

func TestMain(m *testing.M) {
	flag.Parse()
	runtime.GOMAXPROCS(1) // so that a seed goes the same way each time
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}

// The least that a seed does on average.
const (
	leastCalls, leastExpiries, leastFaults, leastBreaks = 60, 3, 2, 1
)

// report is what a process found.
type report struct {
	Figures    figures
	Violations []string
}

func TestNothingIsLostUnderFaults(t *testing.T) {
	switch {
	case *workFlag > 0:
		work(t)
	case *seedFlag >= 0:
		one(t, uint64(*seedFlag))
	default:
		share(t)
	}
}

// one runs a seed and tells all of it.
func one(t *testing.T, seed uint64) {
	t.Helper()
	o := makeCommon(t).simulate(t, seed, nil, true)
	fmt.Fprint(os.Stdout, o.schedule)
	if o.violation != "" {
		t.Errorf("seed %d: %s", seed, o.violation)
	}
	t.Logf("%+v", o.figures)
}

// share has processes of one thread each run the seeds, and adds up.
func share(t *testing.T) {
	t.Helper()
	reports := make([]report, *procsFlag)
	var wg sync.WaitGroup
	began := time.Now()
	for i := range reports {
		wg.Go(func() { reports[i] = child(t, *fromFlag+uint64(i)) })
	}
	wg.Wait()
	var all figures
	for _, r := range reports {
		all.add(r.Figures)
		for _, v := range r.Violations {
			t.Error(v)
		}
	}
	all.judge(t)
	text := all.String() + fmt.Sprintf("in %v by %d processes\n", time.Since(began).Round(time.Second), len(reports))
	t.Log("\n" + text)
	if *countFlag != "" {
		if err := os.WriteFile(*countFlag, []byte(text), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// judge fails a run in which too little happened.
func (f *figures) judge(t *testing.T) {
	t.Helper()
	if f.Seeds == 0 || f.Seeds < *leastFlag {
		t.Errorf("%d seeds were run; want %d", f.Seeds, max(1, *leastFlag))
		return
	}
	for _, c := range []struct {
		what       string
		got, least int
	}{
		{"calls to the store beside the feed's", f.StoreCalls, leastCalls},
		{"expiries", f.Expiries, leastExpiries},
		{"faults", f.Faults, leastFaults},
		{"crashes and failovers", f.Crashes + f.Failovers, leastBreaks},
	} {
		if c.got < c.least*f.Seeds {
			t.Errorf("a seed has %.2f %s on average; want %d", float64(c.got)/float64(f.Seeds), c.what, c.least)
		}
	}
}

// String shows sums and means.
func (f figures) String() string {
	var b strings.Builder
	line := func(what string, n int) {
		fmt.Fprintf(&b, "%-60s %10d %10.2f a seed\n", what, n, float64(n)/float64(max(1, f.Seeds)))
	}
	fmt.Fprintf(&b, "%d seeds\n", f.Seeds)
	line("calls to the store", f.StoreCalls)
	line("and of the feed", f.FeedCalls)
	line("expiries", f.Expiries)
	line("faults", f.Faults)
	line("crashes", f.Crashes)
	line("failovers", f.Failovers)
	line("logins", f.Logins)
	line("requests", f.Calls)
	line("POSTs among them", f.Posts)
	line("refreshes", f.Refreshes)
	line("renewals at the backend", f.Renewals)
	line("ends of sessions", f.Revocations)
	line("tokens of ended sessions tried", f.Probes)
	line("and still let in, within the bound", f.Probed)
	for _, m := range []struct {
		kind string
		n    map[string]int
	}{{"allowed", f.Excused}, {"known gap", f.Open}} {
		for _, why := range sorted(m.n) {
			line(m.kind+": "+why, m.n[why])
		}
	}
	return b.String()
}

// child runs this test in a process of its own that takes each so many seeds.
func child(t *testing.T, from uint64) (r report) {
	t.Helper()
	n := (*seedsFlag + *procsFlag - 1 - int(from-*fromFlag)) / *procsFlag
	limit := max(*forFlag+time.Minute, 10*time.Minute)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestNothingIsLostUnderFaults$", "-test.timeout="+limit.String(),
		"-work="+strconv.Itoa(*procsFlag), "-from="+strconv.FormatUint(from, 10), "-seeds="+strconv.Itoa(n), "-for="+forFlag.String(),
		"-strict="+strconv.FormatBool(*strictFlag))
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	for line := range bytes.Lines(out) {
		if text, ok := bytes.CutPrefix(line, []byte(reportMark)); ok && json.Unmarshal(text, &r) == nil {
			return r
		}
	}
	tail := out[max(0, len(out)-20_000):]
	t.Errorf("a process ended without a report: %v\n%s%s", err, tail, errs.Bytes()[max(0, errs.Len()-20_000):])
	return r
}

const reportMark = "report: "

// mostSchedules is how many failing seeds of a process show their schedules.
const mostSchedules = 2

// work runs seeds and prints a report for the process that wants it.
func work(t *testing.T) {
	t.Helper()
	c, began := makeCommon(t), time.Now()
	var r report
	for seed := *fromFlag; ; seed += *workFlag {
		if *forFlag > 0 && time.Since(began) >= *forFlag || *forFlag == 0 && r.Figures.Seeds >= *seedsFlag {
			break
		}
		o := c.simulate(t, seed, nil, false)
		r.Figures.add(o.figures)
		if o.violation == "" {
			continue
		}
		text := fmt.Sprintf("seed %d: %s\nonce more: go test ./tests/sim -run TestNothingIsLostUnderFaults -seed %d", seed, o.violation, seed)
		if len(r.Violations) < mostSchedules {
			again := c.simulate(t, seed, nil, true)
			text += fmt.Sprintf("\nits schedule, which came to %q:\n%s", again.violation, again.schedule)
		}
		r.Violations = append(r.Violations, text)
	}
	w := bufio.NewWriter(os.Stdout)
	defer w.Flush()
	fmt.Fprint(w, "\n"+reportMark)
	_ = json.NewEncoder(w).Encode(r) // who reads it notices its absence
}
