package session

import (
	"errors"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// What callers are told. The texts are fixed: nothing of what they sent comes
// back. Every cause of one kind has one text, so that nothing can be learned
// from the difference.
var (
	errBadCredentials  = token.Fail(token.BadCredentials, "Unknown user or wrong password.", nil)
	errLocalAuthOff    = token.Fail(token.LocalAuthOff, "Signing in by password is switched off here. Use an API token.", nil)
	errFactorNeeded    = token.Fail(token.FactorNeeded, "A second factor is needed, which cannot be asked for here.", nil)
	errNoSuchChallenge = token.Fail(token.NotFound, "There is no such challenge, or it is over.", nil)
	errDecided         = token.Fail(token.Gone, "The challenge is decided or over.", nil)
	errNotApproved     = token.Fail(token.Denied, "The sign-in was not approved.", nil)
	errBadTicket       = token.Fail(token.InvalidAccess, "The sign-in has not begun here. Begin again.", nil)
	errOldTicket       = token.Fail(token.ExpiredAccess, "The sign-in took too long. Begin again.", nil)
	errInvalidAccess   = token.Fail(token.InvalidAccess, "The access token is not valid, or its session has ended. Log in again.", nil)
	errExpiredAccess   = token.Fail(token.ExpiredAccess, "The access token has expired. Refresh it.", nil)
	errInvalidRefresh  = token.Fail(token.InvalidRefresh, "The refresh token is not valid any more. Log in again.", nil)
	errInvalidAPIToken = token.Fail(token.InvalidAPIToken, "The API token is not valid, or it was revoked.", nil)
	errExpiredAPIToken = token.Fail(token.ExpiredAPIToken, "The API token has expired. Make a new one.", nil)

	errEndedMeanwhile = &token.Error{Kind: token.Unavailable, Msg: "All your sessions were ended while you logged in. Log in again.", RetryAfter: time.Second}

	errTokenExpires   = token.Fail(token.Malformed, "The expiry of the API token lies in the past.", nil)
	errTokenScopes    = token.Fail(token.Denied, "An API token cannot have scopes that its maker lacks.", nil)
	errTokenOutlives  = token.Fail(token.Denied, "An API token cannot make one that outlives it. Name an earlier expiry.", nil)
	errTokenClient    = token.Fail(token.Denied, "API tokens are made and deleted by their user, not by an OAuth client in his name.", nil)
	errTokenWider     = token.Fail(token.Denied, "An API token cannot delete one with scopes that it lacks.", nil)
	errTokenText      = token.Fail(token.Malformed, "The chosen text needs 8 to 256 printable characters without spaces.", nil)
	errTokenTaken     = token.Fail(token.Malformed, "The chosen text cannot be used. Choose another.", nil)
	errTokenWords     = token.Fail(token.Malformed, "The description of an API token has at most 1024 bytes.", nil)
	errTokenMany      = token.Fail(token.Denied, "You have 200 API tokens. Delete one first.", nil)
	errNotApplication = token.Fail(token.Denied, "Only users of type application may have application tokens.", nil)
	errPassedThrough  = token.Fail(token.Denied, "Application tokens are not made here: this gateway passes each login on to the backend.", nil)
	errNoSuchToken    = token.Fail(token.NotFound, "You have no API token with this id.", nil)
)

// tells reports whether a shape said in words of its own what is wrong with a
// token. It has asked nobody, so they tell nothing but what the text itself does.
func tells(err error) bool {
	e, ok := errors.AsType[*token.Error](err)
	return ok && e.Msg != ""
}

// isKind is token.KindOf for an error that may be nil.
func isKind(err error, k token.Kind) bool { return err != nil && token.KindOf(err) == k }
