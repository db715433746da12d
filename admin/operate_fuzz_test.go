package admin

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-gateway/gatehouse/session"
)

// Whatever is asked, the answer is a success or a problem that is the caller's.
func FuzzOperatorCall(f *testing.F) {
	for _, seed := range []string{
		"sessions?user=a&limit=5&after=x", "sessions/001122", "sessions/%2f", "tokens/1?user=%zz", "challenges/x/approve", "sessions//", "sessions?limit=-1", "x;y",
	} {
		f.Add("GET", seed)
		f.Add("DELETE", seed)
	}
	f.Fuzz(func(t *testing.T, method, path string) {
		u, err := url.ParseRequestURI("/v1/" + path)
		if err != nil {
			t.Skip("no server is asked for what is no URL")
		}
		audit := &trail{}
		h := newDesk(&desk{found: []session.Listed{alice()}}, audit)
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.Method, r.URL = method, u
		r.Header.Set("Authorization", "Bearer "+adminToken)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 200 && (w.Code < 400 || w.Code >= 500) {
			t.Errorf("%s %s = %d; want a success or a mistake of the caller", method, u, w.Code)
		}
		if e := audit.last(t); (e.Outcome == outcomeOK) != (w.Code == 200) || strings.ContainsAny(e.Action, "/ ") {
			t.Errorf("audit line = %+v with %d", e, w.Code)
		}
	})
}
