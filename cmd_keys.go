package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/gatehouse-gateway/gatehouse/admin"
)

const keysArgs = "[list|rotate [--now]]"

const keysHelp = `Usage: gatehouse keys [list] [--json]
       gatehouse keys rotate [--now] [--json]

Lists signing keys, secrets and replicas of a running gateway, and says what still
depends on a secret that is not in use any more, before it is removed. rotate makes
a new signing key: every replica publishes it now and signs with it after
GATEHOUSE_KEY_PUBLISH_FOR; the former one verifies as long as there are tokens that
it signed. Nobody has to log in again.

  --now   the new key signs after a second: backends that keep our public keys may
          refuse its tokens until they ask again
  --json  print JSON instead of tables

Secrets are changed in GATEHOUSE_SECRET: append the new one on every replica, then
move it to the front on every replica, then wait until "gatehouse keys" says that
nothing depends on the old one, and remove it.
` + operatorHelp

// runKeys lists and changes the keys of a running gateway.
func runKeys(ctx context.Context, args []string, std streams) error {
	a, err := readArguments(args, keysHelp, "--now", "--json")
	if err != nil {
		return err
	}
	what := cmp.Or(strings.Join(a.plain, " "), "list")
	if (what != "list" && what != "rotate") || (what == "list" && a.has("--now")) {
		return &usageError{"keys takes list or rotate, the latter with --now or without\n" + keysHelp}
	}
	c, err := operatorClient()
	if err != nil {
		return err
	}
	if what == "list" {
		return listKeys(ctx, c, a, std)
	}
	done, err := c.RotateKey(ctx, a.has("--now"))
	if err != nil {
		return err
	}
	if a.has("--json") {
		return printJSON(std.out, done)
	}
	text := "new signing key %s is published and signs from %s\n"
	if !done.Begun {
		text = "a rotation was under way already: signing key %s is published and signs from %s\n"
	}
	_, err = fmt.Fprintf(std.out, text, printable(done.KID), when(done.From))
	return err
}

// keyState is all that keys list finds.
type keyState struct {
	admin.KeyList
	Sealed []admin.SealedValues `json:"sealed"` // backend sessions, if some secret is out of use
	// Tokens are the API tokens that can be used and may have been made with a secret
	// that is out of use, by its fingerprint: they do not tell.
	Tokens map[string]int `json:"tokens"`
}

func listKeys(ctx context.Context, c *admin.Client, a arguments, std streams) error {
	list, err := c.Keys(ctx)
	if err != nil {
		return err
	}
	s := keyState{KeyList: list, Sealed: []admin.SealedValues{}, Tokens: map[string]int{}}
	if slices.ContainsFunc(list.Secrets, formerlyUsed) {
		if s.Sealed, err = countSealed(ctx, c, std.err); err != nil {
			return err
		}
		if err := s.countTokens(ctx, c); err != nil {
			return err
		}
	}
	if a.has("--json") {
		return printJSON(std.out, s)
	}
	return s.print(std.out)
}

// formerlyUsed reports whether something may still depend on a secret that no
// replica makes new values with.
func formerlyUsed(s admin.Secret) bool { return !s.Using && !s.LastUsed.IsZero() }

// countSealed looks at all backend sessions, a part at a time, and says on
// standard error how far it is.
func countSealed(ctx context.Context, c *admin.Client, progress io.Writer) ([]admin.SealedValues, error) {
	const tellEvery = 10_000
	all := []admin.SealedValues{}
	for looked, told, next := 0, 0, ""; ; {
		page, err := c.Sealed(ctx, next)
		if err != nil {
			return nil, err
		}
		for _, v := range page.Values {
			all = addSealed(all, v)
		}
		if looked += page.Looked; looked-told >= tellEvery {
			told = looked
			fmt.Fprintf(progress, "looked at %s so far\n", count(looked, "backend session"))
		}
		if next = page.Next; next == "" {
			return all, nil
		}
	}
}

func addSealed(all []admin.SealedValues, v admin.SealedValues) []admin.SealedValues {
	for i := range all {
		if all[i].Secret == v.Secret {
			all[i].Count += v.Count
			all[i].Endless = all[i].Endless || v.Endless
			if v.Until.After(all[i].Until) {
				all[i].Until = v.Until
			}
			return all
		}
	}
	return append(all, v)
}

// countTokens counts the API tokens that were made while a secret was in use, or
// before that: who else made them is not known.
func (s *keyState) countTokens(ctx context.Context, c *admin.Client) error {
	tokens, err := gather(func(next string) ([]admin.APIToken, string, error) {
		list, err := c.Tokens(ctx, "", next, pageSize)
		return list.Tokens, list.Next, err
	})
	if err != nil {
		return err
	}
	for _, secret := range s.Secrets {
		if !formerlyUsed(secret) {
			continue
		}
		for _, t := range tokens {
			if t.State == "active" && !t.Made.After(secret.LastUsed) {
				s.Tokens[secret.Fingerprint]++
			}
		}
	}
	return nil
}

func (s *keyState) print(w io.Writer) error {
	var rows [][]string
	for _, k := range s.Signing {
		rows = append(rows, []string{k.KID, k.State, when(k.From), when(k.Gone), k.Secret})
	}
	if err := printTable(w, []string{"SIGNING KEY", "STATE", "SIGNS FROM", "REMOVED", "SEALED UNDER"}, rows); err != nil {
		return err
	}
	rows = nil
	for _, x := range s.Secrets {
		place := "not here"
		if x.Place > 0 {
			place = fmt.Sprint(x.Place)
		}
		use := ""
		if x.Using {
			use = "in use"
		}
		rows = append(rows, []string{x.Fingerprint, place, use, when(x.FirstUsed), when(x.LastUsed), strings.Join(x.Unknown, " ")})
	}
	fmt.Fprintln(w)
	if err := printTable(w, []string{"SECRET", "PLACE", "USE", "FIRST USED", "LAST USED", "UNKNOWN TO"}, rows); err != nil {
		return err
	}
	rows = nil
	for _, r := range s.Replicas {
		state := "serves"
		if !r.Serving {
			state = "does not serve"
		}
		rows = append(rows, []string{r.Host + "/" + r.ID, r.Version, when(r.Started), state, strings.Join(r.Secrets, " "), r.Using})
	}
	fmt.Fprintln(w)
	if err := printTable(w, []string{"REPLICA", "VERSION", "STARTED", "STATE", "SECRETS", "USES"}, rows); err != nil {
		return err
	}
	for _, x := range s.Secrets {
		if formerlyUsed(x) {
			fmt.Fprintf(w, "\n%s", s.advice(x))
		}
	}
	return nil
}

// advice says what depends on a secret that is out of use.
func (s *keyState) advice(x admin.Secret) string {
	var lines []string
	if s.At.Before(x.SafeFrom) {
		lines = append(lines, "sessions, refresh and access tokens made until "+when(x.LastUsed)+"; the last of them end by "+when(x.SafeFrom)+
			", but for what never expires")
	}
	if x.SigningKeys > 0 {
		lines = append(lines, count(x.SigningKeys, "signing key")+"; sealed anew when a replica starts or a key is rotated")
	}
	for _, v := range s.Sealed {
		if v.Secret != x.Fingerprint {
			continue
		}
		text := count(v.Count, "backend session") + "; each is sealed anew when it is renewed"
		if !v.Until.IsZero() {
			text += ", and the last of them ends by " + when(v.Until)
		}
		if v.Endless {
			text += "; some have no end"
		}
		lines = append(lines, text)
	}
	if n := s.Tokens[x.Fingerprint]; n > 0 {
		lines = append(lines, "up to "+count(n, "API token")+" made until "+when(x.LastUsed)+"; their users have to make new ones")
	}
	if len(lines) == 0 {
		return "Nothing depends on secret " + x.Fingerprint + " any more, but what never expires and was made until " + when(x.LastUsed) + ".\n"
	}
	return "If secret " + x.Fingerprint + " is removed now, these end with it:\n  - " + strings.Join(lines, "\n  - ") + "\n"
}
