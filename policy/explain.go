package policy

import (
	"fmt"
	"strings"
)

// Step is what became of one rule on the way to a decision.
type Step struct {
	Rule    string
	Matched bool
	Why     string // the first condition that did not hold, or what the rule decided
}

// Explain returns one step for each rule that Decide looks at, in order. The
// last one decides, unless none matched. Unlike a Reason, a Why repeats what was
// asked: it is meant for the operator who asked.
func (r Rules) Explain(q Question) []Step {
	q.Host = plainHost(q.Host)
	var steps []Step
	for i := range r.rules {
		ru := &r.rules[i]
		m, err := ru.test(&q)
		switch {
		case err != nil:
			return append(steps, Step{Rule: ru.Name, Why: ru.undecided(err).Reason})
		case m == missNone:
			return append(steps, Step{Rule: ru.Name, Matched: true, Why: ru.decide(q.User).Reason})
		}
		steps = append(steps, Step{Rule: ru.Name, Why: ru.why(m, &q)})
	}
	return steps
}

// why says in words that condition m does not hold.
func (r *rule) why(m miss, q *Question) string {
	switch m {
	case missAnonymous:
		return "the caller is not signed in and the rule is not public"
	case missHost:
		return fmt.Sprintf("host %q is not %s", q.Host, r.Host)
	case missMethod:
		return fmt.Sprintf("method %q is not among %s", q.Method, strings.Join(r.Methods, ", "))
	case missPath:
		return fmt.Sprintf("path %q does not match %s", q.Path, r.Path)
	case missWhen:
		return "when is false: " + r.When
	default:
		return r.whyUser(m, q.User)
	}
}

func (r *rule) whyUser(m miss, u *User) string {
	if u == nil {
		return "the caller is not signed in"
	}
	switch m {
	case missUser:
		return fmt.Sprintf("user %q is not among %s", u.Name, strings.Join(r.Users, ", "))
	case missGroup:
		return fmt.Sprintf("user %q is in none of the groups %s", u.Name, strings.Join(r.Groups, ", "))
	case missScope:
		return fmt.Sprintf("the credential of %q lacks one of the scopes %s", u.Name, strings.Join(r.Scopes, ", "))
	default:
		return fmt.Sprintf("user %q is no administrator", u.Name)
	}
}
