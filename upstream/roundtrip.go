package upstream

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// RoundTrip sends a request to the backend on behalf of the token.Caller in its
// context, with the credential that belongs to the caller. Its URL is the
// backend's already, and it carries no credential. Without a Caller nothing is
// injected.
//
// An access token that the backend refuses is renewed once, and the request
// made again with the new one if its body can be (see tape). Otherwise the
// backend's answer is returned as it came, except for cookies that would hand
// the backend's tokens to the client.
//
// Errors are a *token.Error: InvalidAccess when the backend session is over and
// the client has to log in again, Unavailable, BadGateway or GatewayTimeout
// when no answer was to be had, BadGateway also when the backend refuses a
// credential that nothing can renew, Internal when no token about the caller
// could be made; or the error of the request's context. Unlike
// other round trippers it writes to the request's headers: the front door hands
// over a request of its own.
func (b *Backend) RoundTrip(r *http.Request) (*http.Response, error) {
	shield(r.Header)
	caller, known := token.CallerFrom(r.Context())
	m := b.mode()
	if no := b.mayTake(r, caller.SID); no != nil {
		return nil, b.drop(r, no)
	}
	switch {
	case !known || m == modeNone:
		return b.send(r)
	case m == modeHeader:
		return b.sendWith(r, b.cfg.Static.Header, b.cfg.Static.Value)
	case m == modeMinted:
		return b.sendMinted(r, caller)
	case !caller.Own.IsZero():
		return b.sendOwn(r, caller.Own)
	case m == modeStatic:
		return b.sendStatic(r)
	case b.Parts():
		return b.sendParted(r, caller.SID)
	}
	h := b.heldBy(caller.SID)
	if h == nil {
		return nil, b.drop(r, token.Fail(token.InvalidAccess, msgEnded, nil))
	}
	t, err := b.current(r.Context(), h)
	if err != nil {
		return nil, b.drop(r, err)
	}
	return b.sendHeld(r, h, t)
}

// shield keeps http.Transport from making a request again by itself, which it
// does for any method if the header Idempotency-Key or X-Idempotency-Key is
// there (net/http, Request.isReplayable). It looks for them under their
// canonical names only, and header names are case-insensitive on the wire.
func shield(h http.Header) {
	for _, name := range [...]string{"Idempotency-Key", "X-Idempotency-Key"} {
		if v, ok := h[name]; ok {
			delete(h, name)
			h[lower[name]] = v
		}
	}
}

var lower = map[string]string{"Idempotency-Key": "idempotency-key", "X-Idempotency-Key": "x-idempotency-key"}

// drop closes the body of a request that is not sent, as a RoundTripper must.
func (b *Backend) drop(r *http.Request, err error) error {
	if r.Body != nil {
		r.Body.Close()
	}
	return err
}

// send makes one try and turns what failed into a *token.Error.
func (b *Backend) send(r *http.Request) (*http.Response, error) {
	resp, err := b.cfg.Transport.RoundTrip(r)
	if err != nil {
		if gone := r.Context().Err(); gone != nil {
			return nil, gone
		}
		return nil, unreachable(err)
	}
	b.hide(resp)
	return resp, nil
}

// injectAccess puts an access token where the dialect has it.
func (b *Backend) injectAccess(r *http.Request, s token.Secret) { b.inject(r, dialect.UseAccess, s) }

// injectAPIToken puts an API token where the dialect has it, which may be where
// access tokens go.
func (b *Backend) injectAPIToken(r *http.Request, s token.Secret) {
	if !b.inject(r, dialect.UseAPIToken, s) {
		b.injectAccess(r, s)
	}
}

func (b *Backend) inject(r *http.Request, use dialect.Use, s token.Secret) bool {
	for i := range b.cfg.Dialect.Carriers {
		if c := &b.cfg.Dialect.Carriers[i]; c.Use == use {
			c.Set(r, s)
			return true
		}
	}
	return false
}

// sendOwn passes on a credential that the backend itself issued to the client.
func (b *Backend) sendOwn(r *http.Request, own token.Secret) (*http.Response, error) {
	b.injectAPIToken(r, own)
	resp, err := b.send(r)
	if err == nil && resp.StatusCode == http.StatusUnauthorized {
		b.known.forget(own)
	}
	return resp, err
}

// sendStatic sends the API token from configuration. When the backend refuses
// it, nothing that the client could do helps, and nothing is tried again.
func (b *Backend) sendStatic(r *http.Request) (*http.Response, error) {
	b.injectAPIToken(r, b.cfg.Account.APIToken)
	resp, err := b.send(r)
	if err != nil || !b.cfg.Dialect.Errors.MayExpire(resp.StatusCode) {
		return resp, err
	}
	said := b.read(resp)
	switch {
	case said.Kind == token.ExpiredAPIToken, said.Kind == token.InvalidAPIToken, refusesAccess(resp.StatusCode, said.Kind) != accepted:
		resp.Body.Close()
		if b.alarm.due() {
			b.log.Error("the backend refuses the API token", "reason", said.Kind.String(), "remedy", "put a valid one in the configuration")
		}
		return nil, token.Fail(token.BadGateway, msgAPIToken, said)
	}
	return resp, nil
}

// sendHeld sends the request with t, and once more with what comes after t if t
// is refused.
func (b *Backend) sendHeld(r *http.Request, h *held, t *tokens) (*http.Response, error) {
	roll := record(r)
	defer roll.finish()
	done := func() {}
	if b.voids(h) && roll.fixed() {
		now, over, err := b.abide(r.Context(), h, t)
		if err != nil {
			return nil, b.drop(r, err)
		}
		t, done = now, over
	}
	b.injectAccess(r, t.access)
	resp, err := b.sendNoted(roll.first(), h, t)
	done()
	if err != nil {
		return nil, err
	}
	why := b.refused(resp)
	if why == accepted {
		t.accept(resp.StatusCode)
		return resp, nil
	}
	h, next, err := b.after(r.Context(), h, t, roll, why)
	if err != nil {
		resp.Body.Close()
		return nil, err
	}
	if next == nil {
		return resp, nil
	}
	resp.Body.Close()
	again := roll.again()
	b.injectAccess(again, next.access)
	if resp, err = b.sendNoted(again, h, next); err != nil {
		return nil, err
	}
	b.rec.UpstreamReplay(b.cfg.Name, "replayed")
	if b.refused(resp) == accepted {
		next.accept(resp.StatusCode)
	}
	return resp, nil
}

// after returns the tokens to make a refused request again with, and whose they
// are, or nil if it is not made again: the client gets the refusal.
func (b *Backend) after(ctx context.Context, h *held, t *tokens, roll *recording, why verdict) (*held, *tokens, error) {
	newest := h.cur.Load() == t
	switch {
	case newest && (!t.renewable(time.Now()) || why == doubtful && !h.doubt(time.Now())):
		b.rec.UpstreamReplay(b.cfg.Name, "held")
		return h, nil, nil
	case newest && !h.own && !b.canRenew(h, t):
		// Nothing can come after it: the backend session is over.
		_, err := b.renewed(ctx, h, t)
		return h, nil, err
	case !roll.repeatable():
		b.join(h, t) // so that the next request does better
		b.rec.UpstreamReplay(b.cfg.Name, "unsafe")
		return h, nil, nil
	}
	next, err := b.renewed(ctx, h, t)
	if isDead(err) && h.own && h.takers.Load() == 0 { // it goes on with the shared one
		h = b.shared
		next, err = b.current(ctx, h)
	}
	if err != nil {
		b.rec.UpstreamReplay(b.cfg.Name, "failed")
		return h, nil, err
	}
	return h, next, nil
}

// doubt reports whether a refusal in words that the dialect does not know may have
// the tokens renewed: a backend that answers 401 to a call of its own, whatever
// the token, would otherwise have it done as often as that is called.
func (h *held) doubt(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.doubted.IsZero() && now.Sub(h.doubted) < firstUseHold {
		return false
	}
	h.doubted = now
	return true
}

// recording is a request whose body is kept while it is sent.
type recording struct {
	r    *http.Request
	tape *tape // nil: there is no body to keep, or the request cannot be repeated
}

func record(r *http.Request) *recording {
	c := &recording{r: r}
	if r.Body != nil && r.Body != http.NoBody && repeatable(r) {
		c.tape = &tape{src: r.Body}
	}
	return c
}

// first returns the request to send at first. With a body that is kept it is a
// copy, since the transport closes what it is given.
func (c *recording) first() *http.Request {
	if c.tape == nil {
		return c.r
	}
	out := c.r.WithContext(c.r.Context())
	out.Body, out.GetBody = c.tape.next(), nil
	return out
}

// again returns the request to send the second time. The transport may still
// be busy with the first one's headers, so it has its own.
func (c *recording) again() *http.Request {
	out := c.r.WithContext(c.r.Context())
	out.Header = c.r.Header.Clone()
	if c.tape != nil {
		out.Body, out.GetBody = c.tape.next(), nil
	}
	return out
}

func (c *recording) repeatable() bool {
	if c.tape != nil {
		return !c.tape.full.Load()
	}
	return (c.r.Body == nil || c.r.Body == http.NoBody) && repeatable(c.r)
}

// fixed reports whether the request may be one that cannot be repeated.
func (c *recording) fixed() bool {
	return !c.repeatable() || c.tape != nil && (c.r.ContentLength < 0 || c.r.ContentLength > maxTape)
}

func (c *recording) finish() {
	if c.tape != nil {
		c.tape.finish()
	}
}
