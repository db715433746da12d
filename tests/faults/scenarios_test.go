package faults

import (
	"fmt"
	"time"
)

// standalone are the scenarios before one Redis, in the order in which they run.
func standalone() []scenario {
	return []scenario{
		{
			name: "calm", fault: "nothing", promise: "every request succeeds", bound: "0 failed",
			short: 3 * time.Second, long: 20 * time.Second, run: runCalm,
		}, {
			name: "burst at the expiry", fault: "1000 requests in all, over 3 replicas, sent within 50 ms of the expiry of the backend's token; its refresh takes 300 ms",
			promise: "one backend refresh, no error, no old token after its expiry", bound: "exactly 1, 0, 0; p99 at most " + burstP99.String() + " above that of a fresh token",
			short: time.Second, long: time.Second, shown: true, run: runBurst,
		}, {
			name: "revoked", fault: "sessions are logged out at one replica", promise: "all replicas refuse them soon",
			bound: "p99 " + lagP99.String() + ", max " + lagMax.String(), short: 5 * time.Second, long: 60 * time.Second, shown: true, run: runRevocation,
		}, {
			name: "Redis stopped", fault: "SIGSTOP to Redis", promise: "every answer comes soon, cookies are left alone, work goes on at once after SIGCONT",
			bound: "answers within " + answerMax.String() + ", first success within " + firstSuccess.String(),
			short: 4 * time.Second, long: 30 * time.Second, shown: true, run: runStop,
		}, {
			name: "Redis's clock", fault: "the clock of Redis jumps an hour ahead, back, an hour behind, and back", promise: "no session and no token expires by it",
			bound: "0 sessions lost, 0 requests failed", short: 4 * time.Second, long: 40 * time.Second, run: runRedisClock,
		}, {
			name: "Redis killed", fault: "kill -9 of Redis, started again from its append-only file", promise: "nobody is logged out",
			bound: "0 sessions lost but those made in the last second", short: 2 * time.Second, long: 20 * time.Second, run: runRedisKill,
		}, {
			name: "Redis slow", fault: "replies of Redis come 20 ms, 200 ms and 2 s later", promise: "no answer hangs; nobody is logged out",
			bound: "80 % of the load at +20 ms, answers within " + slowAnswer.String(), short: 4500 * time.Millisecond, long: 60 * time.Second, run: runSlow,
		}, {
			name: "replies lost", fault: "connections to Redis are reset after a script ran and before its reply came (30 % of scripts), then at any moment (5 % of reads)",
			promise: "a repeated change is the same change", bound: "0 sessions lost", short: 4500 * time.Millisecond, long: 60 * time.Second, run: runReset,
		}, {
			name: "Redis full", fault: "maxmemory is reached, policy noeviction", promise: "reads go on, and a logout still ends a session at once",
			bound: "0 revocations lost: accepted for " + lagMax.String() + " at most", short: 3 * time.Second, long: 30 * time.Second, run: runFull,
		}, {
			name: "Redis read-only", fault: "REPLICAOF: every write is answered READONLY", promise: "503 meanwhile, and nobody is logged out",
			bound: "0 sessions lost", short: 3 * time.Second, long: 30 * time.Second, run: runReadOnly,
		}, {
			name: "replica cut off", fault: "a partition between one replica and Redis; sessions are logged out at another replica", promise: "what it does not hear of it believes no longer than DEGRADED_FOR",
			bound: "DEGRADED_FOR and " + lagSlack.String(), short: 7 * time.Second, long: 65 * time.Second, shown: true, run: runPartition,
		}, {
			name: "backend answers 5xx", fault: "every refresh and login at the backend is answered 503", promise: "no session is dropped, and the backend is asked ever less often",
			bound: fmt.Sprintf("0 sessions; at most %d calls a backend session in 5 min, %d a minute after the first (short form: %d in all)", callsInAll, callsAMinute, callsShort),
			short: 7 * time.Second, long: 5 * time.Minute, shown: true, run: runDown,
			beside: []scenario{{
				name: "revoked, message lost", fault: "sessions vanish from Redis, and no message tells of it", promise: "replicas notice by themselves",
				bound: lagCeiling.String(), short: lagCeiling, long: lagCeiling, shown: true, run: runLostMessage,
			}},
		}, {
			name: "backend flaps", fault: "every second refresh at the backend is answered 503", promise: "no storm of repetitions, nobody is logged out",
			bound: "3 calls a renewal", short: 5 * time.Second, long: 60 * time.Second, run: runFlapping,
			beside: []scenario{{
				name: "replica paused past its lease", fault: "SIGSTOP of a replica in the midst of a renewal, for longer than its lease", promise: "the session is kept, whoever wins",
				bound: "0 sessions lost, a refresh token presented twice at most once", short: 8 * time.Second, long: 30 * time.Second, run: runPause,
			}},
		}, {
			name: "backend answers HTML", fault: "every refresh is answered 200 and a page of HTML", promise: "that is no answer: nobody is logged out",
			bound: "0 sessions lost", short: 3 * time.Second, long: 30 * time.Second, run: runHTML,
		}, {
			name: "backend hangs", fault: "refreshes and logins are not answered", promise: "requests are answered all the same, nobody is logged out",
			bound: "answers within " + hangingAnswer.String(), short: 4 * time.Second, long: 60 * time.Second, run: runHang,
		}, {
			name: "backend's answer lost", fault: "one refresh in four rotates, and the connection is cut before the answer", promise: "sessions of an account are kept; a session of pass-through ends only with the backend's",
			bound: "0 others lost", short: 4 * time.Second, long: 30 * time.Second, run: runCut,
		}, {
			name: "POST cut", fault: "the backend executes a POST and cuts the connection", promise: "it is not sent again",
			bound: "0 executed twice", short: 2 * time.Second, long: 15 * time.Second, run: runCutPost,
		}, {
			name: "backend's clock", fault: "the backend's clock is 10 min slow, then 10 min fast (Date, Expires, exp)", promise: "lives are counted from their receipt: no loop of refreshes",
			bound: "3 times the refreshes needed", short: 4 * time.Second, long: 40 * time.Second, run: runClock,
		}, {
			name: "replicas killed", fault: "kill -9 of one replica after the other", promise: "clients that try again succeed", bound: "0 sessions lost but by a renewal under way with a strict backend",
			short: 6 * time.Second, long: 60 * time.Second, run: runKill,
			beside: []scenario{{
				name: "rejected password, crash loop", fault: "the account's password is wrong, and replicas crash and start again", promise: "the backend's lock-out is not provoked",
				bound: "2 login attempts", short: 6 * time.Second, long: 60 * time.Second, shown: true, run: runLocked,
			}},
		}, {
			name: "corrected password", fault: "the right password is configured, and a replica started with it", promise: "it is tried at once", bound: "0 more rejected",
			short: 5 * time.Second, long: 5 * time.Second, run: runUnlocked,
		}, {
			name: "replica killed in a renewal", fault: "kill -9 of a replica that renews at a strict backend: before the rotation, before its answer, before the commit",
			promise: "account: the gateway's session is kept; pass-through: it ends only if the backend's is truly gone", bound: "0 others lost",
			short: 25 * time.Second, long: 40 * time.Second, shown: true, run: runStrict,
		}, {
			name: "rolling restart", fault: "SIGTERM and start of each replica in turn", promise: "no request fails, nobody logs in again",
			bound: "0 failed requests, 0 backend logins", short: time.Second, long: time.Second, shown: true, run: runRolling,
		}, {
			name: "reload storm", fault: "SIGHUP to every replica ten times a second, with files that change", promise: "no request notices",
			bound: "0 failed", short: 3 * time.Second, long: 30 * time.Second, run: runReload,
		}, {
			name: "FLUSHALL", fault: "Redis is emptied", promise: "everybody logs in again, and nothing else happens", bound: "0 other errors; ended sessions refused within " + (lagCeiling + lagSlack).String(),
			short: 3 * time.Second, long: 30 * time.Second, run: runFlush,
		},
	}
}

// withSentinel are those before Redis with a replica under Sentinels.
func withSentinel() []scenario {
	return []scenario{
		{
			name: "Sentinel failover", fault: "SENTINEL FAILOVER", promise: "nobody is logged out", bound: "0 sessions lost but those made in the last second, and " + switched.String() + " after the promotion, when the former primary still takes writes",
			short: time.Second, long: time.Second, run: runSentinelFailover,
		}, {
			name: "primary killed", fault: "kill -9 of the primary under Sentinel", promise: "nobody is logged out", bound: "0 sessions lost but those made in the last second",
			short: time.Second, long: time.Second, run: runSentinelKill,
		},
	}
}

// inCluster are those before a Redis Cluster of three primaries with a replica each.
func inCluster() []scenario {
	return []scenario{
		{
			name: "Cluster failover", fault: "CLUSTER FAILOVER of one primary", promise: "nobody is logged out", bound: "0 sessions lost but those made in the last second",
			short: time.Second, long: time.Second, run: runClusterFailover,
		}, {
			name: "primary killed", fault: "kill -9 of one primary of the Cluster", promise: "nobody is logged out", bound: "0 sessions lost but those made in the last second",
			short: time.Second, long: time.Second, run: runClusterKill,
		},
	}
}
