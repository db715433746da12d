package admin

import (
	"sync"
	"time"
)

// So many wrong tokens from one network within a guessWindow stop all calls from
// there for the rest of it, right ones too. The token itself cannot be guessed;
// this keeps the attempt from filling the log.
const (
	maxGuesses   = 10
	guessWindow  = time.Minute
	maxGuessNets = 1000 // networks that are remembered; beyond, one is forgotten
)

// guesses counts wrong tokens. The zero value is ready. It is safe for concurrent
// use.
type guesses struct {
	mu  sync.Mutex
	net map[string]guess // guarded by mu
}

type guess struct {
	n     int
	until time.Time // the end of the window
}

// blocked returns for how long a network is refused; 0: it is not.
func (g *guesses) blocked(network string) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if a := g.net[network]; a.n >= maxGuesses {
		return max(0, time.Until(a.until))
	}
	return 0
}

// failed counts a wrong token.
func (g *guesses) failed(network string) {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	a, known := g.net[network]
	if !known {
		g.makeRoom(now)
	}
	if !known || !now.Before(a.until) {
		a = guess{until: now.Add(guessWindow)}
	}
	a.n++
	g.net[network] = a
}

// makeRoom forgets what is over, and if that does not help any one.
func (g *guesses) makeRoom(now time.Time) {
	if g.net == nil {
		g.net = map[string]guess{}
	}
	if len(g.net) < maxGuessNets {
		return
	}
	for network, a := range g.net {
		if !now.Before(a.until) {
			delete(g.net, network)
		}
	}
	for network := range g.net {
		if len(g.net) < maxGuessNets {
			return
		}
		delete(g.net, network)
	}
}
