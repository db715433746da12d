package redisstore

import (
	"errors"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/gatehouse-gateway/gatehouse/session"
)

// Errors that Redis itself sends, by their first word. Both lists are about
// Redis as a whole; any other word is about the one command.
var (
	// silentWords: it is there, but cannot be asked. It reads its data or runs
	// somebody's script, its slots are on the way elsewhere or have no primary, or
	// it does not know us.
	silentWords = []string{"LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK", "NOAUTH", "WRONGPASS"}
	// refusingWords: it tells what it holds and takes no changes. It is full, a
	// replica, cannot write to its disk or has too few replicas.
	refusingWords = []string{"OOM", "READONLY", "MISCONF", "NOREPLICAS"}
)

// errNewer says that a newer release wrote a record in a form that this one does
// not know.
var errNewer = errors.New("a newer release wrote it")

// answered reports whether an error is one that Redis sent and that says nothing
// against asking it something else.
func answered(err error) bool {
	_, own := errors.AsType[redis.Error](err)
	return own && !saysAny(err, silentWords)
}

func saysAny(err error, words []string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return redis.HasErrorPrefix(err, w) })
}

// fail wraps an error of the store with what was being done, and with
// session.ErrRefused if the store answered and would not do it.
func fail(op string, err error) error {
	if saysAny(err, refusingWords) || errors.Is(err, errNewer) {
		return fmt.Errorf("redisstore: %s: %w: %w", op, session.ErrRefused, err)
	}
	return fmt.Errorf("redisstore: %s: %w", op, err)
}
