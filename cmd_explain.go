package main

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/gatehouse-gateway/gatehouse/config"
	"github.com/gatehouse-gateway/gatehouse/identity"
	"github.com/gatehouse-gateway/gatehouse/policy"
	"github.com/gatehouse-gateway/gatehouse/proxy"
)

const explainUsage = "usage: gatehouse explain METHOD URL [--user NAME] [--ip ADDRESS]"

// runExplain says which rule decides a request, and why the ones before it
// did not.
func runExplain(_ context.Context, args []string, std streams) error {
	q, user, err := explainArgs(args)
	if err != nil {
		return err
	}
	cfg, err := load()
	if err != nil {
		return err
	}
	if user != "" {
		if q.User, err = explainUser(cfg, user); err != nil {
			return err
		}
	}
	rules, err := rules(cfg)
	if err != nil {
		return err
	}
	for _, s := range rules.Explain(q) {
		if s.Matched {
			fmt.Fprintf(std.out, "  %s  matches\n", s.Rule)
		} else {
			fmt.Fprintf(std.out, "  %s  does not match: %s\n", s.Rule, s.Why)
		}
	}
	a := rules.Decide(q)
	who, verdict := "an anonymous caller", "denied"
	if user != "" {
		who = user
	}
	if a.Allowed {
		verdict = "allowed"
	}
	fmt.Fprintf(std.out, "%s %s for %s: %s, %s\n", q.Method, q.Path, who, verdict, a.Reason)
	return nil
}

// explainArgs reads METHOD URL and the flags, in any order.
func explainArgs(args []string) (q policy.Question, user string, err error) {
	var plain []string
	for i := 0; i < len(args); i++ {
		switch {
		case (args[i] == "--user" || args[i] == "--ip") && i+1 == len(args):
			return q, "", &usageError{args[i] + " needs a value; " + explainUsage}
		case args[i] == "--user":
			i++
			user = args[i]
		case args[i] == "--ip":
			i++
			if q.IP, err = netip.ParseAddr(args[i]); err != nil {
				return q, "", &usageError{"--ip is not an address; " + explainUsage}
			}
		case strings.HasPrefix(args[i], "-"):
			return q, "", &usageError{"there is no flag " + args[i] + "; " + explainUsage}
		default:
			plain = append(plain, args[i])
		}
	}
	if len(plain) != 2 {
		return q, "", &usageError{explainUsage}
	}
	u, err := url.Parse(plain[1])
	if err != nil || !strings.HasPrefix(u.Path, "/") {
		return q, "", &usageError{"the URL must be a path, or absolute with one; " + explainUsage}
	}
	if q.Path, err = proxy.CanonicalPath(u.EscapedPath()); err != nil {
		return q, "", &usageError{"the gateway refuses this path: " + err.Error()}
	}
	q.Method, q.Host = strings.ToUpper(plain[0]), u.Host
	return q, user, nil
}

func explainUser(cfg *config.Config, name string) (*policy.User, error) {
	if cfg.UsersFile == "" {
		return nil, &usageError{"--user needs a users file, and none is configured; set GATEHOUSE_USERS_FILE"}
	}
	users, err := identity.LoadUsers(cfg.UsersFile)
	if err != nil {
		return nil, err
	}
	id, ok := users.Find(name)
	if !ok {
		return nil, &usageError{"there is no user of that name in " + cfg.UsersFile}
	}
	return &policy.User{
		Name: id.Name, ID: id.ID, Email: id.Email, Realm: id.Realm, Groups: id.Groups, Scopes: id.Scopes, Admin: id.Admin,
	}, nil
}
