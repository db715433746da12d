package upstream_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream"
)

// legacy is a backend without a token API. It says what it got.
type legacy struct {
	status int
	header http.Header // of the answers
	got    http.Header // of the last request
	open   int         // bodies of answers that are not closed yet
}

func (l *legacy) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
	l.got = r.Header.Clone()
	l.open++
	return &http.Response{StatusCode: l.status, Header: l.header.Clone(), Body: &counted{Reader: strings.NewReader("secret words"), open: &l.open}, Request: r}, nil
}

type counted struct {
	io.Reader
	open *int
}

func (c *counted) Close() error {
	*c.open--
	return nil
}

func speaking(l *legacy, change func(*upstream.Config)) (*upstream.Backend, *bytes.Buffer) {
	log := &bytes.Buffer{}
	c := upstream.Config{Name: "wiki", URL: base, Transport: l, Log: slog.New(slog.NewJSONHandler(log, nil))}
	change(&c)
	return upstream.New(c), log
}

func withStatic(c *upstream.Config) {
	c.Static = &upstream.Static{Header: "X-Api-Key", Value: token.NewSecret("the-key")}
}

func withMint(c *upstream.Config) {
	c.Mint = &upstream.Mint{TTL: time.Minute, Make: func(c token.Caller) (token.Secret, error) {
		if c.Identity.Name == "crowd" {
			return token.Secret{}, errors.New("too many groups")
		}
		return token.NewSecret("jwt-of-" + c.Identity.Name), nil
	}}
}

func TestCredentialsWithoutATokenAPI(t *testing.T) {
	alice := token.Caller{SID: token.SID{1}, Identity: token.Identity{Name: "alice", ID: "1"}}
	nobody := token.Caller{}
	for _, tt := range []struct {
		name          string
		config        func(*upstream.Config)
		caller        *token.Caller
		header, value string // what is injected; empty: nothing
	}{
		{"static", withStatic, &alice, "X-Api-Key", "the-key"},
		{"static, anonymous with inject", withStatic, &nobody, "X-Api-Key", "the-key"},
		{"static, anonymous", withStatic, nil, "", ""},
		{"jwt", withMint, &alice, "Authorization", "Bearer jwt-of-alice"},
		{"jwt, anonymous with inject", withMint, &nobody, "", ""},
		{"jwt, anonymous", withMint, nil, "", ""},
		{"none", func(*upstream.Config) {}, &alice, "", ""},
	} {
		l := &legacy{status: 200}
		b, _ := speaking(l, tt.config)
		r := request(t, alice, http.MethodGet, nil)
		r = r.WithContext(t.Context())
		if tt.caller != nil {
			r = r.WithContext(token.WithCaller(t.Context(), *tt.caller))
		}
		resp, err := b.RoundTrip(r)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%s: %v, %v", tt.name, resp, err)
		}
		want := http.Header{}
		if tt.header != "" {
			want.Set(tt.header, tt.value)
		}
		if len(l.got) != len(want) || l.got.Get(tt.header) != want.Get(tt.header) {
			t.Errorf("%s: the backend got %v; want %v", tt.name, l.got, want)
		}
	}
}

// The client has no credential of the backend's: a 401 that comes of ours is
// none of its business, and would make a browser ask for the backend's password.
func TestRefusedCredentialIsTheOperatorsAffair(t *testing.T) {
	alice := token.Caller{Identity: token.Identity{Name: "alice", ID: "1"}}
	for _, way := range []struct {
		name   string
		config func(*upstream.Config)
		remedy string
	}{{"static", withStatic, "under static"}, {"jwt", withMint, "issuer and audience"}} {
		synctest.Test(t, func(t *testing.T) {
			l := &legacy{status: 401, header: http.Header{"Www-Authenticate": {`Basic realm="` + strings.Repeat("x", 300) + `"`}}}
			b, log := speaking(l, way.config)
			for range 3 {
				_, err := b.RoundTrip(request(t, alice, http.MethodGet, nil))
				e := wantKind(t, err, token.BadGateway)
				if strings.Contains(e.Msg, "realm") || strings.Contains(e.Error(), "secret") {
					t.Errorf("%s: %v", way.name, e)
				}
			}
			if n := strings.Count(log.String(), "ERROR"); n != 1 || !strings.Contains(log.String(), way.remedy) {
				t.Errorf("%s: three refusals are %d lines:\n%s", way.name, n, log)
			}
			if strings.Contains(log.String(), strings.Repeat("x", 200)) || strings.Contains(log.String(), "the-key") || strings.Contains(log.String(), "jwt-of") {
				t.Errorf("%s: the log says too much:\n%s", way.name, log)
			}
			time.Sleep(time.Minute)
			_, _ = b.RoundTrip(request(t, alice, http.MethodGet, nil))
			if n := strings.Count(log.String(), "ERROR"); n != 2 {
				t.Errorf("%s: a minute later there are %d lines; want 2", way.name, n)
			}
			if l.open != 0 {
				t.Errorf("%s: %d bodies were never closed", way.name, l.open)
			}
			for _, status := range []int{400, 403, 407, 500, 503} {
				l.status = status
				resp, err := b.RoundTrip(request(t, alice, http.MethodGet, nil))
				if err != nil || resp.StatusCode != status {
					t.Errorf("%s: a %d became %v, %v", way.name, status, resp, err)
				}
			}
			l.status = 401
			anonymous := request(t, alice, http.MethodGet, nil).WithContext(t.Context())
			if resp, err := b.RoundTrip(anonymous); err != nil || resp.StatusCode != 401 {
				t.Errorf("%s: a 401 for a request without our credential became %v, %v", way.name, resp, err)
			}
		})
	}
}

func TestTokenThatCannotBeMadeEndsTheRequest(t *testing.T) {
	l := &legacy{status: 200}
	b, _ := speaking(l, withMint)
	body := &counted{Reader: strings.NewReader("x"), open: new(int)}
	*body.open = 1
	crowd := token.Caller{Identity: token.Identity{Name: "crowd", ID: "1"}}
	_, err := b.RoundTrip(request(t, crowd, http.MethodPost, body))
	wantKind(t, err, token.Internal)
	if l.got != nil || *body.open != 0 {
		t.Errorf("the backend got %v, and the body is open %d times", l.got, *body.open)
	}
}

func BenchmarkRoundTripJWT(b *testing.B) {
	answer := &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody}
	c := upstream.Config{Name: "wiki", URL: base, Transport: roundTrip(func(*http.Request) (*http.Response, error) { return answer, nil })}
	withMint(&c)
	back := upstream.New(c)
	r := request(b, token.Caller{Identity: token.Identity{Name: "alice", ID: "1"}, Scopes: []string{"read"}}, http.MethodGet, nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := back.RoundTrip(r); err != nil {
			b.Fatal(err)
		}
	}
}
