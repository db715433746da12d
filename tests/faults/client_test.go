package faults

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Hosts of the routes.
const (
	hostAccount = "account.test" // a service account, clients are users of the gateway
	hostPass    = "pass.test"    // each client's own login at the appliance
	hostBurst   = "burst.test"   // a service account that only one scenario uses
	hostLocked  = "locked.test"  // a service account whose password is wrong
	hostCrash   = "crash.test"   // a service account for replicas that are killed
)

// callLimit is how long a client waits for an answer.
const callLimit = 15 * time.Second

// kind is what a request is for.
type kind string

const (
	kindGet     kind = "get"
	kindPost    kind = "post"
	kindLogin   kind = "login"
	kindRefresh kind = "refresh"
	kindLogout  kind = "logout"
)

// call is one request to be sent.
type call struct {
	kind         kind
	host         string
	method, path string
	access, body string
}

// answer is what came of a call.
type answer struct {
	status  int // 0: there is no answer, err says why
	header  http.Header
	body    string
	err     error
	unsent  bool // err: the request did not leave
	replica *replica
	began   time.Time
	took    time.Duration
}

func newHTTPClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: time.Second}).DialContext,
			MaxIdleConnsPerHost: 256, DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// send sends a call to one replica.
func send(ctx context.Context, c *http.Client, r *replica, q call) answer {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	a := answer{replica: r, began: time.Now()}
	req, err := http.NewRequestWithContext(ctx, q.method, "http://"+r.listen+q.path, strings.NewReader(q.body))
	if err != nil {
		a.err = err
		return a
	}
	req.Host = q.host
	if q.access != "" {
		req.Header.Set("Authorization", "Bearer "+q.access)
	}
	if q.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.Do(req)
	if err != nil {
		a.err, a.took = err, time.Since(a.began)
		op, ok := errors.AsType[*net.OpError](err)
		a.unsent = ok && op.Op == "dial"
		return a
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	a.took, a.header, a.body = time.Since(a.began), resp.Header, string(body)
	if a.err = err; err == nil {
		a.status = resp.StatusCode
	}
	return a
}

// cookie returns the value of a Set-Cookie; empty if there is none.
func (a answer) cookie(name string) string {
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// clears reports whether the answer takes a cookie away.
func (a answer) clears() bool {
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		if c.MaxAge < 0 || c.Value == "" || !c.Expires.IsZero() && c.Expires.Before(time.Now().Add(-time.Minute)) {
			return true
		}
	}
	return false
}

// retryAfter returns how long to wait; false if the answer does not say.
func (a answer) retryAfter() (time.Duration, bool) {
	n, err := strconv.Atoi(a.header.Get("Retry-After"))
	return time.Duration(n) * time.Second, err == nil
}

// told is what the appliance says in the body of an answer.
type told struct {
	User   string
	Family int
	Job    string
	Code   string
}

func (a answer) told() told {
	var t told
	_ = json.Unmarshal([]byte(a.body), &t) // no JSON, nothing told
	return t
}

func getCall(host, access string) call {
	return call{kind: kindGet, host: host, method: http.MethodGet, path: "/api/v7.0/snapshots", access: access}
}

func postCall(host, access, id string) call {
	return call{kind: kindPost, host: host, method: http.MethodPost, path: "/api/v7.0/jobs", access: access, body: `{"id":"` + id + `"}`}
}

func loginCall(host, user, password string) call {
	body, _ := json.Marshal(map[string]string{"username": user, "password": password}) // strings always marshal
	return call{kind: kindLogin, host: host, method: http.MethodPost, path: "/api/auth/login", body: string(body)}
}

func refreshCall(host, refresh string) call {
	body, _ := json.Marshal(map[string]string{"refreshToken": refresh}) // strings always marshal
	return call{kind: kindRefresh, host: host, method: http.MethodPost, path: "/api/auth/token", body: string(body)}
}

func logoutCall(host, access string) call {
	return call{kind: kindLogout, host: host, method: http.MethodPost, path: "/api/auth/logout", access: access}
}
