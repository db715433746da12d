package admin

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

func clientOf(t *testing.T, base, secret string) *Client {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	return NewClient(u, token.NewSecret(secret))
}

// Client and handler are the two sides of one API.
func TestClientSpeaksTheAPI(t *testing.T) {
	d := &desk{
		page: session.Page{Sessions: []session.Listed{nightly()}, Next: "more"}, found: []session.Listed{nightly()},
		ended: true, revoked: session.Revoked{Sessions: 2, APITokens: 1},
	}
	srv := httptest.NewServer(newDesk(d, nil))
	t.Cleanup(srv.Close)
	c, ctx := clientOf(t, srv.URL+"/", adminToken), t.Context()

	if l, err := c.Sessions(ctx, "al/ice & b", "next", 7); err != nil || len(l.Sessions) != 1 || l.Next != "more" || l.Sessions[0].TokenID != "778899" {
		t.Errorf("Sessions = %+v, %v", l, err)
	}
	if want := (session.Query{User: "al/ice & b", After: "next", Limit: 7}); d.query != want {
		t.Errorf("Sessions asks for %+v; want %+v", d.query, want)
	}
	if l, err := c.Tokens(ctx, "", "", 500); err != nil || len(l.Tokens) != 1 || l.Tokens[0].Uses != 7 || !l.Tokens[0].Expires.IsZero() || !l.Tokens[0].Made.Equal(at) {
		t.Errorf("Tokens = %+v, %v", l, err)
	}
	if s, err := c.Session(ctx, "001122"); err != nil || s.SID != "00112233445566ff" || !s.Ends.Equal(at.Add(time.Hour)) {
		t.Errorf("Session = %+v, %v", s, err)
	}
	if e, err := c.Revoke(ctx, "a b/c?"); err != nil || !e.Ended {
		t.Errorf("Revoke = %+v, %v", e, err)
	}
	if e, err := c.RevokeToken(ctx, "778899", "bob"); err != nil || !e.Ended {
		t.Errorf("RevokeToken = %+v, %v", e, err)
	}
	if e, err := c.RevokeUser(ctx, "alice", true); err != nil || e != (EndedAll{Sessions: 2, Tokens: 1}) {
		t.Errorf("RevokeUser = %+v, %v", e, err)
	}
	if l, err := c.Challenges(ctx); err != nil || len(l.Challenges) != 1 {
		t.Errorf("Challenges = %+v, %v", l, err)
	}
	for _, approve := range []bool{true, false} {
		if got, err := c.Decide(ctx, "x/y", approve); err != nil || got != (Decided{"x/y", approve}) {
			t.Errorf("Decide = %+v, %v", got, err)
		}
	}
	want := "001122|a b/c?|revoke 00112233445566ff|778899/bob|revoke 00112233445566ff|alice|tokens|approve x/y|deny x/y"
	if got := strings.Join(d.asked, "|"); got != want {
		t.Errorf("asked %s; want %s", got, want)
	}
}

func TestClientSaysWhatToDo(t *testing.T) {
	serve := func(h http.HandlerFunc) string {
		srv := httptest.NewServer(h)
		t.Cleanup(srv.Close)
		return srv.URL
	}
	off := httptest.NewServer(New(Options{}))
	guarded := httptest.NewServer(newDesk(&desk{err: token.Fail(token.NotFound, "There is no session of this id.", nil)}, nil))
	away := httptest.NewServer(newDesk(&desk{err: &token.Error{Kind: token.Unavailable, Msg: "The store is away.", RetryAfter: time.Second}}, nil))
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	gone := httptest.NewServer(http.NotFoundHandler())
	for _, s := range []*httptest.Server{off, guarded, away, secure} {
		t.Cleanup(s.Close)
	}
	gone.Close()
	for name, c := range map[string]struct{ base, secret, want string }{
		"nobody listens":    {gone.URL, adminToken, "nothing listens there"},
		"no such host":      {"http://gatehouse.invalid", adminToken, "cannot be reached"},
		"no token set":      {off.URL, adminToken, "started without GATEHOUSE_ADMIN_TOKEN"},
		"wrong token":       {guarded.URL, "wrong-canary-token", "refuses this admin token"},
		"not found":         {guarded.URL, adminToken, "no session of this id"},
		"store away":        {away.URL, adminToken, "Retry after 1 s"},
		"plain HTTP by TLS": {strings.Replace(off.URL, "http://", "https://", 1), adminToken, "begin GATEHOUSE_ADMIN_URL with http://"},
		"TLS by plain HTTP": {strings.Replace(secure.URL, "https://", "http://", 1), adminToken, "begin GATEHOUSE_ADMIN_URL with https://"},
		"unknown authority": {secure.URL, adminToken, "SSL_CERT_FILE"},
		"another server":    {serve(http.NotFound), adminToken, "GATEHOUSE_ADMIN_LISTEN there"},
		"a front page":      {serve(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }), adminToken, "none of the operator's API"},
		"a redirect": {serve(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, off.URL, http.StatusTemporaryRedirect)
		}), adminToken, "it answers 307"},
		"an endless answer": {serve(func(w http.ResponseWriter, _ *http.Request) {
			b := make([]byte, 1<<20)
			for range 20 {
				_, _ = w.Write(b)
			}
		}), adminToken, "cannot be read to the end"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := clientOf(t, c.base, c.secret).Session(t.Context(), "001122")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v; want it to say %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), c.secret) {
				t.Errorf("the error shows the token: %v", err)
			}
		})
	}
}
