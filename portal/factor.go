package portal

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// FactorCookie holds the ticket of a sign-in whose password is proved and whose
// second factor is not. It opens nothing, and ends after five minutes by itself.
const FactorCookie = "__Host-gatehouse-factor"

const (
	factorPath    = "/second-factor"
	factorSeconds = 300
	refreshEvery  = "3" // seconds between two looks for an approval
)

const (
	msgWrongCode   = "This code is wrong or was used before. Enter the next one that you get."
	msgNoCode      = "Enter the code."
	msgNotApproved = "Your sign-in was not approved. Begin again."
	msgTooLate     = "Signing in took too long. Begin again."
)

// methodPush is the method of a second factor that is an operator's approval.
const methodPush = "ftm-push"

// saysByMethod tell what to do.
var saysByMethod = map[string]string{
	"ftm":      "Enter the code that your authenticator app shows.",
	"ftk":      "Enter the code that your token shows.",
	"sms":      "A code was sent to your phone. It is good for five minutes.",
	"email":    "A code was sent to your mail address. It is good for five minutes.",
	"dual":     "A code was sent to your phone and to your mail address. It is good for five minutes.",
	methodPush: "Your sign-in waits to be approved. This page looks again every three seconds.",
}

// factorPage asks for the second factor.
type factorPage struct {
	frame
	Title    string
	Say      string
	Problem  string // what was wrong; empty at first
	ReturnTo string
	Self     string // URL of this page
	Waiting  bool   // for an approval: no form, since looking again would wipe it out
	byCode   bool   // a code is to be typed, whatever else could be done
}

func factorCookie() *http.Cookie {
	c := cookie()
	c.Name, c.MaxAge = FactorCookie, factorSeconds
	return c
}

// askFactor sends the browser on to the page for the second factor.
func (s *site) askFactor(w http.ResponseWriter, c *token.Challenge, returnTo string) {
	ticket := factorCookie()
	ticket.Value = c.Ticket.Reveal()
	http.SetCookie(w, ticket)
	seeOther(w, s.factorURL(returnTo))
}

func (s *site) factorURL(returnTo string) string {
	return s.url(factorPath + "?return_to=" + url.QueryEscape(returnTo))
}

// secondFactor answers GET, which goes on by itself once an approval has come,
// and POST with a code.
func (s *site) secondFactor(w http.ResponseWriter, r *http.Request) {
	if s.o.Insecure(r) {
		s.render(w, http.StatusForbidden, "insecure", s.frame("Sign-in needs https"))
		return
	}
	returnTo := r.URL.Query().Get("return_to")
	grant := token.Grant{Op: token.OpLogin, Address: s.o.ClientIP(r)}
	page := factorPage{byCode: r.Method == http.MethodPost || r.URL.Query().Get("by") == "code"}
	if r.Method == http.MethodPost {
		f, err := readForm(w, r)
		if err != nil {
			s.unreadable(w, r, err)
			return
		}
		returnTo = f.returnTo
		if f.code.IsZero() {
			page.Problem = msgNoCode
		}
		grant.Factor = &token.Factor{Response: f.code}
	}
	page.ReturnTo = s.returnPath(returnTo)
	tickets := cookieValues(r, FactorCookie)
	if len(tickets) != 1 {
		s.beginAgain(w, page, msgTooLate)
		return
	}
	set, err := s.o.Sessions.Resume(r.Context(), s.iss, token.NewSecret(tickets[0]), grant)
	if err != nil {
		s.notYet(w, r, page, err)
		return
	}
	for _, value := range cookieValues(r, CookieName) {
		if err := s.end(r, token.NewSecret(value)); err != nil {
			s.o.Log.WarnContext(r.Context(), "earlier session could not be ended", slog.Any("error", err))
		}
	}
	dropTicket(w)
	setCookie(w, set.Access)
	s.goOn(w, page.ReturnTo)
}

func dropTicket(w http.ResponseWriter) {
	c := factorCookie()
	c.MaxAge = -1
	http.SetCookie(w, c)
}

// notYet shows the page again, or sends people back to the beginning.
func (s *site) notYet(w http.ResponseWriter, r *http.Request, page factorPage, err error) {
	var asked *token.Challenge
	if e, ok := errors.AsType[*token.Error](err); ok {
		asked = e.Challenge
	}
	status := http.StatusOK
	switch kind := token.KindOf(err); {
	case kind == token.FactorNeeded && asked != nil:
		if page.Problem != "" {
			status = http.StatusBadRequest
		}
	case kind == token.BadCredentials && asked != nil:
		status, page.Problem = http.StatusUnauthorized, msgWrongCode
	case kind == token.Denied:
		s.beginAgain(w, page, msgNotApproved)
		return
	case kind == token.InvalidAccess, kind == token.ExpiredAccess:
		s.beginAgain(w, page, msgTooLate)
		return
	default:
		s.rejected(w, r, signInPage{ReturnTo: page.ReturnTo}, err)
		return
	}
	page.frame, page.Title, page.Self = s.frame("Second factor"), s.title, s.factorURL(page.ReturnTo)
	method := asked.Method
	if method == methodPush && page.byCode {
		method = "ftm"
	}
	page.Say, page.Waiting = saysByMethod[method], method == methodPush
	if page.Waiting {
		w.Header().Set("Refresh", refreshEvery+"; url="+page.Self)
	}
	s.render(w, status, "second-factor", page)
}

// beginAgain drops the ticket and shows the sign-in form.
func (s *site) beginAgain(w http.ResponseWriter, page factorPage, why string) {
	dropTicket(w)
	s.form(w, http.StatusUnauthorized, signInPage{ReturnTo: page.ReturnTo, Problem: why})
}
