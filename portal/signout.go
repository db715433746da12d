package portal

import (
	"net/http"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// endReason is why sessions end here, from the closed list of session.Recorder.
const endReason = "logout"

// signOut ends the session, then drops the cookie. A store that cannot be asked
// changes neither. Of several different cookies each one's session ends: who
// wants to be out is out.
func (s *site) signOut(w http.ResponseWriter, r *http.Request) {
	for _, value := range cookieValues(r, CookieName) {
		if err := s.end(r, token.NewSecret(value)); err != nil {
			s.unsure(w, r, err)
			return
		}
	}
	expireCookie(w)
	seeOther(w, s.url("/signed-out"))
}

// end ends the session of one cookie; one that has none is no error.
func (s *site) end(r *http.Request, cookie token.Secret) error {
	was, err := s.check(r, cookie)
	if err != nil {
		if refused(err) {
			return nil
		}
		return err
	}
	return s.o.Sessions.End(r.Context(), was.SID, endReason)
}

func (s *site) signedOut(w http.ResponseWriter, _ *http.Request) {
	s.render(w, http.StatusOK, "signed-out", s.frame("You are signed out"))
}
