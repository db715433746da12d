package faults

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// loss is a session whose tokens were both refused.
type loss struct {
	at               time.Time
	host, user       string
	family           int
	created, renewed time.Time
	why              string
	history          []string
}

// String is the account of a loss.
func (l loss) String() string {
	return fmt.Sprintf("session of %s at %s, made %s, renewed %s, was lost at %s: %s\n\t%s", l.user, l.host,
		l.created.Format("15:04:05.000"), l.renewed.Format("15:04:05.000"), l.at.Format("15:04:05.000"), l.why, strings.Join(l.history, "\n\t"))
}

// ghost is a session that was ended by its client.
type ghost struct {
	host, access string
	at           time.Time // when the client knew
}

// ledger is what the clients know. It is safe for concurrent use.
type ledger struct {
	ghosts chan ghost // some of those that were ended, to be looked for

	mu     sync.Mutex
	posts  map[string]bool // by id: acknowledged
	losses []loss
	wrongs []string
	logins map[string]int // by host
	ended  int
	lags   []lag
}

// lag is how long a revoked credential was accepted.
type lag struct {
	at   time.Time // of the revocation
	took time.Duration
}

func newLedger() *ledger {
	return &ledger{ghosts: make(chan ghost, 64), posts: map[string]bool{}, logins: map[string]int{}}
}

func (l *ledger) posted(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.posts[id] = false
}

// acknowledged takes an answer to a POST; job is the id that came back.
func (l *ledger) acknowledged(job, sent string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.posts[job]; !known || !strings.Contains(sent, job) {
		l.wrongs = append(l.wrongs, fmt.Sprintf("the POST %s was answered for %q", sent, job))
		return
	}
	l.posts[job] = true
}

func (l *ledger) opened(host string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.logins[host]++
}

// loggedIn returns how many logins at a host were answered with tokens.
func (l *ledger) loggedIn(host string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.logins[host]
}

func (l *ledger) lost(x loss) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.losses = append(l.losses, x)
}

func (l *ledger) wrong(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrongs = append(l.wrongs, what)
}

// revoked has one in three sessions looked for that their clients ended.
func (l *ledger) revoked(g ghost) {
	l.mu.Lock()
	l.ended++
	skip := l.ended%3 != 0
	l.mu.Unlock()
	if skip {
		return
	}
	select {
	case l.ghosts <- g:
	default: // those who look are busy
	}
}

func (l *ledger) seen(x lag) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lags = append(l.lags, x)
}

// since returns the losses from a time on.
func (l *ledger) since(t time.Time) []loss {
	l.mu.Lock()
	defer l.mu.Unlock()
	var some []loss
	for _, x := range l.losses {
		if !x.at.Before(t) {
			some = append(some, x)
		}
	}
	return some
}

// lagsSince returns how long credentials were accepted that were revoked from a
// time on.
func (l *ledger) lagsSince(t time.Time) []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	var some []time.Duration
	for _, x := range l.lags {
		if !x.at.Before(t) {
			some = append(some, x.took)
		}
	}
	return some
}

// audit compares POSTs and answers with what the appliances did.
type audit struct {
	posts, acknowledged, executed int
	twice, missing, phantom       []string
	wrongs                        []string
}

func (l *ledger) reconcile(appliances ...*appliance) audit {
	did := map[string]int{}
	for _, a := range appliances {
		a.mu.Lock()
		for id, n := range a.posts {
			did[id] += n
		}
		a.mu.Unlock()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	x := audit{posts: len(l.posts), executed: len(did), wrongs: l.wrongs}
	for id, n := range did {
		if _, known := l.posts[id]; !known {
			x.phantom = append(x.phantom, id)
		}
		if n > 1 {
			x.twice = append(x.twice, fmt.Sprintf("%s %d times", id, n))
		}
	}
	for id, acked := range l.posts {
		if !acked {
			continue
		}
		if x.acknowledged++; did[id] == 0 {
			x.missing = append(x.missing, id)
		}
	}
	return x
}
