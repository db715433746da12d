package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/gatehouse-gateway/gatehouse/admin"
)

const challengesArgs = "list|approve|deny [ID]"

const challengesHelp = `Usage: gatehouse challenges list [--json]
       gatehouse challenges approve ID [--json]
       gatehouse challenges deny ID [--json]

Lists the second factors that wait for an answer at a running gateway, and answers
one in its user's place. ID is that of the list.

  --json  print JSON instead of a table
` + operatorHelp

// runChallenges lists and answers second factors at a running gateway.
func runChallenges(ctx context.Context, args []string, std streams) error {
	a, err := readArguments(args, challengesHelp, "--json")
	if err != nil {
		return err
	}
	what := strings.Join(a.plain[:min(1, len(a.plain))], "")
	decides := what == "approve" || what == "deny"
	if (what != "list" || len(a.plain) != 1) && (!decides || len(a.plain) != 2) {
		return &usageError{"challenges takes list, approve ID or deny ID\n" + challengesHelp}
	}
	c, err := operatorClient()
	if err != nil {
		return err
	}
	if what == "list" {
		return listChallenges(ctx, c, a, std)
	}
	d, err := c.Decide(ctx, a.plain[1], what == "approve")
	if err != nil {
		return err
	}
	if a.has("--json") {
		return printJSON(std.out, d)
	}
	verb := "denied"
	if d.Approved {
		verb = "approved"
	}
	_, err = fmt.Fprintf(std.out, "%s %s\n", verb, printable(d.ID))
	return err
}

func listChallenges(ctx context.Context, c *admin.Client, a arguments, std streams) error {
	list, err := c.Challenges(ctx)
	if err != nil {
		return err
	}
	if a.has("--json") {
		return printJSON(std.out, list.Challenges)
	}
	rows := make([][]string, len(list.Challenges))
	for i, ch := range list.Challenges {
		rows[i] = []string{ch.ID, ch.User, ch.Issuer, ch.Client, ch.Address, when(ch.Made), when(ch.Ends)}
	}
	return printTable(std.out, []string{"ID", "USER", "ISSUER", "CLIENT", "ADDRESS", "MADE", "ENDS"}, rows)
}
