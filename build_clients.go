package main

import (
	"net/http"
	"net/url"

	"github.com/gatehouse-gateway/gatehouse/config"
	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// clients are the OAuth clients of the configuration, which all routes share.
func clients(cfg *config.Config) *session.Clients {
	list := make([]session.Client, len(cfg.Clients))
	for i, c := range cfg.Clients {
		list[i] = session.Client{
			ID: c.ID, Secret: c.Secret, Public: c.Public, Grants: c.Grants, RedirectURIs: c.RedirectURIs, Scopes: c.Scopes,
			AccessTTL: c.AccessTTL, NeverAs: c.NeverAs, IDTokenTTL: c.IDTokenTTL,
		}
	}
	return session.NewClients(list)
}

// client is the one as which a backend is spoken to.
func client(c config.Backend) *token.Client {
	if c.ClientID == "" {
		return nil
	}
	return &token.Client{ID: c.ClientID, Secret: c.ClientSecret}
}

// outward reports whether a path is a call that answers a browser with a
// redirect to a client's own address.
func (b *builder) outward(path string) bool {
	u, err := url.ParseRequestURI(path)
	if err != nil {
		return false
	}
	for _, d := range b.served {
		if call, _ := d.Match(&http.Request{Method: http.MethodGet, URL: u}); call != nil && call.Op == token.OpAuthorize {
			return true
		}
	}
	return false
}
