package sim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// vendor is the backend: the token API of IP Fabric 7 with refresh tokens that are
// good once. It remembers all that was presented to it.
type vendor struct {
	w *world

	mu       sync.Mutex
	n        int               // guarded by mu: counts the pairs made
	access   map[string]*pair  // guarded by mu
	refresh  map[string]*pair  // guarded by mu
	families []*family         // guarded by mu
	busy     time.Time         // guarded by mu: until when it answers 503
	executed map[string]string // guarded by mu: POSTs, and when they were executed
}

// family is one login with all its renewals.
type family struct {
	mode, user string
	last       *pair
	calls      []*presentation // of its refresh tokens
	leaving    bool            // the gateway is about to log it out
	ended      bool
	why        string // the end can be excused; empty: it cannot
	again      string // why a used refresh token of it was presented last
	againAt    time.Time
}

// pair is an access token with its refresh token.
type pair struct {
	access, refresh string
	family          *family
	to              *process  // who asked for it
	expires         time.Time // of the access token
	delivered       bool      // the answer arrived
	void            bool      // the refresh token is used or was logged out
	next            *pair     // what it was traded for; nil: nothing
	stored          bool      // the store has it
	storedAt        time.Time
	lostAt          time.Time // a failover lost it; zero: none did
	shown           []*presentation
}

// presentation is one call with a refresh token.
type presentation struct {
	by       *process
	began    time.Time
	deadline time.Time // of the call
	over     bool      // the caller has an answer, or has given up
	rotated  bool
	unused   bool   // the backend did not look at it
	why      string // that the newest tokens were out of reach then
}

func newVendor(w *world) *vendor {
	return &vendor{w: w, access: map[string]*pair{}, refresh: map[string]*pair{}, executed: map[string]string{}}
}

func (v *vendor) busyUntil(t time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.busy = t
}

func (v *vendor) isBusy() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return time.Now().Before(v.busy)
}

// transport is the way of one process to the backend.
type transport struct {
	p    *process
	mode string // the name of the backend: own or shared
}

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		r.Body.Close()
	}
	c := &call{transport: t, w: t.p.w, path: r.URL.Path, method: r.Method, body: body, id: r.URL.RawQuery, mood: moodFair}
	c.token = strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if cookie, err := r.Cookie("accessToken"); err == nil && c.token == "" {
		c.token = cookie.Value
	}
	c.name = t.p.name + " " + t.mode + " " + r.Method + " " + r.URL.Path + c.id
	resp, err := c.run(r.Context())
	if err != nil {
		return nil, err
	}
	resp.Request = r
	return resp, nil
}

// mood is what becomes of a call.
type mood uint8

const (
	moodFair mood = iota
	moodBusy
	moodHang    // it is never looked at
	moodUnheard // it is done, and the answer is lost
	moodRotated // it is done, and who asked crashes
)

// call is one request to the backend.
type call struct {
	transport
	w                             *world
	name, method, path, id, token string
	body                          []byte
	mood                          mood
}

func (c *call) brings() bool {
	return strings.HasSuffix(c.path, "/auth/login") || strings.HasSuffix(c.path, "/auth/token")
}

func (c *call) run(ctx context.Context) (*http.Response, error) {
	w, p := c.w, c.p
	if p.crashed.Load() {
		return nil, errDown
	}
	delay := c.decide()
	if !pass(ctx, w.between(c.name, 200*time.Microsecond, 3*time.Millisecond)) {
		return nil, ctx.Err()
	}
	var shown *presentation
	if strings.HasSuffix(c.path, "/auth/token") {
		deadline, _ := ctx.Deadline()
		shown = w.vendor.present(c, deadline)
		defer w.vendor.settle(shown)
	}
	if c.mood == moodHang {
		w.note("%s: backend hangs on %s %s", p.name, c.mode, c.path)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	gaveUp := !pass(ctx, delay) && delay > 0
	if gaveUp { // what the backend has, it does all the same
		<-time.After(time.Duration(c.w.draw(c.name+" late") % uint64(50*time.Millisecond)))
	}
	resp, made := w.vendor.answer(c, shown)
	if c.mood == moodRotated && made != nil {
		w.note("%s: crash between rotation and answer", p.name)
		w.crashSoon(p)
		<-time.After(time.Microsecond)
	}
	back := pass(ctx, w.between(c.name+" back", 200*time.Microsecond, 3*time.Millisecond))
	switch {
	case c.mood == moodUnheard:
		w.note("%s: the backend's answer to %s %s is lost", p.name, c.mode, c.path)
		<-ctx.Done()
		return nil, ctx.Err()
	case !back:
		return nil, ctx.Err()
	case p.crashed.Load():
		return nil, errDown
	}
	w.vendor.deliver(made)
	return resp, nil
}

// decide says what becomes of the call, and how long the backend takes for it.
func (c *call) decide() time.Duration {
	w := c.w
	delay := w.between(c.name+" takes", time.Millisecond, 30*time.Millisecond)
	switch {
	case w.vendor.isBusy():
		c.mood = moodBusy
		return 0
	case !c.brings():
		return delay
	}
	delay = w.between(c.name+" takes", 50*time.Millisecond, 300*time.Millisecond)
	if w.isCalm() {
		return delay
	}
	f, hit := w.net.disarm(func(f fault) bool {
		return f.kind == faultRotated && strings.HasSuffix(c.path, "/auth/token") || f.kind == faultUnheard || f.kind == faultHang
	})
	weather := w.plan.weather
	switch {
	case hit && f.kind == faultRotated:
		c.mood = moodRotated
	case hit && f.kind == faultUnheard, w.chance(c.name+" unheard", weather.unheard):
		c.mood = moodUnheard
	case hit, w.chance(c.name+" hang", weather.hang):
		c.mood = moodHang
	case w.chance(c.name+" busy", weather.busy):
		c.mood = moodBusy
	case w.chance(c.name+" crawl", weather.crawl):
		return w.between(c.name+" crawls", 300*time.Millisecond, 1950*time.Millisecond)
	default:
		return delay
	}
	w.count(func(f *figures) { f.Faults++ })
	return delay
}

func (v *vendor) settle(p *presentation) {
	v.mu.Lock()
	defer v.mu.Unlock()
	p.over = true
}

func (v *vendor) deliver(made *pair) {
	if made == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	made.delivered = true
}

// answer does what a call asks for.
func (v *vendor) answer(c *call, shown *presentation) (*http.Response, *pair) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case c.mood == moodBusy:
		return respond(http.StatusServiceUnavailable, "", nil), nil
	case strings.HasSuffix(c.path, "/auth/login"):
		var in struct{ Username, Password string }
		if json.Unmarshal(c.body, &in) != nil || in.Password != password {
			return refuse("API_INVALID_CREDENTIALS"), nil
		}
		f := &family{mode: c.mode, user: in.Username}
		v.families = append(v.families, f)
		return v.grant(c, f)
	case strings.HasSuffix(c.path, "/auth/token"):
		return v.rotate(c, shown)
	}
	return v.use(c), nil
}

func (v *vendor) rotate(c *call, shown *presentation) (*http.Response, *pair) {
	t := v.refresh[c.token]
	switch {
	case t == nil, t.family.ended, t.void && t.next == nil:
		return refuse("API_INVALID_REFRESH_TOKEN"), nil
	case t.void:
		if c.w.plan.familyEnd {
			t.family.ended, t.family.why = true, shown.why
			c.w.note("backend: %s was used before, %s is ended", t.refresh, t.family.user)
		}
		return refuse("API_INVALID_REFRESH_TOKEN"), nil
	}
	t.void, shown.rotated = true, true
	resp, made := v.grant(c, t.family)
	t.next = made
	c.w.count(func(f *figures) { f.Renewals++; f.Expiries++ })
	c.w.note("backend: %s is traded for %s of %s", t.refresh, made.refresh, c.p.name)
	return resp, made
}

func (v *vendor) grant(c *call, f *family) (*http.Response, *pair) {
	v.n++
	n, life := strconv.Itoa(v.n), v.w.plan.life
	t := &pair{access: "AT" + n, refresh: "RT" + n, family: f, to: c.p, expires: time.Now().Add(life)}
	v.access[t.access], v.refresh[t.refresh], f.last = t, t, t
	return respond(http.StatusOK, "{}", []string{
		fmt.Sprintf("accessToken=%s; Path=/; Max-Age=%d; HttpOnly; Secure", t.access, life/time.Second),
		fmt.Sprintf("refreshToken=%s; Path=/api/auth/token; Max-Age=86400; HttpOnly; Secure", t.refresh),
	}), t
}

// use does what needs an access token.
func (v *vendor) use(c *call) *http.Response {
	t := v.access[c.token]
	switch {
	case t == nil, t.family.ended:
		return refuse("API_INVALID_ACCESS_TOKEN")
	case !time.Now().Before(t.expires):
		return refuse("API_EXPIRED_ACCESS_TOKEN")
	case strings.HasSuffix(c.path, "/auth/logout"):
		if t.next != nil && !t.family.leaving {
			c.w.violate("%s logs out %s of %s, which came after what it had committed", c.p.name, t.family.last.refresh, t.family.user)
		}
		t.family.ended, t.family.why = true, ""
		c.w.note("backend: %s of %s logs out %s, by %s", c.p.name, c.mode, t.family.user, t.access)
		return respond(http.StatusNoContent, "", nil)
	case strings.HasSuffix(c.path, "/users/me"):
		return respond(http.StatusOK, fmt.Sprintf(`{"username":%q,"id":"1108612054","email":"x@example.com","isLocal":true,"roleIds":[],"roleNames":[]}`, t.family.user), nil)
	}
	if c.method == http.MethodPost {
		if at := v.executed[c.id]; at != "" {
			c.w.violate("POST %s is executed a second time; the first was at %s", c.id, at)
		}
		v.executed[c.id] = c.w.now().String()
	}
	return respond(http.StatusOK, t.family.user, nil)
}

func respond(status int, body string, cookies []string) *http.Response {
	h := http.Header{"Content-Type": {"application/json"}}
	if cookies != nil {
		h["Set-Cookie"] = cookies
	}
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h,
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}

func refuse(code string) *http.Response {
	return respond(http.StatusUnauthorized, `{"code":"`+code+`","message":"x"}`, nil)
}
