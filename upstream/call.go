package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// Limits of what is read of a backend's answer to a call of our own.
const (
	maxAnswer  = 1 << 20  // of a success
	maxFailure = 16 << 10 // of a failure, as dialect.Errors.Read takes it
	maxToken   = 16 << 10 // of one token
)

// longestThrottle is for how long a throttled login or renewal is waited for
// instead of failing.
const longestThrottle = 5 * time.Second

// refusal is a backend's answer to a call of ours that is not a success, or says
// that it is none.
type refusal struct {
	op     token.Op
	status int
	err    *token.Error // what the dialect makes of it
}

func (r *refusal) Error() string { return fmt.Sprintf("the backend answered %d: %v", r.status, r.err) }
func (r *refusal) Unwrap() error { return r.err }

var (
	errNoCall   = errors.New("the dialect has no such call")
	errTooLong  = errors.New("the answer is too long")
	errBadToken = errors.New("the answer holds no usable access token")
)

// speak makes one call of the dialect and reads its answer. A call that the
// backend throttles for a short time is made once more after it. Errors are a
// *refusal, or say that the backend could not be asked or understood.
func (b *Backend) speak(ctx context.Context, g token.Grant) (token.Set, error) {
	set, err := b.speakKnown(ctx, g)
	if r, ok := errors.AsType[*refusal](err); ok && r.status == http.StatusTooManyRequests &&
		r.err.RetryAfter > 0 && r.err.RetryAfter <= longestThrottle && pause(ctx, r.err.RetryAfter) {
		set, err = b.speakKnown(ctx, g)
	}
	if err != nil {
		return token.Set{}, fmt.Errorf("upstream: %s at %s: %w", g.Op, b.cfg.Name, err)
	}
	return set, nil
}

// speaks reports whether the gateway can make the call of an operation.
func (b *Backend) speaks(op token.Op) bool {
	call := b.cfg.Dialect.Call(op)
	return call != nil && call.WriteRequest != nil
}

// grant returns a grant of the account's, with what it proves itself by. In
// pass-through it holds the operation and the client alone.
func (b *Backend) grant(op token.Op) token.Grant {
	g, a := token.Grant{Op: op, Client: b.cfg.Client}, b.cfg.Account
	if a == nil {
		return g
	}
	if op == token.OpLogin || op == token.OpRenew {
		g.Username, g.Password = a.Username, a.Password
	}
	return g
}

// speakKnown makes a call under a version of the API that the backend knows. Only
// calls that open or continue a session look for one.
func (b *Backend) speakKnown(ctx context.Context, g token.Grant) (set token.Set, err error) {
	if g.Op != token.OpLogin && g.Op != token.OpRenew {
		return b.speakOnce(ctx, b.spoken(), g)
	}
	err = b.underVersion(func(version string) (err error) {
		set, err = b.speakOnce(ctx, version, g)
		return err
	})
	return set, err
}

func (b *Backend) speakOnce(ctx context.Context, version string, g token.Grant) (token.Set, error) {
	if !b.speaks(g.Op) {
		return token.Set{}, errNoCall
	}
	if g.Client == nil {
		g.Client = b.cfg.Client
	}
	call := b.cfg.Dialect.Call(g.Op)
	r, err := b.request(ctx, call, version, g)
	if err != nil {
		return token.Set{}, err
	}
	resp, err := b.cfg.Transport.RoundTrip(r)
	if err != nil {
		return token.Set{}, explained(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return token.Set{}, b.refusal(g.Op, resp)
	}
	resp.Body = &cappedBody{ReadCloser: resp.Body, left: maxAnswer}
	if call.ReadResponse == nil {
		return token.Set{}, nil
	}
	set, err := call.ReadResponse(resp)
	if said, ok := errors.AsType[*token.Error](err); ok {
		return token.Set{}, b.refusalOf(g.Op, resp.StatusCode, said)
	}
	return set, err
}

func (b *Backend) request(ctx context.Context, call *dialect.Call, version string, g token.Grant) (*http.Request, error) {
	u := b.cfg.URL.JoinPath(call.SpokenPath(version, g))
	r, err := http.NewRequestWithContext(ctx, call.Method, u.String(), nil)
	if err != nil {
		return nil, err
	}
	if err := call.WriteRequest(r, g); err != nil {
		return nil, err
	}
	return r, nil
}

func (b *Backend) refusal(op token.Op, resp *http.Response) *refusal {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxFailure))
	if err != nil {
		body = nil // what it says cannot be known; the status still can
	}
	return b.refusalOf(op, resp.StatusCode, b.cfg.Dialect.Errors.Read(resp.StatusCode, resp.Header, body))
}

// refusalOf makes a refusal of what the dialect read.
func (b *Backend) refusalOf(op token.Op, status int, said *token.Error) *refusal {
	ends := b.cfg.Dialect.Errors.EndsRefresh
	if op == token.OpRefresh && ends != nil && ends(said) {
		said.Kind = token.InvalidRefresh
	}
	return &refusal{op: op, status: status, err: said}
}

// tokensOf makes tokens of an answer to a call that began at a known time. What
// cannot be sent in a header, or says that it expired before it was made, is a
// bad answer.
func tokensOf(set token.Set, began time.Time) (*tokens, error) {
	if !sendable(set.Access) || set.ExpiresIn < 0 || !set.Refresh.IsZero() && !sendable(set.Refresh) {
		return nil, errBadToken
	}
	now := time.Now()
	t := &tokens{access: set.Access, refresh: set.Refresh, made: now}
	t.times(set.ExpiresIn, set.ExpiresIn-now.Sub(began))
	return t, nil
}

// sendable reports whether a token can travel in a header: visible ASCII, and
// not absurdly long.
func sendable(s token.Secret) bool {
	text := s.Reveal()
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return false
		}
	}
	return text != "" && len(text) <= maxToken
}

// pause waits, and reports whether it waited for the whole time.
func pause(ctx context.Context, d time.Duration) bool { return pauseOr(ctx, nil, d) }

// cappedBody fails, instead of ending, where an answer goes over its limit.
type cappedBody struct {
	io.ReadCloser
	left int
}

func (c *cappedBody) Read(p []byte) (int, error) {
	if len(p) > c.left+1 {
		p = p[:c.left+1]
	}
	n, err := c.ReadCloser.Read(p)
	if n > c.left {
		return c.left, errTooLong
	}
	c.left -= n
	return n, err
}
