package session_test

import (
	"testing"

	"github.com/gatehouse-gateway/gatehouse/seal"
	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

func sealRandom() *seal.Keyring { return seal.Random() }

// one is a Directory of one user, who does not change.
type one struct{ id token.Identity }

func (o *one) Current(string) (token.Identity, bool) { return o.id, true }

var alice = &one{token.Identity{Name: "alice", ID: "id-alice", Scopes: []string{"read", "write"}}}

func benchWorld(b *testing.B) (*world, token.Set) {
	w := newWorld(b, func(o *session.Options) { o.Feed, o.Recorder, o.Directory = nil, nil, alice })
	return w, w.login(session.KindLogin)
}

func BenchmarkCheckWarm(b *testing.B) {
	w, set := benchWorld(b)
	issuers := []*session.Issuer{w.iss}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.m.Check(b.Context(), issuers, set.Access); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCheckCold parses the token and reads the session each time, as if
// events did not come in.
func BenchmarkCheckCold(b *testing.B) {
	w := newWorld(b, func(o *session.Options) { o.Recorder = nil })
	set := w.login(session.KindLogin)
	issuers := []*session.Issuer{w.iss}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.m.Check(b.Context(), issuers, set.Access); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRefresh(b *testing.B) {
	w, set := benchWorld(b)
	b.ReportAllocs()
	for b.Loop() {
		next, err := w.refresh(set.Refresh)
		if err != nil {
			b.Fatal(err)
		}
		set = next
	}
}
