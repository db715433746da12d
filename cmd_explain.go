package main

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-gateway/gatehouse/config"
	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/identity"
	"github.com/gatehouse-gateway/gatehouse/policy"
	"github.com/gatehouse-gateway/gatehouse/proxy"
	"github.com/gatehouse-gateway/gatehouse/token"
)

const explainUsage = "usage: gatehouse explain METHOD URL [--user NAME [--otp]] [--ip ADDRESS]"

// runExplain says which rule decides a request, and why the ones before it
// did not.
func runExplain(_ context.Context, args []string, std streams) error {
	q, user, otp, err := explainArgs(args)
	if err != nil {
		return err
	}
	cfg, err := load()
	if err != nil {
		return err
	}
	slash := slices.ContainsFunc(cfg.Routes, func(rt config.Route) bool { return rt.EncodedSlash })
	if q.Path, err = proxy.CanonicalPath(q.Path, slash); err != nil {
		return &usageError{"the gateway refuses this path: " + err.Error()}
	}
	if user != "" {
		if q.User, err = explainUser(cfg, user); err != nil {
			return err
		}
		if otp {
			q.User.AMR = []string{"pwd", "otp"}
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
	note, unasked := explainRoute(cfg, q)
	if note != "" {
		fmt.Fprintf(std.out, "  note: %s\n", note)
	}
	if unasked && (q.Host != "" || len(cfg.Routes) == 1) {
		return nil // the rules have no say
	}
	a := rules.Decide(q)
	who, verdict := "an anonymous caller", "denied (401): "+a.Reason
	if user != "" {
		who, verdict = user, "denied (403): "+a.Reason
	}
	if a.Allowed {
		verdict = a.Reason
	}
	fmt.Fprintf(std.out, "%s %s for %s: %s\n", q.Method, q.Path, who, verdict)
	return nil
}

// explainRoute says so if no route takes the request, or one that does serves it
// as a call of a token API; unasked says that policy does not decide. A URL
// without a host stands for every host.
func explainRoute(cfg *config.Config, q policy.Question) (note string, unasked bool) {
	r := &http.Request{Method: q.Method, Host: q.Host, URL: &url.URL{Path: q.Path}}
	taken := strings.HasPrefix(q.Path, cfg.PagesPath+"/")
	for _, rt := range cfg.Routes {
		host := rt.Host
		if q.Host == "" {
			host = "" // any
		}
		if !proxy.Takes(host, rt.Path, r) {
			continue
		}
		taken = true
		for _, name := range rt.Serve {
			d, err := dialect.Open(name, dialect.Settings{})
			if err != nil {
				continue // load has found it good
			}
			call, _ := d.Match(r)
			switch {
			case call == nil:
			case call.Op == token.OpLogin, call.Op == token.OpRefresh, call.Op == token.OpLogout:
				return "route " + rt.Name + " serves this call of the " + d.Name + " token API; no rule is asked about it", true
			case call.Public:
				return "route " + rt.Name + " lets everybody make this call of the " + d.Name + " token API, unless a rule refuses it", false
			}
		}
	}
	if !taken {
		return "no route takes this host and path; the gateway answers 421", true
	}
	return "", false
}

// explainArgs reads METHOD URL and the flags, in any order. otp says that the
// user has proved a second factor.
func explainArgs(args []string) (q policy.Question, user string, otp bool, err error) {
	var plain []string
	for i := 0; i < len(args); i++ {
		switch {
		case (args[i] == "--user" || args[i] == "--ip") && i+1 == len(args):
			return q, "", false, &usageError{args[i] + " needs a value; " + explainUsage}
		case args[i] == "--user":
			i++
			user = args[i]
		case args[i] == "--otp":
			otp = true
		case args[i] == "--ip":
			i++
			if q.IP, err = netip.ParseAddr(args[i]); err != nil {
				return q, "", false, &usageError{"--ip is not an address; " + explainUsage}
			}
		case strings.HasPrefix(args[i], "-"):
			return q, "", false, &usageError{"there is no flag " + args[i] + "; " + explainUsage}
		default:
			plain = append(plain, args[i])
		}
	}
	if len(plain) != 2 || otp && user == "" {
		return q, "", false, &usageError{explainUsage}
	}
	u, err := url.Parse(plain[1])
	if err != nil || !strings.HasPrefix(u.Path, "/") {
		return q, "", false, &usageError{"the URL must be a path, or absolute with one; " + explainUsage}
	}
	q.Method, q.Host, q.Path = strings.ToUpper(plain[0]), u.Host, u.EscapedPath()
	return q, user, otp, nil
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
		return nil, &usageError{"nobody named " + strconv.Quote(name) + " may log in by " + cfg.UsersFile + ": there is no such user, or he is disabled"}
	}
	return &policy.User{
		Name: id.Name, ID: id.ID, Email: id.Email, Realm: id.Realm, Groups: id.Groups, Scopes: id.Scopes, Admin: id.Admin,
	}, nil
}
