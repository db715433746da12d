package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"os"
	"time"

	"github.com/gatehouse-gateway/gatehouse/config"
	"github.com/gatehouse-gateway/gatehouse/proxy"
	"github.com/gatehouse-gateway/gatehouse/seal"
	"github.com/gatehouse-gateway/gatehouse/session"
)

// newReplica is this process as other replicas see it.
func newReplica() session.Replica {
	var id [4]byte
	rand.Read(id[:])
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return session.Replica{ID: hex.EncodeToString(id[:]), Host: host, Version: version, Started: time.Now().UTC().Truncate(time.Second)}
}

// keyring is that of the configured secrets. Without any, one that is drawn lasts
// for the process.
func keyring(cfg *config.Config, drawn *seal.Keyring) (*seal.Keyring, error) {
	switch {
	case len(cfg.Secrets) > 0:
		return seal.New(cfg.Secrets)
	case drawn != nil:
		return drawn, nil
	}
	return seal.Random(), nil
}

func newKeeper(cfg *config.Config, o outside, ring *seal.Keyring) *session.Keeper {
	return session.NewKeeper(session.KeeperOptions{
		Keyring: ring, Store: o.stores.keys, Replicas: o.stores.replicas, Sealed: o.stores.sealed, Feed: o.stores.feed, Self: o.self,
		Every: cfg.Keys.Heartbeat, PublishFor: cfg.Keys.PublishFor, KeepFor: cfg.Keys.KeepFor, Beside: o.beside, Log: o.log,
	})
}

// lives are the longest lives of what is made here. What never expires has none:
// it ends with the secret or the key that it was made with.
func lives(cfg *config.Config, routes []*proxy.Route) session.Lives {
	l := session.Lives{Any: portalLife}
	for _, rt := range routes {
		for _, s := range rt.Serve {
			l.Signed = max(l.Signed, s.Issuer.AccessTTL, s.Dialect.Tokens.IDTTL)
			l.Any = max(l.Any, s.Issuer.AccessTTL, s.Issuer.RefreshTTL)
		}
	}
	for _, c := range cfg.Clients {
		l.Signed = max(l.Signed, c.IDTokenTTL)
		l.Any = max(l.Any, c.AccessTTL)
	}
	for _, b := range cfg.Backends {
		if b.JWT != nil {
			l.Signed = max(l.Signed, b.JWT.TTL)
		}
	}
	return l
}

// lastAlive says that this replica leaves, and reports whether nobody is left. If
// the store cannot be asked, somebody may be; an embedded one has no other users.
func (b *builder) lastAlive() func(context.Context) bool {
	if b.cfg.RedisURL.IsZero() {
		return nil
	}
	keeper := b.gateway.keeper
	return func(ctx context.Context) bool {
		last, err := keeper.Leave(ctx)
		return err == nil && last
	}
}
