package session

import (
	"context"
	"slices"
	"time"
)

// Replica is one gateway process, as it tells the others of itself.
type Replica struct {
	ID      string    `json:"id"`   // drawn at its start
	Host    string    `json:"host"` // where it runs, for people
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	Secrets []string  `json:"secrets"` // fingerprints of the root secrets that it knows, in its order
	Using   string    `json:"using"`   // the one that it makes new values with, or is about to
	Keys    []string  `json:"keys"`    // ids of the signing keys that it knows
	// Serving says that it takes requests. One that is about to, or that must not
	// for want of a secret, has no say in which secret is used.
	Serving bool `json:"serving"`
}

// Roster is who is alive.
type Roster struct {
	At    time.Time // the store's clock
	Alive []Replica // by id
}

// SecretUse is when a root secret was used, by the store's clock.
type SecretUse struct {
	Fingerprint string
	Seen        time.Time // when a serving replica was first seen to know it
	First, Last time.Time // when new values were made with it; zero: never
}

// Replicas keeps who is alive, and when which secret was used. Each method is one
// atomic step, and a repeat of it changes nothing more.
type Replicas interface {
	// Beat notes that r is alive for so long from now, and, if it serves, which
	// secrets it knows and which one it uses. It returns who is alive after that.
	Beat(ctx context.Context, r Replica, life time.Duration) (Roster, error)
	// Leave notes that a replica is gone, and returns who is alive after that. An
	// empty id is nobody's.
	Leave(ctx context.Context, id string) (Roster, error)
	// Secrets returns every secret that a serving replica ever knew, by fingerprint.
	Secrets(ctx context.Context) ([]SecretUse, error)
}

// others returns the replicas that serve, without the one of that id.
func (r Roster) others(id string) []Replica {
	return slices.DeleteFunc(slices.Clone(r.Alive), func(o Replica) bool { return o.ID == id || !o.Serving })
}

// choose returns the secret to make new values with: the first of own that all
// others know. Where they have none in common it stays with the one in use.
func choose(own []string, using string, others []Replica) string {
	for _, id := range own {
		if !slices.ContainsFunc(others, func(o Replica) bool { return !slices.Contains(o.Secrets, id) }) {
			return id
		}
	}
	return using
}
