package tests

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"regexp"
	"sort"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
)

// A dump of the whole store is no use to whoever steals it: nothing in it is
// accepted as a credential, in any place where one may stand.
func TestNothingUsableAtRest(t *testing.T) {
	t.Parallel()
	bin, err := plainBinary() // thousands of requests, whose answers are what counts
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{"account", "pass-through"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			r := startRedis(t)
			b := newBackend(t)
			conf, user, password := b.settings(), backendUser, backendPassword
			if mode == "account" {
				conf, user, password = b.account(t), "alice", userPassword
			}
			g := launchBinary(t, bin, conf.with(r.store()...).with("REFRESH_GRACE", "0s"))
			g.waitReady(t)
			c := g.client(t)
			secrets := append(b.secrets(), userPassword, rootSecret)
			secrets = append(secrets, fill(t, c, user, password)...)

			rdb := r.client(t)
			values := dump(t, rdb)
			if len(values) == 0 {
				t.Fatal("the store is empty: this has tested nothing")
			}
			for _, s := range append(secrets, b.secrets()...) {
				if holder := holding(values, s); holder != "" {
					t.Errorf("the store holds a secret as it is, in %.200q", holder)
				}
			}
			// Logged in before wrong credentials are tried, after which no login is taken.
			planted := c.login(t, user, password)
			for _, hit := range try(t, c, candidates(values), user) {
				t.Errorf("something of the store is accepted: %s", hit)
			}
			for _, value := range []string{
				"note=" + planted.access + ";",
				base64.StdEncoding.EncodeToString([]byte("x:" + planted.access)),
				`{"t":"abcdefgh` + planted.refresh + `"}`, // the last, since using it twice ends the session
			} {
				if hits := try(t, c, candidates([]string{value}), user); len(hits) == 0 {
					t.Errorf("a planted token was not found in %.30q: the search is blind", value)
				}
			}
		})
	}
}

// fill leaves in the store whatever a busy gateway leaves there, and returns the
// credentials it handed out that still work.
func fill(t testing.TB, c *client, user, password string) []string {
	t.Helper()
	p := c.login(t, user, password)
	p = c.refresh(t, p.refresh)
	wantStatus(t, "call", c.get(t, snapshots, p.access), http.StatusOK)
	basic := request{path: snapshots, header: http.Header{"Authorization": {basicAuth(user, password)}}}
	wantStatus(t, "call with Basic", c.must(t, basic), http.StatusOK)
	c.must(t, loginRequest(user, "a-wrong-password-of-some-length"))
	made := c.must(t, request{
		method: http.MethodPost, path: "/api/v7.0/api-tokens", header: bearer(p.access),
		body: `{"description":"at rest","expires":null,"scope":["read"]}`,
	})
	secrets := []string{p.access, p.refresh}
	if m := regexp.MustCompile(`"token":"([^"]+)"`).FindStringSubmatch(made.body); m != nil {
		secrets = append(secrets, m[1])
	}
	return secrets
}

func basicAuth(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// dump returns every key and every value of the store, of all types.
func dump(t testing.TB, rdb *redis.Client) []string {
	t.Helper()
	ctx := t.Context()
	keys, err := rdb.Keys(ctx, "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	values := keys
	for _, key := range keys {
		kind := rdb.Type(ctx, key).Val()
		more, err := dumpKey(ctx, rdb, kind, key)
		if err != nil {
			t.Fatalf("reading %s %s: %v", kind, key, err)
		}
		values = append(values, more...)
	}
	return values
}

func dumpKey(ctx context.Context, rdb *redis.Client, kind, key string) ([]string, error) {
	switch kind {
	case "string":
		v, err := rdb.Get(ctx, key).Result()
		return []string{v}, err
	case "hash":
		fields, err := rdb.HGetAll(ctx, key).Result()
		var all []string
		for f, v := range fields {
			all = append(all, f, v)
		}
		return all, err
	case "list":
		return rdb.LRange(ctx, key, 0, -1).Result()
	case "set":
		return rdb.SMembers(ctx, key).Result()
	case "zset":
		return rdb.ZRange(ctx, key, 0, -1).Result()
	case "stream":
		messages, err := rdb.XRange(ctx, key, "-", "+").Result()
		var all []string
		for _, m := range messages {
			all = append(all, fmt.Sprint(m.Values))
		}
		return all, err
	case "none": // it ended since the keys were listed
		return nil, nil
	}
	return nil, fmt.Errorf("a type that this test does not read")
}

// holding returns the value that contains a secret, plainly or in base64.
func holding(values []string, secret string) string {
	forms := []string{secret}
	for shift := range 3 {
		// The middle of the secret's base64, wherever it begins in a group.
		s := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + secret))
		forms = append(forms, s[4:len(s)-4])
	}
	for _, v := range values {
		for _, f := range forms {
			if strings.Contains(v, f) || strings.Contains(v, strings.NewReplacer("+", "-", "/", "_").Replace(f)) {
				return v
			}
		}
	}
	return ""
}

// The alphabets of the tokens: letters and digits, hex, base64, and JWTs.
var alphabets = []*regexp.Regexp{
	regexp.MustCompile(`[A-Za-z0-9]{16,}`),
	regexp.MustCompile(`[0-9a-f]{16,}`),
	regexp.MustCompile(`[A-Za-z0-9_-]{16,}`),
	regexp.MustCompile(`[A-Za-z0-9_.-]{16,}`),
	regexp.MustCompile(`[A-Za-z0-9+/=]{16,}`),
}

// candidates returns every run of characters in a token alphabet, every window
// of such a run that has the shape of a token, and the same of what they are
// the base64 of.
func candidates(values []string) []string {
	found := map[string]bool{}
	collect(found, values, 2)
	all := make([]string, 0, len(found))
	for s := range found {
		all = append(all, s)
	}
	sort.Strings(all)
	return all
}

func collect(found map[string]bool, values []string, depth int) {
	for _, v := range values {
		for _, alphabet := range alphabets {
			for _, run := range alphabet.FindAllString(v, -1) {
				if found[run] {
					continue
				}
				found[run] = true
				windows(found, run)
				if depth > 0 {
					collect(found, decodings(run), depth-1)
				}
			}
		}
	}
}

// The shapes of the tokens that are not JWTs: an API token, a browser session, a
// refresh token with the user's id at its end.
var shapes = map[int]*regexp.Regexp{
	32: regexp.MustCompile(`^[0-9a-f]+$`),
	30: regexp.MustCompile(`^[A-Za-z0-9]+$`),
	80: regexp.MustCompile(`^[A-Za-z0-9]+[0-9]{6}$`),
}

// windows adds the parts of a run that have the shape of a token, wherever they
// begin.
func windows(found map[string]bool, run string) {
	for length, shape := range shapes {
		for i := 0; i+length <= len(run); i++ {
			if w := run[i : i+length]; shape.MatchString(w) {
				found[w] = true
			}
		}
	}
}

func decodings(s string) []string {
	var all []string
	for _, e := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if b, err := e.DecodeString(s); err == nil {
			all = append(all, string(b))
		}
	}
	return all
}

// try presents each candidate in every place where a credential may stand, and
// returns what was answered below 400.
func try(t testing.TB, c *client, all []string, user string) []string {
	t.Helper()
	var (
		mu   sync.Mutex
		hits []string
		wg   sync.WaitGroup
	)
	slots := make(chan struct{}, 8)
	for _, s := range all {
		for place, q := range presentations(s, user) {
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				a, err := c.do(t.Context(), q)
				if err != nil {
					t.Errorf("as %s: %v", place, err)
				} else if a.status < 400 {
					mu.Lock()
					defer mu.Unlock()
					hits = append(hits, fmt.Sprintf("%q as %s: %d", s, place, a.status))
				}
			})
		}
	}
	wg.Wait()
	return hits
}

func presentations(s, user string) map[string]request {
	return map[string]request{
		"bearer":            {path: snapshots, header: bearer(s)},
		"access cookie":     {path: snapshots, header: http.Header{"Cookie": {"accessToken=" + s}}},
		"portal cookie":     {path: snapshots, header: http.Header{"Cookie": {"__Host-gatehouse=" + s}}},
		"API token":         {path: snapshots, header: http.Header{"X-Api-Token": {s}}},
		"Basic":             {path: snapshots, header: http.Header{"Authorization": {"Basic " + s}}},
		"password by Basic": {path: snapshots, header: http.Header{"Authorization": {basicAuth(user, s)}}},
		"refresh body":      refreshRequest(s),
		"refresh cookie": {
			method: http.MethodPost, path: "/api/auth/token", header: http.Header{"Cookie": {"refreshToken=" + s}},
		},
	}
}
