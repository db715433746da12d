package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/gatehouse-gateway/gatehouse/config"
)

// helps are the help texts of commands that have more to say than their line.
var helps = map[string]string{"sessions": sessionsHelp, "tokens": tokensHelp, "challenges": challengesHelp, "keys": keysHelp}

// help prints what --help behind the name of a command asks for.
func help(w io.Writer, name string) {
	if text, ok := helps[name]; ok {
		fmt.Fprint(w, text)
		return
	}
	usage(w)
}

// usage prints --help: commands, then every setting of the environment.
func usage(w io.Writer) {
	fmt.Fprint(w, "Gatehouse is an authenticating reverse proxy in front of legacy backends.\n\nUsage: gatehouse [command]\n\nCommands:\n")
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, c := range commands() {
		name := c.name
		if c.args != "" {
			name += " " + c.args
		}
		fmt.Fprintf(t, "  %s\t%s\n", name, c.doc)
	}
	t.Flush()
	fmt.Fprint(w, "\nEnvironment (a secret may also come from a file: add _FILE to its name):\n")
	for _, s := range config.Reference() {
		def := s.Default
		if def == "" {
			def = "-"
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\n", s.Name, def, s.Doc)
	}
	t.Flush()
	fmt.Fprint(w, "\nExit codes: 0 done, 1 failed while running, 2 wrong command line or configuration.\n")
}
