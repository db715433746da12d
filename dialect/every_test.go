package dialect_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// everyDialect runs a promise of every dialect, under each of its profiles.
func everyDialect(t *testing.T, promise func(t *testing.T, d *dialect.Dialect)) {
	t.Helper()
	for _, name := range dialect.Names() {
		t.Run(name, func(t *testing.T) { promise(t, mustOpen(t, name, dialect.Settings{})) })
	}
}

func TestEveryFamilyOpensItsProfiles(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range dialect.All {
		if seen[f.Name] || f.Doc == "" || !slices.Contains(f.Profiles, f.Default) {
			t.Errorf("%q: its name is taken, it has no Doc, or its default %q is no profile", f.Name, f.Default)
		}
		seen[f.Name] = true
		for _, p := range f.Profiles {
			if d := mustOpen(t, f.Name+"/"+p, dialect.Settings{}); d.Name != f.Name || d.Profile != p {
				t.Errorf("%s/%s opens %s", f.Name, p, d.ID())
			}
		}
	}
}

// TestNoDialectForgetsHTTPSOnly: it is refused by those that cannot keep it.
func TestNoDialectForgetsHTTPSOnly(t *testing.T) {
	for _, name := range dialect.Names() {
		d, err := dialect.Open(name, dialect.Settings{HTTPSOnly: true})
		if err == nil && !d.Tokens.HTTPSOnly || err != nil && err.Error() != "dialect: "+name+": the vendor does not refuse plain http by itself" {
			t.Errorf("%s: %v, %v", name, d, err)
		}
	}
}

// TestEveryDialectAnswersEveryKind: no kind of failure is an answer without a
// status of its own, a cache must keep none, and HEAD has no body.
func TestEveryDialectAnswersEveryKind(t *testing.T) {
	everyDialect(t, func(t *testing.T, d *dialect.Dialect) {
		for _, kind := range token.Kinds() {
			rec := written(t, d, http.MethodGet, token.Fail(kind, "", nil))
			if rec.Code < 400 || rec.Body.Len() == 0 || rec.Header().Get("Content-Type") == "" || rec.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %d %v %s", kind, rec.Code, rec.Header(), rec.Body)
			}
			if head := written(t, d, http.MethodHead, token.Fail(kind, "", nil)); head.Code != rec.Code || head.Body.Len() != 0 {
				t.Errorf("%s: HEAD is answered %d with %d bytes; want %d with none", kind, head.Code, head.Body.Len(), rec.Code)
			}
			if tells := rec.Header().Get("Retry-After") != ""; tells != (kind == token.Throttled || kind == token.Unavailable) {
				t.Errorf("%s: Retry-After %q", kind, rec.Header().Get("Retry-After"))
			}
		}
	})
}

// TestEveryDialectReadsEveryStatus: an outage never says anything about a
// credential, and nothing a backend answers is a fault of ours.
func TestEveryDialectReadsEveryStatus(t *testing.T) {
	everyDialect(t, func(t *testing.T, d *dialect.Dialect) {
		for status := 300; status < 600; status++ {
			for _, body := range []string{"", "{}", "null", "<html>", "<response/>", strings.Repeat("[", 100)} {
				e := d.Errors.Read(status, http.Header{}, []byte(body))
				switch {
				case e == nil || e.Kind == token.Internal || e.Err == nil:
					t.Errorf("%d %.20q is read as %v", status, body, e)
				case status >= 500 && e.Kind != token.Unavailable, status == 429 && e.Kind != token.Throttled:
					t.Errorf("%d %.20q is read as %s", status, body, e.Kind)
				}
			}
		}
		if !d.Errors.MayExpire(http.StatusUnauthorized) || d.Errors.MayExpire(http.StatusOK) || d.Errors.MayExpire(http.StatusServiceUnavailable) {
			t.Error("MayExpire: a 401 may say that the access token has expired, a 200 or 503 never does")
		}
	})
}

// TestEveryDialectRefusesJunkTokens: without a core that somebody would have to
// look at.
func TestEveryDialectRefusesJunkTokens(t *testing.T) {
	everyDialect(t, func(t *testing.T, d *dialect.Dialect) {
		shape := d.Shape(testKeys())
		for _, text := range []string{"", "x", "a.b.c", strings.Repeat("0", 44), strings.Repeat("A", 9000), "\x00", "é"} {
			if _, core, err := shape.ParseAccess(token.NewSecret(text)); core == nil && err == nil {
				t.Errorf("ParseAccess(%.20q) is taken", text)
			} else if core != nil && err != nil {
				t.Errorf("ParseAccess(%.20q) gives a core with an error", text)
			}
			if _, core, err := shape.ParseRefresh(token.NewSecret(text)); core == nil && err == nil {
				t.Errorf("ParseRefresh(%.20q) is taken", text)
			}
		}
	})
}

// FuzzEveryDialect: whatever comes, no reader panics, a request is read as what
// its call is for, and a failure has a kind.
func FuzzEveryDialect(f *testing.F) {
	var all []*dialect.Dialect
	for _, name := range dialect.Names() {
		all = append(all, mustOpen(f, name, dialect.Settings{}))
	}
	for _, body := range []string{"", `{"username":"a","password":"b"}`, "a=b", "<response><data/></response>", `{"error":{"code":"x"}}`, "[[["} {
		f.Add(body, "application/json", "Bearer x", 401)
		f.Add(body, "application/xml", "Basic YTpi", 200)
	}
	f.Fuzz(func(t *testing.T, body, kind, authorization string, status int) {
		for _, d := range all {
			for i := range d.Calls {
				c := &d.Calls[i]
				r := httptest.NewRequestWithContext(t.Context(), c.Method, "/", strings.NewReader(body))
				r.Header.Set("Content-Type", kind)
				r.Header.Set("Authorization", authorization)
				if g, err := c.ReadRequest(r); err == nil && g.Op != c.Op && !slices.Contains(c.Also, g.Op) {
					t.Errorf("%s: %s reads %q as %q", d.ID(), c.Op, body, g.Op)
				}
				if c.ReadResponse != nil {
					set, err := c.ReadResponse(answered(http.StatusOK, http.Header{"Content-Type": {kind}}, body))
					if err == nil && set.ExpiresIn < 0 {
						t.Errorf("%s: %s reads %q as tokens that have expired", d.ID(), c.Op, body)
					}
				}
			}
			if e := d.Errors.Read(status, http.Header{"Content-Type": {kind}}, []byte(body)); e == nil || e.Kind == token.Internal {
				t.Errorf("%s: %d %q is read as %v", d.ID(), status, body, e)
			}
		}
	})
}
