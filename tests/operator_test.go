package tests

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

const operatorToken = "operator-canary-5fQ8rT2mVx"

// operator runs operators' commands against one gateway.
type operator struct {
	g    *gateway
	conf settings
}

func (g *gateway) operator() operator {
	return operator{g, settings{"ADMIN_URL": g.Admin, "ADMIN_TOKEN": operatorToken}}
}

// run runs a command and ends the test if its exit code is another one.
func (o operator) run(t testing.TB, code int, args ...string) outcome {
	t.Helper()
	out := runCommand(t, o.conf, 0, args...)
	if out.code != code {
		t.Fatalf("gatehouse %v: exit code %d; want %d\n%s", args, out.code, code, out.output)
	}
	if strings.Contains(out.output, operatorToken) {
		t.Errorf("gatehouse %v prints the admin token", args)
	}
	return out
}

// list reads a list by --json.
func (o operator) list(t testing.TB, args ...string) []map[string]any {
	t.Helper()
	var list []map[string]any
	out := o.run(t, 0, append(args, "--json")...)
	if err := json.Unmarshal([]byte(out.output), &list); err != nil || list == nil {
		t.Fatalf("gatehouse %v --json: %v; want a list\n%s", args, err, out.output)
	}
	return list
}

// sidsOf returns the session ids of a list, in order.
func sidsOf(list []map[string]any) []string {
	var sids []string
	for _, item := range list {
		sid, _ := item["sid"].(string)
		sids = append(sids, sid)
	}
	slices.Sort(sids)
	return sids
}

// replicas starts two gateways over one Redis.
func replicas(t *testing.T, s settings) (a, b *gateway) {
	t.Helper()
	r := startRedis(t)
	s = s.with(r.store()...).with("ADMIN_TOKEN", operatorToken)
	return start(t, s), start(t, s)
}

// makeToken makes an API token by the IP Fabric call.
func (c *client) makeToken(t testing.TB, access string) (id, text string) {
	t.Helper()
	a := c.must(t, request{
		method: http.MethodPost, path: "/api/v7.0/api-tokens", header: bearer(access),
		body: `{"description":"nightly report","expires":null,"scope":["read"]}`,
	})
	var made struct{ ID, Token string }
	if err := json.Unmarshal([]byte(a.body), &made); err != nil || made.Token == "" {
		t.Fatalf("POST api-tokens = %d %s; want a token", a.status, a.body)
	}
	return made.ID, made.Token
}

// dead fails the test unless a call is refused within a second from now on.
func dead(t testing.TB, what string, c *client, q request) {
	t.Helper()
	eventually(t, time.Second, what+" is refused", func() bool { return c.must(t, q).status == http.StatusUnauthorized })
}

func withToken(text string) request {
	return request{path: snapshots, header: http.Header{"X-Api-Token": {text}}}
}

// What an operator ends on one replica is dead on the other within a second,
// though that one has just used it.
func TestOperatorEndsSessionsOnEveryReplica(t *testing.T) {
	a, b := replicas(t, newBackend(t).account(t))
	here, there, op := a.client(t), b.client(t), a.operator()
	first, second, rita := here.login(t, "alice", userPassword), here.login(t, "alice", userPassword), here.login(t, "rita", userPassword)
	id, text := here.makeToken(t, first.access)
	calls := map[string]request{
		"first": {path: snapshots, header: bearer(first.access)}, "second": {path: snapshots, header: bearer(second.access)},
		"rita": {path: snapshots, header: bearer(rita.access)}, "token": withToken(text),
	}
	for name, q := range calls {
		for range 2 { // the second one is from memory
			wantStatus(t, name, there.must(t, q), http.StatusOK)
		}
	}

	all := sidsOf(op.list(t, "sessions", "list"))
	if other := sidsOf(b.operator().list(t, "sessions", "list")); len(all) != 3 || !slices.Equal(all, other) {
		t.Fatalf("sessions = %v, at the other replica %v; want the same three", all, other)
	}
	alices := sidsOf(op.list(t, "sessions", "list", "--user", "alice"))
	if len(alices) != 2 {
		t.Fatalf("sessions of alice = %v; want two", alices)
	}
	table := op.run(t, 0, "sessions", "list", "--user=alice")
	for _, sid := range alices {
		if table.line(sid, "alice", "login", "ipfabric/7.0", "active") == "" {
			t.Errorf("the table lacks %s:\n%s", sid, table.output)
		}
	}

	// One session, by the six characters that the log shows.
	short := alices[0][:6]
	if shown := op.run(t, 0, "sessions", "show", short); shown.line("session", alices[0]) == "" || shown.line("user ", "alice") == "" {
		t.Errorf("sessions show %s:\n%s", short, shown.output)
	}
	if ended := op.run(t, 0, "sessions", "revoke", short); ended.line("ended session", alices[0], "alice") == "" {
		t.Errorf("sessions revoke %s:\n%s", short, ended.output)
	}
	// Which of the two it was, the calls tell.
	died := func(name string) bool { return there.must(t, calls[name]).status == http.StatusUnauthorized }
	eventually(t, time.Second, "one of the sessions is dead at the other replica", func() bool { return died("first") || died("second") })
	if died("first") == died("second") {
		t.Error("both sessions of alice are dead; want one alive")
	}
	if again := op.run(t, 0, "sessions", "revoke", alices[0]); again.line("had ended before", alices[0]) == "" {
		t.Errorf("revoking again:\n%s", again.output)
	}
	if shown := op.run(t, 0, "sessions", "show", alices[0]); shown.line("state", "revoked") == "" {
		t.Errorf("sessions show of an ended one:\n%s", shown.output)
	}

	// The API token, by the id that its owner sees.
	tokens := op.run(t, 0, "tokens", "list")
	if tokens.line(id, "alice", "read", "nightly report", "never") == "" {
		t.Errorf("tokens list lacks %s:\n%s", id, tokens.output)
	}
	op.run(t, 0, "tokens", "revoke", id)
	dead(t, "the API token", there, calls["token"])
	if left := op.list(t, "tokens", "list"); len(left) != 0 {
		t.Errorf("API tokens after that = %v; want none", left)
	}

	// All that is left of a user, but nobody else's.
	if n := op.run(t, 0, "sessions", "revoke", "--user", "alice"); n.line("ended 1 session") == "" {
		t.Errorf("sessions revoke --user:\n%s", n.output)
	}
	dead(t, "alice's first", there, calls["first"])
	dead(t, "alice's second", there, calls["second"])
	wantStatus(t, "refresh of an ended session", there.must(t, refreshRequest(first.refresh)), http.StatusUnauthorized)
	wantStatus(t, "rita's call", there.must(t, calls["rita"]), http.StatusOK)

	wantAudited(t, a, first.access, first.refresh, second.refresh, text, userPassword)
}

// auditLines returns the audit lines of a gateway's log.
func auditLines(t testing.TB, g *gateway) []map[string]any {
	t.Helper()
	var lines []map[string]any
	for line := range strings.Lines(g.log.String()) {
		var l map[string]any
		if json.Unmarshal([]byte(line), &l) == nil && l["msg"] == "audit" {
			lines = append(lines, l)
		}
	}
	return lines
}

// wantAudited checks that each kind of call left its line, and no secret.
func wantAudited(t *testing.T, g *gateway, secrets ...string) {
	t.Helper()
	seen := map[string]bool{}
	for _, l := range auditLines(t, g) {
		for _, key := range []string{"v", "event", "action", "outcome", "target", "client", "request"} {
			if _, ok := l[key]; !ok {
				t.Errorf("an audit line lacks %s: %v", key, l)
			}
		}
		action, _ := l["action"].(string)
		if seen[action] = true; l["outcome"] != "ok" || l["client"] != "127.0.0.1" {
			t.Errorf("audit line = %v; want outcome ok from 127.0.0.1", l)
		}
	}
	for _, action := range []string{"sessions.list", "sessions.show", "sessions.revoke", "sessions.revoke_user", "tokens.list", "tokens.revoke"} {
		if !seen[action] {
			t.Errorf("no audit line of %s", action)
		}
	}
	for _, s := range append(secrets, operatorToken) {
		if strings.Contains(g.log.String(), s) {
			t.Errorf("the log holds a secret: %.12s…", s)
		}
	}
}

func TestOperatorEndsAPITokensWithTheirUser(t *testing.T) {
	a, b := replicas(t, newBackend(t).account(t))
	there, op := b.client(t), a.operator()
	p := a.client(t).login(t, "alice", userPassword)
	_, text := a.client(t).makeToken(t, p.access)
	wantStatus(t, "call with the API token", there.must(t, withToken(text)), http.StatusOK)
	shown := there.get(t, "/api/v7.0/api-tokens", p.access)
	if !strings.Contains(shown.body, "nightly report") || strings.Contains(shown.body, text) {
		t.Errorf("its owner's list = %d %s; want the token without its text", shown.status, shown.body)
	}
	if listed := op.run(t, 0, "tokens", "list", "--json"); strings.Contains(listed.output, text) {
		t.Errorf("the operator's list shows the text:\n%s", listed.output)
	}
	op.run(t, 0, "sessions", "revoke", "--user", "alice")
	dead(t, "the session", there, request{path: snapshots, header: bearer(p.access)})
	wantStatus(t, "API token after the sessions ended", there.must(t, withToken(text)), http.StatusOK)
	if n := op.run(t, 0, "sessions", "revoke", "--user", "alice", "--tokens"); n.line("0 sessions and 1 API token") == "" {
		t.Errorf("sessions revoke --user --tokens:\n%s", n.output)
	}
	dead(t, "the API token", there, withToken(text))
}

// In pass-through the backend says who somebody is, and the gateway has no list of
// users; his sessions are found all the same, also in the embedded store.
func TestOperatorFindsUsersOfTheBackend(t *testing.T) {
	g := start(t, newBackend(t).settings().with("ADMIN_TOKEN", operatorToken))
	c, op := g.client(t), g.operator()
	p := c.login(t, backendUser, backendPassword)
	list := op.list(t, "sessions", "list", "--user", backendUser)
	if len(list) != 1 || list[0]["source"] != "backend:backend" {
		t.Fatalf("sessions of %s = %v; want one, of the backend", backendUser, list)
	}
	op.run(t, 0, "sessions", "revoke", sidsOf(list)[0][:6])
	dead(t, "the session", c, request{path: snapshots, header: bearer(p.access)})
}

func TestOperatorCallsNeedTheToken(t *testing.T) {
	t.Parallel()
	off := start(t, newBackend(t).settings())
	on := start(t, newBackend(t).settings().with("ADMIN_TOKEN_FILE", writeFile(t, "admin-token", operatorToken+"\n")))
	for _, path := range []string{"/v1/sessions", "/v1/tokens", "/", "/debug/pprof/"} { // ten wrong tokens a minute, no more
		for _, authorization := range []string{"", "Bearer wrong-" + operatorToken} {
			q := request{path: path, header: http.Header{"Authorization": {authorization}}}
			wantStatus(t, path+" without the token", newClient(t, on.Admin).must(t, q), http.StatusUnauthorized)
			wantStatus(t, path+" where none is set", newClient(t, off.Admin).must(t, q), http.StatusNotFound)
		}
	}
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		wantStatus(t, path, newClient(t, on.Admin).get(t, path, ""), http.StatusOK)
	}
	outcomes := map[any]int{}
	for _, g := range []*gateway{on, off} {
		for _, l := range auditLines(t, g) {
			outcomes[l["outcome"]]++
		}
		if strings.Contains(g.log.String(), operatorToken) {
			t.Error("the log holds the admin token")
		}
	}
	if outcomes["unauthorized"] != 8 || outcomes["off"] != 8 {
		t.Errorf("audit outcomes = %v; want a line of each of the 8 calls at either gateway", outcomes)
	}

	op := off.operator()
	if o := op.run(t, 1, "sessions", "list"); o.line("started without GATEHOUSE_ADMIN_TOKEN") == "" {
		t.Errorf("where no token is set:\n%s", o.output)
	}
	wrong := on.operator()
	wrong.conf = wrong.conf.with("ADMIN_TOKEN", "another-canary-token")
	if o := wrong.run(t, 1, "sessions", "list"); o.line("refuses this admin token") == "" || strings.Contains(o.output, "canary") {
		t.Errorf("with a wrong token:\n%s", o.output)
	}
	right := on.operator()
	right.conf = settings{"ADMIN_LISTEN": on.settings["ADMIN_LISTEN"], "ADMIN_TOKEN_FILE": writeFile(t, "token", operatorToken+"\n")}
	right.run(t, 0, "sessions", "list")
}

func TestOperatorCommandsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	conf := settings{"ADMIN_URL": "http://" + freeAddress(t), "ADMIN_TOKEN": operatorToken}
	for _, tt := range []struct {
		args []string
		conf settings
		code int
		want string
	}{
		{[]string{"sessions", "list"}, conf, 1, "nothing listens there"},
		{[]string{"sessions", "list"}, settings{}, 2, "GATEHOUSE_ADMIN_TOKEN is not set"},
		{[]string{"sessions", "list"}, settings{"ADMIN_TOKEN": "short"}, 2, "16 to 4096 characters"},
		{[]string{"sessions", "list"}, conf.with("ADMIN_URL", "redis://x"), 2, "GATEHOUSE_ADMIN_URL"},
		{[]string{"sessions"}, conf, 2, "sessions takes list"},
		{[]string{"sessions", "drop"}, conf, 2, "sessions takes list"},
		{[]string{"sessions", "list", "alice"}, conf, 2, "sessions takes list"},
		{[]string{"sessions", "show"}, conf, 2, "sessions takes list"},
		{[]string{"sessions", "revoke"}, conf, 2, "either a session id or --user"},
		{[]string{"sessions", "revoke", "001122", "--user", "alice"}, conf, 2, "either a session id or --user"},
		{[]string{"sessions", "revoke", "001122", "--tokens"}, conf, 2, "--tokens goes with"},
		{[]string{"sessions", "list", "--user"}, conf, 2, "--user needs a value"},
		{[]string{"sessions", "list", "--user", "a", "--user", "b"}, conf, 2, "given twice"},
		{[]string{"sessions", "list", "--usr", "a"}, conf, 2, "no flag --usr"},
		{[]string{"sessions", "list", "--json=x"}, conf, 2, "no flag --json"},
		{[]string{"tokens", "revoke"}, conf, 2, "tokens takes list"},
		{[]string{"tokens", "list", "--tokens"}, conf, 2, "no flag --tokens"},
		{[]string{"challenges", "approve"}, conf, 2, "challenges takes list"},
		{[]string{"challenges", "deny", "x"}, conf, 1, "nothing listens there"},
		{[]string{"sessions", "--help"}, settings{}, 0, "Usage: gatehouse sessions list"},
		{[]string{"tokens", "list", "--help"}, settings{}, 0, "Usage: gatehouse tokens list"},
		{[]string{"challenges", "--help"}, settings{}, 0, "Usage: gatehouse challenges list"},
		{[]string{"--help"}, settings{}, 0, "GATEHOUSE_ADMIN_URL"},
	} {
		o := runCommand(t, tt.conf, 0, tt.args...)
		if o.code != tt.code || o.line(tt.want) == "" {
			t.Errorf("gatehouse %v: exit code %d; want %d and a line with %q\n%s", tt.args, o.code, tt.code, tt.want, o.output)
		}
	}
}

// A store that cannot be asked is no reason to say that a session is not there.
func TestOperatorIsNotToldNoWhenTheStoreIsAway(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	g := start(t, newBackend(t).account(t).with(r.store()...).with("ADMIN_TOKEN", operatorToken))
	g.client(t).login(t, "alice", userPassword)
	op := g.operator()
	sid := sidsOf(op.list(t, "sessions", "list"))[0]
	_ = r.client(t).ShutdownNoSave(t.Context()) // a server that goes away does not answer
	for _, args := range [][]string{
		{"sessions", "list"},
		{"sessions", "show", sid},
		{"sessions", "show", sid[:6]},
		{"sessions", "revoke", sid},
		{"sessions", "revoke", "--user", "alice"},
		{"tokens", "list"},
		{"tokens", "revoke", "123456789012"},
	} {
		if o := op.run(t, 1, args...); o.line("cannot be asked", "Retry after") == "" {
			t.Errorf("gatehouse %v:\n%s", args, o.output)
		}
	}
	a := newClient(t, g.Admin).must(t, request{path: "/v1/sessions/" + sid, header: bearer(operatorToken)})
	wantStatus(t, "show", a, http.StatusServiceUnavailable)
	if a.header.Get("Retry-After") == "" || a.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("headers = %v; want Retry-After and problem+json", a.header)
	}
}

// A gateway that has just started ends the backend session of one that it never
// served itself.
func TestOperatorsWordLogsOutAtTheBackendAfterARestart(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	b := newBackend(t)
	g := start(t, b.settings().with(r.store()...).with("ADMIN_TOKEN", operatorToken))
	g.client(t).login(t, backendUser, backendPassword)
	g.kill(t)
	g.restart(t)
	before := b.counted("logout")
	g.operator().run(t, 0, "sessions", "revoke", "--user", backendUser)
	eventually(t, 5*time.Second, "the backend session is logged out", func() bool { return b.counted("logout") == before+1 })
}
