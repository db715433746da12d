package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/gatehouse-gateway/gatehouse/admin"
)

const backendsArgs = "list|retry [NAME]"

const backendsHelp = `Usage: gatehouse backends list [--json]
       gatehouse backends retry NAME [--json]

Lists the backends of a running gateway with how it stands with them. retry has an
account that the backend refused, or that is left alone after failures, tried again
on every replica: after two refused logins the gateway stops by itself, so that it
locks nobody out. A credential that was changed in the configuration needs no retry.

  --json  print JSON instead of a table
` + operatorHelp

// runBackends lists backends, and has one tried again.
func runBackends(ctx context.Context, args []string, std streams) error {
	a, err := readArguments(args, backendsHelp, "--json")
	if err != nil {
		return err
	}
	what := strings.Join(a.plain[:min(1, len(a.plain))], "")
	if (what != "list" || len(a.plain) != 1) && (what != "retry" || len(a.plain) != 2) {
		return &usageError{"backends takes list, or retry and a name\n" + backendsHelp}
	}
	c, err := operatorClient()
	if err != nil {
		return err
	}
	if what == "list" {
		return listBackends(ctx, c, a, std)
	}
	r, err := c.RetryBackend(ctx, a.plain[1])
	if err != nil {
		return err
	}
	if a.has("--json") {
		return printJSON(std.out, r)
	}
	_, err = fmt.Fprintf(std.out, "backend %s is tried again at the next request\n", printable(r.Backend))
	return err
}

func listBackends(ctx context.Context, c *admin.Client, a arguments, std streams) error {
	list, err := c.Backends(ctx)
	if err != nil {
		return err
	}
	if a.has("--json") {
		return printJSON(std.out, list.Backends)
	}
	rows := make([][]string, len(list.Backends))
	for i, b := range list.Backends {
		version := ""
		if b.Version > 0 {
			version = strconv.FormatUint(b.Version, 10)
		}
		rows[i] = []string{b.Name, b.Speak, b.Way, b.State, version, when(b.Expires), when(b.Retry), b.Trouble}
	}
	return printTable(std.out, []string{"NAME", "SPEAK", "WAY", "STATE", "VERSION", "EXPIRES", "RETRY", "TROUBLE"}, rows)
}
