package portal

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// What people read when signing in does not work. The first is the same for
// every cause, so that it tells nobody which user names exist.
const (
	msgWrong       = "User name or password is wrong."
	msgIncomplete  = "Enter both user name and password."
	msgUnavailable = "Signing in is not possible just now. Nothing is wrong with what you entered; try again in a moment."
	msgAuthOff     = "Signing in with a password is switched off for this system. API tokens still work; for anything else ask its operator."
	msgFactor      = "This account needs a second factor, which cannot be asked for here. Ask the operator of the system."
	msgTwoCookies  = "Your browser sent two different sign-in cookies, so it cannot be known which is yours. Both were removed: sign in again."
	msgTryAgain    = "It cannot be checked just now whether you are signed in. You have not been signed out; try again in a moment."
	msgInternal    = "The gateway has failed. Try again; if it happens again, tell the operator the request number."
)

// defaultRetry is told where the failure does not say when to try again.
const defaultRetry = 5 * time.Second

// signInPage is the sign-in form.
type signInPage struct {
	frame
	Title    string
	Username string // as it was entered
	ReturnTo string
	Problem  string // what was wrong; empty at first
	Invalid  bool   // it was what had been entered
	Off      bool   // signing in by password is switched off: no form
}

func (s *site) signIn(w http.ResponseWriter, r *http.Request) {
	if s.o.Insecure(r) {
		s.render(w, http.StatusForbidden, "insecure", s.frame("Sign-in needs https"))
		return
	}
	cookies := cookieValues(r, CookieName)
	if len(cookies) > 1 {
		expireCookie(w)
		s.ErrorPage(w, r, http.StatusBadRequest, msgTwoCookies, "")
		return
	}
	var cookie token.Secret
	if len(cookies) == 1 {
		cookie = token.NewSecret(cookies[0])
	}
	if r.Method == http.MethodPost {
		s.submit(w, r, cookie)
		return
	}
	s.show(w, r, cookie)
}

// show answers GET: the form, or the way on for who is signed in already.
func (s *site) show(w http.ResponseWriter, r *http.Request, cookie token.Secret) {
	to := s.returnPath(r.URL.Query().Get("return_to"))
	_, err := s.check(r, cookie)
	switch {
	case err == nil:
		seeOther(w, to)
	case !refused(err):
		s.unsure(w, r, err)
	case s.iss.LocalAuthOff:
		s.form(w, http.StatusForbidden, signInPage{Off: true, Problem: msgAuthOff})
	default:
		s.form(w, http.StatusOK, signInPage{ReturnTo: to})
	}
}

// check finds the session of a cookie. No cookie is a failure of kind Missing.
func (s *site) check(r *http.Request, cookie token.Secret) (*session.Session, error) {
	if cookie.IsZero() {
		return nil, token.Fail(token.Missing, "There is no sign-in cookie.", nil)
	}
	return s.o.Sessions.Check(r.Context(), []*session.Issuer{s.iss}, cookie)
}

// refused reports whether a check came to the answer that there is no such
// session, as against coming to none.
func refused(err error) bool {
	switch token.KindOf(err) {
	case token.Missing, token.InvalidAccess, token.ExpiredAccess, token.BadCredentials:
		return true
	}
	return false
}

// unsure answers when the sessions could not be asked. The cookie stays.
func (s *site) unsure(w http.ResponseWriter, r *http.Request, err error) {
	if token.KindOf(err) == token.Unavailable {
		retryAfter(w, err)
		s.fail(w, r, http.StatusServiceUnavailable, msgTryAgain)
	} else {
		s.fail(w, r, http.StatusInternalServerError, msgInternal)
	}
	s.o.Log.WarnContext(r.Context(), "session could not be checked", slog.Any("error", err))
}

// form writes the sign-in page; the frame and the title are filled in here.
func (s *site) form(w http.ResponseWriter, status int, page signInPage) {
	page.frame, page.Title = s.frame("Sign in"), s.title
	s.render(w, status, "sign-in", page)
}

// submit answers POST. A session that the browser had before ends when the new
// one is open, so that a planted cookie is worth nothing (session fixation);
// the new one stands even if that fails.
func (s *site) submit(w http.ResponseWriter, r *http.Request, old token.Secret) {
	f, err := readForm(w, r)
	if err != nil {
		s.unreadable(w, r, err)
		return
	}
	page := signInPage{Username: f.username, ReturnTo: s.returnPath(f.returnTo)}
	if f.username == "" || f.password.IsZero() {
		page.Problem, page.Invalid = msgIncomplete, true
		s.form(w, http.StatusBadRequest, page)
		return
	}
	set, err := s.o.Sessions.Login(r.Context(), s.iss, session.KindPortal, token.Grant{
		Op: token.OpLogin, Username: f.username, Password: f.password, Address: s.o.ClientIP(r),
	})
	if e, ok := errors.AsType[*token.Error](err); ok && e.Challenge != nil && !e.Challenge.Ticket.IsZero() {
		s.askFactor(w, e.Challenge, page.ReturnTo)
		return
	}
	if err != nil {
		s.rejected(w, r, page, err)
		return
	}
	if err := s.end(r, old); err != nil {
		s.o.Log.WarnContext(r.Context(), "earlier session could not be ended", slog.Any("error", err))
	}
	setCookie(w, set.Access)
	s.goOn(w, page.ReturnTo)
}

// signedInPage leads on.
type signedInPage struct {
	frame
	To string
}

// goOn sends a person who has signed in where he wants to go, a path that was
// checked before. Browsers hold form-action of the page's policy against every
// redirect that answers its form, so a page stands before a path that leads to
// another site.
func (s *site) goOn(w http.ResponseWriter, to string) {
	if !s.o.Outward(to) {
		seeOther(w, to)
		return
	}
	w.Header().Set("Refresh", "0; url="+to)
	s.render(w, http.StatusOK, "signed-in", signedInPage{s.frame("You are signed in"), to})
}

func (s *site) unreadable(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusBadRequest
	switch token.KindOf(err) {
	case token.UnsupportedMedia:
		status = http.StatusUnsupportedMediaType
	case token.TooLarge:
		status = http.StatusRequestEntityTooLarge
	}
	msg := ""
	if e, ok := errors.AsType[*token.Error](err); ok {
		msg = e.Msg
	}
	s.fail(w, r, status, msg)
}

// rejected shows the form again with what was wrong.
func (s *site) rejected(w http.ResponseWriter, r *http.Request, page signInPage, err error) {
	status := http.StatusUnauthorized
	switch token.KindOf(err) {
	case token.BadCredentials, token.Missing, token.Malformed, token.Denied:
		page.Problem, page.Invalid = msgWrong, true
	case token.FactorNeeded:
		page.Problem = msgFactor
	case token.LocalAuthOff:
		status, page.Problem, page.Off = http.StatusForbidden, msgAuthOff, true
	case token.Throttled:
		status, page.Problem = http.StatusTooManyRequests, throttled(retryAfter(w, err))
	case token.Unavailable, token.BadGateway, token.GatewayTimeout:
		status, page.Problem = http.StatusServiceUnavailable, msgUnavailable
		retryAfter(w, err)
		s.o.Log.WarnContext(r.Context(), "sign-in could not be checked", slog.Any("error", err))
	default:
		s.o.Log.ErrorContext(r.Context(), "sign-in failed", slog.Any("error", err))
		s.fail(w, r, http.StatusInternalServerError, msgInternal)
		return
	}
	s.form(w, status, page)
}

// retryAfter sets the header in whole seconds, rounded up, and returns it.
func retryAfter(w http.ResponseWriter, err error) time.Duration {
	d := defaultRetry
	if e, ok := errors.AsType[*token.Error](err); ok && e.RetryAfter > 0 {
		d = e.RetryAfter
	}
	d = (d + time.Second - 1).Truncate(time.Second)
	w.Header().Set("Retry-After", strconv.Itoa(int(d/time.Second)))
	return d
}

func throttled(wait time.Duration) string {
	n, unit := int(wait/time.Second), "second"
	if wait > 90*time.Second {
		n, unit = int((wait+time.Minute-1)/time.Minute), "minute"
	}
	if n != 1 {
		unit += "s"
	}
	return fmt.Sprintf("There were too many failed attempts. Try again in %d %s.", n, unit)
}
