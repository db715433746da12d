package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/gatehouse-gateway/gatehouse/admin"
)

const sessionsArgs = "list|show|revoke [SID] [--user NAME]"

const sessionsHelp = `Usage: gatehouse sessions list [--user NAME] [--json]
       gatehouse sessions show SID [--json]
       gatehouse sessions revoke SID [--json]
       gatehouse sessions revoke --user NAME [--tokens] [--json]

Lists, shows and ends sessions of a running gateway. Ending one holds on every
replica within a second. SID is 16 hex digits, or the first 6 of them, as logs
show it. NAME counts letter by letter.

  --user NAME  only the sessions of this user
  --tokens     with revoke --user: end his API tokens too
  --json       print JSON instead of a table
` + operatorHelp

const operatorHelp = `
Environment:
  GATEHOUSE_ADMIN_TOKEN  the admin token of the gateway; or GATEHOUSE_ADMIN_TOKEN_FILE
  GATEHOUSE_ADMIN_URL    where its admin address is; by default on this host, at the
                         port of GATEHOUSE_ADMIN_LISTEN (http://127.0.0.1:9090)

Exit codes: 0 done, 1 the gateway could not or would not do it, 2 wrong command line
or configuration.
`

// runSessions lists, shows and ends sessions of a running gateway.
func runSessions(ctx context.Context, args []string, std streams) error {
	a, err := readArguments(args, sessionsHelp, "--user=", "--tokens", "--json")
	if err != nil {
		return err
	}
	wrong := func(why string) error { return &usageError{why + "\n" + sessionsHelp} }
	what := strings.Join(a.plain[:min(1, len(a.plain))], "")
	if (what != "revoke" || !a.has("--user")) && a.has("--tokens") {
		return wrong("--tokens goes with revoke --user NAME")
	}
	switch n := len(a.plain); {
	case what == "list" && n == 1:
	case what == "show" && n == 2 && !a.has("--user"):
	case what == "revoke" && (n == 2) != a.has("--user") && n <= 2:
	case what == "revoke":
		return wrong("revoke needs either a session id or --user NAME")
	default:
		return wrong("sessions takes list, show SID or revoke")
	}
	c, err := operatorClient()
	if err != nil {
		return err
	}
	switch {
	case what == "list":
		return listSessions(ctx, c, a, std)
	case what == "show":
		return showSession(ctx, c, a, std)
	case a.has("--user"):
		return revokeUser(ctx, c, a, std)
	}
	ended, err := c.Revoke(ctx, a.plain[1])
	if err != nil {
		return err
	}
	return reportEnded(std, a, "session "+ended.SID, ended)
}

func listSessions(ctx context.Context, c *admin.Client, a arguments, std streams) error {
	list, err := gather(func(next string) ([]admin.Session, string, error) {
		page, err := c.Sessions(ctx, a.values["--user"], next, pageSize)
		return page.Sessions, page.Next, err
	})
	if err != nil {
		return err
	}
	if a.has("--json") {
		return printJSON(std.out, list)
	}
	rows := make([][]string, len(list))
	for i, s := range list {
		rows[i] = []string{s.SID, s.User, s.Kind, s.Issuer, s.Source, s.State, when(s.Issued), whenEnds(s)}
	}
	return printTable(std.out, []string{"SID", "USER", "KIND", "ISSUER", "SOURCE", "STATE", "ISSUED", "ENDS"}, rows)
}

// whenEnds is the end of a session as tables show it. What never expires has its
// end about a century ahead.
func whenEnds(s admin.Session) string {
	const century = 36500 * 24 * time.Hour
	if s.Ends.Sub(s.Issued) > century/2 {
		return "never"
	}
	return when(s.Ends)
}

func showSession(ctx context.Context, c *admin.Client, a arguments, std streams) error {
	s, err := c.Session(ctx, a.plain[1])
	if err != nil {
		return err
	}
	if a.has("--json") {
		return printJSON(std.out, s)
	}
	state := s.State
	if s.Reason != "" {
		state += " (" + s.Reason + ")"
	}
	for _, line := range [][2]string{
		{"session", s.SID},
		{"user", s.User},
		{"user id", s.UserID},
		{"source", s.Source},
		{"kind", s.Kind},
		{"issuer", s.Issuer},
		{"client", s.Client},
		{"proved by", strings.Join(s.AMR, ", ")},
		{"API token", s.TokenID},
		{"state", state},
		{"issued", when(s.Issued)},
		{"ends", whenEnds(s)},
		{"last used", when(s.LastUsed)},
	} {
		if line[1] != "" {
			fmt.Fprintf(std.out, "%-10s %s\n", line[0], printable(line[1]))
		}
	}
	return nil
}

func revokeUser(ctx context.Context, c *admin.Client, a arguments, std streams) error {
	n, err := c.RevokeUser(ctx, a.values["--user"], a.has("--tokens"))
	if err != nil {
		return err
	}
	if a.has("--json") {
		return printJSON(std.out, n)
	}
	text := "ended " + count(n.Sessions, "session")
	if a.has("--tokens") {
		text += " and " + count(n.Tokens, "API token")
	}
	_, err = fmt.Fprintln(std.out, text)
	return err
}

func reportEnded(std streams, a arguments, what string, e admin.Ended) error {
	if a.has("--json") {
		return printJSON(std.out, e)
	}
	verb := "ended"
	if !e.Ended {
		verb = "had ended before:"
	}
	_, err := fmt.Fprintf(std.out, "%s %s of %s\n", verb, what, printable(e.User))
	return err
}
