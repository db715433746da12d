package admin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

const (
	clientTimeout = 30 * time.Second // for one call, which may look at all that is stored
	maxAnswer     = 16 << 20         // bytes: a page of 500 with the longest descriptions
)

// Client speaks the operator's API. It is safe for concurrent use.
type Client struct {
	base  *url.URL
	token token.Secret
	http  *http.Client
}

// NewClient returns a client for the gateway whose admin address is at base. It
// follows no redirect and no HTTP_PROXY: the token goes to this address or nowhere.
func NewClient(base *url.URL, secret token.Secret) *Client {
	return &Client{base: base, token: secret, http: &http.Client{
		Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}},
		Timeout:   clientTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}}
}

// Sessions returns a page of the sessions of a user; empty: of all. next is that
// of the page before; empty: the first page.
func (c *Client) Sessions(ctx context.Context, user, next string, limit int) (SessionList, error) {
	var list SessionList
	return list, c.call(ctx, http.MethodGet, "sessions", pageQuery(user, next, limit), &list)
}

// Session returns the session of an id: 16 hex digits, or the first six.
func (c *Client) Session(ctx context.Context, sid string) (Session, error) {
	var s Session
	return s, c.call(ctx, http.MethodGet, "sessions/"+url.PathEscape(sid), nil, &s)
}

// Revoke ends a session.
func (c *Client) Revoke(ctx context.Context, sid string) (Ended, error) {
	var e Ended
	return e, c.call(ctx, http.MethodDelete, "sessions/"+url.PathEscape(sid), nil, &e)
}

// RevokeUser ends all sessions of a user, and his API tokens if tokens is set.
func (c *Client) RevokeUser(ctx context.Context, user string, tokens bool) (EndedAll, error) {
	var e EndedAll
	q := url.Values{"user": {user}, "tokens": {strconv.FormatBool(tokens)}}
	return e, c.call(ctx, http.MethodDelete, "sessions", q, &e)
}

// Tokens is Sessions for API tokens.
func (c *Client) Tokens(ctx context.Context, user, next string, limit int) (TokenList, error) {
	var list TokenList
	return list, c.call(ctx, http.MethodGet, "tokens", pageQuery(user, next, limit), &list)
}

// RevokeToken ends an API token by its own id or that of its session. User, unless
// empty, says whose it is.
func (c *Client) RevokeToken(ctx context.Context, id, user string) (Ended, error) {
	var e Ended
	q := url.Values{}
	if user != "" {
		q.Set("user", user)
	}
	return e, c.call(ctx, http.MethodDelete, "tokens/"+url.PathEscape(id), q, &e)
}

// Challenges returns the second factors that wait for an answer.
func (c *Client) Challenges(ctx context.Context) (ChallengeList, error) {
	var list ChallengeList
	return list, c.call(ctx, http.MethodGet, "challenges", nil, &list)
}

// Decide approves or denies one.
func (c *Client) Decide(ctx context.Context, id string, approve bool) (Decided, error) {
	var d Decided
	verb := "/deny"
	if approve {
		verb = "/approve"
	}
	return d, c.call(ctx, http.MethodPost, "challenges/"+url.PathEscape(id)+verb, nil, &d)
}

// Backends returns how it stands with the backends.
func (c *Client) Backends(ctx context.Context) (BackendList, error) {
	var list BackendList
	return list, c.call(ctx, http.MethodGet, "backends", nil, &list)
}

// RetryBackend has a backend's account tried again.
func (c *Client) RetryBackend(ctx context.Context, name string) (Retried, error) {
	var r Retried
	return r, c.call(ctx, http.MethodPost, "backends/"+url.PathEscape(name)+"/retry", nil, &r)
}

func pageQuery(user, next string, limit int) url.Values {
	q := url.Values{"limit": {strconv.Itoa(limit)}}
	if user != "" {
		q.Set("user", user)
	}
	if next != "" {
		q.Set("after", next)
	}
	return q
}

// call makes one call and reads its answer into v. Its errors say what to do.
func (c *Client) call(ctx context.Context, method, path string, q url.Values, v any) error {
	where := strings.TrimSuffix(c.base.String(), "/") + "/v1/" + path
	if len(q) > 0 {
		where += "?" + q.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, method, where, nil)
	if err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+c.token.Reveal())
	res, err := c.http.Do(r)
	if err != nil {
		return c.unreached(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil || len(body) > maxAnswer {
		return c.failed("its answer cannot be read to the end", err)
	}
	if res.StatusCode != http.StatusOK {
		return c.refused(res, body)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return c.failed("its answer is none of the operator's API; "+settingHint, err)
	}
	return nil
}

const settingHint = "see that GATEHOUSE_ADMIN_URL names the admin address of a gateway, GATEHOUSE_ADMIN_LISTEN there"

func (c *Client) failed(what string, cause error) error {
	if cause == nil {
		return fmt.Errorf("%s: %s", c.base, what)
	}
	return fmt.Errorf("%s: %s: %w", c.base, what, cause)
}

// unreached names the remedy of a call that got no answer. What net/http says of
// it begins with method and URL, which tell nothing.
func (c *Client) unreached(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	what := "the gateway cannot be reached; " + settingHint
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		what = "nothing listens there; see that the gateway runs, and that GATEHOUSE_ADMIN_URL names its GATEHOUSE_ADMIN_LISTEN"
	case errors.Is(err, http.ErrSchemeMismatch), isA[tls.RecordHeaderError](err):
		what = "it does not speak TLS; begin GATEHOUSE_ADMIN_URL with http://"
	case isA[*tls.CertificateVerificationError](err), isA[x509.UnknownAuthorityError](err):
		what = "its certificate is not trusted; name a PEM file with its authority in SSL_CERT_FILE"
	case errors.Is(err, context.DeadlineExceeded):
		what = "it did not answer within " + clientTimeout.String() + "; its log and /readyz may say why"
	}
	return c.failed(what, err)
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// refused makes an error of an answer that is one.
func (c *Client) refused(res *http.Response, body []byte) error {
	var p Problem
	if json.Unmarshal(body, &p) != nil || p.Detail == "" {
		if res.StatusCode == http.StatusBadRequest && strings.Contains(string(body), "HTTP request to an HTTPS server") {
			return c.failed("it speaks TLS; begin GATEHOUSE_ADMIN_URL with https://", nil)
		}
		return c.failed("it answers "+strconv.Itoa(res.StatusCode)+", and not as the operator's API does; "+settingHint, nil)
	}
	if res.StatusCode == http.StatusUnauthorized {
		return c.failed("the gateway refuses this admin token; GATEHOUSE_ADMIN_TOKEN must be the one it was started with", nil)
	}
	if after := res.Header.Get("Retry-After"); after != "" {
		p.Detail += " (Retry after " + after + " s.)"
	}
	return errors.New(p.Detail)
}
