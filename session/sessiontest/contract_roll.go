package sessiontest

import (
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

func enlist(t testing.TB, s Subject, o session.Owner, d time.Duration) {
	t.Helper()
	if err := s.Roll.Enlist(t.Context(), o, time.Now().Add(d)); err != nil {
		t.Fatalf("Enlist = %v; want no error", err)
	}
}

func owners(t testing.TB, s Subject, name string, after session.Owner, limit int) []session.Owner {
	t.Helper()
	got, err := s.Roll.Owners(t.Context(), name, after, limit)
	if err != nil {
		t.Fatalf("Owners = %v; want no error", err)
	}
	return got
}

// Names are anything: those that would confuse an encoding are among them.
func testRollPages(t *testing.T, s Subject) {
	all := []session.Owner{
		{Name: "alice", Source: "users", ID: "1001"},
		{Name: "alice", Source: "backend:fabric", ID: "7"},
		{Name: "alice", Source: "backend:fabric", ID: "70"},
		{Name: "alice b", Source: "users", ID: "1002"},
		{Name: "alice!", Source: "users", ID: "1003"},
		{Name: "Alice", Source: "users", ID: "1004"},
		{Name: "ali/ce%20\x00*[(", Source: "users", ID: "a b"},
		{Name: "zoë", Source: "users", ID: ""},
	}
	for _, o := range all {
		enlist(t, s, o, time.Hour)
		enlist(t, s, o, time.Hour) // said twice it is there once
	}
	for _, limit := range []int{1, 3, len(all), len(all) + 1} {
		var got []session.Owner
		for after := (session.Owner{}); ; after = got[len(got)-1] {
			page := owners(t, s, "", after, limit)
			if got = append(got, page...); len(page) < limit {
				break
			}
		}
		for _, o := range all {
			if !slices.Contains(got, o) {
				t.Errorf("pages of %d lack %+v", limit, o)
			}
		}
		if len(got) != len(all) {
			t.Errorf("pages of %d hold %d owners; want each of the %d once", limit, len(got), len(all))
		}
	}
	for _, o := range all {
		got := owners(t, s, o.Name, session.Owner{}, 10)
		want := 1
		if o.Name == "alice" {
			want = 3
		}
		if len(got) != want || got[0].Name != o.Name {
			t.Errorf("owners named %q = %+v; want %d of exactly this name", o.Name, got, want)
		}
	}
	named := owners(t, s, "alice", session.Owner{}, 2)
	if rest := owners(t, s, "alice", named[1], 2); len(rest) != 1 || slices.Contains(named, rest[0]) {
		t.Errorf("the second page of alices = %+v; want the third of them", rest)
	}
	for _, nobody := range []string{"ali", "alice ", "bob", "*"} {
		if got := owners(t, s, nobody, session.Owner{}, 10); len(got) != 0 {
			t.Errorf("owners named %q = %+v; want none", nobody, got)
		}
	}
}

func testRollForgets(t *testing.T, s Subject) {
	brief, long := session.Owner{Name: "brief", Source: "users", ID: "1"}, session.Owner{Name: "long", Source: "users", ID: "2"}
	enlist(t, s, brief, 50*time.Millisecond)
	enlist(t, s, long, time.Hour)
	enlist(t, s, long, 50*time.Millisecond) // an earlier end takes nothing back
	wait(t, 80*time.Millisecond)
	if got := owners(t, s, "", session.Owner{}, 10); !slices.Equal(got, []session.Owner{long}) {
		t.Errorf("Owners = %+v; want the one whose end has not passed", got)
	}
	enlist(t, s, brief, time.Hour)
	if got := owners(t, s, "brief", session.Owner{}, 10); len(got) != 1 {
		t.Errorf("Owners = %+v; want the one who came back", got)
	}
}

func testRollPrefix(t *testing.T, s Subject) {
	sid := create(t, s, life)
	twin := sid
	twin[len(twin)-1] ^= 1
	for _, other := range []token.SID{twin, token.NewSID()} {
		if _, err := s.Store.Create(t.Context(), session.NewAttempt(), record(other), life); err != nil {
			t.Fatal(err)
		}
	}
	find := func(prefix string, limit int) []token.SID {
		t.Helper()
		got, err := s.Roll.Starting(t.Context(), prefix, limit)
		if err != nil {
			t.Fatalf("Starting = %v; want no error", err)
		}
		return got
	}
	if got := find(sid.Short(), 10); len(got) != 2 || !slices.Contains(got, sid) || !slices.Contains(got, twin) {
		t.Errorf("Starting(%s) = %v; want both that start so", sid.Short(), got)
	}
	if got := find(sid.Short(), 1); len(got) != 1 {
		t.Errorf("Starting with limit 1 = %v; want one", got)
	}
	if got := find(sid.String(), 10); !slices.Equal(got, []token.SID{sid}) {
		t.Errorf("Starting of a whole id = %v; want it alone", got)
	}
	if _, err := s.Store.Revoke(t.Context(), session.NewAttempt(), session.Revocation{SID: sid, Reason: "logout"}); err != nil {
		t.Fatal(err)
	}
	if got := find(sid.Short(), 10); len(got) != 2 {
		t.Errorf("Starting after one was revoked = %v; want both: it can still be read", got)
	}
	for _, prefix := range []string{"*", "??????", "[0-9]", "zzzzzz", sid.String() + "0"} {
		if got := find(prefix, 10); len(got) != 0 {
			t.Errorf("Starting(%q) = %v; want nothing: no id starts so", prefix, got)
		}
	}
}
