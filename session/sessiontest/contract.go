package sessiontest

import (
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// Subject is a store under test, fresh and empty.
type Subject struct {
	Store    session.Store
	Index    session.Index
	Roll     session.Roll
	Throttle session.Throttle
	Keys     session.KeyStore
	Replicas session.Replicas
	Codes    session.Codes
	Feed     session.Feed
	Tries    session.Tries
	Pushes   session.Pushes
	// LoseReplies makes the next call of each changing method do its work and
	// lose its reply once, whether the store's client then repeats it by itself or
	// the caller sees an error.
	LoseReplies func()
}

// Run checks the contract of session's stores. Time passes for real in it, a
// few hundred milliseconds at a time.
func Run(t *testing.T, open func(testing.TB) Subject) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Subject)
	}{
		{"CreateLookup", testCreateLookup},
		{"CreateRefusesTakenID", testCreateTaken},
		{"RotateMovesOn", testRotate},
		{"RotateOrderOfTests", testRotateOrder},
		{"GraceRepeatsTheAnswer", testGrace},
		{"GraceOfZeroIsNone", testNoGrace},
		{"TwoBehindIsReuse", testTwoBehind},
		{"ReuseMayOnlyRefuse", testRefuseReuse},
		{"HealsUpToEight", testHeal},
		{"LastGenerationEnds", testOverflow},
		{"KeepsGenerationWithoutRotation", testKeepsGeneration},
		{"IdleLifeEnds", testIdle},
		{"LivesOfACentury", testCentury},
		{"Touch", testTouch},
		{"RevokeLeavesTombstone", testRevoke},
		{"CloseKeepsAccess", testClose},
		{"LostReplies", testLostReplies},
		{"LostReplyBehindOthers", testLostReplyBehindOthers},
		{"ParallelRotationsAgree", testParallel},
		{"IndexOrderAndBound", testIndex},
		{"IndexForgetsEnded", testIndexForgets},
		{"EpochEndsWhatWasProved", testIndexEpoch},
		{"RollInPages", testRollPages},
		{"RollForgetsEnded", testRollForgets},
		{"RollFindsByPrefix", testRollPrefix},
		{"ThrottleAtTenAndEleven", testThrottle},
		{"KeysFirstWriterWins", testKeys},
		{"KeysSwapOnlyWhatWasRead", testKeysSwap},
		{"KeysLostReplies", testKeysLostReplies},
		{"ReplicasAreAliveForAWhile", testReplicas},
		{"ReplicaLeaves", testReplicaLeaves},
		{"SecretsOfThoseWhoServe", testSecrets},
		{"FeedReachesAll", testFeed},
		{"FiveWrongAnswersAndNoSixth", testWrongAnswers},
		{"TimeStepOnce", testStepOnce},
		{"SentCodeOnce", testSentCode},
		{"CodesAreSentSeldom", testSendRate},
		{"ParallelTriesPassOnce", testParallelTries},
		{"FactorLostReplies", testFactorLostReplies},
		{"PushGoesOneWay", testPush},
		{"PushEnds", testPushEnds},
		{"PushesOfAUser", testPushesOfUser},
		{"CodeIsTakenOnce", testCode},
		{"CodeLostReplies", testCodeLostReplies},
		{"CodeEnds", testCodeEnds},
		{"CodeTakenIsKept", testCodeTakenIsKept},
		{"CodeParallelTakers", testCodeParallel},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

var life = session.Life{Idle: time.Hour, Access: 30 * time.Minute, Keep: time.Minute}

func record(sid token.SID) session.Record {
	return session.Record{
		SID:      sid,
		Origin:   session.Origin{Kind: session.KindLogin, Issuer: "ipfabric/7.0", Source: "users", Client: "portal", AMR: []string{"pwd"}},
		Identity: token.Identity{Name: "alice", ID: "1001", Groups: []string{"ops"}, Scopes: []string{"read", "write"}, Admin: true},
		API:      &session.TokenData{Description: "nightly", Scopes: []string{"read"}, Digest: "ab"},
	}
}

func rotation(sid token.SID, p uint32) session.Rotation {
	return session.Rotation{SID: sid, Presented: p, Client: "portal", Rotates: true, Grace: time.Minute, Life: life}
}

// insist makes a call again as often as its reply is lost.
func insist(t testing.TB, call func() error) {
	t.Helper()
	var err error
	for range 3 {
		if err = call(); err == nil {
			return
		}
	}
	t.Fatalf("call = %v; want an answer", err)
}

func create(t testing.TB, s Subject, l session.Life) token.SID {
	t.Helper()
	sid, a := token.NewSID(), session.NewAttempt()
	insist(t, func() error { _, err := s.Store.Create(t.Context(), a, record(sid), l); return err })
	return sid
}

func rotate(t testing.TB, s Subject, r session.Rotation, want session.Outcome) session.Turn {
	t.Helper()
	turn, err := s.Store.Rotate(t.Context(), session.NewAttempt(), r)
	if err != nil {
		t.Fatalf("Rotate = %v; want no error", err)
	}
	if turn.Outcome != want {
		t.Fatalf("Rotate(%d) at generation %d = %s; want %s", r.Presented, turn.Record.Generation, turn.Outcome, want)
	}
	return turn
}

func lookup(t testing.TB, s Subject, sid token.SID) session.Record {
	t.Helper()
	rec, err := s.Store.Lookup(t.Context(), sid)
	if err != nil {
		t.Fatalf("Lookup = %v; want no error", err)
	}
	return rec
}

func wait(t testing.TB, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
		t.Fatal("test ended while waiting")
	}
}
