package redisstore

import (
	"testing"

	"github.com/gatehouse-gateway/gatehouse/session"
)

// An owner is read back as he was, so no two owners are written the same way.
func FuzzOwnerText(f *testing.F) {
	f.Add("alice", "users", "1001")
	f.Add("a b%20/\x00", "backend:x y", "")
	f.Add("", "", "\xff")
	f.Fuzz(func(t *testing.T, name, source, id string) {
		o := session.Owner{Name: name, Source: source, ID: id}
		got, err := parseOwner(ownerText(o))
		if err != nil || got != o {
			t.Errorf("parseOwner(%q) = %+v, %v; want %+v", ownerText(o), got, err, o)
		}
	})
}
