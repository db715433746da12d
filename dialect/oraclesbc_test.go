package dialect_test

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/token"
)

const sbcTokenPath = "/rest/v1.2/auth/token"

func sbc(t testing.TB) *dialect.Dialect {
	t.Helper()
	return mustOpen(t, "oracle-sbc", dialect.Settings{})
}

func basic(pair string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair))
}

// sbcRead matches and reads a request with headers given as name, value pairs.
func sbcRead(t testing.TB, method, path, body string, headers ...string) (token.Grant, error) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	call, _ := sbc(t).Match(r)
	if call == nil {
		t.Fatalf("%s %s is no call", method, path)
	}
	return call.ReadRequest(r)
}

func TestSBCLoginIsRead(t *testing.T) {
	want := token.Grant{Op: token.OpLogin, Username: "admin", Password: token.NewSecret("p:a:ss")}
	folded := basic("admin:p:a:ss")
	folded = folded[:12] + " " + folded[12:] + " "
	for name, headers := range map[string][]string{
		"plain":                {"Authorization", basic("admin:p:a:ss")},
		"another letter case":  {"Authorization", "bASIC " + basic("admin:p:a:ss")[6:]},
		"folded":               {"Authorization", folded},
		"any type accepted":    {"Authorization", basic("admin:p:a:ss"), "Accept", "*/*"},
		"several accepted":     {"Authorization", basic("admin:p:a:ss"), "Accept", "application/json;q=1, application/xml;q=0.1"},
		"accepted by class":    {"Authorization", basic("admin:p:a:ss"), "Accept", "text/html", "Accept", "Application/*"},
		"an empty accept":      {"Authorization", basic("admin:p:a:ss"), "Accept", ""},
		"accepted with a name": {"Authorization", basic("admin:p:a:ss"), "Accept", "application/xml; charset=utf-8"},
		"Java's accept":        {"Authorization", basic("admin:p:a:ss"), "Accept", "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"},
		"a form without field": {"Authorization", basic("admin:p:a:ss"), "Content-Type", "x-www-form-urlencoded"},
		"a type without body":  {"Authorization", basic("admin:p:a:ss"), "Content-Type", "application/json"},
	} {
		got, err := sbcRead(t, "POST", sbcTokenPath, "", headers...)
		if diff := cmp.Diff(want, got, revealed); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
	for _, v := range []string{"v1.0", "v1.1", "v1.2"} {
		if _, err := sbcRead(t, "POST", "/rest/"+v+"/auth/token", " \r\n", "Authorization", basic("a:b")); err != nil {
			t.Errorf("%s: %v", v, err)
		}
	}
}

func TestSBCRenewalIsReadUnderAnyName(t *testing.T) {
	const at, escaped = "YWRtaW4s+/==", "YWRtaW4s%2B%2f%3D%3D"
	for _, body := range []string{
		"accessToken=" + escaped, "token=" + escaped, "accessToken=" + at, "=" + at, "x%20y=" + escaped,
		at, escaped, at + "\r\n",
	} {
		for _, media := range []string{
			"x-www-form-urlencoded", "application/x-www-form-urlencoded", "X-WWW-Form-URLEncoded; charset=UTF-8",
			"application/x-www-form-urlencoded;charset=utf-8",
		} {
			g, err := sbcRead(t, "POST", sbcTokenPath, body, "Authorization", basic("admin:pw"), "Content-Type", media)
			if err != nil || g.Op != token.OpRenew || g.Access.Reveal() != at || g.Username != "admin" || g.Password.Reveal() != "pw" {
				t.Errorf("%s %q: %s %q, %v", media, body, g.Op, g.Access.Reveal(), err)
			}
		}
	}
	// Without padding, and with a name that is all that base64 may be.
	g, err := sbcRead(t, "POST", sbcTokenPath, "YWJj=YWJj", "Authorization", basic("a:b"), "Content-Type", "x-www-form-urlencoded")
	if err != nil || g.Access.Reveal() != "YWJj" {
		t.Errorf("YWJj=YWJj is read as %q, %v", g.Access.Reveal(), err)
	}
}

func TestSBCStatusOfEveryBadRequest(t *testing.T) {
	good, form := basic("admin:password"), "x-www-form-urlencoded"
	long := strings.Repeat("a", 8<<10)
	for _, c := range []struct {
		name    string
		status  int
		body    string
		path    string
		headers []string
	}{
		{name: "no Authorization", status: 400},
		{name: "Bearer", status: 400, headers: []string{"Authorization", "Bearer abc"}},
		{name: "not base64", status: 400, headers: []string{"Authorization", "Basic ###"}},
		{name: "nothing after Basic", status: 400, headers: []string{"Authorization", "Basic"}},
		{name: "no padding", status: 400, headers: []string{"Authorization", "Basic YTpi" + "Yg"}},
		{name: "no colon", status: 400, headers: []string{"Authorization", basic("adminpassword")}},
		{name: "no user", status: 400, headers: []string{"Authorization", basic(":password")}},
		{name: "a control character", status: 400, headers: []string{"Authorization", basic("a\x00:b")}},
		{name: "two of them", status: 400, headers: []string{"Authorization", good, "Authorization", good}},
		{name: "another version", status: 404, path: "/rest/v9.9/auth/token", headers: []string{"Authorization", good}},
		{name: "a short version", status: 404, path: "/rest/v1/auth/token", headers: []string{"Authorization", good}},
		{name: "another version without anything", status: 404, path: "/rest/v1.3/auth/token"},
		{name: "JSON alone", status: 406, headers: []string{"Authorization", good, "Accept", "application/json"}},
		{name: "XML at no weight", status: 406, headers: []string{"Authorization", good, "Accept", "application/xml;q=0, */*"}},
		{name: "text/xml", status: 406, headers: []string{"Authorization", good, "Accept", "text/xml"}},
		{name: "a body of JSON", status: 415, body: `{"a":1}`, headers: []string{"Authorization", good, "Content-Type", "application/json"}},
		{name: "a body of no type", status: 415, body: "accessToken=x", headers: []string{"Authorization", good}},
		{name: "a broken type", status: 415, body: "x", headers: []string{"Authorization", good, "Content-Type", form + "; ="}},
		{name: "a coded body", status: 415, body: "x", headers: []string{"Authorization", good, "Content-Type", form, "Content-Encoding", "gzip"}},
		{name: "two fields", status: 400, body: "a=b&c=d", headers: []string{"Authorization", good, "Content-Type", form}},
		{name: "a broken escape", status: 400, body: "a=%zz", headers: []string{"Authorization", good, "Content-Type", form}},
		{name: "a space in it", status: 400, body: "a=b%20c", headers: []string{"Authorization", good, "Content-Type", form}},
		{name: "a token too long", status: 400, body: "a=" + long + "a", headers: []string{"Authorization", good, "Content-Type", form}},
		{name: "the longest token", status: 200, body: "a=" + long, headers: []string{"Authorization", good, "Content-Type", form}},
	} {
		if c.path == "" {
			c.path = sbcTokenPath
		}
		_, err := sbcRead(t, "POST", c.path, c.body, c.headers...)
		got := http.StatusOK
		if err != nil {
			e := token.Fail(token.Malformed, "x", err)
			if token.KindOf(err) != token.Internal {
				e.Kind = token.KindOf(err)
			}
			got = written(t, sbc(t), "POST", e).Code
		}
		if got != c.status {
			t.Errorf("%s: %d; want %d (%v)", c.name, got, c.status, err)
		}
	}
	if _, err := sbcRead(t, "GET", "/rest/api/supportedversions", "", "Accept", "application/json"); token.KindOf(err) != token.NotAcceptable {
		t.Errorf("versions as JSON: %v; want not acceptable", err)
	}
}

func TestSBCErrorsAreThePages(t *testing.T) {
	d := sbc(t)
	const head = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?><response><data/><messages><errorMessage>`
	for _, c := range []struct {
		kind   token.Kind
		status int
		text   string
	}{
		{token.Missing, 401, "Client not authorized."},
		{token.BadCredentials, 401, "Client not authorized."},
		{token.InvalidAccess, 401, "Client not authorized."},
		{token.ExpiredAccess, 401, "Client not authorized."},
		{token.FactorNeeded, 401, "Client not authorized. A second factor is needed, which this API cannot ask for."},
		{token.Malformed, 400, "told"},
		{token.Denied, 403, "told"},
		{token.NotFound, 404, "told"},
		{token.MethodNotAllowed, 405, "told"},
		{token.NotAcceptable, 406, "told"},
		{token.UnsupportedMedia, 415, "told"},
		{token.UpgradeRequired, 426, "Client must connect with HTTPS."},
		{token.Internal, 500, "Internal error."},
	} {
		rec := written(t, d, http.MethodGet, token.Fail(c.kind, "told", nil))
		if want := head + c.text + "</errorMessage></messages><links/></response>"; rec.Code != c.status || rec.Body.String() != want {
			t.Errorf("%s: %d %s; want %d %s", c.kind, rec.Code, rec.Body, c.status, want)
		}
	}
	rec := written(t, d, http.MethodGet, token.Fail(token.Malformed, `<"&'`+"\n", nil))
	if !strings.Contains(rec.Body.String(), "<errorMessage>&lt;&#34;&amp;&#39;&#xA;</errorMessage>") {
		t.Errorf("a message is not escaped: %s", rec.Body)
	}
}

func TestSBCAnswersEveryKind(t *testing.T) {
	d := sbc(t)
	for _, kind := range token.Kinds() {
		e := token.Fail(kind, "", nil)
		e.RetryAfter = 1500 * time.Millisecond
		rec := written(t, d, http.MethodGet, e)
		h := rec.Header()
		if rec.Code < 400 || !strings.Contains(rec.Body.String(), ".</errorMessage>") || h.Get("Content-Type") != "application/xml" || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v %s", kind, rec.Code, h, rec.Body)
		}
		if waits := kind == token.Throttled || kind == token.Unavailable; waits != (h.Get("Retry-After") == "2") {
			t.Errorf("%s: Retry-After = %q", kind, h.Get("Retry-After"))
		}
		if (kind == token.UpgradeRequired) != (h.Get("Upgrade") == "TLS/1.2") || h.Get("Www-Authenticate") != "" {
			t.Errorf("%s: headers %v", kind, h)
		}
		if back := d.Errors.Read(rec.Code, h, rec.Body.Bytes()); rec.Code >= 500 && back.Kind != token.Unavailable {
			t.Errorf("%s: an outage is read as %s", kind, back.Kind)
		}
		head := written(t, d, http.MethodHead, e)
		if head.Code != rec.Code || head.Body.Len() > 0 {
			t.Errorf("%s: HEAD = %d with %d bytes", kind, head.Code, head.Body.Len())
		}
	}
}

func TestSBCFailuresOfABackend(t *testing.T) {
	d := sbc(t)
	later := http.Header{"Retry-After": {"7"}}
	for status, want := range map[int]token.Kind{
		302: token.BadGateway, 400: token.Malformed, 401: token.InvalidAccess, 403: token.Denied, 404: token.NotFound,
		405: token.MethodNotAllowed, 406: token.NotAcceptable, 413: token.TooLarge, 415: token.UnsupportedMedia, 418: token.BadGateway,
		423: token.Denied, 426: token.UpgradeRequired, 429: token.Throttled, 500: token.Unavailable, 502: token.Unavailable,
		503: token.Unavailable, 504: token.Unavailable, 599: token.Unavailable, 0: token.BadGateway,
	} {
		e := d.Errors.Read(status, later, []byte("<response><errorMessage>hunter2</errorMessage></response>"))
		if e.Kind != want || strings.Contains(e.Error(), "hunter2") {
			t.Errorf("%d is read as %v; want %s", status, e, want)
		}
		if waits := want == token.Throttled || want == token.Unavailable; waits != (e.RetryAfter == 7*time.Second) {
			t.Errorf("%d: RetryAfter = %v", status, e.RetryAfter)
		}
		if got := d.Errors.MayExpire(status); got != (status == 401) {
			t.Errorf("MayExpire(%d) = %t", status, got)
		}
	}
	for after, want := range map[string]time.Duration{"": 0, "soon": 0, "-1": 0, "0": time.Second, "30": 30 * time.Second} {
		if e := d.Errors.Read(503, http.Header{"Retry-After": {after}}, nil); e.RetryAfter != want {
			t.Errorf("Retry-After %q: %v; want %v", after, e.RetryAfter, want)
		}
	}
}

func sbcAnswer(t testing.TB, body string) (token.Set, error) {
	t.Helper()
	return sbc(t).Call(token.OpLogin).ReadResponse(answered(http.StatusOK, http.Header{"Content-Type": {"application/xml"}}, body))
}

func TestSBCAnswerIsRead(t *testing.T) {
	for _, body := range []string{
		`<?xml version="1.0" encoding="UTF-8" standalone="yes"?><response><data><accessToken>T1</accessToken></data><messages/><links/></response>`,
		"<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n<response>\n  <data>\n    <accessToken>T1</accessToken>\n  </data>\n  <messages/>\n  <links/>\n</response>\n",
		"<response><links/><data><accessToken>\n  T1\n</accessToken><other>x</other></data></response><!-- end -->",
		"<response><data><accessToken>&#84;1</accessToken></data></response>",
	} {
		set, err := sbcAnswer(t, body)
		if err != nil || set.Access.Reveal() != "T1" || set.ExpiresIn != 600*time.Second || !set.Refresh.IsZero() {
			t.Errorf("%s: %q for %v, %v", body, set.Access.Reveal(), set.ExpiresIn, err)
		}
	}
	for size, good := range map[int]bool{8 << 10: true, 8<<10 + 1: false} {
		if _, err := sbcAnswer(t, "<response><data><accessToken>"+strings.Repeat("a", size)+"</accessToken></data></response>"); (err == nil) != good {
			t.Errorf("a token of %d characters: %v", size, err)
		}
	}
	const frame = "<response><data><accessToken>T1</accessToken></data></response>"
	for size, good := range map[int]bool{1 << 20: true, 1<<20 + 1: false} {
		if _, err := sbcAnswer(t, frame+strings.Repeat(" ", size-len(frame))); (err == nil) != good {
			t.Errorf("an answer of %d bytes: %v", size, err)
		}
	}
}

func TestSBCBadAnswersAreSaid(t *testing.T) {
	deep := func(n int) string {
		return "<response>" + strings.Repeat("<a>", n) + strings.Repeat("</a>", n) + "<data><accessToken>T1</accessToken></data></response>"
	}
	if _, err := sbcAnswer(t, deep(15)); err != nil {
		t.Errorf("sixteen levels: %v", err)
	}
	for body, want := range map[string]string{
		"":                                     "empty",
		" \n":                                  "empty",
		"<!DOCTYPE html><html/>":               "HTML",
		"\n<HTML><body>log in</body>":          "HTML",
		`{"accessToken":"hunter2"}`:            "not XML",
		"hunter2":                              "not XML",
		"<response><data><accessToken>hunter2": "malformed XML in line 1",
		"<response><data><accessToken>&hunter2;</accessToken></data></response>":                                      "malformed",
		"<response><data/><messages><errorMessage>hunter2</errorMessage></messages></response>":                       "no response/data/accessToken",
		"<response><data><accessToken/></data></response>":                                                            "0 characters",
		"<response><data><accessToken>hun ter2</accessToken></data></response>":                                       "no token has",
		"<response><data><accessToken>hunter2<b/></accessToken></data></response>":                                    "holds an element",
		"<response><data><accessToken>hunter2</accessToken><accessToken>hunter2</accessToken></data></response>":      "not exactly one",
		"<response><accessToken>hunter2</accessToken><data><accessToken>hunter2</accessToken></data></response>":      "not exactly one",
		"<response><data><AccessToken>hunter2</AccessToken></data></response>":                                        "no response/data/accessToken",
		"<x:response xmlns:x='u'><data><accessToken>hunter2</accessToken></data></x:response>":                        "not exactly one",
		"<response><data><accessToken>T1</accessToken></data></response><response/>":                                  "two XML documents",
		"<response><data><accessToken>T1</accessToken></data></response>hunter2":                                      "outside",
		"<!DOCTYPE response [<!ENTITY x 'hunter2'>]><response><data><accessToken>&x;</accessToken></data></response>": "document type",
		"<?xml-stylesheet href='x'?><response><data><accessToken>T1</accessToken></data></response>":                  "processing instruction",
		"<?xml version='1.0' encoding='EBCDIC'?><response><data><accessToken>hunter2</accessToken></data></response>": "malformed",
		"<response><data><accessToken>" + string([]byte{0xff}) + "</accessToken></data></response>":                   "malformed",
		deep(16): "nested",
	} {
		set, err := sbcAnswer(t, body)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") || !set.Access.IsZero() {
			t.Errorf("%q: %v; want an error with %q", body, err, want)
		}
	}
}

func TestSBCWritesTheRenewal(t *testing.T) {
	at := "a+b/c=="
	for field, want := range map[string]string{"": "accessToken=a%2Bb%2Fc%3D%3D", "token": "token=a%2Bb%2Fc%3D%3D"} {
		d := mustOpen(t, "oracle-sbc/1.1", dialect.Settings{RenewalField: field})
		r := httptest.NewRequestWithContext(t.Context(), "POST", sbcTokenPath, nil)
		g := token.Grant{Op: token.OpRenew, Username: "svc", Password: token.NewSecret("s:p"), Access: token.NewSecret(at)}
		if err := d.Call(token.OpRenew).WriteRequest(r, g); err != nil {
			t.Fatal(err)
		}
		again, err := r.GetBody()
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range []io.Reader{r.Body, again} {
			b, err := io.ReadAll(in)
			if err != nil || string(b) != want || r.ContentLength != int64(len(want)) {
				t.Errorf("body = %q of %d, %v; want %q", b, r.ContentLength, err, want)
			}
		}
		if r.Header.Get("Content-Type") != "x-www-form-urlencoded" || r.Header.Get("Accept") != "application/xml" || r.Header.Get("Authorization") != basic("svc:s:p") {
			t.Errorf("headers %v", r.Header)
		}
	}
	call := sbc(t).Call(token.OpLogin)
	for name, g := range map[string]token.Grant{
		"a colon in the name":    {Op: token.OpLogin, Username: "a:b", Password: token.NewSecret("c")},
		"no name":                {Op: token.OpLogin, Password: token.NewSecret("c")},
		"a line end":             {Op: token.OpLogin, Username: "a", Password: token.NewSecret("b\nc")},
		"a renewal of no token":  {Op: token.OpRenew, Username: "a", Password: token.NewSecret("b")},
		"a renewal of no person": {Op: token.OpRenew, Access: token.NewSecret("T1")},
	} {
		if err := call.WriteRequest(httptest.NewRequestWithContext(t.Context(), "POST", sbcTokenPath, nil), g); err == nil {
			t.Errorf("%s was written", name)
		}
	}
}

func TestSBCSettings(t *testing.T) {
	for _, c := range []struct {
		versions, want []string
	}{
		{nil, []string{"1.1"}},
		{[]string{"v1.2", "1.0"}, []string{"1.2", "1.0"}},
	} {
		if got := mustOpen(t, "oracle-sbc/1.1", dialect.Settings{Versions: c.versions}).Versions; !cmp.Equal(got, c.want) {
			t.Errorf("versions %v: %v; want %v", c.versions, got, c.want)
		}
	}
	for name, s := range map[string]dialect.Settings{
		"a word":          {Versions: []string{"latest"}},
		"one number":      {Versions: []string{"v1"}},
		"a path":          {Versions: []string{"1.2/../x"}},
		"an empty one":    {Versions: []string{""}},
		"twice the same":  {Versions: []string{"1.2", "v1.2"}},
		"half a second":   {AccessTTL: 500 * time.Millisecond},
		"1.5 s":           {AccessTTL: 1500 * time.Millisecond},
		"a field with =":  {RenewalField: "a=b"},
		"a field with é":  {RenewalField: "é"},
		"less than never": {AccessTTL: -time.Second},
	} {
		if _, err := dialect.Open("oracle-sbc", s); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	d := mustOpen(t, "oracle-sbc", dialect.Settings{AccessTTL: time.Second, HTTPSOnly: true})
	if d.Tokens.AccessTTL != time.Second || d.Tokens.RefreshTTL != time.Second || !d.Tokens.HTTPSOnly || !d.Tokens.VoidsAccess {
		t.Errorf("tokens = %+v", d.Tokens)
	}
	if _, err := dialect.Open("ipfabric", dialect.Settings{HTTPSOnly: true}); err == nil {
		t.Error("ipfabric takes a setting that it lacks")
	}
}

func TestSBCLockIsRecognised(t *testing.T) {
	pin := sbc(t).Pin
	for _, c := range []struct {
		method, path string
		want         dialect.PinStep
	}{
		{"POST", "/rest/v1.0/configuration/lock", dialect.PinTake},
		{"POST", "/rest/v1.1/configuration/lock", dialect.PinTake},
		{"POST", "/rest/v2.0/configuration/lock/", dialect.PinTake},
		{"POST", "/base/REST/v1.2//configuration/%6cock;x", dialect.PinTake},
		{"POST", "/rest/v1.2/configuration/unlock", dialect.PinRelease},
		{"GET", "/rest/v1.2/configuration/lock", dialect.PinNone},
		{"POST", "/rest/v1.2/configuration/lock/x", dialect.PinNone},
		{"POST", "/rest/v1.2/configuration", dialect.PinNone},
		{"POST", "/rest/configuration/lock", dialect.PinNone},
		{"POST", "/other/v1.2/configuration/lock", dialect.PinNone},
		{"POST", "/lock", dialect.PinNone},
		{"POST", "/", dialect.PinNone},
	} {
		r := httptest.NewRequestWithContext(t.Context(), c.method, "/", nil)
		r.URL.Path = c.path
		if got := pin.Step(r); got != c.want {
			t.Errorf("%s %s: step %d; want %d", c.method, c.path, got, c.want)
		}
	}
	for _, version := range []string{"1.1", "v1.1"} {
		method, path := pin.Release(version)
		r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
		if path != "/rest/v1.1/configuration/unlock" || pin.Step(r) != dialect.PinRelease {
			t.Errorf("Release(%s) = %s %s", version, method, path)
		}
	}
}

func FuzzSBCReadToken(f *testing.F) {
	f.Add(basic("admin:password"), "application/xml", "x-www-form-urlencoded", "accessToken=YWRt")
	f.Add("basic YTpi", "*/*;q=0", "application/x-www-form-urlencoded; charset=x", "YWRt%3D")
	f.Add("Bearer x", "", "", "")
	call := sbc(f).Call(token.OpLogin)
	f.Fuzz(func(t *testing.T, auth, accept, media, body string) {
		r := httptest.NewRequestWithContext(t.Context(), "POST", sbcTokenPath, strings.NewReader(body))
		r.SetPathValue("version", "v1.2")
		r.Header["Authorization"], r.Header["Accept"], r.Header["Content-Type"] = []string{auth}, []string{accept}, []string{media}
		g, err := call.ReadRequest(r)
		if err != nil {
			return
		}
		if g.Username == "" || (g.Op == token.OpRenew) == g.Access.IsZero() {
			t.Fatalf("half a grant: %+v", g)
		}
		out := httptest.NewRequestWithContext(t.Context(), "POST", sbcTokenPath, nil)
		out.SetPathValue("version", "v1.2")
		if err := call.WriteRequest(out, g); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		back, err := call.ReadRequest(out)
		if diff := cmp.Diff(g, back, revealed); err != nil || diff != "" {
			t.Errorf("changed on the way: %v\n%s", err, diff)
		}
	})
}

func FuzzSBCReadAnswer(f *testing.F) {
	f.Add("<response><data><accessToken>T1</accessToken></data><messages/><links/></response>")
	f.Add("<!DOCTYPE x><response/>")
	f.Add("<response><data><accessToken>&amp;&#x41;<![CDATA[x]]></accessToken></data></response>")
	call := sbc(f).Call(token.OpLogin)
	f.Fuzz(func(t *testing.T, body string) {
		set, err := call.ReadResponse(answered(http.StatusOK, nil, body))
		if err != nil {
			return
		}
		rec := httptest.NewRecorder()
		if err := call.WriteResponse(rec, set); err != nil {
			t.Fatal(err)
		}
		again, err := call.ReadResponse(rec.Result())
		if diff := cmp.Diff(set, again, revealed); err != nil || diff != "" {
			t.Errorf("changed on the way: %v\n%s", err, diff)
		}
	})
}
