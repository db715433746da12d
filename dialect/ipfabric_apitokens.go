package dialect

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// The api-tokens calls of IP Fabric, after the SDK's examples and its
// api_tokens.md. The gateway serves them and never speaks them.

// -> GET /api/v7.0/api-tokens

func ipfReadList(*http.Request) (token.Grant, error) {
	return token.Grant{Op: token.OpListAPITokens}, nil
}

// <- 200, an array

// ipfAPITokenItem is one API token in a list. Times are milliseconds since 1970,
// null for none.
type ipfAPITokenItem struct {
	ID          string   `json:"id"`
	Description string   `json:"description"`
	Expires     *int64   `json:"expires"`
	IsExpired   bool     `json:"isExpired"`
	LastUsed    *int64   `json:"lastUsed"`
	Scope       []string `json:"scope"`
	MaxScope    []string `json:"maxScope"`
	Usage       int64    `json:"usage"`
	UserID      string   `json:"userId"`
	Username    string   `json:"username"`
}

func ipfItem(t token.APIToken) ipfAPITokenItem {
	return ipfAPITokenItem{
		ID: t.ID, Description: t.Description, Expires: ipfMillis(t.Expires), IsExpired: t.Expired, LastUsed: ipfMillis(t.LastUsed),
		Scope: orEmpty(t.Scopes), MaxScope: orEmpty(t.MaxScopes), Usage: t.Usage, UserID: t.UserID, Username: t.Username,
	}
}

func ipfMillis(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	ms := t.UnixMilli()
	return &ms
}

func ipfWriteList(w http.ResponseWriter, s token.Set) error {
	items := make([]ipfAPITokenItem, 0, len(s.APITokens))
	for _, t := range s.APITokens {
		items = append(items, ipfItem(t))
	}
	return writeJSON(w, http.StatusOK, items)
}

// -> POST /api/v7.0/api-tokens {description, expires, scope, token?}

// Bounds of what a caller may store with an API token.
const (
	ipfMaxDescription = 1024
	ipfMaxScopes      = 100
	ipfMaxChosen      = 256
)

func (v ipf) readCreate(r *http.Request) (token.Grant, error) {
	o, err := requestObject(r, false)
	if err != nil {
		return token.Grant{}, err
	}
	description, descErr := o.text("description")
	scopes, scopeErr := o.texts("scope")
	expires, expErr := ipfReadMillis(o, "expires")
	chosen, chosenErr := v.readChosen(o)
	if err := errors.Join(descErr, scopeErr, expErr, chosenErr); err != nil {
		return token.Grant{}, fmt.Errorf("dialect: read the API token: %w", err)
	}
	if len(description) > ipfMaxDescription || len(scopes) > ipfMaxScopes {
		return token.Grant{}, fmt.Errorf("dialect: read the API token: at most %d bytes of description and %d scopes", ipfMaxDescription, ipfMaxScopes)
	}
	return token.Grant{Op: token.OpCreateAPIToken, APIToken: &token.APITokenRequest{
		Description: description, Scopes: scopes, Expires: expires, Chosen: chosen,
	}}, nil
}

// readChosen reads a text that the caller chose, which is refused from 6.3 on.
func (v ipf) readChosen(o object) (token.Secret, error) {
	if o.isNull("token") {
		return token.Secret{}, nil
	}
	text, err := o.text("token")
	switch {
	case err != nil:
		return token.Secret{}, err
	case v.chosenToken == 0:
		return token.Secret{}, token.Fail(token.Malformed, "The token cannot be chosen in this version; leave the field out", nil)
	case len(text) < v.chosenToken || len(text) > ipfMaxChosen || !isVisible(text):
		return token.Secret{}, token.Fail(token.Malformed,
			fmt.Sprintf("A chosen token has %d to %d visible ASCII characters", v.chosenToken, ipfMaxChosen), nil)
	}
	return token.NewSecret(text), nil
}

// ipfReadMillis reads a time in milliseconds since 1970; null and absent are the
// zero time.
func ipfReadMillis(o object, key string) (time.Time, error) {
	if o.isNull(key) {
		return time.Time{}, nil
	}
	ms, err := o.integer(key)
	if err != nil {
		return time.Time{}, err
	}
	if ms < 1 || ms > maxTime*1000 {
		return time.Time{}, fmt.Errorf("%s is out of range", key)
	}
	return time.UnixMilli(ms), nil
}

// <- 200, the object of the list and its text, this once

type ipfCreatedToken struct {
	ipfAPITokenItem
	Token string `json:"token"`
}

func ipfWriteCreated(w http.ResponseWriter, s token.Set) error {
	if len(s.APITokens) != 1 {
		return fmt.Errorf("dialect: write the API token: %d of them; expected one", len(s.APITokens))
	}
	t := s.APITokens[0]
	return writeJSON(w, http.StatusOK, ipfCreatedToken{ipfItem(t), t.Text.Reveal()})
}

// -> DELETE /api/v7.0/api-tokens/{id}
// <- 204; the status is not public [I]

func ipfReadDelete(r *http.Request) (token.Grant, error) {
	return token.Grant{Op: token.OpDeleteAPIToken, APIToken: &token.APITokenRequest{ID: r.PathValue("id")}}, nil
}

func ipfWriteDeleted(w http.ResponseWriter, _ token.Set) error {
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
	return nil
}
