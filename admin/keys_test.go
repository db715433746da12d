package admin

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// safe answers for keys, and notes what it is asked.
type safe struct {
	asked []string
	err   error
}

func (s *safe) Report(context.Context) (session.KeyReport, error) {
	s.asked = append(s.asked, "report")
	return session.KeyReport{
		At:      at,
		Signing: []session.SigningKey{{KID: "kid-1", State: "active", Secret: "11111111", Made: at, From: at}},
		Secrets: []session.Secret{{
			SecretUse: session.SecretUse{Fingerprint: "11111111", Seen: at, First: at, Last: at}, Place: 2, Keys: 1,
			Unknown: []string{"gate/aa"}, Safe: at.Add(time.Hour),
		}},
		Replicas: []session.Replica{{ID: "bb", Host: "gate", Version: "v1", Started: at, Secrets: []string{"11111111"}, Using: "11111111", Serving: true}},
	}, s.err
}

func (s *safe) Rotate(_ context.Context, now bool) (session.KeyRotation, error) {
	if now {
		s.asked = append(s.asked, "now")
	} else {
		s.asked = append(s.asked, "rotate")
	}
	return session.KeyRotation{KID: "kid-2", From: at, Begun: true}, s.err
}

func (s *safe) SealedValues(_ context.Context, after string) (session.SealedPage, error) {
	s.asked = append(s.asked, "after "+after)
	return session.SealedPage{Looked: 7, Values: []session.SealedValues{{Secret: "11111111", Count: 3, Until: at, Endless: true}}, Next: "0.5"}, s.err
}

const keyListJSON = `{"at":"2026-03-01T12:00:00Z",` +
	`"signing":[{"kid":"kid-1","state":"active","secret":"11111111","made":"2026-03-01T12:00:00Z","from":"2026-03-01T12:00:00Z"}],` +
	`"secrets":[{"fingerprint":"11111111","place":2,"using":false,"signing_keys":1,"unknown":["gate/aa"],"seen":"2026-03-01T12:00:00Z",` +
	`"first_used":"2026-03-01T12:00:00Z","last_used":"2026-03-01T12:00:00Z","safe_from":"2026-03-01T13:00:00Z"}],` +
	`"replicas":[{"id":"bb","host":"gate","version":"v1","started":"2026-03-01T12:00:00Z","secrets":["11111111"],"using":"11111111","keys":[],"serving":true}]}`

func TestKeysOverTheAPI(t *testing.T) {
	away := token.Fail(token.Unavailable, "store is away", nil)
	many := token.Fail(token.Denied, "There are 16 signing keys already.", nil)
	for _, c := range []struct {
		name, call            string
		err                   error
		status                int
		body                  string
		action, outcome, what string
		asked                 []string
	}{
		{"list", "GET /v1/keys", nil, 200, keyListJSON, "keys.list", "ok", "", []string{"report"}},
		{"list, store away", "GET /v1/keys", away, 503, "store is away", "keys.list", "unavailable", "", []string{"report"}},
		{"rotate", "POST /v1/keys/rotate", nil, 200, `{"kid":"kid-2","from":"2026-03-01T12:00:00Z","begun":true}`, "keys.rotate", "ok", "kid-2", []string{"rotate"}},
		{"rotate later", "POST /v1/keys/rotate?now=false", nil, 200, `"begun":true`, "keys.rotate", "ok", "kid-2", []string{"rotate"}},
		{"rotate now", "POST /v1/keys/rotate?now=true", nil, 200, `"begun":true`, "keys.rotate", "ok", "kid-2", []string{"now"}},
		{"rotate too often", "POST /v1/keys/rotate", many, 409, "16 signing keys", "keys.rotate", "conflict", "", []string{"rotate"}},
		{"rotate when", "POST /v1/keys/rotate?now=soon", nil, 400, "true or false", "keys.rotate", "malformed", "", nil},
		{
			"sealed", "GET /v1/keys/sealed?after=0.3", nil, 200,
			`{"looked":7,"values":[{"secret":"11111111","count":3,"until":"2026-03-01T12:00:00Z","endless":true}],"next":"0.5"}`, "keys.sealed", "ok", "",
			[]string{"after 0.3"},
		},
		{"a bug", "GET /v1/keys/sealed", errors.New("hunter2"), 500, "Something went wrong", "keys.sealed", "failed", "", []string{"after "}},
		{"no such path", "GET /v1/keys/kid-1", nil, 404, "no such path", "unknown", "not_found", "", nil},
		{"nor below", "POST /v1/keys/rotate/now", nil, 404, "no such path", "unknown", "not_found", "", nil},
		{"read to rotate", "GET /v1/keys/rotate", nil, 405, "Allow", "unknown", "malformed", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, audit := &safe{err: c.err}, &trail{}
			h := New(Options{Token: token.NewSecret(adminToken), Keys: func() Keys { return s }, Audit: audit})
			method, path, _ := strings.Cut(c.call, " ")
			r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
			r.Header.Set("Authorization", "Bearer "+adminToken)
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, r)
			if body := rec.Body.String(); rec.Code != c.status || !strings.Contains(body, c.body) {
				t.Errorf("%s = %d %s; want %d with %s", c.call, rec.Code, body, c.status, c.body)
			}
			if e := audit.last(t); e.Action != c.action || e.Outcome != c.outcome || e.Target != c.what {
				t.Errorf("audit = %+v; want %s %s %q", e, c.action, c.outcome, c.what)
			}
			if !slices.Equal(s.asked, c.asked) {
				t.Errorf("asked %q; want %q", s.asked, c.asked)
			}
		})
	}
}

func TestKeysNeedTokenAndGateway(t *testing.T) {
	h := New(Options{Token: token.NewSecret(adminToken), Keys: func() Keys { return nil }})
	for _, call := range []string{"GET /v1/keys", "POST /v1/keys/rotate", "GET /v1/keys/sealed"} {
		method, path, _ := strings.Cut(call, " ")
		for auth, want := range map[string]int{"": http.StatusUnauthorized, "Bearer " + adminToken: http.StatusServiceUnavailable} {
			r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
			r.Header.Set("Authorization", auth)
			rec := httptest.NewRecorder()
			if h.ServeHTTP(rec, r); rec.Code != want {
				t.Errorf("%s with %q = %d; want %d", call, auth, rec.Code, want)
			}
		}
	}
}

func TestClientSpeaksOfKeys(t *testing.T) {
	s := &safe{}
	srv := httptest.NewServer(New(Options{Token: token.NewSecret(adminToken), Keys: func() Keys { return s }}))
	t.Cleanup(srv.Close)
	c, ctx := clientOf(t, srv.URL, adminToken), t.Context()
	list, err := c.Keys(ctx)
	if err != nil || len(list.Signing) != 1 || len(list.Replicas) != 1 || !list.Secrets[0].SafeFrom.Equal(at.Add(time.Hour)) {
		t.Errorf("Keys = %+v, %v", list, err)
	}
	for _, now := range []bool{true, false} {
		got, err := c.RotateKey(ctx, now)
		if diff := cmp.Diff(RotatedKey{KID: "kid-2", From: at, Begun: true}, got); diff != "" || err != nil {
			t.Errorf("RotateKey: %v\n%s", err, diff)
		}
	}
	for _, next := range []string{"", "0.5"} {
		if p, err := c.Sealed(ctx, next); err != nil || p.Looked != 7 || p.Next != "0.5" || p.Values[0].Count != 3 {
			t.Errorf("Sealed = %+v, %v", p, err)
		}
	}
	if want := []string{"report", "now", "rotate", "after ", "after 0.5"}; !slices.Equal(s.asked, want) {
		t.Errorf("asked %q; want %q", s.asked, want)
	}
}
