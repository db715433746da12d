package vectors_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/dialect/vectors"
)

// small is a file that Load takes.
const small = `{"format": "wire-vectors/1", "dialect": "ipfabric", "profiles": {"5.0": "", "6.1": "", "7.0": "", "7.5": ""},
	"served": [{"profiles": ["7.5"], "steps": [
		{"control": {"set": {"access_ttl": 600}}},
		{"request": {"method": "GET"}, "response": {"status": [200, 204]}}]}],
	"spoken": [{"timeline": [{"drive": {"method": "GET"}, "client_gets": {"status": 200}, "exchanges": [{"repeat": "1..2"}]}]}]}`

// TestLoadRefusesWhatWouldNotBeRun: a vector that is overlooked passes.
func TestLoadRefusesWhatWouldNotBeRun(t *testing.T) {
	if err := load(t, small); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, old, new, want string }{
		{"another format", "wire-vectors/1", "wire-vectors/2", "format"},
		{"another dialect", `"ipfabric"`, `"itempath"`, "itempath"},
		{"a profile that is not there", `["7.5"]`, `["7.6"]`, "7.6"},
		{"a switch that is not there", "access_ttl", "acces_ttl", "acces_ttl"},
		{"a matcher that is not there", `"response": {`, `"response": {"yaml": {}, `, "yaml"},
		{"a step without a response", `, "response": {"status": [200, 204]}`, "", "step 2"},
		{"a step without a request", `"request": {"method": "GET"}, `, "", "step 2"},
		{"a drive without an answer", `, "client_gets": {"status": 200}`, "", "item 1"},
		{"a repetition without an end", "1..2", "1", "Atoi"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := load(t, strings.Replace(small, c.old, c.new, 1)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Load = %v; want an error with %q", err, c.want)
			}
		})
	}
	if _, err := vectors.Load(t.TempDir()); err == nil {
		t.Error("Load takes a folder without vectors")
	}
}

func load(t *testing.T, file string) error {
	t.Helper()
	dir := t.TempDir()
	for _, family := range dialect.All { // every dialect needs some vectors
		name, text := strings.ReplaceAll(family.Name, "-", ""), file
		if name != "ipfabric" {
			text = fmt.Sprintf(`{"format": "wire-vectors/1", "dialect": %q, "served": [{}]}`, name)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err := vectors.Load(dir)
	return err
}

// TestMatcherRefuses keeps the vectors honest: a matcher that takes anything
// would pass them all.
func TestMatcherRefuses(t *testing.T) {
	jwt := "eyJhbGciOiJub25lIn0.eyJpYXQiOjEsImV4cCI6M30." // {"alg":"none"} {"iat":1,"exp":3}
	for _, c := range []struct{ want, got any }{
		{"$string", 1.0},
		{"$int", 1.5},
		{"$bool", "true"},
		{"$null", "x"},
		{"$array", map[string]any{}},
		{"$object", []any{}},
		{"$absent", "x"},
		{"$absent", nil},
		{"$re:^a$", "b"},
		{"$re:(", "("},
		{"$nre:^a$", "a"},
		{"$nre:^a$", 1.0},
		{"$cap:x", ""},
		{"$cap:x:re:^a$", "b"},
		{"$cap:x:int", 1.0},
		{"$opt:string", 1.0},
		{"$opt:string", nil},
		{"$var:none", "x"},
		{"$notvar:none", ""},
		{"$notvar:known", "value"},
		{"$unknown", "$unknown"},
		{"plain", "other"},
		{"a {{known}}", "a {{known}}"},
		{true, false},
		{nil, "x"},
		{1.0, map[string]any{}},
		{[]any{"a"}, []any{"a", "b"}},
		{[]any{"$string"}, []any{1.0}},
		{map[string]any{"a": "$string"}, map[string]any{}},
		{map[string]any{"a": "$any"}, map[string]any{}},
		{map[string]any{"a": "$null"}, map[string]any{}},
		{map[string]any{"a": "$absent"}, map[string]any{"a": nil}},
		{map[string]any{"a": nil}, map[string]any{}},
		{map[string]any{}, "text"},
		{map[string]any{"a": 1.0, "$closed": true}, map[string]any{"a": 1.0, "b": 2.0}},
		{map[string]any{"$items": "$string", "$min": 1.0}, []any{}},
		{map[string]any{"$items": "$string"}, []any{1.0}},
		{map[string]any{"$items": "$string"}, map[string]any{}},
		{map[string]any{"$all": []any{"$string", "$re:^a"}}, "b"},
		{map[string]any{"$oneof": []any{"a", "b"}}, "c"},
		{map[string]any{"$jwt": map[string]any{}}, "a.b"},
		{map[string]any{"$jwt": map[string]any{}}, "a.b.c"},
		{map[string]any{"$jwt": map[string]any{"header": map[string]any{"alg": "RS256"}}}, jwt},
		{map[string]any{"$jwt": map[string]any{"claims": map[string]any{"sub": "$string"}}}, jwt},
		{map[string]any{"$jwt": map[string]any{"lifetime": 3.0}}, jwt},
	} {
		vars := vectors.Scope{"known": "value"}
		if vars.Match("value", c.want, c.got) == nil {
			t.Errorf("matcher %v takes %v", c.want, c.got)
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	for name, c := range map[string]func(*vectors.Response){
		"status":                func(w *vectors.Response) { w.Status = vectors.Statuses{201, 204} },
		"no status":             func(w *vectors.Response) { w.Status = nil },
		"header":                func(w *vectors.Response) { w.Headers = map[string]any{"X-One": "b"} },
		"header that must go":   func(w *vectors.Response) { w.Headers = map[string]any{"X-One": "$absent"} },
		"missing header":        func(w *vectors.Response) { w.Headers = map[string]any{"X-Two": "$any"} },
		"missing cookie":        func(w *vectors.Response) { w.Cookies = map[string]any{"none": map[string]any{}} },
		"cookie that must go":   func(w *vectors.Response) { w.Cookies = map[string]any{"c": "$absent"} },
		"max age":               func(w *vectors.Response) { w.Cookies = cookie("max_age", 1.0) },
		"same site":             func(w *vectors.Response) { w.Cookies = cookie("same_site", "Lax") },
		"one of two cookies":    func(w *vectors.Response) { w.Cookies = cookie("value", "2") },
		"empty":                 func(w *vectors.Response) { w.Body.Empty = true },
		"text":                  func(w *vectors.Response) { w.Body.Text = "$re:^$" },
		"json":                  func(w *vectors.Response) { w.Body.JSON = "text" },
		"another place":         func(w *vectors.Response) { w.Location.URL = "https://gateway.test/other" },
		"another query":         func(w *vectors.Response) { w.Location.Query = map[string]any{"code": "8"} },
		"no such query":         func(w *vectors.Response) { w.Location.Query = map[string]any{"state": "$any"} },
		"no XML":                func(w *vectors.Response) { w.Body.XML = map[string]any{"response/data": "$any"} },
		"part of the body":      func(w *vectors.Response) { w.Body.NotContains = []string{"{{secret}}"} },
		"part of the answer":    func(w *vectors.Response) { w.NotContains = []string{"X-One"} },
		"part of the answer, 2": func(w *vectors.Response) { w.NotContains = []string{"s3cret"} },
	} {
		want := vectors.Response{Status: vectors.Statuses{200}}
		vars := vectors.Scope{"secret": "s3cret"}
		if err := vars.Check(want, answer()); err != nil {
			t.Fatal(err)
		}
		if c(&want); vars.Check(want, answer()) == nil {
			t.Errorf("%s: Check takes it", name)
		}
	}
}

func cookie(fact string, want any) map[string]any {
	return map[string]any{"c": map[string]any{fact: want}}
}

func answer() *http.Response {
	rec := httptest.NewRecorder()
	rec.Header().Set("X-One", "a")
	rec.Header().Set("Location", "https://gateway.test/cb?code=7")
	for _, value := range []string{"1", "2"} {
		http.SetCookie(rec, &http.Cookie{Name: "c", Value: value, MaxAge: -1, SameSite: http.SameSiteStrictMode})
	}
	_, _ = rec.WriteString("s3cret")
	return rec.Result()
}

// TestScriptTakesOnlyItsExchanges: what else comes, comes too often or stays
// away is a fault.
func TestScriptTakesOnlyItsExchanges(t *testing.T) {
	one := vectors.Exchange{Expect: vectors.Expect{Method: "GET", Path: "/one"}, Reply: vectors.Reply{Status: 200}}
	two := one
	two.Expect.Path = "$re:^/two"
	two.Repeat = vectors.Times{Least: 1, Most: 2}
	bearer := one
	bearer.Expect.AccessToken = "AT"
	refresh := one
	refresh.Expect.RefreshToken = "RT"
	clean := one
	clean.Expect.NotContains = []string{"X-Mark"}
	header, inBody, raw := one, one, one
	header.Expect.Headers = map[string]any{"Accept": "application/xml"}
	inBody.Expect.BodyToken = "AT"
	raw.Expect.Body.Raw = "text"
	body := one
	body.Expect.Body.JSON = map[string]any{}
	for _, c := range []struct {
		name     string
		expect   []vectors.Exchange
		anyOrder bool
		paths    string
		good     bool
	}{
		{"in order", []vectors.Exchange{one, two}, false, "/one /two?q /two", true},
		{"in any order", []vectors.Exchange{one, two}, true, "/two /one", true},
		{"out of order", []vectors.Exchange{one, two}, false, "/two /one", false},
		{"too often", []vectors.Exchange{one}, false, "/one /one", false},
		{"too seldom", []vectors.Exchange{one, two}, false, "/one", false},
		{"with a query", []vectors.Exchange{one}, false, "/one?q", false},
		{"none", nil, false, "/one", false},
		{"without access token", []vectors.Exchange{bearer}, false, "/one", false},
		{"without refresh token", []vectors.Exchange{refresh}, false, "/one", false},
		{"with what it must not hold", []vectors.Exchange{clean}, false, "/one", false},
		{"without a header", []vectors.Exchange{header}, false, "/one", false},
		{"without a token in the body", []vectors.Exchange{inBody}, false, "/one", false},
		{"without text", []vectors.Exchange{raw}, false, "/one", false},
		{"without body", []vectors.Exchange{body}, false, "/one", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s vectors.Script
			s.Expect(c.expect, c.anyOrder)
			for path := range strings.FieldsSeq(c.paths) {
				r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
				r.Header.Set("X-Mark", "1")
				if resp, err := s.RoundTrip(r); err == nil && resp.StatusCode != http.StatusOK {
					t.Errorf("%s: status %d; want 200", path, resp.StatusCode)
				}
			}
			if err := s.Faults(); (err == nil) != c.good {
				t.Errorf("Faults = %v", err)
			}
		})
	}
}

func TestPlaceAndXMLOfAnAnswerAreRead(t *testing.T) {
	rec := httptest.NewRecorder()
	rec.Header().Set("Location", "https://gateway.test/cb?code=7&state=x")
	_, _ = rec.WriteString("<response><data><accessToken>AT</accessToken></data><messages/></response>")
	want := vectors.Response{Status: vectors.Statuses{200}}
	want.Location.URL = "https://gateway.test/cb"
	want.Location.Query = map[string]any{"code": "$cap:code", "error": "$absent"}
	want.Body.XML = map[string]any{"response/data/accessToken": "$cap:at", "response/links": "$absent"}
	vars := vectors.Scope{}
	if err := vars.Check(want, rec.Result()); err != nil {
		t.Fatal(err)
	}
	if vars["code"] != "7" || vars["at"] != "AT" {
		t.Errorf("captured %v", vars)
	}
}
