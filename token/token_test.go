package token_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

func TestSecretNeverPrintsItself(t *testing.T) {
	s := token.NewSecret("hunter2-hunter2")
	holder := struct {
		S token.Secret
		P *token.Secret
	}{s, &s}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10s"} {
		fmt.Fprintf(&out, verb+"\n", s)
		fmt.Fprintf(&out, verb+"\n", holder)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", s, "holder", holder)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", s)
	b, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	all := out.String() + log.String() + string(b) + fmt.Errorf("with %v: %w", s, errors.New("x")).Error()
	for _, leak := range []string{"hunter2", fmt.Sprintf("%x", "hunter2"), fmt.Sprintf("%X", "hunter2")} {
		if strings.Contains(all, leak) {
			t.Errorf("output contains %q:\n%s", leak, all)
		}
	}
	if !strings.Contains(all, "[redacted]") {
		t.Error("a redacted secret does not say so")
	}
}

func TestSecretFromFileLosesLineEndsOnly(t *testing.T) {
	for text, want := range map[string]string{"a b\n": "a b", "a\r\n": "a", " a ": " a ", "\n": "", "": ""} {
		var s token.Secret
		if err := s.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if got := s.Reveal(); got != want {
			t.Errorf("UnmarshalText(%q) = %q; want %q", text, got, want)
		}
		if got := s.IsZero(); got != (want == "") {
			t.Errorf("IsZero after %q = %v", text, got)
		}
	}
}

func TestEveryKindHasAName(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range token.Kinds() {
		name := k.String()
		if name == "" || seen[name] {
			t.Errorf("kind %d has the name %q, which is empty or taken", k, name)
		}
		seen[name] = true
	}
	if got := token.Kind(200).String(); got != "internal" {
		t.Errorf("an unknown kind = %q; want internal", got)
	}
	if last := token.Kinds()[len(token.Kinds())-1]; last != token.UpgradeRequired {
		t.Errorf("the last kind is %v; want upgrade_required", last)
	}
}

func TestKindOfFindsTheErrorInTheChain(t *testing.T) {
	err := fmt.Errorf("doing: %w", token.Fail(token.Unavailable, "try again", errors.New("redis")))
	if got := token.KindOf(err); got != token.Unavailable {
		t.Errorf("KindOf = %v; want unavailable", got)
	}
	if got := token.KindOf(errors.New("plain")); got != token.Internal {
		t.Errorf("KindOf a plain error = %v; want internal", got)
	}
}

func TestSIDHasOneSpelling(t *testing.T) {
	sid := token.NewSID()
	back, err := token.ParseSID(sid.String())
	if err != nil || back != sid {
		t.Errorf("ParseSID(String) = %v, %v; want %v", back, err, sid)
	}
	if got := sid.Short(); len(got) != 6 || !strings.HasPrefix(sid.String(), got) {
		t.Errorf("Short = %q", got)
	}
	for _, bad := range []string{"", "0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF", "0123456789abcdeg"} {
		if _, err := token.ParseSID(bad); err == nil {
			t.Errorf("ParseSID(%q) was taken", bad)
		}
	}
	if (token.SID{}).IsZero() != true || sid.IsZero() {
		t.Error("IsZero is wrong")
	}
}

func TestOnlyCallsThatHandOutCredentialsAreSuch(t *testing.T) {
	for op, want := range map[token.Op]bool{
		token.OpLogin: true, token.OpRefresh: true, token.OpListAPITokens: true, token.OpCreateAPIToken: true,
		token.OpLogout: false, token.OpWhoAmI: false, token.OpVersion: false,
	} {
		if got := op.MintsOrLists(); got != want {
			t.Errorf("%s.MintsOrLists() = %v; want %v", op, got, want)
		}
	}
}

func TestRetrySecondsAreRoundedUp(t *testing.T) {
	for after, want := range map[time.Duration]int{
		0: 1, time.Nanosecond: 1, time.Second: 1, time.Second + 1: 2, 15 * time.Minute: 900, 15*time.Minute - 1: 900,
	} {
		if got := (&token.Error{RetryAfter: after}).RetrySeconds(); got != want {
			t.Errorf("RetrySeconds of %v = %d; want %d", after, got, want)
		}
	}
}
