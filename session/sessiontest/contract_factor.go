package sessiontest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
)

func try(t testing.TB, s Subject, q session.Try, want session.Verdict) {
	t.Helper()
	if q.User == "" {
		q.User = "f1"
	}
	if q.Within == 0 {
		q.Within = time.Minute
	}
	if got, err := s.Tries.TryFactor(t.Context(), session.NewAttempt(), q); err != nil || got != want {
		t.Fatalf("TryFactor(%+v) = %s, %v; want %s", q, got, err, want)
	}
}

func issue(t testing.TB, s Subject, digest string, life, gap time.Duration) session.Issue {
	t.Helper()
	got, err := s.Tries.IssueCode(t.Context(), session.NewAttempt(), session.IssuedCode{User: "f1", Digest: digest, Life: life, Gap: gap})
	if err != nil {
		t.Fatalf("IssueCode = %v; want no error", err)
	}
	return got
}

func testWrongAnswers(t *testing.T, s Subject) {
	brief := session.Try{Within: 800 * time.Millisecond}
	for range session.MaxWrong - 1 {
		try(t, s, brief, session.TryWrong)
	}
	try(t, s, session.Try{Within: brief.Within, Proved: true}, session.TryPassed) // the fifth may still be right
	try(t, s, brief, session.TryDead)
	try(t, s, session.Try{Within: brief.Within, Proved: true}, session.TryDead)
	try(t, s, session.Try{Within: brief.Within, Step: 99}, session.TryDead)
	try(t, s, session.Try{User: "f2", Proved: true}, session.TryPassed)
	wait(t, brief.Within+20*time.Millisecond)
	try(t, s, session.Try{Within: brief.Within, Step: 99}, session.TryPassed) // a step that was not judged was not used
}

func testStepOnce(t *testing.T, s Subject) {
	try(t, s, session.Try{Step: 60_000_001}, session.TryPassed)
	try(t, s, session.Try{Step: 60_000_001}, session.TryWrong)
	try(t, s, session.Try{Step: 60_000_000}, session.TryWrong)
	try(t, s, session.Try{Step: 60_000_002}, session.TryPassed)
	try(t, s, session.Try{User: "f2", Step: 60_000_001}, session.TryPassed)
}

func testSentCode(t *testing.T, s Subject) {
	try(t, s, session.Try{Digests: []string{""}}, session.TryWrong) // none was sent
	if got := issue(t, s, "aa", time.Minute, 0); got != (session.Issue{}) {
		t.Fatalf("IssueCode = %+v; want it noted", got)
	}
	try(t, s, session.Try{Digests: []string{"bb"}}, session.TryWrong)
	try(t, s, session.Try{User: "f2", Digests: []string{"aa"}}, session.TryWrong)
	try(t, s, session.Try{Digests: []string{"bb", "aa"}}, session.TryPassed)
	try(t, s, session.Try{Digests: []string{"aa"}}, session.TryWrong)

	issue(t, s, "cc", time.Minute, 0)
	issue(t, s, "dd", 100*time.Millisecond, 0) // takes the place of the one before
	try(t, s, session.Try{Digests: []string{"cc"}}, session.TryWrong)
	wait(t, 130*time.Millisecond)
	try(t, s, session.Try{Digests: []string{"dd"}, Within: 50 * time.Millisecond}, session.TryWrong)

	wait(t, 60*time.Millisecond)
	issue(t, s, "ee", time.Minute, 0)
	try(t, s, session.Try{Step: 1}, session.TryPassed)
	try(t, s, session.Try{Digests: []string{"ee"}}, session.TryWrong) // not needed any more
}

func testSendRate(t *testing.T, s Subject) {
	const gap = 500 * time.Millisecond
	issue(t, s, "aa", time.Minute, gap)
	if got := issue(t, s, "bb", time.Minute, gap); !got.Standing || got.Wait != 0 {
		t.Errorf("IssueCode within the gap = %+v; want the one before standing", got)
	}
	if err := s.Tries.WithdrawCode(t.Context(), "f1", "aa"); err != nil {
		t.Fatal(err)
	}
	try(t, s, session.Try{Digests: []string{"aa"}}, session.TryWrong)
	if got := issue(t, s, "bb", time.Minute, gap); got.Standing || got.Wait <= 0 || got.Wait > gap {
		t.Errorf("IssueCode after a withdrawal = %+v; want to wait up to %v", got, gap)
	}
	wait(t, gap+20*time.Millisecond)
	for n := range session.MaxSends - 1 {
		if got := issue(t, s, fmt.Sprintf("c%d", n), time.Minute, 0); got != (session.Issue{}) {
			t.Fatalf("IssueCode %d = %+v; want it noted", n+2, got)
		}
	}
	if got := issue(t, s, "dd", time.Minute, 0); got.Wait < 14*time.Minute || got.Wait > 15*time.Minute {
		t.Errorf("IssueCode beyond the limit = %+v; want to wait about 15 min", got)
	}
}

func testParallelTries(t *testing.T, s Subject) {
	for name, q := range map[string]session.Try{"step": {Step: 7}, "code": {Digests: []string{"aa"}}} {
		user := "f-" + name
		if _, err := s.Tries.IssueCode(t.Context(), session.NewAttempt(),
			session.IssuedCode{User: user, Digest: "aa", Life: time.Minute}); err != nil {
			t.Fatal(err)
		}
		q.User, q.Within = user, time.Minute
		var passed atomic.Int64
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				v, err := s.Tries.TryFactor(t.Context(), session.NewAttempt(), q)
				if err != nil {
					t.Errorf("TryFactor = %v; want no error", err)
				}
				if v == session.TryPassed {
					passed.Add(1)
				}
			})
		}
		wg.Wait()
		if n := passed.Load(); n != 1 {
			t.Errorf("%s: %d of 8 passed; want 1", name, n)
		}
		got, err := s.Tries.IssueCode(t.Context(), session.NewAttempt(), session.IssuedCode{User: user, Digest: "bb", Life: time.Minute})
		if err != nil || got.Wait <= 0 || got.Wait > time.Minute {
			t.Errorf("%s: IssueCode after five wrong answers = %+v, %v; want to wait up to a minute", name, got, err)
		}
	}
}

func testFactorLostReplies(t *testing.T, s Subject) {
	ctx := t.Context()
	verdict := func(q session.Try) (v session.Verdict) {
		t.Helper()
		q.User, q.Within = "f1", time.Minute
		s.LoseReplies()
		a := session.NewAttempt()
		insist(t, func() (err error) { v, err = s.Tries.TryFactor(ctx, a, q); return err })
		return v
	}
	if v := verdict(session.Try{Step: 5}); v != session.TryPassed {
		t.Errorf("repeated right answer = %s; want passed", v)
	}
	for n := range session.MaxWrong {
		want := session.TryWrong
		if n == session.MaxWrong-1 {
			want = session.TryDead
		}
		if v := verdict(session.Try{}); v != want {
			t.Errorf("repeated wrong answer %d = %s; want %s, counted once", n+1, v, want)
		}
	}
	s.LoseReplies()
	var got session.Issue
	a := session.NewAttempt()
	insist(t, func() (err error) {
		got, err = s.Tries.IssueCode(ctx, a, session.IssuedCode{User: "f2", Digest: "aa", Life: time.Minute, Gap: time.Minute})
		return err
	})
	if got != (session.Issue{}) {
		t.Errorf("repeated IssueCode = %+v; want it noted, for it has to be sent", got)
	}
	s.LoseReplies()
	var d time.Duration
	a = session.NewAttempt()
	insist(t, func() (err error) { d, err = s.Pushes.OpenPush(ctx, a, push("p1"), time.Minute); return err })
	if d != 0 {
		t.Errorf("repeated OpenPush = wait %v; want it opened", d)
	}
	for _, step := range [][2]session.PushStatus{{session.PushPending, session.PushApproved}, {session.PushApproved, session.PushClosed}} {
		s.LoseReplies()
		var done bool
		a = session.NewAttempt()
		insist(t, func() (err error) { done, err = s.Pushes.SettlePush(ctx, a, "p1", step[0], step[1]); return err })
		if !done {
			t.Errorf("repeated SettlePush to %s = false; want true", step[1])
		}
	}
}

func push(id string) session.Push {
	return session.Push{
		ID: id, User: "f1", Name: "alice", Issuer: "fac-oauth/8", Client: "app", Address: "192.0.2.1", Sealed: "sealed-" + id,
	}
}

func open(t testing.TB, s Subject, p session.Push, life time.Duration) time.Duration {
	t.Helper()
	d, err := s.Pushes.OpenPush(t.Context(), session.NewAttempt(), p, life)
	if err != nil {
		t.Fatalf("OpenPush = %v; want no error", err)
	}
	return d
}

func settle(t testing.TB, s Subject, id string, from, to session.PushStatus, want bool) {
	t.Helper()
	if got, err := s.Pushes.SettlePush(t.Context(), session.NewAttempt(), id, from, to); err != nil || got != want {
		t.Fatalf("SettlePush(%s from %s to %s) = %v, %v; want %v", id, from, to, got, err, want)
	}
}

func look(t testing.TB, s Subject, id string, want session.PushStatus) session.Push {
	t.Helper()
	p, err := s.Pushes.LookPush(t.Context(), id)
	if err != nil || p.Status != want {
		t.Fatalf("LookPush(%s) = %+v, %v; want status %s", id, p, err, want)
	}
	return p
}

func listed(t testing.TB, s Subject, want ...string) {
	t.Helper()
	list, err := s.Pushes.ListPushes(t.Context())
	if err != nil {
		t.Fatalf("ListPushes = %v; want no error", err)
	}
	got := make([]string, len(list))
	for i, p := range list {
		got[i] = p.ID
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("ListPushes = %v; want %v", got, want)
	}
}

func testPush(t *testing.T, s Subject) {
	if _, err := s.Pushes.LookPush(t.Context(), "none"); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("LookPush of an unknown one = %v; want ErrNotFound", err)
	}
	settle(t, s, "none", session.PushPending, session.PushApproved, false)
	open(t, s, push("p1"), time.Minute)
	wait(t, 5*time.Millisecond)
	open(t, s, push("p2"), time.Minute)
	listed(t, s, "p1", "p2")
	got := look(t, s, "p1", session.PushPending)
	want := push("p1")
	want.Status, want.Made, want.Ends = session.PushPending, got.Made, got.Made.Add(time.Minute)
	if got != want || time.Since(got.Made).Abs() > 5*time.Second {
		t.Errorf("LookPush = %+v; want %+v, made about now", got, want)
	}
	settle(t, s, "p1", session.PushApproved, session.PushClosed, false)
	settle(t, s, "p1", session.PushPending, session.PushApproved, true)
	settle(t, s, "p1", session.PushPending, session.PushDenied, false)
	listed(t, s, "p2")
	settle(t, s, "p1", session.PushApproved, session.PushClosed, true)
	settle(t, s, "p1", session.PushApproved, session.PushClosed, false)
	settle(t, s, "p2", session.PushPending, session.PushDenied, true)
	look(t, s, "p1", session.PushClosed)
	look(t, s, "p2", session.PushDenied)
	listed(t, s)
}

func testPushEnds(t *testing.T, s Subject) {
	open(t, s, push("p1"), 80*time.Millisecond)
	open(t, s, push("p2"), 80*time.Millisecond)
	settle(t, s, "p2", session.PushPending, session.PushApproved, true)
	wait(t, 110*time.Millisecond)
	settle(t, s, "p1", session.PushPending, session.PushApproved, false)
	settle(t, s, "p2", session.PushApproved, session.PushClosed, false)
	look(t, s, "p1", session.PushPending) // its end is in it
	listed(t, s)
}

func testPushesOfUser(t *testing.T, s Subject) {
	for n := range session.MaxPushes {
		if d := open(t, s, push(fmt.Sprint("p", n)), 900*time.Millisecond); d != 0 {
			t.Fatalf("OpenPush %d = wait %v; want it opened", n+1, d)
		}
	}
	if d := open(t, s, push("p9"), 900*time.Millisecond); d <= 0 || d > 900*time.Millisecond {
		t.Errorf("OpenPush beyond the limit = wait %v; want until the oldest ends", d)
	}
	if _, err := s.Pushes.LookPush(t.Context(), "p9"); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("LookPush of one not opened = %v; want ErrNotFound", err)
	}
	other := push("q1")
	other.User = "f2"
	if d := open(t, s, other, time.Minute); d != 0 {
		t.Errorf("OpenPush of another user = wait %v; want it opened", d)
	}
	settle(t, s, "p1", session.PushPending, session.PushApproved, true)
	settle(t, s, "p2", session.PushPending, session.PushDenied, true)
	for range 2 {
		if err := s.Pushes.ClosePushes(t.Context(), "f1"); err != nil {
			t.Fatal(err)
		}
	}
	look(t, s, "p0", session.PushClosed)
	look(t, s, "p1", session.PushClosed)
	look(t, s, "p2", session.PushDenied)
	look(t, s, "q1", session.PushPending)
	listed(t, s, "q1")
	wait(t, 920*time.Millisecond)
	if d := open(t, s, push("p9"), time.Minute); d != 0 {
		t.Errorf("OpenPush after the others ended = wait %v; want it opened", d)
	}
}
