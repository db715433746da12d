package main

import (
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/admin"
)

func TestKeysSayWhatEndsWithASecret(t *testing.T) {
	at := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	s := keyState{
		KeyList: admin.KeyList{
			At:       at,
			Signing:  []admin.SigningKey{{KID: "kid-1", State: "active", From: at, Secret: "22222222"}},
			Replicas: []admin.Replica{{ID: "aa", Host: "gate", Version: "v1", Started: at, Secrets: []string{"22222222"}, Using: "22222222", Serving: true}, {ID: "bb", Host: "gate"}},
			Secrets: []admin.Secret{
				{Fingerprint: "22222222", Place: 1, Using: true, FirstUsed: at, LastUsed: at},
				{Fingerprint: "11111111", Place: 2, LastUsed: at, SafeFrom: at.Add(24 * time.Hour), SigningKeys: 1, Unknown: []string{"gate/aa"}},
				{Fingerprint: "00000000", LastUsed: at},
				{Fingerprint: "33333333", Place: 3},
			},
		},
		Sealed: []admin.SealedValues{{Secret: "11111111", Count: 2, Until: at.Add(time.Hour), Endless: true}, {Secret: "22222222", Count: 9}},
	}
	s.Sessions, s.Tokens = map[string]int{}, map[string]int{}
	for _, made := range []time.Time{at.Add(-time.Hour), at, at.Add(time.Millisecond)} {
		s.note(s.Sessions, made)
		s.note(s.Tokens, made)
	}
	delete(s.Sessions, "00000000")
	delete(s.Tokens, "00000000")
	var out strings.Builder
	if err := s.print(&out); err != nil {
		t.Fatal(err)
	}
	want := `SIGNING KEY  STATE   SIGNS FROM            REMOVED  SEALED UNDER
kid-1        active  2026-03-01 09:00:00Z  -        22222222

SECRET    PLACE     USE     FIRST USED            LAST USED             UNKNOWN TO
22222222  1         in use  2026-03-01 09:00:00Z  2026-03-01 09:00:00Z  -
11111111  2         -       -                     2026-03-01 09:00:00Z  gate/aa
00000000  not here  -       -                     2026-03-01 09:00:00Z  -
33333333  3         -       -                     -                     -

REPLICA  VERSION  STARTED               STATE           SECRETS   USES
gate/aa  v1       2026-03-01 09:00:00Z  serves          22222222  22222222
gate/bb  -        -                     does not serve  -         -

If secret 11111111 is removed now, these end with it:
  - up to 2 sessions opened until 2026-03-01 09:00:00Z: those whose client got no new tokens since; what is not used again ends by 2026-03-02 09:00:00Z by itself
  - up to 2 API tokens made until 2026-03-01 09:00:00Z: their users have to make new ones
  - 1 signing key: sealed anew when a replica starts or a key is rotated
  - 2 backend sessions: each is sealed anew when it is renewed, and the last of them ends by 2026-03-01 10:00:00Z; some have no end

Nothing depends on secret 00000000 any more.
`
	if got := out.String(); got != want {
		t.Errorf("keys prints\n%s\nwant\n%s", got, want)
	}
}

func TestCountsSayHowFarTheyAre(t *testing.T) {
	var out strings.Builder
	left := 3
	err := pages(&progress{out: &out, noun: "session"}, func(string) (int, string, error) {
		if left--; left == 0 {
			return 500, "", nil
		}
		return 9999, "more", nil
	})
	if want := "looked at 19998 sessions so far\n"; err != nil || out.String() != want {
		t.Errorf("progress = %q, %v; want %q", out.String(), err, want)
	}
}

func TestKeysTakeListOrRotate(t *testing.T) {
	for _, args := range []string{"list --now", "rotate rotate", "remove", "--later"} {
		err := runKeys(t.Context(), strings.Fields(args), streams{})
		if report(&strings.Builder{}, err) != exitUsage {
			t.Errorf("keys %s = %v; want a wrong command line", args, err)
		}
	}
}
