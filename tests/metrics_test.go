package tests

import (
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

func TestMetricsAreCleanAndExistBeforeTheyCount(t *testing.T) {
	t.Parallel()
	g := start(t, newBackend(t).account(t))
	ops := newClient(t, g.Admin)
	before := ops.get(t, "/metrics", "")
	wantStatus(t, "/metrics", before, http.StatusOK)
	problems, err := promlint.New(strings.NewReader(before.body)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "gatehouse_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	for _, name := range []string{
		"gatehouse_http_requests_total", "gatehouse_http_request_duration_seconds_bucket", "gatehouse_http_requests_in_flight",
		"gatehouse_logins_total", "gatehouse_refreshes_total", "gatehouse_sessions_opened_total", "gatehouse_sessions_ended_total",
		"gatehouse_sessions_active", "gatehouse_token_checks_total", "gatehouse_policy_decisions_total", "gatehouse_upstream_logins_total",
		"gatehouse_upstream_renewals_total", "gatehouse_upstream_replays_total", "gatehouse_upstream_wait_seconds_bucket",
		"gatehouse_store_operations_total", "gatehouse_store_up", "gatehouse_store_embedded", "gatehouse_degraded",
		"gatehouse_journal_records", "gatehouse_journal_replays_total", "gatehouse_journal_skipped_total",
	} {
		if !strings.Contains(before.body, "\n"+name) {
			t.Errorf("%s does not exist at start", name)
		}
	}

	c := g.client(t)
	p := c.login(t, "alice", userPassword)
	c.get(t, snapshots, p.access)
	c.refresh(t, p.refresh)
	c.must(t, loginRequest("alice", "wrong"))
	c.must(t, request{method: "TRACE", path: "/"})
	after := ops.get(t, "/metrics", "").body
	for _, series := range []string{
		`gatehouse_logins_total{dialect="ipfabric",outcome="ok"} 1`,
		`gatehouse_logins_total{dialect="ipfabric",outcome="bad_credentials"} 1`,
		`gatehouse_refreshes_total{dialect="ipfabric",outcome="rotated"} 1`,
		`gatehouse_http_requests_total{backend="none",code="4xx",method="TRACE",route="none"} 1`,
		`gatehouse_sessions_opened_total 1`,
		`gatehouse_store_embedded 1`,
		`gatehouse_store_up 1`,
	} {
		if !strings.Contains(after, "\n"+series+"\n") {
			t.Errorf("no line %s", series)
		}
	}
	if strings.Contains(after, "alice") || strings.Contains(after, "snapshots") {
		t.Error("a user's name or a path is a label")
	}
}

// Neither log nor metrics ever hold a secret.
func TestNothingSecretIsLogged(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := start(t, b.account(t).with("LOG_LEVEL", "debug"))
	c := g.client(t)
	secrets := append(fill(t, c, "alice", userPassword), userPassword, servicePassword)
	p := c.login(t, "alice", userPassword)
	c.must(t, request{path: snapshots + "?token=" + p.access, header: bearer(p.access)})
	secrets = append(append(secrets, p.access, p.refresh), b.secrets()...)
	log := g.log.String() + newClient(t, g.Admin).get(t, "/metrics", "").body
	for _, s := range secrets {
		if strings.Contains(log, s) {
			t.Errorf("log or metrics hold a secret, in %.300q", holding(strings.Split(log, "\n"), s))
		}
	}
}
