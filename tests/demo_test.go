package tests

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/demo"
	"github.com/gatehouse-gateway/gatehouse/tests/freeport"
)

// demoLine is one thing worth seeing, as demo prints it.
type demoLine struct {
	label  string
	status int
	text   string // empty: none is promised
	shell  string
}

var expectation = regexp.MustCompile(`^# (.+) → (\d{3})(?: (.+))?$`)

// parseDemo reads what demo printed: how to set the shell up, and the labelled
// lines after it.
func parseDemo(t testing.TB, output string) (setup string, lines []demoLine) {
	t.Helper()
	_, table, ok := strings.Cut(output, "\nPaste into a shell")
	if !ok {
		t.Fatalf("demo printed no lines to paste:\n%s", output)
	}
	_, table, _ = strings.Cut(table, "\n") // the rest of that sentence
	for line := range strings.Lines(table) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "#"):
			m := expectation.FindStringSubmatch(line)
			if m == nil {
				t.Fatalf("a label without an expectation: %q", line)
			}
			status, err := strconv.Atoi(m[2])
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, demoLine{label: m[1], status: status, text: m[3]})
		case len(lines) == 0:
			setup += line + "\n"
		default:
			lines[len(lines)-1].shell += line + "\n"
		}
	}
	return setup, lines
}

// shell is one sh into which lines are pasted.
type shell struct {
	in  io.Writer
	out *bufio.Reader
}

func startShell(t testing.TB) *shell {
	t.Helper()
	requireProgram(t, "curl", "apt-get install curl")
	cmd := exec.CommandContext(t.Context(), "sh")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Wait(); err == nil {
			t.Error("the shell ended before the test did")
		}
	})
	return &shell{in, bufio.NewReader(out)}
}

// paste runs text and returns what it printed.
func (s *shell) paste(t testing.TB, text string) string {
	t.Helper()
	const end = "--- that was all ---"
	if _, err := fmt.Fprintf(s.in, "%s\nprintf '\\n%s\\n'\n", text, end); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for {
		line, err := s.out.ReadString('\n')
		if strings.TrimSpace(line) == end {
			return b.String()
		}
		if err != nil {
			t.Fatalf("the shell ended in %q: %v", text, err)
		}
		b.WriteString(line)
	}
}

var statusLine = regexp.MustCompile(`(?m)^HTTP/\S+ (\d{3})`)

func TestEveryLineOfTheDemoDoesWhatItsLabelSays(t *testing.T) {
	t.Parallel()
	g := startDemo(t)
	setup, lines := parseDemo(t, g.log.String())
	if len(lines) < 6 {
		t.Fatalf("demo printed %d lines to paste; want log in, call, refresh, replay, logout, metrics at least", len(lines))
	}
	sh := startShell(t)
	if out := sh.paste(t, setup); strings.TrimSpace(out) != "" {
		t.Errorf("setting up printed %q", out)
	}
	for _, l := range lines {
		out := sh.paste(t, l.shell)
		m := statusLine.FindAllStringSubmatch(out, -1)
		if len(m) == 0 || m[len(m)-1][1] != strconv.Itoa(l.status) {
			t.Errorf("%s: status %v; want %d\n%s\n%.600s", l.label, m, l.status, l.shell, out)
		}
		if !strings.Contains(out, l.text) {
			t.Errorf("%s: no %q in\n%.600s", l.label, l.text, out)
		}
	}
}

// startDemo runs the demo and waits for the table.
func startDemo(t testing.TB) *gateway {
	t.Helper()
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{settings: settings{"LISTEN": freeport.Row(t, "127.0.0.1", demoPorts), "ADMIN_LISTEN": freeAddress(t)}}
	g.URL = "http://" + g.settings["LISTEN"]
	g.run(t, bin, "demo")
	eventually(t, 30*time.Second, "demo has printed its table", func() bool {
		select {
		case <-g.done:
			t.Fatalf("demo ended:\n%s", g.log)
		default:
		}
		return strings.Contains(g.log.String(), "# metrics")
	})
	return g
}

// demoPorts is how many ports in a row the demo needs: its own and one for each
// simulated backend.
var demoPorts = 1 + len(demo.Simulations)
