package vectors

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Script is the backend of a spoken vector: a http.RoundTripper that takes
// exactly the exchanges it is told to expect. The zero value takes none. It is
// safe for concurrent use.
type Script struct {
	mu       sync.Mutex // guards what follows
	pending  []*awaited
	anyOrder bool
	faults   []error
}

// awaited is an exchange with how often it has happened; held is closed when
// its replies may go.
type awaited struct {
	Exchange
	seen int
	held chan struct{}
}

// Expect has the script take these exchanges and no others, in their order or
// in any.
func (s *Script) Expect(list []Exchange, anyOrder bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending, s.anyOrder = nil, anyOrder
	for _, x := range list {
		if x.Repeat == (Times{}) {
			x.Repeat = Times{1, 1}
		}
		s.pending = append(s.pending, &awaited{Exchange: x, held: make(chan struct{})})
	}
}

// Faults says what was expected and has not come, and what came unexpected
// since it was last called; nil for nothing.
func (s *Script) Faults() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	faults := s.faults
	for _, e := range s.pending {
		if e.seen < e.Repeat.Least {
			faults = append(faults, fmt.Errorf("%s %s came %d times; want %d", e.Expect.Method, e.Expect.Path, e.seen, e.Repeat.Least))
		}
	}
	s.faults = nil
	return errors.Join(faults...)
}

// RoundTrip implements http.RoundTripper.
func (s *Script) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		_ = r.Body.Close()
	}
	e, err := s.take(r, body)
	if err != nil {
		return nil, err
	}
	if e.HoldUntil > 0 {
		<-e.held
	}
	if e.DelayMS > 0 {
		<-time.After(time.Duration(e.DelayMS) * time.Millisecond)
	}
	return &http.Response{
		StatusCode: e.Reply.Status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: e.Reply.Header(),
		Body: io.NopCloser(strings.NewReader(e.Reply.Text())), ContentLength: int64(len(e.Reply.Text())), Request: r,
	}, nil
}

// take finds the exchange that a request is.
func (s *Script) take(r *http.Request, body []byte) (*awaited, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fault := fmt.Errorf("unexpected %s %s", r.Method, r.URL)
	for _, e := range s.pending {
		if e.seen >= e.Repeat.Most {
			continue
		}
		err := e.Expect.Check(r, body)
		if err == nil {
			if e.seen++; e.seen == e.HoldUntil {
				close(e.held)
			}
			return e, nil
		}
		fault = fmt.Errorf("%w; it is not %s %s: %w", fault, e.Expect.Method, e.Expect.Path, err)
		if !s.anyOrder && e.seen < e.Repeat.Least {
			break
		}
	}
	s.faults = append(s.faults, fault)
	return nil, fault
}

// Check refuses a request, whose body has been read, that is not the expected
// one.
func (x Expect) Check(r *http.Request, body []byte) error {
	if r.Method != x.Method {
		return fmt.Errorf("method %s; want %s", r.Method, x.Method)
	}
	if err := (Scope{}).Match("path", x.Path, r.URL.RequestURI()); err != nil {
		return err
	}
	errs := []error{lacks(r.Header, body, x.NotContains)}
	if t := x.AccessToken; t != "" && r.Header.Get("Authorization") != "Bearer "+t && !hasCookie(r, "accessToken", t) {
		errs = append(errs, fmt.Errorf("it does not carry the access token %s", t))
	}
	var fields struct{ RefreshToken string }
	if t := x.RefreshToken; t != "" && !hasCookie(r, "refreshToken", t) &&
		(json.Unmarshal(body, &fields) != nil || fields.RefreshToken != t) {
		errs = append(errs, fmt.Errorf("it does not carry the refresh token %s", t))
	}
	for _, k := range slices.Sorted(maps.Keys(x.Headers)) {
		errs = append(errs, Scope{}.Match("header "+k, x.Headers[k], headerValue(r.Header, k)))
	}
	return errors.Join(append(errs, x.checkBody(string(body)))...)
}

func (x Expect) checkBody(body string) error {
	var errs []error
	if x.Body.JSON != nil {
		errs = append(errs, Scope{}.matchJSON(x.Body.JSON, []byte(body)))
	}
	if x.Body.Raw != nil {
		errs = append(errs, Scope{}.Match("body", x.Body.Raw, body))
	}
	if x.BodyToken != "" && !strings.Contains(body, x.BodyToken) {
		errs = append(errs, fmt.Errorf("the body does not contain the token %s", x.BodyToken))
	}
	if x.BodyNoToken && body != "" {
		errs = append(errs, fmt.Errorf("the body has %d bytes, which may be a token", len(body)))
	}
	return errors.Join(errs...)
}

func hasCookie(r *http.Request, name, value string) bool {
	c, err := r.Cookie(name)
	return err == nil && c.Value == value
}
