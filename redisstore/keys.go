package redisstore

import (
	"strings"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// Every key begins with gh: and carries its hash tag in braces, so that all of
// a session lies in one slot of a Redis Cluster.

const (
	// eventStream is the stream of events, and the channel that stands in for it.
	eventStream = "gh:rev"
	// signingKeys is the manifest of signing keys.
	signingKeys = "gh:{keys}"
	// replicaRoster is the hash of replicas that are alive, replicaSecrets that of
	// the times at which root secrets were used.
	replicaRoster, replicaSecrets = "gh:{replicas}", "gh:{replicas}:secrets"
	// rollNames and rollEnds are the sorted sets of all who have sessions, by name
	// and by the end of the last one.
	rollNames, rollEnds = "gh:{owners}:name", "gh:{owners}:end"
	// pendingPushes is the sorted set of requests for approval that nobody has
	// decided about. They are few, and all in one slot: operators list them all.
	pendingPushes = "gh:{push}:pending"
)

// sessionKey is the hash of one session.
func sessionKey(sid token.SID) string { return "gh:{" + sid.String() + "}" }

// sessionPattern matches the hashes of all sessions whose id starts so, and no
// key beside them.
func sessionPattern(prefix string) string {
	return "gh:{" + prefix + strings.Repeat("?", 2*len(token.SID{})-len(prefix)) + "}"
}

// backendKey is the hash of one backend session. owner is a session id, in
// whose slot it then lies, or the keyed name of a shared account.
func backendKey(owner, backend string) string { return "gh:{" + owner + "}:up:" + backend }

// backendPattern matches the hashes of all backend sessions.
const backendPattern = "gh:{*}:up:*"

// usedKey is the sorted set of an owner's sessions by last use.
func usedKey(owner string) string { return "gh:{u:" + owner + "}:used" }

// endKey is the sorted set of an owner's sessions by end.
func endKey(owner string) string { return "gh:{u:" + owner + "}:end" }

// epochKey is when the owner's epoch began, ms: what he proved before is over.
func epochKey(owner string) string { return "gh:{u:" + owner + "}" }

// codeKey is the hash of an authorization code.
func codeKey(digest string) string { return "gh:{c:" + digest + "}" }

// failuresKey is the list of an account's or address's failed logins.
func failuresKey(digest string) string { return "gh:{t:" + digest + "}" }

// factorKey is the hash of what a user's second factor needs.
func factorKey(user string) string { return "gh:{f:" + user + "}" }

// pushKey is the hash of one request for approval.
func pushKey(id string) string { return "gh:{push}:" + id }

// userPushesKey is the sorted set of a user's requests for approval.
func userPushesKey(user string) string { return "gh:{push}:user:" + user }

// challengeKey is the text of one challenge that a backend made.
func challengeKey(backend, id string) string { return "gh:{ch:" + id + "}:" + backend }
