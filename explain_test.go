package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestExplainKnowsWhichRouteTakesTheRequest(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gatehouse.yaml")
	err := os.WriteFile(file, []byte(`backends:
  fabric: {url: https://ipf.example.net, speak: ipfabric}
  border: {url: https://sbc.example.net, speak: oracle-sbc}
routes:
  - {host: ipf.example.com, path: /, backend: fabric}
  - {host: "*.sbc.example.com", path: /rest, backend: border}
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GATEHOUSE_CONFIG", file)
	const unserved, login = "no route takes this host and path", "no rule is asked about it"
	for url, want := range map[string]string{
		"/api/auth/login":                                login,
		"https://ipf.example.com/api/auth/login":         login,
		"https://IPF.example.com:8443/api/auth/login":    login,
		"https://a.sbc.example.com/rest/v1.2/auth/token": login,
		"https://a.sbc.example.com/api/auth/login":       unserved,
		"https://ipf.example.com/rest/v1.2/auth/token":   "",
		"https://ipf.example.com/api/v7.0/snapshots":     "",
		"https://nowhere.example.com/api/v7.0/snapshots": unserved,
	} {
		var out bytes.Buffer
		if err := runExplain(t.Context(), []string{"POST", url}, streams{out: &out}); err != nil {
			t.Fatalf("explain POST %s: %v", url, err)
		}
		// What no rule is asked about has no verdict of the rules, unless the host is
		// open and another route may take the request.
		if got, wanted := strings.Contains(out.String(), "denied"), want == "" || !strings.HasPrefix(url, "https:"); got != wanted {
			t.Errorf("explain POST %s: a verdict is there: %t; want %t\n%s", url, got, wanted, &out)
		}
		for _, note := range []string{unserved, login} {
			wanted := want == note
			if got := strings.Contains(out.String(), note); got != wanted {
				t.Errorf("explain POST %s: %q is there: %t; want %t\n%s", url, note, got, wanted, &out)
			}
		}
	}
}
