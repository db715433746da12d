package tests

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// lacking names what the two sides of the pairs lack, since their vendors do.
var lacking = []string{
	"served fac-fabric: logout",
	"served itempath: logout",
	"served oracle-sbc: logout",
	"served oracle-sbc: refresh (a token is renewed with the password again)",
	"spoken fac-fabric: lock",
	"spoken fac-fabric: logout",
	"spoken fac-oauth: lock",
	"spoken ipfabric: lock",
	"spoken itempath: lock",
	"spoken itempath: logout",
	"spoken jwt: login, refresh, logout, lock",
	"spoken none: login, refresh, logout, lock",
	"spoken oracle-sbc: logout",
	"spoken oracle-sbc: refresh (it is logged in to again)",
	"spoken static: login, refresh, logout, lock",
}

// lacks returns what the tables say is lacking, in the form of lacking.
func lacks() (list []string) {
	for _, v := range vendors {
		if v.refresh == nil {
			list = append(list, "served "+v.name+": refresh (a token is renewed with the password again)")
		}
		if v.logout == nil {
			list = append(list, "served "+v.name+": logout")
		}
	}
	for _, s := range speeches {
		switch {
		case !slices.Contains(s.first, "login"):
			list = append(list, "spoken "+s.name+": login, refresh, logout, lock")
			continue
		case !slices.Contains(s.renewed, "refresh R1"):
			list = append(list, "spoken "+s.name+": refresh (it is logged in to again)")
		}
		if s.ended == nil {
			list = append(list, "spoken "+s.name+": logout")
		}
		if s.locked == nil {
			list = append(list, "spoken "+s.name+": lock")
		}
	}
	slices.Sort(list)
	return list
}

// TestEveryPairOfServedAndSpoken lets a client of every token API work in front
// of every kind of backend: sign in, call, expiry, refresh, the backend's own
// expiry, sign out.
func TestEveryPairOfServedAndSpoken(t *testing.T) {
	if diff := cmp.Diff(lacking, lacks()); diff != "" {
		t.Fatalf("what the dialects lack has changed (-told +found):\n%s", diff)
	}
	pairs, config := makePairs(t)
	g := start(t, settings{
		"CONFIG": writeFile(t, "gatehouse.yaml", config), "USERS_FILE": usersFile(t), "LOGOUT_AT_DRAIN": "true",
		"PUBLIC_URL": "http://localhost:8080",
	}.withPlain("PAIRS_PASSWORD", servicePassword, "PAIRS_CLIENT_SECRET", clientSecret, "PAIRS_API_KEY", staticKey))
	// Half and half, so that all tokens expire in the same two seconds.
	for _, half := range []struct {
		name string
		run  func(*pairing, *visitor)
	}{{"until the token expires", (*pairing).enjoys}, {"from there on", (*pairing).expires}} {
		t.Run(half.name, func(t *testing.T) {
			for _, p := range pairs {
				t.Run(p.vendor.name+" before "+p.appliance.speech.name, func(t *testing.T) {
					t.Parallel()
					p.visitor.t, p.visitor.c = t, g.client(t)
					half.run(p, p.visitor)
				})
			}
		})
	}
	if err := g.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-g.done
	for _, p := range pairs {
		s := p.appliance.speech
		want := slices.Concat(s.first, s.renewed, s.locked, s.ended)
		if diff := cmp.Diff(want, p.appliance.lines()); diff != "" {
			t.Errorf("%s before %s: the backend's log (-want +got):\n%s", p.vendor.name, s.name, diff)
		}
	}
}

// A pair is a client of one token API in front of a backend of its own.
type pairing struct {
	vendor    vendor
	appliance *appliance
	host      string
	visitor   *visitor
}

// makePairs starts the backends and writes the configuration of the gateway
// before them.
func makePairs(t *testing.T) ([]*pairing, string) {
	t.Helper()
	var pairs []*pairing
	var backends, routes strings.Builder
	for _, v := range vendors {
		for _, s := range speeches {
			a := newAppliance(t, s)
			name := v.name + "-before-" + s.name
			p := &pairing{v, a, name + ".test", &visitor{host: name + ".test"}}
			pairs = append(pairs, p)
			fmt.Fprintf(&backends, "  %s: {url: %q, %s}\n", name, a.URL, s.backend)
			fmt.Fprintf(&routes, "  - {host: %s, path: /, backend: %s, serve: [%s], access_ttl: 2s, refresh_grace: 1s}\n", p.host, name, v.name)
		}
	}
	return pairs, "backends:\n" + backends.String() + "routes:\n" + routes.String() +
		"clients:\n  - {id: script, secret_env: PAIRS_CLIENT_SECRET, type: confidential, grants: [password, refresh_token], access_ttl: 2s}\n"
}

func (p *pairing) enjoys(v *visitor) {
	v.wantAnswer("a call without a credential", v.call(), p.vendor.missing, p.vendor.missingText)
	p.enter(v, "login", p.vendor.login(v))
	v.wantAnswer("a call", v.call(), http.StatusOK, "appliance")
	p.tryElsewhere(v)
	if p.vendor.renew != nil {
		old := v.access
		p.enter(v, "renewal", p.vendor.renew(v))
		v.wantAnswer("a call with the new token", v.call(), http.StatusOK, "appliance")
		fresh := v.access
		v.access = old
		v.wantAnswer("a call with the renewed token", v.call(), p.vendor.expired, p.vendor.expiredText)
		v.access = fresh
	}
}

func (p *pairing) expires(v *visitor) {
	eventually(v.t, 10*time.Second, "the access token expires", func() bool { return v.call().status != http.StatusOK })
	v.wantAnswer("a call with an expired token", v.call(), p.vendor.expired, p.vendor.expiredText)
	if p.vendor.refresh != nil {
		p.enter(v, "refresh", p.vendor.refresh(v))
	} else {
		p.enter(v, "another login", p.vendor.login(v))
	}
	v.wantAnswer("a call after that", v.call(), http.StatusOK, "appliance")
	p.appliance.expire()
	v.wantAnswer("a call when the backend's token has expired", v.call(), http.StatusOK, "appliance")
	if p.appliance.speech.locked != nil {
		v.wantAnswer("taking the lock", v.post("/rest/v1.1/configuration/lock"), http.StatusNoContent, "")
		v.wantAnswer("a call with the lock", v.call(), http.StatusOK, "appliance")
		v.wantAnswer("giving the lock back", v.post("/rest/v1.1/configuration/unlock"), http.StatusNoContent, "")
	}
	if p.vendor.logout != nil {
		if a := p.vendor.logout(v); a.status/100 != 2 {
			v.t.Errorf("logout = %d %s; want 2xx", a.status, a.body)
		}
		if a := v.call(); a.status == http.StatusOK {
			v.t.Errorf("a call after logging out = %d", a.status)
		}
	}
	for i, secret := range v.secretsOf() {
		if p.appliance.holds(secret) {
			v.t.Errorf("credential %d of the client reached the backend", i)
		}
	}
}

// enter takes the tokens of an answer, which must have some.
func (p *pairing) enter(v *visitor, what string, a answer) {
	v.t.Helper()
	before := v.access
	p.vendor.read(v, a)
	if a.status != http.StatusOK || v.access == "" || v.access == before {
		v.t.Fatalf("%s = %d %s; want 200 and a new token", what, a.status, a.body)
	}
}

// tryElsewhere shows the token on the routes of the other token APIs before the
// same kind of backend: it belongs to the one that issued it.
func (p *pairing) tryElsewhere(v *visitor) {
	v.t.Helper()
	for _, other := range vendors {
		if other.name == p.vendor.name {
			continue
		}
		host := other.name + "-before-" + p.appliance.speech.name + ".test"
		a := v.c.must(v.t, request{path: "/things/1", host: host, header: bearer(v.access)})
		if a.status < 400 || a.status >= 500 {
			v.t.Errorf("a token of %s on a route that serves %s = %d; want a refusal", p.vendor.name, other.name, a.status)
		}
	}
}
