package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/config"
	"github.com/gatehouse-gateway/gatehouse/dialect/vectors"
	"github.com/gatehouse-gateway/gatehouse/session/sessiontest"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// strict is an OAuth server whose users approve on their phones.
type strict struct {
	callLog
	approved bool
}

const theirSession = "480dccc0f6bf4ed69ba484320ef92781"

func (b *strict) RoundTrip(r *http.Request) (*http.Response, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	rec := httptest.NewRecorder()
	body := map[string]string{}
	if r.Body != nil {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		_ = json.Unmarshal(text, &body)
	}
	say := func(status int, text string) {
		rec.Header().Set("Content-Type", "application/json")
		rec.WriteHeader(status)
		_, _ = io.WriteString(rec, text)
	}
	pending := `{"challenge":"otp","method":"ftm-push","session":"` + theirSession + `","status":"pending"}`
	switch {
	case strings.HasSuffix(r.URL.Path, "/pushpoll/"):
		b.calls = append(b.calls, "poll "+r.URL.Query().Get("s"))
		if b.approved {
			pending = strings.Replace(pending, `"pending"`, `"success","challenge_response":"3njPWHp6LgXtRwwXabEN"`, 1)
		}
		say(200, pending)
	case !strings.HasSuffix(r.URL.Path, "/oauth/token/"):
		b.calls = append(b.calls, strings.TrimSpace("call "+r.Header.Get("Authorization")))
		say(200, `{"username":"alice","sub":"7"}`)
	case body["username"] != "alice" || body["password"] != "alicepass" || body["client_id"] != "gw":
		b.calls = append(b.calls, "refused")
		say(401, `{"error":"invalid_grant"}`)
	case body["challenge_response"] == "":
		b.calls = append(b.calls, "login")
		say(406, pending)
	default:
		b.calls = append(b.calls, "answer "+body["session"])
		if body["session"] != theirSession || body["challenge"] != "otp" || body["challenge_response"] != "3njPWHp6LgXtRwwXabEN" {
			say(401, `{"error":"invalid_grant"}`)
			break
		}
		say(200, `{"access_token":"AT1","expires_in":3600,"refresh_token":"RT1","scope":"read","status":"success","token_type":"Bearer"}`)
	}
	return rec.Result(), nil
}

// passing runs a test against a gateway that serves every dialect, each under a
// host of its name, in front of an OAuth server that clients log in to themselves.
func passing(t *testing.T, test func(*testing.T, *issuer, *strict)) {
	t.Helper()
	keys := sessiontest.NewMemory()
	warmKeys(t, keys)
	synctest.Test(t, func(t *testing.T) {
		b := &strict{}
		s := &issuer{t: t, outside: memoryOutside(t, vectors.File{}, keys, b)}
		s.cfg = &config.Config{
			Secrets: []token.Secret{token.NewSecret(vectorSecret)}, PagesPath: "/.gatehouse", DegradedFor: time.Minute,
			Clients: []config.Client{{ID: "app", Public: true, Grants: []string{"password", "refresh_token"}, Scopes: []string{"read"}, AccessTTL: time.Hour}},
			Backends: []config.Backend{{
				Name: "backend", URL: &url.URL{Scheme: "https", Host: "backend.test"}, Speak: "fac-oauth/6.x",
				ClientID: "gw", ClientSecret: token.NewSecret("gwsecret"),
			}},
		}
		for _, name := range []string{"fac-oauth", "ipfabric", "itempath", "fac-fabric", "oracle-sbc"} {
			s.cfg.Routes = append(s.cfg.Routes, config.Route{Name: name, Host: name + ".test", Path: "/", Backend: "backend", Serve: []string{name}})
		}
		s.start()
		defer func() { s.halt() }()
		test(t, s, b)
	})
}

// send makes a request; header is pairs of name and value.
func (s *issuer) send(method, address, body string, header ...string) *httptest.ResponseRecorder {
	s.t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		s.t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(s.t.Context(), method, u.RequestURI(), strings.NewReader(body))
	r.Host, r.TLS = u.Host, &tls.ConnectionState{}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return s.do(r)
}

func (s *issuer) sendJSON(address, body string) *httptest.ResponseRecorder {
	s.t.Helper()
	return s.send(http.MethodPost, address, body, "Content-Type", "application/json")
}

const loginStart = `{"grant_type":"password","client_id":"app","username":"alice","password":"alicepass"`

var ours = regexp.MustCompile(`^\{"challenge":"otp","method":"ftm-push","session":"([0-9a-f]{32})","status":"pending"\}\s*$`)

func TestBackendsChallengeReachesTheClient(t *testing.T) {
	passing(t, func(t *testing.T, s *issuer, b *strict) {
		const fac = "https://fac-oauth.test/api/v1/"
		rec := s.sendJSON(fac+"oauth/token/", loginStart+"}")
		m := ours.FindStringSubmatch(rec.Body.String())
		if rec.Code != http.StatusNotAcceptable || m == nil || m[1] == theirSession {
			t.Fatalf("login = %d %s; want 406 with the challenge and a session of ours", rec.Code, rec.Body)
		}
		poll := func() *httptest.ResponseRecorder { return s.send(http.MethodGet, fac+"pushpoll/?s="+m[1], "") }
		if rec := poll(); rec.Code != http.StatusOK || !ours.MatchString(rec.Body.String()) || !strings.Contains(rec.Body.String(), m[1]) {
			t.Errorf("poll = %d %s; want it pending", rec.Code, rec.Body)
		}
		b.mu.Lock()
		b.approved = true
		b.mu.Unlock()
		if rec := poll(); !strings.Contains(rec.Body.String(), `"challenge_response":"3njPWHp6LgXtRwwXabEN"`) || !strings.Contains(rec.Body.String(), m[1]) {
			t.Errorf("poll = %d %s; want success and the response", rec.Code, rec.Body)
		}
		b.want(t, "login", "poll "+theirSession, "poll "+theirSession)

		answer := func(session, response string) *httptest.ResponseRecorder {
			return s.sendJSON(fac+"oauth/token/", fmt.Sprintf(`%s,"challenge":"otp","method":"ftm-push","session":%q,"challenge_response":%q}`, loginStart, session, response))
		}
		// The backend's own session is of no use here, nor ours at the backend.
		if rec := answer(theirSession, "3njPWHp6LgXtRwwXabEN"); rec.Code != http.StatusUnauthorized {
			t.Errorf("answer with the backend's session = %d %s; want 401", rec.Code, rec.Body)
		}
		if rec := s.send(http.MethodGet, fac+"pushpoll/?s="+theirSession, ""); rec.Code != http.StatusNotFound {
			t.Errorf("poll of the backend's session = %d %s; want 404", rec.Code, rec.Body)
		}
		b.want(t)
		if rec := answer(m[1], "wrong"); rec.Code != http.StatusUnauthorized || !strings.Contains(rec.Body.String(), "invalid_grant") {
			t.Errorf("wrong answer = %d %s; want 401", rec.Code, rec.Body)
		}
		rec = answer(m[1], "3njPWHp6LgXtRwwXabEN")
		var set struct {
			AccessToken string `json:"access_token"`
		}
		if err := json.Unmarshal(rec.Body.Bytes(), &set); err != nil || rec.Code != http.StatusOK || set.AccessToken == "" || set.AccessToken == "AT1" {
			t.Fatalf("answer = %d %s; want tokens of ours", rec.Code, rec.Body)
		}
		b.want(t, "answer "+theirSession, "answer "+theirSession, "call Bearer AT1") // the last asks who it is
		if rec := s.send(http.MethodGet, "https://fac-oauth.test/things", "", "Authorization", "Bearer "+set.AccessToken); rec.Code != http.StatusOK {
			t.Errorf("call = %d %s", rec.Code, rec.Body)
		}
		b.want(t, "call Bearer AT1")
	})
}

// A token API that cannot ask answers its own login failure, and says why.
func TestOtherDialectsSayThatASecondFactorIsNeeded(t *testing.T) {
	basic := []string{"Authorization", "Basic YWxpY2U6YWxpY2VwYXNz"}
	for name, tt := range map[string]struct {
		send func(s *issuer) *httptest.ResponseRecorder
		says string
	}{
		"ipfabric": {func(s *issuer) *httptest.ResponseRecorder {
			return s.sendJSON("https://ipfabric.test/api/v7.0/auth/login", `{"username":"alice","password":"alicepass"}`)
		}, "API_INVALID_CREDENTIALS"},
		"ipfabric, Basic": {func(s *issuer) *httptest.ResponseRecorder {
			return s.send(http.MethodGet, "https://ipfabric.test/api/v7.0/snapshots", "", basic...)
		}, "API_INVALID_CREDENTIALS"},
		"itempath": {func(s *issuer) *httptest.ResponseRecorder {
			return s.sendJSON("https://itempath.test/api/users/login", `{"username":"alice","password":"alicepass"}`)
		}, `"login":false`},
		"fac-fabric": {func(s *issuer) *httptest.ResponseRecorder {
			return s.sendJSON("https://fac-fabric.test/api/fabric/authenticate", `{"username":"alice","password":"alicepass"}`)
		}, `"success":"false"`},
		"oracle-sbc": {func(s *issuer) *httptest.ResponseRecorder {
			return s.send(http.MethodPost, "https://oracle-sbc.test/rest/v1.2/auth/token", "", append(basic, "Accept", "application/xml")...)
		}, "<errorMessage>"},
		"the sign-in page": {func(s *issuer) *httptest.ResponseRecorder {
			return s.send(http.MethodPost, "https://ipfabric.test/.gatehouse/sign-in", "username=alice&password=alicepass", "Content-Type", "application/x-www-form-urlencoded")
		}, "<form"},
	} {
		t.Run(name, func(t *testing.T) {
			passing(t, func(t *testing.T, s *issuer, b *strict) {
				rec := tt.send(s)
				body := rec.Body.String()
				if rec.Code != http.StatusUnauthorized || !strings.Contains(body, tt.says) || !strings.Contains(body, "second factor") {
					t.Errorf("login = %d %s; want 401 with %q and that a second factor is needed", rec.Code, body, tt.says)
				}
				if strings.Contains(body, theirSession) || strings.Contains(body, "ftm-push") || rec.Result().Header.Get("Set-Cookie") != "" {
					t.Errorf("the answer tells of the challenge: %s", body)
				}
				b.want(t, "login")
			})
		})
	}
}

// Where it cannot be answered, each try would send one more message to a phone.
func TestChallengesThatCannotBeAnsweredAreBounded(t *testing.T) {
	passing(t, func(t *testing.T, s *issuer, b *strict) {
		limited := 0
		for range 40 {
			if rec := s.sendJSON("https://ipfabric.test/api/v7.0/auth/login", `{"username":"alice","password":"alicepass"}`); rec.Code == http.StatusTooManyRequests {
				limited++
			}
		}
		if n := len(b.calls); n == 0 || n != 40-limited || n > 20 {
			t.Errorf("%d challenges in 40 logins, %d of them throttled; want few", n, limited)
		}
	})
}
