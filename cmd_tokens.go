package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/gatehouse-gateway/gatehouse/admin"
)

const tokensArgs = "list|revoke [ID] [--user NAME]"

const tokensHelp = `Usage: gatehouse tokens list [--user NAME] [--json]
       gatehouse tokens revoke ID [--user NAME] [--json]

Lists and ends API tokens that a running gateway has made. Ending one holds on
every replica within a second. ID is that of the list, or the SID. Never give the
token itself: no command takes it.

  --user NAME  only the API tokens of this user; NAME counts letter by letter
  --json       print JSON instead of a table
` + operatorHelp

// runTokens lists and ends API tokens of a running gateway.
func runTokens(ctx context.Context, args []string, std streams) error {
	a, err := readArguments(args, tokensHelp, "--user=", "--json")
	if err != nil {
		return err
	}
	what := strings.Join(a.plain[:min(1, len(a.plain))], "")
	if (what != "list" || len(a.plain) != 1) && (what != "revoke" || len(a.plain) != 2) {
		return &usageError{"tokens takes list, or revoke and one ID\n" + tokensHelp}
	}
	c, err := operatorClient()
	if err != nil {
		return err
	}
	if what == "list" {
		return listTokens(ctx, c, a, std)
	}
	ended, err := c.RevokeToken(ctx, a.plain[1], a.values["--user"])
	if err != nil {
		return err
	}
	return reportEnded(std, a, "API token (session "+ended.SID+")", ended)
}

func listTokens(ctx context.Context, c *admin.Client, a arguments, std streams) error {
	list, err := gather(func(next string) ([]admin.APIToken, string, error) {
		page, err := c.Tokens(ctx, a.values["--user"], next, pageSize)
		return page.Tokens, page.Next, err
	})
	if err != nil {
		return err
	}
	if a.has("--json") {
		return printJSON(std.out, list)
	}
	rows := make([][]string, len(list))
	for i, t := range list {
		expires := when(t.Expires)
		if expires == "" {
			expires = "never"
		}
		rows[i] = []string{
			t.ID, t.SID, t.User, t.Issuer, strings.Join(t.Scopes, ","), t.State, expires, when(t.LastUsed),
			strconv.FormatInt(t.Uses, 10), t.Description,
		}
	}
	return printTable(std.out, []string{"ID", "SID", "USER", "ISSUER", "SCOPES", "STATE", "EXPIRES", "LAST USED", "USES", "DESCRIPTION"}, rows)
}
