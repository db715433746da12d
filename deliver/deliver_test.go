package deliver_test

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/deliver"
	"github.com/gatehouse-gateway/gatehouse/identity"
	"github.com/gatehouse-gateway/gatehouse/token"
)

const canary = "86420975"

func codeFor(method, to string) identity.Code {
	return identity.Code{User: "alice", Method: method, To: to, Text: token.NewSecret(canary)}
}

// mailServer speaks as much of SMTP as a mail needs.
type mailServer struct {
	net.Listener
	tls      *tls.Config // nil: STARTTLS is not offered
	implicit bool
	auth     string // what AUTH PLAIN must bring; empty: not offered
	refuse   string // the answer to DATA's end; empty: taken
	silent   bool   // never greets

	mu    sync.Mutex
	mails []string // guarded by mu: envelope and text
	clear bool     // guarded by mu: a mail came without TLS
}

func (s *mailServer) start(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Listener = l
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
}

func (s *mailServer) serve(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if s.silent {
		_, _ = io.Copy(io.Discard, conn)
		return
	}
	secure := s.implicit
	if s.implicit {
		conn = tls.Server(conn, s.tls)
	}
	in := bufio.NewReader(conn)
	say := func(format string, v ...any) { fmt.Fprintf(conn, format+"\r\n", v...) }
	say("220 test")
	signedIn, envelope := s.auth == "", ""
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSpace(line)
		verb, rest, _ := strings.Cut(line, " ")
		switch strings.ToUpper(verb) {
		case "EHLO":
			say("250-test")
			if s.tls != nil && !secure {
				say("250-STARTTLS")
			}
			if s.auth != "" {
				say("250-AUTH PLAIN")
			}
			say("250 8BITMIME")
		case "STARTTLS":
			if s.tls == nil {
				say("502 not here")
				continue
			}
			say("220 go on")
			conn = tls.Server(conn, s.tls)
			in, secure = bufio.NewReader(conn), true
		case "AUTH":
			if signedIn = rest == "PLAIN "+s.auth; signedIn {
				say("235 welcome")
			} else {
				say("535 no")
			}
		case "MAIL", "RCPT":
			if !signedIn {
				say("530 sign in")
				continue
			}
			envelope += line + "\n"
			say("250 ok")
		case "DATA":
			say("354 go on")
			text := ""
			for {
				l, err := in.ReadString('\n')
				if err != nil {
					return
				}
				if l == ".\r\n" {
					break
				}
				text += l
			}
			if s.refuse != "" {
				say("%s", s.refuse+" "+text[strings.Index(text, "code is") : len(text)-2][:20])
				continue
			}
			s.mu.Lock()
			s.mails, s.clear = append(s.mails, envelope+text), s.clear || !secure
			s.mu.Unlock()
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("500 what?")
		}
	}
}

func (s *mailServer) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mails
}

// certificate makes one for 127.0.0.1 and the file that vouches for it.
func certificate(t *testing.T) (*tls.Config, string) {
	t.Helper()
	srv := httptest.NewTLSServer(nil)
	defer srv.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: srv.TLS.Certificates, MinVersion: tls.VersionTLS12}, file
}

func TestMailsArriveOverTLS(t *testing.T) {
	conf, ca := certificate(t)
	for mode, s := range map[string]*mailServer{
		"starttls": {tls: conf, auth: "AHN2YwBwYXNz"}, // \0svc\0pass
		"implicit": {tls: conf, implicit: true, auth: "AHN2YwBwYXNz"},
	} {
		t.Run(mode, func(t *testing.T) {
			s.start(t)
			c, err := deliver.New(&deliver.SMTP{
				Address: s.Addr().String(), From: "gate@example.net", Username: "svc", Password: token.NewSecret("pass"),
				TLS: mode, CAFile: ca, Timeout: 5 * time.Second,
			}, nil, 5*time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Deliver(t.Context(), codeFor("email", "alice@example.org")); err != nil {
				t.Fatalf("Deliver = %v; want no error", err)
			}
			mails := s.got()
			if len(mails) != 1 || s.clear {
				t.Fatalf("mails = %q, in the clear: %v; want one over TLS", mails, s.clear)
			}
			for _, want := range []string{
				"MAIL FROM:<gate@example.net>", "RCPT TO:<alice@example.org>", "\r\nTo: alice@example.org\r\n", "Your sign-in code is " + canary + ".", "5 minutes",
			} {
				if !strings.Contains(mails[0], want) {
					t.Errorf("the mail lacks %q:\n%s", want, mails[0])
				}
			}
			if subject, _, _ := strings.Cut(mails[0], "\r\n\r\n"); strings.Contains(subject, canary) {
				t.Error("the code is in the mail's head, which lock screens and logs show")
			}
		})
	}
}

func TestMailsThatCannotBeSentSaySo(t *testing.T) {
	conf, ca := certificate(t)
	for name, c := range map[string]struct {
		server *mailServer
		change func(*deliver.SMTP)
		to     string
	}{
		"no STARTTLS where it is asked for": {server: &mailServer{}},
		"a certificate nobody vouches for":  {server: &mailServer{tls: conf}, change: func(s *deliver.SMTP) { s.CAFile = "" }},
		"a wrong password":                  {server: &mailServer{tls: conf, auth: "AHN2YwBwYXNz"}, change: func(s *deliver.SMTP) { s.Username, s.Password = "svc", token.NewSecret("x") }},
		"a server that refuses and quotes":  {server: &mailServer{tls: conf, refuse: "554"}},
		"a server that never speaks":        {server: &mailServer{silent: true}},
		"an address that is none":           {server: &mailServer{tls: conf}, to: "nobody"},
		"an address with a line end":        {server: &mailServer{tls: conf}, to: "a@b.c\r\nBcc: x@y.z"},
	} {
		t.Run(name, func(t *testing.T) {
			c.server.start(t)
			s := deliver.SMTP{Address: c.server.Addr().String(), From: "g@example.net", TLS: "starttls", CAFile: ca, Timeout: 500 * time.Millisecond}
			if c.change != nil {
				c.change(&s)
			}
			if c.to == "" {
				c.to = "alice@example.org"
			}
			courier, err := deliver.New(&s, nil, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			err = courier.Deliver(t.Context(), codeFor("email", c.to))
			if err == nil || len(c.server.got()) != 0 {
				t.Fatalf("Deliver = %v, mails %q; want an error and none", err, c.server.got())
			}
			if strings.Contains(err.Error(), canary) {
				t.Errorf("the error shows the code: %v", err)
			}
		})
	}
}

func hookOf(t *testing.T, timeout time.Duration, h http.HandlerFunc) *deliver.Courier {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL + "/codes")
	if err != nil {
		t.Fatal(err)
	}
	c, err := deliver.New(nil, &deliver.Webhook{URL: u, Secret: token.NewSecret("a secret of the hook"), Timeout: timeout}, 5*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWebhookGetsASignedCall(t *testing.T) {
	var body []byte
	var head http.Header
	c := hookOf(t, 10*time.Second, func(_ http.ResponseWriter, r *http.Request) {
		head = r.Header
		body, _ = io.ReadAll(r.Body)
	})
	for method, to := range map[string]string{"sms": "+43 1 234", "email": "alice@example.org"} { // no SMTP: mail too
		if err := c.Deliver(t.Context(), codeFor(method, to)); err != nil {
			t.Fatalf("Deliver = %v; want no error", err)
		}
		var got map[string]any
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatal(err)
		}
		want := map[string]any{"user": "alice", "to": to, "method": method, "code": canary, "expires_in": 300.0}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("body = %v; want %v", got, want)
		}
		h := hmac.New(sha256.New, []byte("a secret of the hook"))
		h.Write([]byte(head.Get("X-Gatehouse-Time") + "."))
		h.Write(body)
		if sig := head.Get("X-Gatehouse-Signature"); sig != "sha256="+hex.EncodeToString(h.Sum(nil)) {
			t.Errorf("signature = %q; want that of time and body", sig)
		}
	}
}

func TestWebhookFailuresAreErrors(t *testing.T) {
	var elsewhere int
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere++ }))
	defer other.Close()
	for name, h := range map[string]http.HandlerFunc{
		"500": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); fmt.Fprint(w, canary) },
		"404": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) },
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		},
		"no answer": func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); <-r.Context().Done() },
		"hang up":   func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		c := hookOf(t, 500*time.Millisecond, h)
		err := c.Deliver(t.Context(), codeFor("sms", "+43"))
		if err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: Deliver = %v; want an error without the code", name, err)
		}
	}
	if elsewhere != 0 {
		t.Error("a redirect was followed with a code")
	}
}

func TestQueueIsBounded(t *testing.T) {
	const most = 8 + 64
	release := make(chan struct{})
	c := hookOf(t, 10*time.Second, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then does it see who hangs up
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	results := make(chan error, most+1)
	for range most + 1 {
		go func() { results <- c.Deliver(context.WithoutCancel(t.Context()), codeFor("sms", "+43")) }()
	}
	first := <-results // nobody else can be done: the hook answers nobody yet
	if first == nil || !strings.Contains(first.Error(), "too many") {
		t.Errorf("the one beyond the queue got %v; want it refused at once", first)
	}
	close(release)
	for range most {
		if err := <-results; err != nil && strings.Contains(err.Error(), "too many") {
			t.Errorf("one within the queue got %v", err)
		}
	}
}

func TestWithoutAWayNothingIsSent(t *testing.T) {
	c, err := deliver.New(nil, nil, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []string{"sms", "email"} {
		if err := c.Deliver(t.Context(), codeFor(m, "x")); err == nil {
			t.Errorf("Deliver by %s = nil; want an error", m)
		}
	}
}

func TestCAFileThatIsNoneIsTold(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{file, file + "-absent"} {
		if _, err := deliver.New(&deliver.SMTP{Address: "h:25", From: "a@b", CAFile: name}, nil, 0); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("New = %v; want %s named", err, name)
		}
	}
}
