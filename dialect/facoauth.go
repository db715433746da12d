package dialect

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// facOAuth is the OAuth server of FortiAuthenticator 6.x, after the page "OAuth
// server token (/oauth/token/)" of the vendor's REST API Solution Guide, and
// after its later pages for the other calls. The product is built on Django OAuth
// Toolkit, whose observed answers stand where the pages are silent; what nothing
// settles is marked [I] where it is decided. FortiCloud's customerapiauth speaks
// the same.
var facOAuth = Family{
	Name:     "fac-oauth",
	Doc:      facDoc,
	Profiles: []string{"6.x"},
	Default:  "6.x",
	Open:     facOpen,
}

const facDoc = "FortiAuthenticator 6.x OAuth server and FortiCloud, REST API Solution Guide: /oauth/token/"

// fac is one opened profile.
type fac struct{ Settings }

// facAccessTTL is the life of an access token of which nobody says otherwise:
// the 36000 s of the page. Each client has its own.
const facAccessTTL = 36000 * time.Second

func facOpen(profile string, s Settings) (*Dialect, error) {
	v := fac{s}
	v.AccessTTL = cmp.Or(s.AccessTTL, facAccessTTL)
	if err := v.check(); err != nil {
		return nil, fmt.Errorf("dialect: fac-oauth/%s: %w", profile, err)
	}
	return &Dialect{
		Name: "fac-oauth", Profile: profile, Doc: facDoc,
		Calls:        v.calls(),
		Carriers:     []Carried{{Carrier: Bearer{}, Use: UseAccess}},
		Tokens:       v.tokens(),
		Errors:       Errors{Write: facWriteError, Read: facReadError, MayExpire: facMayExpire, EndsRefresh: facEndsRefresh},
		Clients:      true,
		SecondFactor: token.FactorAsked,
	}, nil
}

func (v fac) check() error {
	switch {
	case v.AccessTTL < time.Second || v.RefreshTTL < 0 || v.RefreshTTL > 0 && v.RefreshTTL < time.Second:
		return errors.New("tokens must live for a second at least")
	case v.AccessTTL%time.Second != 0 || v.RefreshTTL%time.Second != 0:
		return errors.New("tokens live for whole seconds")
	}
	return nil
}

// facTokenLen is the length of access and refresh tokens on the page: that of a
// core in base62.
const facTokenLen = coreLen

func (v fac) tokens() Tokens {
	return Tokens{
		AccessTTL: v.AccessTTL, RefreshTTL: v.RefreshTTL,
		Rotates: true, VoidsAccess: true,
		LocalAuthOff: v.LocalAuthOff,
		MintAccess:   facMintAccess,
		ParseAccess:  facParseAccess,
		MintRefresh:  func(core token.Core, _ token.Identity) token.Secret { return facText(core) },
		ParseRefresh: func(text token.Secret) (token.Core, bool) { return parseCore(text.Reveal()) },
		MintID:       v.mintID,
		IDTTL:        facIDTTL,
	}
}

func facText(core token.Core) token.Secret {
	return token.NewSecret(string(appendCore(make([]byte, 0, facTokenLen), core)))
}

func facMintAccess(_ Keys, _ token.Access, core token.Core) (token.Secret, error) {
	return facText(core), nil
}

// facInvalid is the one message for every access token that is not good.
const facInvalid = "The access token is not valid."

func facParseAccess(_ Keys, text token.Secret) (token.Access, *token.Core, error) {
	core, ok := parseCore(text.Reveal())
	if !ok {
		return token.Access{}, nil, token.Fail(token.InvalidAccess, facInvalid, nil)
	}
	return token.Access{}, &core, nil
}

// Where the calls are.
const (
	facAPI  = "/api/v1"
	facOAPI = facAPI + "/oauth"
)

// facPaths are the forms of a path. The vendor's has a slash at its end, and the
// bare toolkit answers 404 without it, so that form is spoken; both are served.
func facPaths(tails ...string) []string {
	var paths []string
	for _, tail := range tails {
		paths = append(paths, tail+"/", tail)
	}
	return paths
}

// calls is the vendor's pages as a table, and introspection, which the vendor does
// not document.
func (v fac) calls() []Call {
	return []Call{
		{
			Op: token.OpLogin, Also: []token.Op{token.OpRefresh, token.OpCode}, Method: "POST", Paths: facPaths(facOAPI + "/token"),
			ReadRequest: facReadToken, WriteRequest: facWriteToken,
			WriteResponse: facWriteTokens, ReadResponse: facReadTokens,
		}, {
			Op: token.OpPoll, Method: "GET", Paths: facPaths(facAPI + "/pushpoll"),
			ReadRequest: facReadPoll, WriteRequest: facWritePoll,
			WriteResponse: facWriteChallenge, ReadResponse: facReadPolled,
		}, {
			Op: token.OpAuthorize, Method: "GET", Paths: facPaths(facOAPI + "/authorize"),
			ReadRequest: facReadAuthorize, WriteResponse: facWriteRedirect,
		}, {
			Op: token.OpVerify, Method: "GET", Paths: facPaths(facOAPI + "/verify_token"),
			ReadRequest: facReadVerify, WriteResponse: facWriteVerified,
		}, {
			Op: token.OpRevoke, Also: []token.Op{token.OpLogout}, Method: "POST", Paths: facPaths(facOAPI + "/revoke_token"),
			ReadRequest: facReadRevoke, WriteRequest: facWriteRevoke,
			WriteResponse: facWriteNothing, ReadResponse: facReadNothing,
		}, {
			Op: token.OpWhoAmI, Method: "GET", Paths: facPaths(facOAPI + "/userinfo"),
			ReadRequest: facReadWhoAmI, WriteRequest: facWriteWhoAmI,
			WriteResponse: facWriteUserinfo, ReadResponse: facReadUserinfo,
		}, {
			Op: token.OpIntrospect, Method: "POST", Paths: facPaths(facOAPI + "/introspect"),
			ReadRequest: facReadIntrospect, WriteResponse: facWriteIntrospected,
		}, {
			Op: token.OpKeys, Method: "GET", Paths: facPaths(facOAPI + "/.well-known/keys"),
			ReadRequest: facReadOp(token.OpKeys), WriteResponse: facWriteKeys,
		}, {
			Op: token.OpDiscovery, Method: "GET",
			Paths:       facPaths(facOAPI+"/.well-known/openid-configuration", facOAPI+"/.well-known/oauth-authorization-server"),
			ReadRequest: facReadOp(token.OpDiscovery), WriteResponse: v.writeDiscovery,
		},
	}
}
