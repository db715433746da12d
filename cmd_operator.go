package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/gatehouse-gateway/gatehouse/admin"
	"github.com/gatehouse-gateway/gatehouse/config"
)

// pageSize is how many sessions or tokens a command asks for at once.
const pageSize = 500

// operatorClient returns a client for the running gateway that the environment
// names: GATEHOUSE_ADMIN_URL, or else GATEHOUSE_ADMIN_LISTEN on this host.
func operatorClient() (*admin.Client, error) {
	o, faults := config.LoadOperator(os.Environ())
	if len(faults) > 0 {
		return nil, &usageError{"the configuration has " + count(len(faults), "fault") + "\n" + faults.Error()}
	}
	if o.Token.IsZero() {
		return nil, &usageError{"GATEHOUSE_ADMIN_TOKEN is not set; give it, or GATEHOUSE_ADMIN_TOKEN_FILE, the value that the gateway has"}
	}
	if o.URL == nil {
		address, err := admin.Local(o.Listen)
		if err != nil {
			return nil, &usageError{"GATEHOUSE_ADMIN_LISTEN: " + err.Error()}
		}
		o.URL = &url.URL{Scheme: "http", Host: address}
	}
	return admin.NewClient(o.URL, o.Token), nil
}

// arguments are what stands behind the name of a command.
type arguments struct {
	plain  []string
	values map[string]string // by flag; "true" for one that takes none
}

func (a arguments) has(flag string) bool { return a.values[flag] != "" }

// readArguments reads flags and plain arguments in any order. Flags whose name
// ends in = take a value, as --user NAME or --user=NAME.
func readArguments(args []string, usage string, flags ...string) (arguments, error) {
	a := arguments{values: map[string]string{}}
	for i := 0; i < len(args); i++ {
		name, value, joined := strings.Cut(args[i], "=")
		switch {
		case !strings.HasPrefix(args[i], "-"):
			a.plain = append(a.plain, args[i])
			continue
		case slices.Contains(flags, name) && !joined:
			value = "true"
		case !slices.Contains(flags, name+"="):
			return a, &usageError{"there is no flag " + name + "\n" + usage}
		case !joined && i+1 < len(args):
			i++
			value = args[i]
		}
		if value == "" {
			return a, &usageError{name + " needs a value\n" + usage}
		}
		if a.has(name) {
			return a, &usageError{name + " is given twice\n" + usage}
		}
		a.values[name] = value
	}
	return a, nil
}

// printJSON is what --json prints: what the operator's API answered, indented.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// printTable prints aligned columns under their names; an empty cell is a dash.
// What came from users and backends cannot play with the terminal.
func printTable(w io.Writer, columns []string, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(columns, "\t"))
	for _, row := range rows {
		for i := range row {
			row[i] = cmp.Or(printable(row[i]), "-")
		}
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	return t.Flush()
}

// printable puts a question mark in the place of what is no graphic character.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return '?'
		}
		return r
	}, s)
}

// when is a time as tables show it, in UTC as logs have it.
func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// gather reads pages until there is no further one.
func gather[T any](page func(next string) (items []T, more string, err error)) ([]T, error) {
	all := []T{}
	for next := ""; ; {
		items, more, err := page(next)
		if err != nil {
			return nil, err
		}
		if all = append(all, items...); more == "" {
			return all, nil
		}
		next = more
	}
}
