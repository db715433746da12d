package faults

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// trouble is how an appliance misbehaves. The zero value is good health.
type trouble struct {
	slow    time.Duration          // a refresh takes so long
	down    bool                   // token calls answer 503
	flaps   bool                   // every second refresh answers 503
	html    bool                   // a refresh answers 200 and a page of HTML
	hangs   bool                   // token calls are not answered until this ends
	cuts    int                    // every so many refreshes the connection is cut after the rotation; 0: never
	cutPost bool                   // a POST is executed, then its connection is cut
	skew    time.Duration          // of the appliance's clock against everybody else's
	before  func(user string) bool // called in a refresh before the rotation; true: the connection is cut instead
	after   func(user string) bool // called in a refresh after the rotation; true: the connection is cut instead
}

// family is one session at the appliance: what one login began and refreshes
// carry on.
type family struct {
	id      int
	user    string
	made    time.Time
	renewed int
	tries   []time.Time // of refreshes that were refused because of trouble
	cut     bool        // it was rotated, and the new tokens left the appliance never
	ended   bool        // logged out
	doubled int         // refreshes with a token used before
	unread  time.Time   // when a connection ended on which the newest tokens had been sent last
}

// grant is one token.
type grant struct {
	family  *family
	expires time.Time
	spent   bool // a refresh token: used
}

// appliance is an IP Fabric whose refresh tokens are good once: the second
// presentation is refused and counted, and the family has ended then unless
// somebody holds its newest tokens. It keeps count of every POST. It is safe
// for concurrent use.
type appliance struct {
	*httptest.Server
	life time.Duration // of access tokens

	mu        sync.Mutex
	passwords map[string]string // by user
	access    map[string]*grant
	refresh   map[string]*grant
	families  []*family
	trouble   trouble
	healed    chan struct{} // closed when the trouble ends
	posts     map[string]int
	counts    map[string]int // by what happened
	refreshes int
	sent      map[net.Conn]rotation // what was sent last on a connection, if that was new tokens
}

// rotation is an answer with new tokens.
type rotation struct {
	family *family
	at     time.Time
}

func newAppliance(t testing.TB, life time.Duration) *appliance {
	t.Helper()
	a := &appliance{
		life: life, passwords: map[string]string{}, healed: make(chan struct{}),
		access: map[string]*grant{}, refresh: map[string]*grant{}, posts: map[string]int{}, counts: map[string]int{}, sent: map[net.Conn]rotation{},
	}
	a.Server = httptest.NewUnstartedServer(a)
	a.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) }
	a.Config.ConnState = a.connState
	a.Start()
	t.Cleanup(func() {
		a.heal()
		a.CloseClientConnections()
		a.Close()
	})
	return a
}

// suffer begins trouble, and ends what there was.
func (a *appliance) suffer(how trouble) {
	a.mu.Lock()
	defer a.mu.Unlock()
	close(a.healed)
	a.healed, a.trouble = make(chan struct{}), how
}

// heal ends trouble.
func (a *appliance) heal() { a.suffer(trouble{}) }

// count returns how often something happened: login, rejected, refresh, doubled,
// expired, call, post, logout.
func (a *appliance) count(what string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.counts[what]
}

func (a *appliance) setPassword(user, password string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.passwords[user] = password
}

// newest returns the newest family of a user, or nil.
func (a *appliance) newest(user string) *family {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := len(a.families) - 1; i >= 0; i-- {
		if a.families[i].user == user {
			f := *a.families[i]
			return &f
		}
	}
	return nil
}

// gone reports whether a family's newest tokens never left the appliance, so
// that nobody can carry it on.
func (a *appliance) gone(id int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return id > 0 && id <= len(a.families) && a.families[id-1].cut
}

// unreadBetween reports whether a family's newest tokens went out on a connection
// that ended in that time before anything else had passed on it: perhaps nobody
// has read them.
func (a *appliance) unreadBetween(id int, from, to time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if id <= 0 || id > len(a.families) {
		return false
	}
	at := a.families[id-1].unread
	return at.After(from) && at.Before(to)
}

// connKey is under which a request's context holds its connection.
type connKey struct{}

// connState notes what is answered to nobody. A client that sends a further
// request on a connection has read the answer before.
func (a *appliance) connState(c net.Conn, s http.ConnState) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch s {
	case http.StateActive:
		delete(a.sent, c)
	case http.StateClosed:
		if x, last := a.sent[c]; last && time.Since(x.at) < 2*time.Second {
			x.family.unread = time.Now()
		}
		delete(a.sent, c)
	}
}

// ServeHTTP answers as the vendor does.
func (a *appliance) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	t, healed := a.trouble, a.healed
	a.mu.Unlock()
	if t.skew != 0 {
		w.Header().Set("Date", time.Now().Add(t.skew).UTC().Format(http.TimeFormat))
	}
	call := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	token := call == "login" || call == "token"
	if token && t.hangs {
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not see the client leave
		select {
		case <-healed:
		case <-r.Context().Done():
		}
	}
	switch {
	case call == "version":
		reply(w, http.StatusOK, `{"apiVersion":"v7.0","releaseVersion":"7.0.12+1"}`)
	case token && t.hangs:
		reply(w, http.StatusServiceUnavailable, `{}`)
	case call == "login":
		a.login(w, r, t)
	case call == "token":
		a.renew(w, r, t)
	default:
		a.rest(w, r, call)
	}
}

func (a *appliance) login(w http.ResponseWriter, r *http.Request, t trouble) {
	var in struct{ Username, Password string }
	err := json.NewDecoder(r.Body).Decode(&in)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case t.down:
		a.counts["login failed"]++
		reply(w, http.StatusServiceUnavailable, `{}`)
	case err != nil || a.passwords[in.Username] == "" || a.passwords[in.Username] != in.Password:
		a.counts["rejected"]++
		refuse(w, "API_INVALID_CREDENTIALS")
	default:
		a.counts["login"]++
		f := &family{id: len(a.families) + 1, user: in.Username, made: time.Now()}
		a.families = append(a.families, f)
		a.issue(w, f, t)
	}
}

// renew rotates. What it is told to do between the steps it does unlocked.
func (a *appliance) renew(w http.ResponseWriter, r *http.Request, t trouble) {
	var in struct{ RefreshToken string }
	_ = json.NewDecoder(r.Body).Decode(&in) // an empty body is the cookie form
	if c, err := r.Cookie("refreshToken"); err == nil && in.RefreshToken == "" {
		in.RefreshToken = c.Value
	}
	g := a.find(in.RefreshToken)
	if g == nil {
		refuse(w, "API_INVALID_REFRESH_TOKEN")
		return
	}
	if t.slow > 0 {
		wait(r.Context().Done(), t.slow)
	}
	if t.before != nil && t.before(g.family.user) {
		hangUp(w)
		return
	}
	rec, how := a.rotate(g, t)
	if c, found := r.Context().Value(connKey{}).(net.Conn); found && how == rotated {
		a.mu.Lock()
		a.sent[c] = rotation{g.family, time.Now()}
		a.mu.Unlock()
	}
	if how == rotated && t.after != nil && t.after(g.family.user) || how == rotatedAndCut {
		a.mu.Lock()
		g.family.cut = true
		a.mu.Unlock()
		hangUp(w)
		return
	}
	for k, vs := range rec.Header() {
		w.Header()[k] = vs
	}
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes()) // the caller may be gone
}

func (a *appliance) find(refresh string) *grant {
	a.mu.Lock()
	defer a.mu.Unlock()
	g := a.refresh[refresh]
	if g == nil {
		a.counts["refresh unknown"]++
	}
	return g
}

// How a refresh ended.
type ending int

const (
	refused ending = iota
	rotated
	rotatedAndCut
)

// rotate decides about one refresh, and writes its answer to be sent.
func (a *appliance) rotate(g *grant, t trouble) (*httptest.ResponseRecorder, ending) {
	w := httptest.NewRecorder()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counts["refresh call"]++
	a.refreshes++
	switch {
	case t.down, t.flaps && a.refreshes%2 == 0:
		g.family.tries = append(g.family.tries, time.Now())
		reply(w, http.StatusServiceUnavailable, `{"code":"SERVICE_UNAVAILABLE","message":"x"}`)
		return w, refused
	case t.html:
		g.family.tries = append(g.family.tries, time.Now())
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<html><title>Maintenance</title></html>")
		return w, refused
	case g.spent || g.family.ended:
		g.family.doubled++
		a.counts["doubled"]++
		refuse(w, "API_INVALID_REFRESH_TOKEN")
		return w, refused
	}
	g.spent = true
	g.family.renewed++
	a.counts["refresh"]++
	a.issue(w, g.family, t)
	if t.cuts > 0 && a.refreshes%t.cuts == 0 {
		return w, rotatedAndCut
	}
	return w, rotated
}

// issue makes a pair of tokens. The caller holds mu.
func (a *appliance) issue(w http.ResponseWriter, f *family, t trouble) {
	expires := time.Now().Add(a.life)
	claims := fmt.Sprintf(`{"username":%q,"exp":%d}`, f.user, expires.Add(t.skew).Unix())
	access := "eyJhbGciOiJSUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + "." + rand.Text()
	refresh := rand.Text() + rand.Text() + rand.Text() + "1108612054"
	a.access[access] = &grant{family: f, expires: expires}
	a.refresh[refresh] = &grant{family: f}
	for _, c := range []*http.Cookie{
		{Name: "accessToken", Value: access, Path: "/", MaxAge: int(a.life.Seconds()), Expires: expires.Add(t.skew)},
		{Name: "refreshToken", Value: refresh, Path: "/api/auth/token", MaxAge: 86400, Expires: expires.Add(t.skew + 24*time.Hour)},
	} {
		c.HttpOnly, c.Secure, c.SameSite = true, true, http.SameSiteStrictMode
		http.SetCookie(w, c)
	}
	reply(w, http.StatusOK, `{}`)
}

// rest answers calls with an access token.
func (a *appliance) rest(w http.ResponseWriter, r *http.Request, call string) {
	var job struct{ ID string }
	body, err := io.ReadAll(r.Body)
	if err == nil && len(body) > 0 {
		_ = json.Unmarshal(body, &job) // no JSON, no id
	}
	if a.answer(w, r, job.ID, err, call) { // unlocked: the server tells a of it
		hangUp(w)
	}
}

// answer answers an authenticated call, but a POST that is to be cut: it only
// executes that, and reports it.
func (a *appliance) answer(w http.ResponseWriter, r *http.Request, job string, err error, call string) (cut bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	g := a.access[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	switch {
	case err != nil:
		reply(w, http.StatusBadRequest, `{}`)
	case g == nil:
		refuse(w, "API_INVALID_ACCESS_TOKEN")
	case time.Now().After(g.expires):
		a.counts["expired"]++
		refuse(w, "API_EXPIRED_ACCESS_TOKEN")
	case call == "logout":
		a.counts["logout"]++
		g.family.ended = true
		w.WriteHeader(http.StatusNoContent)
	case call == "me":
		reply(w, http.StatusOK, fmt.Sprintf(`{"id":"%d","username":%q,"email":"x@example.net","isLocal":true,"roleIds":[],"roleNames":[]}`, crc32.ChecksumIEEE([]byte(g.family.user)), g.family.user))
	default:
		a.counts["call"]++
		if job != "" {
			if a.posts[job]++; a.trouble.cutPost {
				return true
			}
		}
		reply(w, http.StatusOK, fmt.Sprintf(`{"user":%q,"family":%d,"job":%q}`, g.family.user, g.family.id, job))
	}
	return false
}

// hangUp cuts the connection under a request.
func hangUp(w http.ResponseWriter) {
	if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = c.Close() // it is meant to break
	}
}

func refuse(w http.ResponseWriter, code string) {
	reply(w, http.StatusUnauthorized, `{"code":"`+code+`","message":"refused"}`)
}

func reply(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body) // the caller may be gone
}

// wait returns after d, or when done is closed.
func wait(done <-chan struct{}, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-done:
	}
}
