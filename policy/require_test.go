package policy_test

import (
	"strings"
	"testing"

	"github.com/gatehouse-gateway/gatehouse/policy"
)

func TestRequireRefusesAndDoesNotFallThrough(t *testing.T) {
	rules, errs := policy.Compile([]policy.Rule{
		{Name: "ops", Path: "/ops/**", Groups: []string{"ops"}, Require: "otp"},
		{Name: "all"},
	})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	for name, c := range map[string]struct {
		user *policy.User
		path string
		rule string
		want bool
	}{
		"both proofs":             {&policy.User{Groups: []string{"ops"}, AMR: []string{"pwd", "otp"}}, "/ops/x", "ops", true},
		"password alone":          {&policy.User{Groups: []string{"ops"}, AMR: []string{"pwd"}}, "/ops/x", "ops", false},
		"nothing known":           {&policy.User{Groups: []string{"ops"}}, "/ops/x", "ops", false},
		"whom it does not match":  {&policy.User{AMR: []string{"pwd"}}, "/ops/x", "all", true},
		"where it does not match": {&policy.User{Groups: []string{"ops"}, AMR: []string{"pwd"}}, "/x", "all", true},
		"nobody":                  {nil, "/ops/x", "", false},
	} {
		q := policy.Question{Method: "GET", Path: c.path, User: c.user}
		a := rules.Decide(q)
		if a.Allowed != c.want || a.Rule != c.rule || a.Inject != c.want {
			t.Errorf("%s: %+v; want rule %q, allowed %v", name, a, c.rule, c.want)
		}
		steps := rules.Explain(q)
		if last := steps[len(steps)-1]; c.rule == "ops" && !c.want && (!last.Matched || !strings.Contains(last.Why, "second factor")) {
			t.Errorf("%s: explained by %+v; want the second factor named", name, last)
		}
	}
}

func TestRequireThatCannotHoldIsAFault(t *testing.T) {
	for want, r := range map[string]policy.Rule{
		`require "mfa" is not known`:      {Require: "mfa"},
		"neither public nor deny":         {Require: "otp", Public: true},
		"let signed-in callers pass, nei": {Require: "otp", Deny: true},
	} {
		_, errs := policy.Compile([]policy.Rule{r})
		if len(errs) != 1 || !strings.Contains(errs[0].Error(), want) {
			t.Errorf("faults of %+v = %v; want %q", r, errs, want)
		}
	}
}
