package dialect_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/token"
)

func TestVersionIsThatOfTheProfile(t *testing.T) {
	for _, profile := range profilesOf(t, "ipfabric") {
		c := ipfCall(t, profile, token.OpVersion)
		rec := httptest.NewRecorder()
		if err := c.WriteResponse(rec, token.Set{}); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf(`{"apiVersion":"v%s","releaseVersion":"%s.0+0"}`, profile, profile)
		if rec.Body.String() != want || !c.Public {
			t.Errorf("version = %s, public %v; want %s", rec.Body, c.Public, want)
		}
		if g, err := c.ReadRequest(requestWith(t, http.Header{})); err != nil || g.Op != token.OpVersion {
			t.Errorf("ReadRequest = %v, %v", g.Op, err)
		}
	}
}

func TestHeaderVersions(t *testing.T) {
	d := mustOpen(t, "ipfabric/7.5", dialect.Settings{})
	for _, c := range []struct {
		values []string
		good   bool
	}{
		{nil, true},
		{[]string{"1"}, true},
		{[]string{" 1 "}, true},
		{[]string{"2"}, false},
		{[]string{""}, false},
		{[]string{"one"}, false},
		{[]string{"1", "2"}, false},
		{[]string{"-1"}, false},
	} {
		r := requestWith(t, http.Header{"X-Api-Version": c.values})
		e := d.Admit(r)
		if (e == nil) != c.good {
			t.Errorf("X-API-Version %q: %v; want good = %v", c.values, e, c.good)
		}
		if e == nil {
			continue
		}
		rec := httptest.NewRecorder()
		d.Errors.Write(rec, r, e)
		var body map[string]any
		if err := json.Unmarshal(rec.Body.Bytes(), &body); err != nil || rec.Code != http.StatusGone ||
			body["message"] == "" || body["release_version"] != "7.5.0+0" || body["api_version"] != "1" || len(body) != 3 {
			t.Errorf("X-API-Version %q: %d %v, %v", c.values, rec.Code, body, err)
		}
	}
	if e := mustOpen(t, "ipfabric/7.0", dialect.Settings{}).Admit(requestWith(t, http.Header{"X-Api-Version": {"2"}})); e != nil {
		t.Errorf("7.0 knows no header versions: %v", e)
	}
}

func TestDecorateAddsWhatIsMissing(t *testing.T) {
	d := mustOpen(t, "ipfabric/7.5", dialect.Settings{})
	for _, c := range []struct {
		path       string
		deprecated string
	}{
		{"/api/v7.5/users/me", "true"}, {"/api/v1/x", "true"}, {"/api/users/me", ""}, {"/api/version", ""}, {"/v7.5", ""}, {"/", ""},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, c.path, nil)
		h := http.Header{"X-Product-Version": {"7.5.3+1"}}
		d.Decorate(r, h)
		if h.Get("Deprecation") != c.deprecated || (h.Get("Sunset") != "") != (c.deprecated != "") {
			t.Errorf("%s: Deprecation %q, Sunset %q; want %q", c.path, h.Get("Deprecation"), h.Get("Sunset"), c.deprecated)
		}
		if h.Get("X-API-Version-Used") != "1" || h.Get("X-API-Versions-Supported") != "1" || h.Get("X-Product-Version") != "7.5.3+1" {
			t.Errorf("%s: %v; want what is missing added and nothing else changed", c.path, h)
		}
		if s := h.Get("Sunset"); s != "" {
			if _, err := http.ParseTime(s); err != nil {
				t.Errorf("Sunset: %v", err)
			}
		}
	}
	if mustOpen(t, "ipfabric/7.0", dialect.Settings{}).Decorate != nil {
		t.Error("7.0 decorates")
	}
}
