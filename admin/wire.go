package admin

import (
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
)

// What the operator's API answers. Times are RFC 3339; one that is not there is
// left out. No field is ever null.

// Session is a session, or an API token as the session that it is.
type Session struct {
	SID      string    `json:"sid"`
	User     string    `json:"user"` // as proved at login
	UserID   string    `json:"user_id"`
	Source   string    `json:"source"` // "users", or "backend:<name>"
	Kind     string    `json:"kind"`   // login, portal, basic, api_token
	Issuer   string    `json:"issuer"` // "ipfabric/7.0"
	Client   string    `json:"client,omitempty"`
	AMR      []string  `json:"amr"`              // how the user proved himself, RFC 8176
	State    string    `json:"state"`            // active, closed, user_gone, expired, revoked
	Reason   string    `json:"reason,omitempty"` // why it was revoked
	TokenID  string    `json:"token_id,omitempty"`
	Issued   time.Time `json:"issued"` // when its newest access token was made
	Ends     time.Time `json:"ends"`   // unless it is used; about a century ahead: never
	LastUsed time.Time `json:"last_used,omitzero"`
}

// APIToken is an API token, never its text.
type APIToken struct {
	ID          string    `json:"id"` // as its owner knows it
	SID         string    `json:"sid"`
	User        string    `json:"user"`
	UserID      string    `json:"user_id"`
	Source      string    `json:"source"`
	Issuer      string    `json:"issuer"`
	Description string    `json:"description"`
	Scopes      []string  `json:"scopes"`
	State       string    `json:"state"`
	Made        time.Time `json:"made"`
	Expires     time.Time `json:"expires,omitzero"`
	LastUsed    time.Time `json:"last_used,omitzero"`
	Uses        int64     `json:"uses"`
}

// Challenge is a login that waits for its second factor to be approved.
type Challenge = session.PendingChallenge

// Backend is how it stands with a backend.
type Backend struct {
	Name    string    `json:"name"`
	Speak   string    `json:"speak,omitempty"`   // "ipfabric/7.0"
	Way     string    `json:"way"`               // account, pass_through, api_token, jwt, static, none
	State   string    `json:"state"`             // ready, unused, resting, unknown
	Trouble string    `json:"trouble,omitempty"` // why it rests
	Retry   time.Time `json:"retry,omitzero"`    // when it is tried again
	Version uint64    `json:"version,omitempty"` // of the account's tokens
	Expires time.Time `json:"expires,omitzero"`  // of the account's access token
}

// BackendList is all backends, in the order of the configuration.
type BackendList struct {
	Backends []Backend `json:"backends"`
}

// Retried names the backend that is tried again.
type Retried struct {
	Backend string `json:"backend"`
}

// SessionList is a page of sessions.
type SessionList struct {
	Sessions []Session `json:"sessions"`
	Next     string    `json:"next,omitempty"` // for the parameter after; absent: the last page
}

// TokenList is a page of API tokens.
type TokenList struct {
	Tokens []APIToken `json:"tokens"`
	Next   string     `json:"next,omitempty"`
}

// ChallengeList is all that waits.
type ChallengeList struct {
	Challenges []Challenge `json:"challenges"`
}

// Ended says what became of one session or API token.
type Ended struct {
	SID   string `json:"sid"`
	User  string `json:"user"`
	Ended bool   `json:"ended"` // false: it had ended before
}

// EndedAll says how many of a user's this call ended.
type EndedAll struct {
	Sessions int `json:"sessions"`
	Tokens   int `json:"tokens"`
}

// Decided says what was done about a challenge.
type Decided struct {
	ID       string `json:"id"`
	Approved bool   `json:"approved"`
}

// Problem is an error as RFC 9457 has it.
type Problem struct {
	Type      string   `json:"type"`
	Title     string   `json:"title"`
	Status    int      `json:"status"`
	Detail    string   `json:"detail"`
	RequestID string   `json:"request_id"`
	SIDs      []string `json:"sids,omitempty"` // what an id may stand for
}

func sessionOf(l *session.Listed) Session {
	return Session{
		SID: l.SID.String(), User: l.Identity.Name, UserID: l.Identity.ID, Source: l.Origin.Source, Kind: string(l.Origin.Kind),
		Issuer: l.Origin.Issuer, Client: l.Origin.Client, AMR: append([]string{}, l.Origin.AMR...), State: l.State, Reason: l.Revoked,
		TokenID: l.TokenID(), Issued: l.Made.UTC(), Ends: l.End().UTC(), LastUsed: utc(l.LastUsed),
	}
}

func apiTokenOf(l *session.Listed) APIToken {
	return APIToken{
		ID: l.TokenID(), SID: l.SID.String(), User: l.Identity.Name, UserID: l.Identity.ID, Source: l.Origin.Source,
		Issuer: l.Origin.Issuer, Description: l.API.Description, Scopes: append([]string{}, l.API.Scopes...), State: l.State,
		Made: l.Made.UTC(), Expires: utc(l.API.Expires), LastUsed: utc(l.LastUsed), Uses: l.Uses,
	}
}

// utc leaves the zero time zero.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC()
}
