//go:debug randseednop=0

package sim_test

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

var (
	seedFlag  = flag.Int64("seed", -1, "run this seed alone, and print its schedule")
	seedsFlag = flag.Int("seeds", 200, "how many seeds to run")
	forFlag   = flag.Duration("for", 0, "run seeds for so long instead")
	fromFlag  = flag.Uint64("from", 1, "the first seed")
	countFlag = flag.String("count", "", "a file to write to what was counted")
)

func TestMain(m *testing.M) {
	flag.Parse()
	runtime.GOMAXPROCS(1) // so that a seed goes the same way each time
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}

func TestSeed(t *testing.T) {
	c := makeCommon(t)
	if *seedFlag >= 0 {
		o := c.simulate(t, uint64(*seedFlag), nil, true)
		fmt.Print(o.schedule)
		fmt.Printf("%+v\n", o.figures)
		if o.violation != "" {
			t.Errorf("seed %d: %s", *seedFlag, o.violation)
		}
		return
	}
	began := time.Now()
	var sum figures
	bad := 0
	for seed := *fromFlag; seed < *fromFlag+uint64(*seedsFlag); seed++ {
		o := c.simulate(t, seed, nil, false)
		sum.add(o.figures)
		if o.violation != "" {
			bad++
			t.Errorf("seed %d: %s", seed, o.violation)
		}
	}
	t.Logf("%d seeds, %d bad, %v each", sum.Seeds, bad, time.Since(began)/time.Duration(sum.Seeds))
	t.Logf("%+v", sum)
}

// edit is a change of one script's text.
type edit struct{ name, from, to string }

func (e *edit) apply(text string) string { return text }
