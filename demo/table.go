package demo

import (
	"fmt"
	"io"
	"strings"
)

// Places are the addresses that the table names.
type Places struct {
	Gateway  string // http://127.0.0.1:8080
	Admin    string // http://127.0.0.1:9090
	Backends []Place
}

// A Place is where one simulated backend is.
type Place struct {
	Simulation
	Port    string // http://localhost:8081: its route on a port of its own
	Backend string // http://127.0.0.1:40123: the simulated backend itself
}

// A Line is a command to paste and what it answers.
type Line struct {
	Label  string // what it shows
	Status int    // the HTTP status it prints
	Text   string // something its output contains; may be empty
	Shell  string
}

// WriteTable prints URLs, users and lines. A line's label has the form
// "# label → status text".
func WriteTable(w io.Writer, p Places) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\nGatehouse demo: simulated backends behind the gateway. Nothing outlives this process; Ctrl-C ends it.\n\n")
	row := func(cells ...any) { fmt.Fprintf(&b, "  %-28s %-24s %-24s %s\n", cells...) }
	row("backend", "host at "+strings.TrimPrefix(p.Gateway, "http://"), "browser, SDK", "simulated at")
	for _, at := range p.Backends {
		row(at.Product, at.Host(), at.Port, at.Backend)
	}
	b.WriteString("\n")
	for _, u := range Users() {
		fmt.Fprintf(&b, "  user     %-24s scopes %s\n", u.Name+" / "+u.Password, strings.Join(u.Scopes, ", "))
	}
	fmt.Fprintf(&b, "  account  %-24s by which the gateway logs in at the backends\n  metrics  %s/metrics\n", Service.Name, p.Admin)
	fmt.Fprintf(&b, "\nPaste into a shell, from the top. After the arrow: the status it answers, and what to look for.\n\n%s\n", setup(p))
	for _, at := range p.Backends {
		lines := append([]Line(nil), at.Lines...)
		lines[0].Shell = "H='Host: " + at.Host() + "'; " + lines[0].Shell
		for _, l := range lines {
			l.Label = at.Name + ": " + l.Label
			l.write(&b)
		}
	}
	metrics(p).write(&b)
	b.WriteString("\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func (l Line) write(b *strings.Builder) {
	fmt.Fprintf(b, "\n# %s → %d", l.Label, l.Status)
	if l.Text != "" {
		b.WriteString(" " + l.Text)
	}
	fmt.Fprintf(b, "\n%s\n", l.Shell)
}

// setup makes the names that the lines use: where to ask, and what finds a
// cookie, a JSON string or the text of an XML element in the answer kept in $IN.
func setup(p Places) string {
	return fmt.Sprintf("G=%s J='Content-Type: application/json'\n", p.Gateway) +
		`cookie() { printf '%s\n' "$IN" | sed -n "s/^[Ss]et-[Cc]ookie: $1=\([^;]*\).*/\1/p"; }` + "\n" +
		`field() { printf '%s\n' "$IN" | sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p"; }` + "\n" +
		`element() { printf '%s\n' "$IN" | sed -n "s/.*<$1>\([^<]*\)<.*/\1/p"; }`
}

func metrics(p Places) Line {
	return Line{"metrics", 200, "gatehouse_logins_total", `curl -si ` + p.Admin + `/metrics | grep -E '^HTTP|^gatehouse_logins_total'`}
}
