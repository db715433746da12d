package config_test

import (
	"testing"

	"github.com/gatehouse-gateway/gatehouse/config"
)

// The commands of operators run where the gateway's own settings are wrong or
// not there at all.
func TestLoadOperatorReadsItsOwnSettingsOnly(t *testing.T) {
	folder(t, map[string]string{"secret": "adm-0123456789ab\n"})
	o, faults := config.LoadOperator([]string{
		"GATEHOUSE_ADMIN_TOKEN_FILE=secret", "GATEHOUSE_ADMIN_URL=https://gate.example.com:9443", "GATEHOUSE_ADMIN_LISTEN=:9091",
		"GATEHOUSE_LISTEN=nonsense", "GATEHOUSE_SECRET_FILE=/nonexistent", "GATEHOUSE_NONSENSE=x",
	})
	if len(faults) != 0 || o.Token.Reveal() != "adm-0123456789ab" || o.URL.String() != "https://gate.example.com:9443" || o.Listen != ":9091" {
		t.Errorf("LoadOperator = %+v, %v; want the three settings and no fault", o, faults)
	}
	if o, faults = config.LoadOperator(nil); len(faults) != 0 || !o.Token.IsZero() || o.URL != nil || o.Listen != "127.0.0.1:9090" {
		t.Errorf("LoadOperator of nothing = %+v, %v; want the address by default", o, faults)
	}
	for _, bad := range []string{
		"GATEHOUSE_ADMIN_TOKEN=short", "GATEHOUSE_ADMIN_URL=redis://x", "GATEHOUSE_ADMIN_LISTEN=9090", "GATEHOUSE_ADMIN_TOKEN_FILE=/nonexistent", "GATEHOUSE_ADMIN_URI=x",
	} {
		if _, faults := config.LoadOperator([]string{bad}); len(faults) != 1 {
			t.Errorf("%s: faults %v; want one", bad, faults)
		}
	}
}
