// Package policy decides who may pass: rules in, a decision out. It is pure (no
// clock, no I/O, no log) and knows nothing of HTTP or of the rest of Gatehouse.
//
// A rule matches when ALL the conditions it states hold; a condition that is
// absent holds always. Rules are read from the top and the first that matches
// decides: it allows, or with deny it refuses. When none matches the answer is
// no. A caller who is not signed in matches only rules that are public, and
// deny rules.
//
// A rule never reaches past its conditions: to keep everybody but operators out
// of /admin while the rest is open to all, a deny rule has to stand before the
// rule that opens the rest.
package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
)

// Rule is one rule as it stands in configuration.
type Rule struct {
	// Name is shown in logs, metrics and explanations. Empty: "#" and the place
	// in the list, counted from 1.
	Name string `yaml:"name"`
	// Host is compared without letter case, port and trailing dot;
	// "*.example.com" stands for every name below example.com, not for
	// example.com itself. Empty: any host.
	Host string `yaml:"host"`
	// Path is compared byte for byte with the path that goes to the backend.
	// "*" stands for one whole segment that is not empty; "/**" at the end stands
	// for the path before it and everything below. Empty: any path. In a deny
	// rule, letter case and a trailing slash, dot or space of a segment make no
	// difference, since to some backends they make none.
	Path string `yaml:"path"`
	// Methods are upper case; GET implies HEAD, as in net/http. Empty: any method.
	Methods []string `yaml:"methods"`
	// Users and Groups hold when the caller is, or belongs to, one of them.
	Users  []string `yaml:"users"`
	Groups []string `yaml:"groups"`
	// Scopes holds when the caller's credential has all of them.
	Scopes []string `yaml:"scopes"`
	// Admin holds for administrators. False: no condition.
	Admin bool `yaml:"admin"`
	// Public lets callers pass who are not signed in.
	Public bool `yaml:"public"`
	// Inject lets the backend's credential go with what a public rule lets pass.
	Inject bool `yaml:"inject"`
	// Deny refuses what matches.
	Deny bool `yaml:"deny"`
	// Require is a demand and no condition: a caller whom the rule matches and who
	// has not met it is refused, whatever the rules below say. "otp": a second
	// factor was proved when the caller signed in, or when the session was opened
	// that made his API token.
	Require string `yaml:"require"`
	// When is a further condition, in the language of github.com/expr-lang/expr.
	// It knows user.name, .id, .email, .realm, .groups, .scopes, .admin (zero for
	// a caller who is not signed in), request.method, .path, .host, .ip, and
	// request.ip in net("10.0.0.0/8"). One that cannot be evaluated refuses the
	// request.
	When string `yaml:"when"`
}

// User is a caller who is signed in, as far as rules can ask. Scopes are those
// of the credential that was presented, which may be fewer than the user's.
type User struct {
	Name, ID, Email, Realm string
	Groups, Scopes         []string
	Admin                  bool
	AMR                    []string // how he proved himself, RFC 8176
}

// Question is one request. Path must be the bytes that go to the backend,
// without the query.
type Question struct {
	Host, Method, Path string
	IP                 netip.Addr
	User               *User // nil: not signed in
}

// Answer is the decision on one request. The zero value refuses.
type Answer struct {
	Allowed bool
	Rule    string // the name of the rule that decided; "" when none matched
	Reason  string // for the log and for explanations
	Public  bool   // let through without asking who it is
	Inject  bool   // the backend's credential goes with the request
}

// Rules is a compiled list. The zero value refuses everything. It never changes
// and is safe for concurrent use.
type Rules struct{ rules []rule }

// rule is a Rule ready to be asked.
type rule struct {
	Rule
	host   hostPattern
	path   pathPattern
	when   condition
	answer Answer // what is answered when it matches
	unmet  Answer // and when it does but Require is not met
}

// SignedIn returns what holds when there is no policy: callers who are signed in
// may call every path.
func SignedIn() Rules {
	const name = "signed-in users"
	return Rules{rules: []rule{{
		Rule:   Rule{Name: name},
		answer: Answer{Allowed: true, Rule: name, Reason: "there is no policy: signed-in users may call every path", Inject: true},
	}}}
}

// Names returns the names of the rules in order, the closed set that
// Answer.Rule comes from, "" aside.
func (r Rules) Names() []string {
	names := make([]string, len(r.rules))
	for i := range r.rules {
		names[i] = r.rules[i].Name
	}
	return names
}

// Decide answers a question. It allocates only where a when is evaluated.
func (r Rules) Decide(q Question) Answer {
	q.Host = plainHost(q.Host)
	for i := range r.rules {
		switch miss, err := r.rules[i].test(&q); {
		case err != nil:
			return r.rules[i].undecided(err)
		case miss == missNone:
			return r.rules[i].decide(q.User)
		}
	}
	return Answer{Reason: noRule(q.User)}
}

// decide answers for a caller whom the rule matches.
func (r *rule) decide(u *User) Answer {
	if r.Require != "" && (u == nil || !slices.Contains(u.AMR, r.Require)) {
		return r.unmet
	}
	return r.answer
}

func noRule(u *User) string {
	if u == nil {
		return "no rule lets callers pass who are not signed in"
	}
	return "no rule matches"
}

// undecided refuses a request whose rule could not be evaluated. Going on to the
// next rule would let an error open a door.
func (r *rule) undecided(err error) Answer {
	return Answer{Rule: r.Name, Reason: "refused: " + whenFailed(r.Name, err)}
}

func whenFailed(name string, err error) string {
	return fmt.Sprintf("the when of rule %s cannot be evaluated: %s", quoteName(name), firstLine(err))
}

// miss is the first condition of a rule that does not hold.
type miss uint8

const (
	missNone miss = iota
	missAnonymous
	missHost
	missMethod
	missPath
	missUser
	missGroup
	missScope
	missAdmin
	missWhen
)

// test returns the first condition that does not hold. The cheap ones come
// first; the only error is that of evaluating when, which comes last.
func (r *rule) test(q *Question) (miss, error) {
	switch {
	case q.User == nil && !r.Public && !r.Deny:
		return missAnonymous, nil
	case !r.host.match(q.Host):
		return missHost, nil
	case !r.takesMethod(q.Method):
		return missMethod, nil
	case !r.path.match(q.Path):
		return missPath, nil
	}
	if m := r.testUser(q.User); m != missNone {
		return m, nil
	}
	ok, err := r.when.holds(q)
	if err != nil || !ok {
		return missWhen, err
	}
	return missNone, nil
}

func (r *rule) testUser(u *User) miss {
	if u == nil {
		u = &User{}
	}
	switch {
	case len(r.Users) > 0 && !slices.Contains(r.Users, u.Name):
		return missUser
	case len(r.Groups) > 0 && !overlap(r.Groups, u.Groups):
		return missGroup
	case !containsAll(u.Scopes, r.Scopes):
		return missScope
	case r.Admin && !u.Admin:
		return missAdmin
	}
	return missNone
}

func (r *rule) takesMethod(m string) bool {
	if len(r.Methods) == 0 || slices.Contains(r.Methods, m) {
		return true
	}
	return m == "HEAD" && slices.Contains(r.Methods, "GET")
}

func overlap(a, b []string) bool {
	for _, s := range a {
		if slices.Contains(b, s) {
			return true
		}
	}
	return false
}

func containsAll(have, want []string) bool {
	for _, s := range want {
		if !slices.Contains(have, s) {
			return false
		}
	}
	return true
}

// quoteName quotes a rule's name unless it is a number of ours.
func quoteName(name string) string {
	if name != "" && name[0] == '#' {
		return name
	}
	return strconv.Quote(name)
}
