package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-gateway/gatehouse/config"
)

func factorUsers(factor string) string {
	return "- name: a\n  hash: '" + hash + "'\n  email: a@example.net\n  second_factor: {" + factor + "}\n"
}

func TestSecondFactorIsRead(t *testing.T) {
	folder(t, map[string]string{
		"users.yaml": factorUsers(`methods: [dual, ftm-push], phone: "1"`), "secret": secret32, "pw": "pw\n",
		"gate.yaml": `second_factor:
  smtp: {address: "mail.example.net:587", from: gate@example.net, username: svc, password_file: pw}
  webhook: {url: "https://sms.example.net/x", secret_file: secret, timeout: 3s}
`,
	})
	c, faults := config.Load(backendVars("GATEHOUSE_USERS_FILE=users.yaml", "GATEHOUSE_CONFIG=gate.yaml"))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	s, w := c.SecondFactor.SMTP, c.SecondFactor.Webhook
	if s.Address != "mail.example.net:587" || s.TLS != "starttls" || s.Password.Reveal() != "pw" || s.Timeout != 10*time.Second {
		t.Errorf("smtp = %+v", s)
	}
	if w.URL.Host != "sms.example.net" || w.Secret.Reveal() != secret32 || w.Timeout != 3*time.Second {
		t.Errorf("webhook = %+v", w)
	}
}

func TestFaultsOfSecondFactors(t *testing.T) {
	for name, c := range map[string]struct {
		users, file string
		want        []string
	}{
		"nothing sends texts": {factorUsers(`methods: [sms], phone: "1"`), "second_factor:\n  smtp: {address: 'm:25', from: a@b.c}\n", []string{
			"GATEHOUSE_USERS_FILE: some user gets codes by sms or dual, and nothing sends them: set second_factor.webhook in the file of GATEHOUSE_CONFIG",
		}},
		"nothing sends mail": {factorUsers(`methods: [email]`), "second_factor: {}\n", []string{
			"GATEHOUSE_USERS_FILE: some user gets codes by email or dual, and nothing sends them: set second_factor.smtp in the file of GATEHOUSE_CONFIG",
		}},
		"an API that is none": {strings.TrimSuffix(factorUsers(`methods: [ftm-push]`), "\n") + "\n  allow_without_factor: [ipfabrik]\n", "policy: []\n", []string{
			"GATEHOUSE_USERS_FILE: allow_without_factor names ipfabrik, which is no token API: did you mean ipfabric?",
		}},
		"smtp": {factorUsers(`methods: [ftm-push]`), "second_factor:\n  smtp:\n    address: mail\n    from: Gate <a@b.c>\n    username: svc\n    tls: 'on'\n    timeout: 31s\n", []string{
			"gate.yaml:3 second_factor.smtp.address: it is no address of a mail server: write host:port, like mail.example.net:587",
			"gate.yaml:4 second_factor.smtp.from: it is no mail address: write one without a name, like gate@example.net",
			`gate.yaml:6 second_factor.smtp.tls: "on" is not known: use starttls or implicit or off`,
			"gate.yaml:5 second_factor.smtp.username: user name and password belong together: give both or neither",
			"gate.yaml:7 second_factor.smtp.timeout: 31s is out of range: take 1s to 30s",
		}},
		"password in the clear": {factorUsers(`methods: [ftm-push]`), "second_factor:\n  smtp: {address: 'm:25', from: a@b.c, username: svc, password_file: pw, tls: 'off'}\n", []string{
			"gate.yaml:2 second_factor.smtp.tls: a password would go out in the clear: use starttls or implicit",
		}},
		"webhook": {factorUsers(`methods: [ftm-push]`), "second_factor:\n  webhook:\n    url: http://sms.example.net\n    secret_file: pw\n", []string{
			"gate.yaml:3 second_factor.webhook.url: codes would go out in the clear: use https; http is for this machine alone",
			"gate.yaml:4 second_factor.webhook.secret_file: the secret that signs the calls is missing or shorter than 16 bytes: name a file with the output of: openssl rand -hex 32",
		}},
		"literal secrets": {factorUsers(`methods: [ftm-push]`), "second_factor:\n  smtp: {address: 'm:25', from: a@b.c, password: hunter2}\n  webhook: {url: http://127.0.0.1:1, secret: hunter2}\n", []string{
			"gate.yaml:2 second_factor.smtp.password: this file names secrets and does not hold them: use password_file with the name of a file, or password_env with that of a variable",
			"gate.yaml:3 second_factor.webhook.secret: this file names secrets and does not hold them: use secret_file with the name of a file, or secret_env with that of a variable",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			folder(t, map[string]string{"users.yaml": c.users, "gate.yaml": c.file, "pw": "pw\n"})
			_, faults := config.Load(backendVars("GATEHOUSE_USERS_FILE=users.yaml", "GATEHOUSE_CONFIG=gate.yaml"))
			if diff := cmp.Diff(strings.Split(faults.Error(), "\n"), c.want); diff != "" {
				t.Errorf("Load (-got +want):\n%s", diff)
			}
		})
	}
}

func TestMailInTheClearIsWarnedOf(t *testing.T) {
	folder(t, map[string]string{
		"users.yaml": factorUsers(`methods: [email]`), "gate.yaml": "second_factor:\n  smtp: {address: '127.0.0.1:25', from: a@b.c, tls: 'off'}\n",
	})
	c, faults := config.Load(backendVars("GATEHOUSE_USERS_FILE=users.yaml", "GATEHOUSE_CONFIG=gate.yaml"))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	if !strings.Contains(strings.Join(c.Warnings, "\n"), "in the clear") {
		t.Errorf("warnings = %q; want one about mail in the clear", c.Warnings)
	}
}
