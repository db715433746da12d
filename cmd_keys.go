package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

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

// keyState is all that keys list finds. What may have been made with a secret that
// is out of use is counted only if there is such a secret, by its fingerprint.
type keyState struct {
	admin.KeyList
	Sealed []admin.SealedValues `json:"sealed"` // backend sessions
	// Sessions and Tokens are those that can be used and were opened or made while
	// the secret was in use, or before: they do not tell with which.
	Sessions map[string]int `json:"sessions"`
	Tokens   map[string]int `json:"tokens"`
}

func listKeys(ctx context.Context, c *admin.Client, a arguments, std streams) error {
	list, err := c.Keys(ctx)
	if err != nil {
		return err
	}
	s := keyState{KeyList: list, Sealed: []admin.SealedValues{}, Sessions: map[string]int{}, Tokens: map[string]int{}}
	if slices.ContainsFunc(list.Secrets, formerlyUsed) {
		if err := s.count(ctx, c, std.err); err != nil {
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

// count looks at all that may depend on a secret, a page at a time.
func (s *keyState) count(ctx context.Context, c *admin.Client, out io.Writer) error {
	const active = "active"
	sealed := &progress{out: out, noun: "backend session"}
	err := pages(sealed, func(next string) (int, string, error) {
		page, err := c.Sealed(ctx, next)
		for _, v := range page.Values {
			s.Sealed = addSealed(s.Sealed, v)
		}
		return page.Looked, page.Next, err
	})
	if err != nil {
		return err
	}
	err = pages(&progress{out: out, noun: "session"}, func(next string) (int, string, error) {
		list, err := c.Sessions(ctx, "", next, pageSize)
		for _, one := range list.Sessions {
			if one.State == active {
				s.note(s.Sessions, one.Issued)
			}
		}
		return len(list.Sessions), list.Next, err
	})
	if err != nil {
		return err
	}
	return pages(&progress{out: out, noun: "API token"}, func(next string) (int, string, error) {
		list, err := c.Tokens(ctx, "", next, pageSize)
		for _, one := range list.Tokens {
			if one.State == active {
				s.note(s.Tokens, one.Made)
			}
		}
		return len(list.Tokens), list.Next, err
	})
}

// note counts what was made at a time for every secret that may have made it.
func (s *keyState) note(n map[string]int, made time.Time) {
	for _, secret := range s.Secrets {
		if formerlyUsed(secret) && !made.After(secret.LastUsed) {
			n[secret.Fingerprint]++
		}
	}
}

// progress says how far a count is, every so often.
type progress struct {
	out          io.Writer
	noun         string
	looked, told int
}

// pages reads one page after the other.
func pages(p *progress, read func(next string) (looked int, more string, err error)) error {
	const tellEvery = 10_000
	for next := ""; ; {
		looked, more, err := read(next)
		if err != nil {
			return err
		}
		if p.looked += looked; p.looked-p.told >= tellEvery {
			p.told = p.looked
			fmt.Fprintf(p.out, "looked at %s so far\n", count(p.looked, p.noun))
		}
		if next = more; next == "" {
			return nil
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

func (s *keyState) print(w io.Writer) error {
	for i, table := range []func(io.Writer) error{s.printSigning, s.printSecrets, s.printReplicas} {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if err := table(w); err != nil {
			return err
		}
	}
	for _, x := range s.Secrets {
		if formerlyUsed(x) {
			fmt.Fprintf(w, "\n%s", s.advice(x))
		}
	}
	return nil
}

func (s *keyState) printSigning(w io.Writer) error {
	var rows [][]string
	for _, k := range s.Signing {
		rows = append(rows, []string{k.KID, k.State, when(k.From), when(k.Gone), k.Secret})
	}
	return printTable(w, []string{"SIGNING KEY", "STATE", "SIGNS FROM", "REMOVED", "SEALED UNDER"}, rows)
}

func (s *keyState) printSecrets(w io.Writer) error {
	var rows [][]string
	for _, x := range s.Secrets {
		place, use := "not here", ""
		if x.Place > 0 {
			place = strconv.Itoa(x.Place)
		}
		if x.Using {
			use = "in use"
		}
		rows = append(rows, []string{x.Fingerprint, place, use, when(x.FirstUsed), when(x.LastUsed), strings.Join(x.Unknown, " ")})
	}
	return printTable(w, []string{"SECRET", "PLACE", "USE", "FIRST USED", "LAST USED", "UNKNOWN TO"}, rows)
}

func (s *keyState) printReplicas(w io.Writer) error {
	var rows [][]string
	for _, r := range s.Replicas {
		state := "serves"
		if !r.Serving {
			state = "does not serve"
		}
		rows = append(rows, []string{r.Host + "/" + r.ID, r.Version, when(r.Started), state, strings.Join(r.Secrets, " "), r.Using})
	}
	return printTable(w, []string{"REPLICA", "VERSION", "STARTED", "STATE", "SECRETS", "USES"}, rows)
}

// advice says what depends on a secret that is out of use.
func (s *keyState) advice(x admin.Secret) string {
	var lines []string
	if n := s.Sessions[x.Fingerprint]; n > 0 {
		lines = append(lines, fmt.Sprintf("up to %s opened until %s: those whose client got no new tokens since; what is not used again ends by %s by itself",
			count(n, "session"), when(x.LastUsed), when(x.SafeFrom)))
	}
	if n := s.Tokens[x.Fingerprint]; n > 0 {
		lines = append(lines, fmt.Sprintf("up to %s made until %s: their users have to make new ones", count(n, "API token"), when(x.LastUsed)))
	}
	if x.SigningKeys > 0 {
		lines = append(lines, count(x.SigningKeys, "signing key")+": sealed anew when a replica starts or a key is rotated")
	}
	for _, v := range s.Sealed {
		if v.Secret == x.Fingerprint {
			lines = append(lines, sealedLine(v))
		}
	}
	if len(lines) == 0 {
		return "Nothing depends on secret " + x.Fingerprint + " any more.\n"
	}
	return "If secret " + x.Fingerprint + " is removed now, these end with it:\n  - " + strings.Join(lines, "\n  - ") + "\n"
}

func sealedLine(v admin.SealedValues) string {
	text := count(v.Count, "backend session") + ": each is sealed anew when it is renewed"
	if !v.Until.IsZero() {
		text += ", and the last of them ends by " + when(v.Until)
	}
	if v.Endless {
		text += "; some have no end"
	}
	return text
}
