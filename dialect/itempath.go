package dialect

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// itempath is the token API of ItemPath, after the vendor's page
// "Authentication". Where the page is silent it behaves as flask-jwt-extended
// 4.x does with JWT_IDENTITY_CLAIM "identity", which the page's tokens are
// plainly made by. What neither settles is marked [I] where it is decided.
var itempath = Family{
	Name:     "itempath",
	Doc:      itpDoc,
	Profiles: []string{"1"}, // the page knows no versions
	Default:  "1",
	Open:     itpOpen,
}

const itpDoc = "ItemPath, API documentation: Authentication"

// The page: 15 minutes and 30 days.
const (
	itpAccessTTL  = 900 * time.Second
	itpRefreshTTL = 2592000 * time.Second
)

func itpOpen(profile string, s Settings) (*Dialect, error) {
	access, refresh := cmp.Or(s.AccessTTL, itpAccessTTL), cmp.Or(s.RefreshTTL, itpRefreshTTL)
	switch {
	case access < time.Second || refresh < time.Second:
		return nil, errors.New("dialect: itempath: tokens must live for a second at least")
	case access%time.Second != 0 || refresh%time.Second != 0:
		return nil, errors.New("dialect: itempath: tokens live for whole seconds")
	}
	return &Dialect{
		Name: "itempath", Profile: profile, Doc: itpDoc,
		Calls:    itpCalls(),
		Carriers: []Carried{{Carrier: itpBearer{}, Use: UseAccess}},
		Tokens: Tokens{
			AccessTTL: access, RefreshTTL: refresh, LocalAuthOff: s.LocalAuthOff,
			MintAccess: itpMintAccess, ParseAccess: itpParseAccess,
			SignRefresh: itpSignRefresh, OpenRefresh: itpOpenRefresh,
		},
		Errors: Errors{Write: itpWriteError, Read: itpReadError, MayExpire: itpMayExpire, EndsRefresh: itpEndsRefresh},
	}, nil
}

// itpCalls is the page as a table. There is no logout. The page shows no method
// for refreshing: POST is spoken, GET served too. [I]
func itpCalls() []Call {
	return []Call{
		{
			Op: token.OpLogin, Method: "POST", Paths: []string{"/api/users/login"},
			ReadRequest: itpReadLogin, WriteRequest: itpWriteLogin,
			WriteResponse: itpWriteLoggedIn, ReadResponse: itpReadLoggedIn,
		}, {
			Op: token.OpRefresh, Method: "POST", Paths: []string{"/api/users/refresh"},
			ReadRequest: itpReadRefresh, WriteRequest: itpWriteRefresh,
			WriteResponse: itpWriteRefreshed, ReadResponse: itpReadRefreshed,
		}, {
			Op: token.OpRefresh, Method: "GET", Paths: []string{"/api/users/refresh"},
			ReadRequest: itpReadRefresh, WriteResponse: itpWriteRefreshed,
		}, {
			Op: token.OpApplicationToken, Method: "POST", Paths: []string{"/api/users/application-token"},
			ReadRequest: itpReadApplication, WriteRequest: itpWriteApplication,
			WriteResponse: itpWriteToken, ReadResponse: itpReadToken,
		},
	}
}

// itpBearer is "Authorization: Bearer <JWT>" as flask-jwt-extended takes it: the
// scheme in exactly this case, one token behind it. Another scheme, bearer in
// lower case too, is not its place.
type itpBearer struct{}

// Get implements Carrier.
func (itpBearer) Get(r *http.Request) (token.Secret, bool) {
	lines := r.Header.Values("Authorization")
	for _, line := range lines {
		parts := strings.Fields(line)
		if len(parts) == 0 || parts[0] != "Bearer" {
			continue
		}
		if len(lines) > 1 || len(parts) != 2 || !isVisible(parts[1]) {
			return token.Secret{}, true
		}
		return token.NewSecret(parts[1]), true
	}
	return token.Secret{}, false
}

// Set implements Carrier.
func (itpBearer) Set(r *http.Request, s token.Secret) {
	r.Header.Set("Authorization", "Bearer "+s.Reveal())
}

// Del implements Carrier.
func (itpBearer) Del(r *http.Request) { delAuthorization(r, "Bearer") }

// -> POST /api/users/login

type itpLogin struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

func itpReadLogin(r *http.Request) (token.Grant, error) {
	o, err := requestObject(r, false)
	if err != nil {
		return token.Grant{}, err
	}
	return o.login()
}

func itpWriteLogin(r *http.Request, g token.Grant) error {
	return setJSON(r, itpLogin{g.Username, g.Password.Reveal()})
}

// <- 200

type itpLoggedIn struct {
	Login        bool   `json:"login"`
	AccessToken  string `json:"accessToken"`
	RefreshToken string `json:"refreshToken"`
}

func itpWriteLoggedIn(w http.ResponseWriter, s token.Set) error {
	return writeJSON(w, http.StatusOK, itpLoggedIn{true, s.Access.Reveal(), s.Refresh.Reveal()})
}

// itpReadLoggedIn takes login false, or none, for a refusal whatever the status
// is: the page has the member for something. [I]
func itpReadLoggedIn(resp *http.Response) (token.Set, error) {
	o, err := answerObject(resp)
	if err != nil {
		return token.Set{}, err
	}
	if in, err := o.truth("login"); err != nil || !in {
		return token.Set{}, itpFail(token.BadCredentials, errors.New("backend answered a login that is not true"))
	}
	return itpTokens(o)
}

// itpTokens reads the tokens out of an answer. They say themselves how long they
// live, where they are JWTs; else the page does.
func itpTokens(o object) (set token.Set, err error) {
	if set.Access, err = o.secret("accessToken"); err != nil {
		return token.Set{}, err
	}
	set.ExpiresIn, set.RefreshExpiresIn = jwtLife(set.Access, itpAccessTTL), itpRefreshTTL
	if o.isNull("refreshToken") {
		return set, nil
	}
	if set.Refresh, err = o.secret("refreshToken"); err != nil {
		return token.Set{}, err
	}
	set.RefreshExpiresIn = jwtLife(set.Refresh, itpRefreshTTL)
	return set, nil
}

// -> POST /api/users/refresh, with the refresh token as Bearer

func itpReadRefresh(r *http.Request) (token.Grant, error) { return itpReadBearer(r, token.OpRefresh) }

func itpReadBearer(r *http.Request, op token.Op) (token.Grant, error) {
	text, ok := itpBearer{}.Get(r)
	switch {
	case !ok:
		return token.Grant{}, itpFail(token.Missing, nil)
	case text.IsZero():
		return token.Grant{}, token.Fail(token.InvalidRefresh, itpBadHeader, nil)
	}
	return token.Grant{Op: op, Refresh: text}, nil
}

func itpWriteRefresh(r *http.Request, g token.Grant) error {
	if g.Refresh.IsZero() {
		return fmt.Errorf("dialect: write the %s: no refresh token", g.Op)
	}
	itpBearer{}.Set(r, g.Refresh)
	r.Body = http.NoBody
	return nil
}

// <- 200; the page says "in the body", its name is that of the login's [I]

type itpRefreshed struct {
	AccessToken string `json:"accessToken"`
}

func itpWriteRefreshed(w http.ResponseWriter, s token.Set) error {
	return writeJSON(w, http.StatusOK, itpRefreshed{s.Access.Reveal()})
}

func itpReadRefreshed(resp *http.Response) (token.Set, error) {
	o, err := answerObject(resp)
	if err != nil {
		return token.Set{}, err
	}
	return itpTokens(o)
}

// -> POST /api/users/application-token, with the refresh token as Bearer; any
// body, often an empty one said to be JSON, does not count

func itpReadApplication(r *http.Request) (token.Grant, error) {
	return itpReadBearer(r, token.OpApplicationToken)
}

func itpWriteApplication(r *http.Request, g token.Grant) error {
	if err := itpWriteRefresh(r, g); err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json") // as the page has it
	return nil
}

// <- 200

type itpToken struct {
	Token string `json:"token"`
}

func itpWriteToken(w http.ResponseWriter, s token.Set) error {
	return writeJSON(w, http.StatusOK, itpToken{s.Access.Reveal()})
}

// itpReadToken: the page's application token has no end. One that has says so.
func itpReadToken(resp *http.Response) (set token.Set, err error) {
	o, err := answerObject(resp)
	if err != nil {
		return token.Set{}, err
	}
	if set.Access, err = o.secret("token"); err != nil {
		return token.Set{}, err
	}
	set.ExpiresIn = jwtLife(set.Access, 0)
	return set, nil
}
