package tests

import (
	"testing"
)

func TestExplainNamesTheRuleThatDecides(t *testing.T) {
	t.Parallel()
	conf := good(t).with(
		"BACKEND_USERNAME", serviceUser, "BACKEND_PASSWORD", servicePassword, "USERS_FILE", usersFile(t),
		"CONFIG", writeFile(t, "gatehouse.yaml", `policy:
  - {path: /api/safe/**, require: otp}
  - {path: /api/**, methods: [GET], scopes: [read]}
  - {path: /api/**, when: user.admin}
`))
	for _, tt := range []struct {
		args []string
		want []string // in the last line
	}{
		{[]string{"GET", "/api/v7.0/snapshots", "--user", "rita"}, []string{"rita", "allowed"}},
		{[]string{"POST", "/api/v7.0/snapshots", "--user", "rita"}, []string{"rita", "denied"}},
		{[]string{"POST", "/api/v7.0/snapshots", "--user", "root"}, []string{"root", "allowed"}},
		{[]string{"GET", "https://gate.test/other", "--user", "root"}, []string{"root", "denied"}},
		{[]string{"GET", "/api/v7.0/snapshots"}, []string{"anonymous", "denied"}},
		{[]string{"GET", "/api/safe/x", "--user", "rita"}, []string{"rita", "denied", "second factor"}},
		{[]string{"GET", "/api/safe/x", "--user", "rita", "--otp"}, []string{"rita", "allowed"}},
	} {
		o := runCommand(t, conf, 0, append([]string{"explain"}, tt.args...)...)
		if o.code != 0 || o.line(tt.want...) == "" {
			t.Errorf("explain %v: exit code %d; want 0 and one line with %q\n%s", tt.args, o.code, tt.want, o.output)
		}
	}
	if o := runCommand(t, conf, 0, "explain", "POST", "/api/auth/login"); o.line("note", "no rule is asked") == "" {
		t.Errorf("it does not say that logging in is not policy's:\n%s", o.output)
	}
	for _, args := range [][]string{{"demo", "x"}, {"check", "--foo"}, {"version", "extra"}, {"nonsense"}} {
		if o := runCommand(t, conf, 0, args...); o.code != 2 {
			t.Errorf("gatehouse %v: exit code %d; want 2\n%s", args, o.code, o.output)
		}
	}
	for _, args := range [][]string{{"--version"}, {"demo", "--help"}} {
		if o := runCommand(t, conf, 0, args...); o.code != 0 || o.line("atehouse") == "" {
			t.Errorf("gatehouse %v: exit code %d; want 0\n%s", args, o.code, o.output)
		}
	}
	if o := runCommand(t, conf, 0, "explain", "GET", "/api/x", "--user", "nobody"); o.code != 2 || o.line("nobody") == "" && o.line("no user") == "" {
		t.Errorf("an unknown user: exit code %d; want 2 and a line that says so\n%s", o.code, o.output)
	}
}
