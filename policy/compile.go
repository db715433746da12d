package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// maxName is the longest name of a rule, in bytes: it becomes a metric label.
const maxName = 64

// requireFactor is the one demand there is, a value of User.AMR.
const requireFactor = "otp"

// Compile makes rules ready and returns every fault it finds, each naming its
// rule; a fault in a when carries expr's message with a caret under the place,
// on lines of their own. With faults the Rules are the zero value, which refuses
// everything.
func Compile(rules []Rule) (Rules, []error) {
	var errs []error
	out := make([]rule, len(rules))
	named := map[string]int{}
	for i, r := range rules {
		ru, faults := compileRule(r, i)
		if first, taken := named[ru.Name]; taken {
			faults = append(faults, fmt.Errorf("has the name of rule #%d", first))
		} else {
			named[ru.Name] = i + 1
		}
		for _, err := range faults {
			errs = append(errs, &RuleError{Index: i, Name: r.Name, Err: err})
		}
		out[i] = ru
	}
	if len(errs) > 0 {
		return Rules{}, errs
	}
	return Rules{rules: out}, nil
}

// RuleError is a fault of one rule.
type RuleError struct {
	Index int    // place in the list, counted from 0
	Name  string // as configured; may be empty
	Err   error
}

// Error names the rule by its place, counted from 1, and its name.
func (e *RuleError) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("rule #%d: %v", e.Index+1, e.Err)
	}
	return fmt.Sprintf("rule #%d %q: %v", e.Index+1, e.Name, e.Err)
}

// Unwrap returns the fault alone.
func (e *RuleError) Unwrap() error { return e.Err }

func compileRule(r Rule, i int) (rule, []error) {
	errs := checkRule(r)
	add := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	if r.Name == "" {
		r.Name = fmt.Sprintf("#%d", i+1)
	}
	ru := rule{Rule: r}
	var err error
	ru.host, err = compileHost(r.Host)
	add(err)
	ru.path, err = compilePath(r.Path, r.Deny)
	add(err)
	ru.when, err = compileWhen(r.When)
	add(err)
	ru.answer = Answer{Allowed: !r.Deny, Rule: r.Name, Reason: verdict(r), Public: r.Public, Inject: !r.Deny && (!r.Public || r.Inject)}
	ru.unmet = Answer{Rule: r.Name, Reason: "refused by rule " + quoteName(r.Name) + ": it requires a second factor, and the caller signed in without one"}
	return ru, errs
}

func verdict(r Rule) string {
	switch {
	case r.Deny:
		return "refused by rule " + quoteName(r.Name)
	case r.Public:
		return "public by rule " + quoteName(r.Name)
	}
	return "allowed by rule " + quoteName(r.Name)
}

// checkRule finds what contradicts itself or could never hold.
func checkRule(r Rule) []error {
	var errs []error
	add := func(bad bool, msg string) {
		if bad {
			errs = append(errs, errors.New(msg))
		}
	}
	add(!goodName(r.Name), fmt.Sprintf("name must be 1 to %d printable characters and not begin with #", maxName))
	add(r.Deny && r.Public, "deny and public exclude each other: a deny rule meets callers who are not signed in anyway")
	add(r.Inject && !r.Public, "inject belongs to public rules: other rules inject anyway, and a deny rule lets nothing pass")
	add(r.Public && (len(r.Users)+len(r.Groups)+len(r.Scopes) > 0 || r.Admin),
		"public excludes users, groups, scopes and admin, which nobody has who is not signed in")
	add(r.Require != "" && r.Require != requireFactor, fmt.Sprintf("require %q is not known: there is otp, a second factor", r.Require))
	add(r.Require != "" && (r.Public || r.Deny), "require belongs to rules that let signed-in callers pass, neither public nor deny")
	add(slices.Contains(slices.Concat(r.Users, r.Groups, r.Scopes), ""), "users, groups and scopes must not hold empty names")
	add(r.empty(), "an empty list of methods, users, groups or scopes holds for nobody: leave it out for any")
	for _, m := range r.Methods {
		if m == "" || strings.ToUpper(m) != m || strings.ContainsFunc(m, notMethod) {
			errs = append(errs, fmt.Errorf("method %q is not one: methods are upper-case words like GET", m))
		}
	}
	return errs
}

// empty reports whether a list is written and holds nothing. Read as "any", a
// forgotten value would open a door.
func (r Rule) empty() bool {
	for _, list := range [][]string{r.Methods, r.Users, r.Groups, r.Scopes} {
		if list != nil && len(list) == 0 {
			return true
		}
	}
	return false
}

func notMethod(c rune) bool {
	return c <= ' ' || c >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c)
}

func goodName(s string) bool {
	return len(s) <= maxName && !strings.HasPrefix(s, "#") && !strings.ContainsFunc(s, func(c rune) bool {
		return !unicode.IsPrint(c) || c == unicode.ReplacementChar
	})
}
