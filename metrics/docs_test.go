package metrics

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

var update = flag.Bool("update", false, "write docs/metrics.md anew")

const docsHead = `# Metrics

All metrics of the gateway itself, as served at ` + "`/metrics`" + ` on ` + "`GATEHOUSE_ADMIN_LISTEN`" + `. Beside them stand those of the process
(` + "`process_*`" + `) and of the Go runtime (` + "`go_*`" + `).

Every combination of label values that is known at the start exists at 0, so that ` + "`rate`" + ` and alerts see the first event. A value that
is not known counts as ` + "`other`" + `: no request can add a series. Histograms have classic and native buckets; a Prometheus
that takes native ones needs ` + "`always_scrape_classic_histograms: true`" + ` for queries on ` + "`_bucket`" + `.

This file is written by ` + "`go test ./metrics -update`" + `.

`

// TestDocsAreCurrent compares docs/metrics.md with what is registered.
func TestDocsAreCurrent(t *testing.T) {
	file := filepath.Join("..", "docs", "metrics.md")
	want := docs(t)
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, want, 0o644); err != nil { //nolint:gosec // a page of the manual is for everybody
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is out of date (run: go test ./metrics -update):\n%s", file, diff)
	}
}

// docs writes the page from a registry in which each name of the configuration
// is that of its label.
func docs(t *testing.T) []byte {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	m := New(reg, BuildInfo{"<version>", "<revision>", "<goversion>"})
	m.Declare(Declared{
		Routes:   []Route{{"<route>", "<backend>"}},
		Backends: []string{"<backend>"},
		Dialects: []string{"<dialect>"},
		Rules:    []string{"<rule>"},
		StoreOps: []string{"<op>"},
	})
	m.UpstreamTokenExpiry("<backend>", time.Unix(1, 0))
	m.CertificateExpiry(time.Unix(1, 0))
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var table, values bytes.Buffer
	table.WriteString("| name | type | labels | unit | meaning |\n|---|---|---|---|---|\n")
	values.WriteString("\n## Label values\n\nIn angle brackets: the names that the configuration gives.\n\n| name | label | values |\n|---|---|---|\n")
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), namespace+"_") {
			continue
		}
		labels := map[string][]string{}
		for _, x := range f.GetMetric() {
			for _, l := range x.GetLabel() {
				if v := labels[l.GetName()]; !slices.Contains(v, l.GetValue()) {
					labels[l.GetName()] = append(v, l.GetValue())
				}
			}
		}
		names := make([]string, 0, len(labels))
		for name := range labels {
			names = append(names, name)
		}
		slices.Sort(names)
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()), code(names), unit(f.GetName()), f.GetHelp())
		for _, name := range names {
			slices.Sort(labels[name])
			fmt.Fprintf(&values, "| `%s` | `%s` | %s |\n", f.GetName(), name, code(labels[name]))
		}
	}
	return slices.Concat([]byte(docsHead), table.Bytes(), values.Bytes())
}

func code(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return "`" + strings.Join(names, "` `") + "`"
}

func unit(name string) string {
	if strings.HasSuffix(name, "_seconds") {
		return "seconds"
	}
	return ""
}
