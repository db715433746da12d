package dialect

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// ipfabric is the token API of IP Fabric 4.x to 7.5, after the vendor's page
// "Authentication" and, where the page is silent, the public SDK
// (python-ipfabric) and public documentation. What neither settles is marked
// [I] where it is decided.
var ipfabric = Family{
	Name: "ipfabric",
	Doc:  ipfDoc,
	Profiles: []string{
		"5.0", // to 6.0: tokens in the JSON body, the refresh token stays the same
		"6.1", // 6.1 to 6.x: cookies, rotation, both token paths
		"7.0", // 7.0 on: as 6.1, the token path unversioned only
		"7.5", // as 7.0, with versions in a header
	},
	Default: "7.0",
	Open:    ipfOpen,
}

const ipfDoc = "IP Fabric 4.x to 7.5, docs.ipfabric.io: API Authentication"

// ipfProfile is how one profile differs.
type ipfProfile struct {
	inBody         bool // tokens in the JSON body; no cookies, no rotation
	versionedToken bool // /api/v6.1/auth/token is served beside /api/auth/token
	versionedFirst bool // the gateway speaks to versioned paths
	headerVersions bool // X-API-Version, and versioned paths are deprecated
	chosenToken    int  // fewest characters of an API token's text that a caller chooses; 0: refused
}

var ipfProfiles = map[string]ipfProfile{
	"5.0": {inBody: true, versionedToken: true, versionedFirst: true, chosenToken: 8},
	"6.1": {versionedToken: true, versionedFirst: true, chosenToken: 8},
	"7.0": {},
	"7.5": {headerVersions: true},
}

// ipf is one opened profile.
type ipf struct {
	ipfProfile
	Settings
	name string
}

// The vendor's defaults: app.accessToken.expiresIn, app.refreshToken.expiresIn.
const (
	ipfAccessTTL  = 1800 * time.Second
	ipfRefreshTTL = 86400 * time.Second
)

func ipfOpen(profile string, s Settings) (*Dialect, error) {
	v := ipf{ipfProfile: ipfProfiles[profile], Settings: s, name: profile}
	v.AccessTTL = cmp.Or(s.AccessTTL, ipfAccessTTL)
	v.RefreshTTL = cmp.Or(s.RefreshTTL, ipfRefreshTTL)
	v.RefreshLength = cmp.Or(s.RefreshLength, ipfRefreshLength)
	v.MissingTokenCode = cmp.Or(s.MissingTokenCode, v.missingCode())
	if err := v.check(); err != nil {
		return nil, fmt.Errorf("dialect: ipfabric/%s: %w", profile, err)
	}
	d := &Dialect{
		Name: "ipfabric", Profile: profile, Doc: ipfDoc,
		Calls: v.calls(),
		Carriers: []Carried{
			{Carrier: ipfBearer, Use: UseAccess},
			{Carrier: Basic{}, Use: UseBasic},
			{Carrier: ipfAPIToken, Use: UseAPIToken},
			{Carrier: ipfAccessCookie, Use: UseAccess, Cookie: true},
		},
		Tokens:       v.tokens(),
		Errors:       Errors{Write: v.writeError, Read: ipfReadError, MayExpire: ipfMayExpire},
		TokenCookies: []string{ipfAccessCookie.Name, ipfRefreshCookie.Name},
		Admit:        v.admit,
	}
	if v.headerVersions {
		d.Decorate = v.decorate
	}
	return d, nil
}

// missingCode is the code of a call without any credential. A cookie jar drops
// the access cookie when it expires, and the SDK then refreshes only if it is
// told of an expired token. Without cookies nobody needs that. [I]
func (v ipf) missingCode() string {
	if v.inBody {
		return "API_INVALID_ACCESS_TOKEN"
	}
	return "API_EXPIRED_ACCESS_TOKEN"
}

func (v ipf) check() error {
	switch {
	case v.AccessTTL < time.Second || v.RefreshTTL < time.Second:
		return errors.New("tokens must live for a second at least")
	case v.AccessTTL%time.Second != 0 || v.RefreshTTL%time.Second != 0:
		return errors.New("tokens live for whole seconds")
	case v.RefreshLength < ipfMinRefresh || v.RefreshLength > ipfMaxRefresh:
		return fmt.Errorf("a refresh token of %d characters cannot hold what it must; the length is %d to %d, the vendor's %d",
			v.RefreshLength, ipfMinRefresh, ipfMaxRefresh, ipfRefreshLength)
	case !ipfCode.MatchString(v.MissingTokenCode):
		return errors.New("the code for a missing token must look like API_EXPIRED_ACCESS_TOKEN")
	}
	return nil
}

func (v ipf) tokens() Tokens {
	return Tokens{
		AccessTTL: v.AccessTTL, RefreshTTL: v.RefreshTTL,
		Rotates: !v.inBody, Cookies: !v.inBody,
		LocalAuthOff:    v.LocalAuthOff,
		ChosenAPITokens: v.chosenToken,
		MintAccess:      ipfMintAccess,
		ParseAccess:     ipfParseAccess,
		MintRefresh:     ipfMintRefresh(v.RefreshLength),
		ParseRefresh:    ipfParseRefresh(v.RefreshLength),
	}
}

// calls is the page as a table: login, refresh, logout, and from the SDK users/me,
// api-tokens and version.
func (v ipf) calls() []Call {
	return []Call{
		{
			Op: token.OpLogin, Method: "POST", Paths: v.paths("/auth/login", true),
			ReadRequest: ipfReadLogin, WriteRequest: ipfWriteLogin,
			WriteResponse: v.writeLoggedIn, ReadResponse: ipfReadTokens,
		}, {
			Op: token.OpRefresh, Method: "POST", Paths: v.tokenPaths(),
			ReadRequest: ipfReadRefresh, WriteRequest: ipfWriteRefresh,
			WriteResponse: v.writeRefreshed, ReadResponse: ipfReadTokens,
		}, {
			Op: token.OpLogout, Method: "POST", Paths: v.paths("/auth/logout", true),
			ReadRequest: ipfReadLogout, WriteRequest: ipfWriteLogout,
			WriteResponse: v.writeLoggedOut, ReadResponse: ipfReadNothing,
		}, {
			Op: token.OpWhoAmI, Method: "GET", Paths: v.paths("/users/me", v.headerVersions),
			ReadRequest: ipfReadWhoAmI, WriteRequest: ipfWriteWhoAmI,
			WriteResponse: ipfWriteMe, ReadResponse: ipfReadMe,
		}, {
			Op: token.OpListAPITokens, Method: "GET", Paths: v.paths("/api-tokens", v.headerVersions),
			ReadRequest: ipfReadList, WriteResponse: ipfWriteList,
		}, {
			Op: token.OpCreateAPIToken, Method: "POST", Paths: v.paths("/api-tokens", v.headerVersions),
			ReadRequest: v.readCreate, WriteResponse: ipfWriteCreated,
		}, {
			Op: token.OpDeleteAPIToken, Method: "DELETE", Paths: v.paths("/api-tokens/{id}", v.headerVersions),
			ReadRequest: ipfReadDelete, WriteResponse: ipfWriteDeleted,
		}, {
			Op: token.OpVersion, Method: "GET", Paths: []string{"/api/version"}, Public: true,
			ReadRequest: ipfReadVersion, WriteResponse: v.writeVersion,
		},
	}
}

// paths returns the forms of a path, the one to speak first. Every profile takes
// any version in a versioned path, as clients of all ages send it.
func (v ipf) paths(tail string, bare bool) []string {
	versioned, unversioned := "/api/{version}"+tail, "/api"+tail
	switch {
	case !bare:
		return []string{versioned}
	case v.versionedFirst:
		return []string{versioned, unversioned}
	}
	return []string{unversioned, versioned}
}

// tokenPaths: the page's refresh call is /api/auth/token; before 6.1 it was
// versioned, from 7.0 it is not.
func (v ipf) tokenPaths() []string {
	switch {
	case v.inBody:
		return []string{"/api/{version}/auth/token", "/api/auth/token"}
	case v.versionedToken:
		return []string{"/api/auth/token", "/api/{version}/auth/token"}
	}
	return []string{"/api/auth/token"}
}

// Where credentials travel.
var (
	ipfBearer        = Bearer{}
	ipfAPIToken      = Header{"X-API-Token"}
	ipfAccessCookie  = Cookie{"accessToken"}
	ipfRefreshCookie = Cookie{"refreshToken"}
)

// -> POST /api/auth/login

type ipfLogin struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

func ipfReadLogin(r *http.Request) (token.Grant, error) {
	o, err := requestObject(r, false)
	if err != nil {
		return token.Grant{}, err
	}
	return o.login()
}

func ipfWriteLogin(r *http.Request, g token.Grant) error {
	return setJSON(r, ipfLogin{g.Username, g.Password.Reveal()})
}

// -> POST /api/auth/token

type ipfRefresh struct {
	RefreshToken string `json:"refreshToken"`
}

// ipfReadRefresh takes the token from the body, as the page has it, else from
// the cookie, as the SDK sends it: with an empty body, with or without a
// Content-Type. An Authorization header beside it does not count; it is often
// the expired access token.
func ipfReadRefresh(r *http.Request) (token.Grant, error) {
	o, err := requestObject(r, true)
	if err != nil {
		return token.Grant{}, err
	}
	text, err := o.text("refreshToken")
	if err != nil {
		return token.Grant{}, fmt.Errorf("dialect: read the refresh: %w", err)
	}
	refresh := token.NewSecret(text)
	if refresh.IsZero() {
		refresh, _ = ipfRefreshCookie.Get(r)
	}
	if refresh.IsZero() {
		return token.Grant{}, token.Fail(token.InvalidRefresh, "No refresh token in body or cookie; log in again", nil)
	}
	return token.Grant{Op: token.OpRefresh, Refresh: refresh}, nil
}

func ipfWriteRefresh(r *http.Request, g token.Grant) error {
	return setJSON(r, ipfRefresh{g.Refresh.Reveal()})
}

// <- 200 of both: cookies from 6.1 on, before that the JSON body

type ipfBody struct {
	AccessToken  string `json:"accessToken"`
	RefreshToken string `json:"refreshToken,omitempty"`
}

func (v ipf) writeLoggedIn(w http.ResponseWriter, s token.Set) error {
	if v.inBody {
		return writeJSON(w, http.StatusOK, ipfBody{s.Access.Reveal(), s.Refresh.Reveal()})
	}
	ipfSetCookies(w, s)
	return writeJSON(w, http.StatusOK, struct{}{}) // the real body is not public; the page says that no token is in it [I]
}

// writeRefreshed differs only in the body: to 6.0 the answer is the access token
// alone, the refresh token goes on as it is.
func (v ipf) writeRefreshed(w http.ResponseWriter, s token.Set) error {
	if v.inBody {
		s.Refresh = token.Secret{}
	}
	return v.writeLoggedIn(w, s)
}

func ipfSetCookies(w http.ResponseWriter, s token.Set) {
	ipfSetCookie(w, ipfAccessCookie, "/", s.Access, s.ExpiresIn)
	if !s.Refresh.IsZero() {
		ipfSetCookie(w, ipfRefreshCookie, ipfRefreshPath, s.Refresh, s.RefreshExpiresIn)
	}
}

// ipfRefreshPath is the path of the refresh cookie, from the page. A token path
// with a version in it never sees that cookie.
const ipfRefreshPath = "/api/auth/token"

// ipfSetCookie writes the attributes in the page's order, which net/http does
// not keep. A token without an end gets a cookie that ends with the browser.
func ipfSetCookie(w http.ResponseWriter, c Cookie, path string, s token.Secret, life time.Duration) {
	age, until := "", ""
	if seconds := wholeSeconds(life); seconds > 0 {
		age = "; Max-Age=" + strconv.FormatInt(seconds, 10)
		until = "; Expires=" + time.Now().Add(life).UTC().Format(http.TimeFormat)
	}
	w.Header().Add("Set-Cookie", c.Name+"="+s.Reveal()+age+"; Path="+path+until+"; HttpOnly; Secure; SameSite=Strict")
}

// ipfReadTokens takes either form in any profile: the versions' borders are
// known only roughly. An answer without a refresh token leaves the old one good.
func ipfReadTokens(resp *http.Response) (token.Set, error) {
	set, ok, err := ipfReadCookies(resp)
	if ok || err != nil {
		return set, err
	}
	o, err := answerObject(resp)
	if err != nil {
		return token.Set{}, err
	}
	set = token.Set{ExpiresIn: ipfAccessTTL, RefreshExpiresIn: ipfRefreshTTL} // not told: the vendor's defaults
	if set.Access, err = o.secret("accessToken"); err != nil {
		return token.Set{}, err
	}
	if o.isNull("refreshToken") {
		return set, nil
	}
	if set.Refresh, err = o.secret("refreshToken"); err != nil {
		return token.Set{}, err
	}
	return set, nil
}

// ipfReadCookies reads the tokens out of Set-Cookie; false without an access
// token there.
func ipfReadCookies(resp *http.Response) (token.Set, bool, error) {
	set := token.Set{RefreshExpiresIn: ipfRefreshTTL}
	access, err := answerCookie(resp, ipfAccessCookie.Name)
	if access == nil || err != nil {
		return token.Set{}, false, err
	}
	refresh, err := answerCookie(resp, ipfRefreshCookie.Name)
	if err != nil {
		return token.Set{}, false, err
	}
	if set.Access, err = checkToken(access.Name, access.Value); err != nil {
		return token.Set{}, false, err
	}
	set.ExpiresIn = cookieLife(resp, access, ipfAccessTTL)
	if refresh == nil {
		return set, true, nil
	}
	if set.Refresh, err = checkToken(refresh.Name, refresh.Value); err != nil {
		return token.Set{}, false, err
	}
	set.RefreshExpiresIn = cookieLife(resp, refresh, ipfRefreshTTL)
	return set, true, nil
}

// -> POST /api/auth/logout

// ipfReadLogout notes the access token; the body, often an empty one said to be
// JSON, does not count.
func ipfReadLogout(r *http.Request) (token.Grant, error) {
	return token.Grant{Op: token.OpLogout, Access: ipfAccess(r)}, nil
}

// ipfAccess returns the access token that a request carries, if any.
func ipfAccess(r *http.Request) token.Secret {
	if s, ok := ipfBearer.Get(r); ok {
		return s
	}
	s, _ := ipfAccessCookie.Get(r)
	return s
}

func ipfWriteLogout(r *http.Request, g token.Grant) error {
	if g.Access.IsZero() {
		return errors.New("dialect: write the logout: no access token")
	}
	ipfBearer.Set(r, g.Access)
	return nil
}

// <- 204; the status is not public [I]

func (v ipf) writeLoggedOut(w http.ResponseWriter, _ token.Set) error {
	if !v.inBody {
		ipfDropCookie(w, ipfAccessCookie, "/")
		ipfDropCookie(w, ipfRefreshCookie, ipfRefreshPath)
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// ipfDropCookie expires a cookie, with the attributes it was set with.
func ipfDropCookie(w http.ResponseWriter, c Cookie, path string) {
	w.Header().Add("Set-Cookie", c.Name+"=; Max-Age=0; Path="+path+"; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure; SameSite=Strict")
}

// ipfReadNothing takes any success: there is nothing in it to learn.
func ipfReadNothing(*http.Response) (token.Set, error) { return token.Set{}, nil }

// -> GET /api/v7.0/users/me

func ipfReadWhoAmI(r *http.Request) (token.Grant, error) {
	g := token.Grant{Op: token.OpWhoAmI, Access: ipfAccess(r)}
	if s, ok := ipfAPIToken.Get(r); ok {
		g.APIToken = &token.APITokenRequest{Chosen: s}
	}
	return g, nil
}

// ipfWriteWhoAmI asks with the grant's API token if it names one, else with its
// access token.
func ipfWriteWhoAmI(r *http.Request, g token.Grant) error {
	switch {
	case g.APIToken != nil && !g.APIToken.Chosen.IsZero():
		ipfAPIToken.Set(r, g.APIToken.Chosen)
	case !g.Access.IsZero():
		ipfBearer.Set(r, g.Access)
	default:
		return errors.New("dialect: write the who-am-I: no token")
	}
	return nil
}

// <- 200

// ipfMe has the fields that the SDK requires. What an identity of the gateway
// lacks is null or empty. [I]
type ipfMe struct {
	ID             string   `json:"id"`
	Username       string   `json:"username"`
	Email          string   `json:"email"`
	IsLocal        bool     `json:"isLocal"`
	SSOProvider    *string  `json:"ssoProvider"`
	DomainSuffixes []string `json:"domainSuffixes"`
	RoleNames      []string `json:"roleNames"`
	RoleIDs        []string `json:"roleIds"`
	LDAPID         *string  `json:"ldapId"`
	Timezone       string   `json:"timezone"`
}

func ipfWriteMe(w http.ResponseWriter, s token.Set) error {
	return writeJSON(w, http.StatusOK, ipfMe{
		ID: s.Identity.ID, Username: s.Identity.Name, Email: s.Identity.Email,
		IsLocal: true, DomainSuffixes: []string{}, RoleNames: orEmpty(s.Identity.Groups), RoleIDs: []string{}, Timezone: "UTC",
	})
}

func ipfReadMe(resp *http.Response) (token.Set, error) {
	o, err := answerObject(resp)
	if err != nil {
		return token.Set{}, err
	}
	id, idErr := o.text("id")
	name, nameErr := o.text("username")
	email, emailErr := o.text("email")
	roles, rolesErr := o.texts("roleNames")
	if err := errors.Join(idErr, nameErr, emailErr, rolesErr); err != nil {
		return token.Set{}, fmt.Errorf("dialect: the backend's answer: %w", err)
	}
	if id == "" || name == "" {
		return token.Set{}, errors.New("dialect: the backend's answer names no user")
	}
	return token.Set{Identity: token.Identity{ID: id, Name: name, Email: email, Groups: roles}}, nil
}
