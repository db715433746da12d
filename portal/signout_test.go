package portal

import (
	"net/http"
	"testing"
)

func TestSignOutEndsSessionAndDropsCookie(t *testing.T) {
	g := newGate(t)
	sid, access := g.sessions.open()
	res := g.post(t, signOutPath, nil, access)
	want(t, res, http.StatusSeeOther, "")
	wantHeader(t, res, "Location", DefaultBasePath+"/signed-out")
	wantHeader(t, res, "Set-Cookie", dropped)
	if g.sessions.live[sid] {
		t.Error("the session lives")
	}
}

func TestSignOutByGetIsNotAllowed(t *testing.T) {
	g := newGate(t)
	sid, access := g.sessions.open()
	res := g.get(t, signOutPath, access)
	want(t, res, http.StatusMethodNotAllowed, "")
	wantHeader(t, res, "Allow", "POST")
	wantHeader(t, res, "Set-Cookie", "")
	if !g.sessions.live[sid] {
		t.Error("GET ended the session")
	}
}

func TestSignOutWithoutSessionStillDropsCookie(t *testing.T) {
	for _, cookies := range [][]string{nil, {"junk"}} {
		res := newGate(t).post(t, signOutPath, nil, cookies...)
		want(t, res, http.StatusSeeOther, "")
		wantHeader(t, res, "Set-Cookie", dropped)
	}
}

func TestSignOutLeavesCookieWhenStoreFails(t *testing.T) {
	g := newGate(t)
	_, access := g.sessions.open()
	g.sessions.down = true
	res := g.post(t, signOutPath, nil, access)
	want(t, res, http.StatusServiceUnavailable, "You have not been signed out")
	wantHeader(t, res, "Set-Cookie", "")
	wantHeader(t, res, "Retry-After", "5")
}

func TestSignOutLeavesCookieWhenEndingFails(t *testing.T) {
	fake := newSessions()
	g := newGate(t, func(o *Options) { o.Sessions = endless{fake} })
	_, access := fake.open()
	res := g.post(t, signOutPath, nil, access)
	want(t, res, http.StatusServiceUnavailable, "You have not been signed out")
	wantHeader(t, res, "Set-Cookie", "")
}

func TestSignOutEndsTheSessionOfEveryCookie(t *testing.T) {
	g := newGate(t)
	_, a := g.sessions.open()
	_, b := g.sessions.open()
	res := g.post(t, signOutPath, nil, a, b)
	want(t, res, http.StatusSeeOther, "")
	wantHeader(t, res, "Set-Cookie", dropped)
	if len(g.sessions.live) != 0 {
		t.Errorf("%d sessions live", len(g.sessions.live))
	}
}
