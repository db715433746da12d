package redisstore

import (
	"bytes"
	_ "embed" // the scripts of the release before
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/tests/redistest"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// What the release wrote that knew only records of version 1.
var (
	//go:embed testdata/v1/session_create.lua
	create1 string
	//go:embed testdata/v1/session_rotate.lua
	rotate1 string
	//go:embed testdata/v1/session_touch.lua
	touch1 string
	//go:embed testdata/v1/session_revoke.lua
	revoke1 string
)

const data1 = `{"origin":{"kind":"login","issuer":"ipfabric/7.0","source":"users"},"identity":{"ID":"u1","Name":"alice"}}`

// former changes and reads sessions as the release before did.
type former struct {
	*testing.T

	rdb redis.UniversalClient
	sid token.SID
}

func (f former) run(script string, args ...any) []any {
	f.Helper()
	reply, err := f.rdb.Eval(f.Context(), script, []string{sessionKey(f.sid)}, args...).Result()
	if err != nil {
		f.Fatal(err)
	}
	flat, _ := reply.([]any)
	return flat
}

func (f former) create() {
	f.Helper()
	f.run(create1, "a1", data1, "", 0, 3_600_000, 60_000, 60_000)
}

func (f former) rotate(presented int) string {
	f.Helper()
	reply := f.run(rotate1, string(session.NewAttempt()), presented, "", "1", 0, "0", 3_600_000, 60_000, 60_000)
	return reply[0].(string)
}

// fields are those that it reads, all of which it needs.
func (f former) fields() map[string]string {
	f.Helper()
	h, err := f.rdb.HGetAll(f.Context(), sessionKey(f.sid)).Result()
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{"g", "m", "e", "ae"} {
		if _, err := strconv.ParseInt(h[name], 10, 64); err != nil {
			f.Errorf("field %s = %q; want a number, for the release before", name, h[name])
		}
	}
	return h
}

// One release takes the other's place in either direction, one replica after the
// other, and no session is lost.
func TestReleasesSideBySideShareTheirSessions(t *testing.T) {
	c := opened(t, listeningRedis(t), "")
	s, life := c.Sessions(), session.Life{Idle: time.Hour, Access: time.Minute, Keep: time.Minute}
	for _, first := range []string{"the former release", "this release"} {
		t.Run("begun by "+first, func(t *testing.T) {
			f := former{t, c.rdb, token.NewSID()}
			if first == "this release" {
				rec := session.Record{SID: f.sid, Identity: token.Identity{ID: "u1", Name: "alice"}}
				if _, err := s.Create(t.Context(), session.NewAttempt(), rec, life); err != nil {
					t.Fatal(err)
				}
			} else {
				f.create()
			}
			for g := range 3 {
				rec, err := s.Lookup(t.Context(), f.sid)
				if err != nil || rec.Identity.Name != "alice" || rec.Generation != uint32(2*g) {
					t.Fatalf("Lookup = %+v, %v; want alice's session of generation %d", rec, err, 2*g)
				}
				if got := f.fields()["g"]; got != strconv.Itoa(2*g) {
					t.Fatalf("generation for the former release = %s; want %d", got, 2*g)
				}
				if got := f.rotate(2 * g); got != "rotated" {
					t.Fatalf("the former release answers a refresh by %q; want rotated", got)
				}
				turn, err := s.Rotate(t.Context(), session.NewAttempt(), session.Rotation{
					SID: f.sid, Presented: uint32(2*g + 1), Rotates: true, Life: life,
				})
				if err != nil || turn.Outcome != session.Rotated {
					t.Fatalf("Rotate = %s, %v; want rotated", turn.Outcome, err)
				}
				f.run(touch1, string(session.NewAttempt()), 3_600_000, 60_000, 1)
				if err := s.Touch(t.Context(), session.NewAttempt(), session.Use{SID: f.sid, Uses: 1}); err != nil {
					t.Fatal(err)
				}
			}
			if rec, err := s.Lookup(t.Context(), f.sid); err != nil || rec.Uses != 6 {
				t.Errorf("Lookup = %+v, %v; want 6 uses, of both releases", rec, err)
			}
			f.run(revoke1, string(session.NewAttempt()), "logout", "0")
			if rec, err := s.Lookup(t.Context(), f.sid); err != nil || rec.Revoked != "logout" {
				t.Errorf("Lookup = %+v, %v; want it revoked by the former release", rec, err)
			}
		})
	}
}

func TestRecordOfANewerReleaseIsNeverTakenForNone(t *testing.T) {
	var log bytes.Buffer
	c, err := Open(Options{URL: "redis://" + listeningRedis(t), Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, life := c.Sessions(), session.Life{Idle: time.Hour, Access: time.Minute, Keep: time.Minute}
	for version, want := range map[int]error{recordVersion: nil, recordVersion + 1: session.ErrRefused} {
		f := former{t, c.rdb, token.NewSID()}
		f.create()
		if err := c.rdb.HSet(t.Context(), sessionKey(f.sid), "v", version, "i", f.sid.String()).Err(); err != nil {
			t.Fatal(err)
		}
		before := f.fields()
		_, read := s.Lookup(t.Context(), f.sid)
		touched := s.Touch(t.Context(), session.NewAttempt(), session.Use{SID: f.sid, Idle: 2 * time.Hour})
		_, rotated := s.Rotate(t.Context(), session.NewAttempt(), session.Rotation{SID: f.sid, Rotates: true, Life: life})
		for what, err := range map[string]error{"Lookup": read, "Touch": touched, "Rotate": rotated} {
			if !errors.Is(err, want) || errors.Is(err, session.ErrNotFound) {
				t.Errorf("%s of a record of version %d = %v; want %v", what, version, err, want)
			}
		}
		if diff := cmp.Diff(before, f.fields()); want != nil && diff != "" {
			t.Errorf("a record of version %d was changed (-before +after):\n%s", version, diff)
		}
		if _, err := s.Revoke(t.Context(), session.NewAttempt(), session.Revocation{SID: f.sid, Reason: "logout"}); want != nil && !errors.Is(err, session.ErrNotFound) {
			t.Errorf("Revoke of a record of version %d = %v; want ErrNotFound", version, err)
		}
		if got := f.fields()["rv"]; got != "logout" {
			t.Errorf("reason in a record of version %d = %q; want logout: an end waits for no upgrade", version, got)
		}
	}
	if n := strings.Count(log.String(), "a newer release wrote this session"); n != 1 {
		t.Errorf("the log says %d times that a newer release wrote a record; want once", n)
	}
}

// A reply that belongs to another question must never become somebody else's
// session. Nobody can tell which connection is out of step, so all are closed.
func TestReplyAboutAnotherSessionIsRefused(t *testing.T) {
	server := redistest.Standalone(t)
	c, err := Open(Options{URL: server.URL()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, life := c.Sessions(), session.Life{Idle: time.Hour, Keep: time.Minute}
	mine, other := token.NewSID(), token.NewSID()
	for _, sid := range []token.SID{mine, other} {
		if _, err := s.Create(t.Context(), session.NewAttempt(), session.Record{SID: sid}, life); err != nil {
			t.Fatal(err)
		}
	}
	before := c.rdb.ClientID(t.Context()).Val()
	if err := c.rdb.Copy(t.Context(), sessionKey(other), sessionKey(mine), 0, true).Err(); err != nil {
		t.Fatal(err)
	}
	if rec, err := s.Lookup(t.Context(), mine); !errors.Is(err, errMixed) || errors.Is(err, session.ErrNotFound) || rec.SID != (token.SID{}) {
		t.Errorf("Lookup = %+v, %v; want no record, and an error of a store that cannot be asked", rec, err)
	}
	if _, err := s.Lookup(t.Context(), other); err != nil {
		t.Errorf("Lookup of the other one = %v; want no error, on a new connection", err)
	}
	if after := c.rdb.ClientID(t.Context()).Val(); after == before {
		t.Errorf("the connection is still the one that gave the wrong reply")
	}
}
