package faults

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	page = flag.String("page", "", "write the tables into this page; with -from")
	from = flag.String("from", "", "files that -out has written, separated by commas: of the short form, of the long one")
)

// The lines of the page between which the tables stand.
const (
	tableBegin = "<!-- measured: written by ./tests/faults/run, not by hand -->"
	tableEnd   = "<!-- end of what is measured -->"
)

// TestTables writes the page if -page names it, and otherwise sees that it could.
func TestTables(t *testing.T) {
	if *page != "" {
		var reports []report
		for name := range strings.SplitSeq(*from, ",") {
			reports = append(reports, readReport(t, name))
		}
		writePage(t, *page, reports)
		return
	}
	runs := []report{
		{Form: "short", Cores: 2, Results: []*result{{Name: "a", Topology: "standalone", Bound: "1 s", Shown: true, Measured: []string{"one", "two"}}}},
		{Form: "long", Cores: 2, Results: []*result{{Name: "a", Topology: "standalone", Failures: []string{"x"}, Measured: []string{"three"}}}},
	}
	path := t.TempDir() + "/page.md"
	if err := os.WriteFile(path, []byte("before\n"+tableBegin+"\nold\n"+tableEnd+"\nafter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	writePage(t, path, runs)
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"before\n" + tableBegin, tableEnd + "\nafter\n", "| one; two | **not held**; three |"} {
		if !strings.Contains(string(got), want) {
			t.Errorf("the page lacks %q:\n%s", want, got)
		}
	}
	if strings.Contains(string(got), "old") {
		t.Error("the page still holds what stood there before")
	}
	if diff := cmp.Diff(1, strings.Count(string(got), tableBegin)); diff != "" {
		t.Error(diff)
	}
}

// TestThePageHasItsMarks: else a run of half an hour ends with nothing.
func TestThePageHasItsMarks(t *testing.T) {
	b, err := os.ReadFile("../../docs/reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, ok := marks(string(b)); !ok {
		t.Errorf("docs/reliability.md lacks %q and %q", tableBegin, tableEnd)
	}
}

func readReport(t *testing.T, path string) report {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return r
}

// marks parts a page at its marks.
func marks(text string) (before, after string, ok bool) {
	before, rest, begins := strings.Cut(text, tableBegin)
	_, after, ends := strings.Cut(rest, tableEnd)
	return before, after, begins && ends
}

func writePage(t *testing.T, path string, reports []report) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, after, ok := marks(string(b))
	if !ok {
		t.Fatalf("%s lacks its marks %q and %q", path, tableBegin, tableEnd)
	}
	text := before + tableBegin + "\n\n" + tables(reports) + "\n" + tableEnd + after
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// tables writes what was measured: the promises first, then every fault.
func tables(reports []report) string {
	var b strings.Builder
	for _, r := range reports {
		fmt.Fprintf(&b, "- %s form: %s, %d cores, %s, Redis %s, %s; took %s\n", r.Form, r.Date, r.Cores, r.Go, r.Redis, r.Load, r.Took)
	}
	b.WriteString("\n### The promises\n\n")
	table(&b, reports, true)
	b.WriteString("\n### Every other fault\n\n")
	table(&b, reports, false)
	return b.String()
}

func table(b *strings.Builder, reports []report, shown bool) {
	b.WriteString("| fault | promise | bound |")
	rule := "|---|---|---|"
	for _, r := range reports {
		fmt.Fprintf(b, " %s form |", r.Form)
		rule += "---|"
	}
	b.WriteString("\n" + rule + "\n")
	for _, x := range reports[0].Results {
		if x.Shown != shown {
			continue
		}
		fmt.Fprintf(b, "| **%s**%s%s | %s | %s |", x.Name, where(x.Topology), what(x.Fault), x.Promise, x.Bound)
		for _, r := range reports {
			fmt.Fprintf(b, " %s |", cell(r, x))
		}
		b.WriteString("\n")
	}
}

func where(topology string) string {
	if topology == "standalone" {
		return ""
	}
	return " (" + topology + ")"
}

func what(fault string) string {
	if fault == "" {
		return ""
	}
	return ": " + fault
}

// cell is what one report says of a scenario.
func cell(r report, x *result) string {
	for _, y := range r.Results {
		if y.Name != x.Name || y.Topology != x.Topology {
			continue
		}
		parts := y.Measured
		switch {
		case y.LeftOut != "":
			parts = []string{"left out: " + y.LeftOut}
		case len(y.Failures) > 0:
			parts = append([]string{"**not held**"}, parts...)
		}
		return strings.ReplaceAll(strings.Join(parts, "; "), "|", "/")
	}
	return "not run"
}
