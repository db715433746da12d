package demo_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gatehouse-gateway/gatehouse/demo"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// TestSBCLockBelongsToASession: one session at a time writes, until it gives the
// lock back or ends.
func TestSBCLockBelongsToASession(t *testing.T) {
	a, b, nobody := token.SID{1}, token.SID{2}, token.SID{}
	dead := map[token.SID]bool{}
	h := demo.SBC(func(sid token.SID) bool { return !dead[sid] })
	const element = "<configElement><elementType>local-policy</elementType></configElement>"
	for i, c := range []struct {
		by           token.SID
		method, path string
		body         string
		status       int
		says         string
		die          token.SID // ends before the call
	}{
		{by: a, method: "POST", path: "v1.1/configuration/configElements", body: element, status: 423, says: "User does not have the lock."},
		{by: a, method: "POST", path: "v1.1/configuration/unlock", status: 423, says: "User does not have the lock."},
		{by: nobody, method: "POST", path: "v1.1/configuration/lock", status: 401, says: "Client not authorized."},
		{by: nobody, method: "POST", path: "v1.1/configuration/configElements", body: element, status: 423},
		{by: a, method: "POST", path: "v1.1/configuration/lock", status: 204},
		{by: a, method: "POST", path: "v1.0/configuration/lock", status: 204},
		{by: b, method: "POST", path: "v1.1/configuration/lock", status: 423},
		{by: b, method: "POST", path: "v1.1/configuration/unlock", status: 423},
		{by: a, method: "POST", path: "v1.2/configuration/configElements", body: element, status: 204},
		{by: a, method: "POST", path: "v1.2/configuration/configElements", body: "local-policy", status: 400},
		{by: a, method: "POST", path: "v1.2/configuration/configElements", body: strings.Replace(element, "local", "&lt;", 1), status: 400},
		{by: b, method: "GET", path: "v1.2/configuration/configElements", status: 200, says: element},
		{by: b, method: "POST", path: "v1.1/configuration/lock", status: 204, die: a},
		{by: b, method: "POST", path: "v1.1/configuration/unlock", status: 204},
		{by: b, method: "POST", path: "v1.1/configuration/configElements", body: element, status: 423},
		{by: b, method: "GET", path: "v1.2/system/status", status: 200, says: "<systemStatus><role>active</role></systemStatus>"},
		{by: b, method: "GET", path: "v1.3/system/status", status: 404, says: "<errorMessage>"},
		{by: b, method: "GET", path: "v1.2/system/other", status: 404, says: "<errorMessage>"},
	} {
		dead[c.die] = !c.die.IsZero()
		r := httptest.NewRequestWithContext(t.Context(), c.method, "/rest/"+c.path, strings.NewReader(c.body))
		if !c.by.IsZero() {
			r = r.WithContext(token.WithCaller(r.Context(), token.Caller{SID: c.by}))
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if rec.Code != c.status || !strings.Contains(rec.Body.String(), c.says) || c.status == 204 && rec.Body.Len() > 0 {
			t.Errorf("%d: %s %s = %d %s; want %d", i+1, c.method, c.path, rec.Code, rec.Body, c.status)
		}
	}
}

func TestSBCConfigurationIsBounded(t *testing.T) {
	h := demo.SBC(func(token.SID) bool { return true })
	do := func(path, body string) int {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/rest/v1.2/configuration/"+path, strings.NewReader(body))
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r.WithContext(token.WithCaller(r.Context(), token.Caller{SID: token.SID{1}})))
		return rec.Code
	}
	do("lock", "")
	made := 0
	for do("configElements", "<configElement><elementType>local-policy</elementType></configElement>") == 204 {
		made++
	}
	if made != 98 {
		t.Errorf("%d elements were added to two; want 100 in all", made)
	}
}
