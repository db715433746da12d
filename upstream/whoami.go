package upstream

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/gatehouse-gateway/gatehouse/seal"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// For how long the answer about a backend's own API token is believed.
const (
	knownFor   = time.Minute
	refusedFor = 5 * time.Second
	maxKnown   = 10_000 // credentials remembered at once
)

// How many questions are put to a backend at once, and how many wait behind
// them: anybody may present an API token, and each unknown one is a question.
const (
	maxAsking  = 8
	maxWaiting = 64
)

const msgBadAPIToken = "The backend does not know this API token, or it is no longer valid."

// WhoAmI asks the backend whose a credential of its own making is, an API token
// that a client presents. The answer is remembered in memory for a minute, a
// refusal for five seconds, under a digest whose key ends with the process; a
// 401 to a request that carried the credential forgets it.
//
// Failures are a *token.Error: InvalidAPIToken or ExpiredAPIToken when the
// backend refuses it, else Unavailable, also when too many questions are waiting.
func (b *Backend) WhoAmI(ctx context.Context, own token.Secret) (token.Identity, error) {
	if b.mode() != modeOwn || !b.speaks(token.OpWhoAmI) || !sendable(own) {
		return token.Identity{}, token.Fail(token.InvalidAPIToken, msgBadAPIToken, nil)
	}
	k := b.known.get(own)
	k.ask.Do(func() {
		b.crew.run(func() {
			defer close(k.done)
			k.id, k.err = b.whose(own)
			b.known.learned(own, k)
		})
	})
	select {
	case <-k.done:
		return k.id, k.err
	case <-ctx.Done():
		return token.Identity{}, ctx.Err()
	}
}

func (b *Backend) whose(own token.Secret) (token.Identity, error) {
	ctx, cancel := detached(b.cfg.Limits.Call)
	defer cancel()
	leave, ok := b.known.enter(ctx)
	if !ok {
		return token.Identity{}, unavailable(msgUnavailable, errors.New("upstream: too many questions whose API tokens are"), 0)
	}
	defer leave()
	set, err := b.speak(ctx, token.Grant{Op: token.OpWhoAmI, APIToken: &token.APITokenRequest{Chosen: own}})
	if err == nil {
		if set.Identity.Name == "" && set.Identity.ID == "" {
			return token.Identity{}, unavailable(msgUnavailable, errors.New("upstream: the backend named nobody"), 0)
		}
		return named(set.Identity, set.Identity.ID), nil
	}
	r, refused := errors.AsType[*refusal](err)
	switch {
	case refused && r.err.Kind == token.ExpiredAPIToken:
		return token.Identity{}, token.Fail(token.ExpiredAPIToken, msgBadAPIToken, err)
	case refused && (r.err.Kind == token.InvalidAPIToken || r.status == http.StatusUnauthorized):
		return token.Identity{}, token.Fail(token.InvalidAPIToken, msgBadAPIToken, err)
	}
	return token.Identity{}, unavailable(msgUnavailable, err, asked(err))
}

// identities remembers whose credentials are. It is safe for concurrent use.
type identities struct {
	mac    seal.MAC
	queue  chan struct{} // holds who asks or waits
	asking chan struct{} // holds who asks

	mu  sync.Mutex
	all map[string]*identity // guarded by mu
}

// identity is one answer, or one question under way.
type identity struct {
	ask  sync.Once
	done chan struct{}
	id   token.Identity // set before done is closed
	err  error          // set before done is closed
	// until is when the answer is to be asked for anew; zero while it is being
	// asked for. Guarded by identities.mu.
	until time.Time
}

func newIdentities() *identities {
	return &identities{
		mac: seal.Random().MAC("who am i " + rand.Text()), all: map[string]*identity{},
		queue: make(chan struct{}, maxAsking+maxWaiting), asking: make(chan struct{}, maxAsking),
	}
}

// enter waits for a turn to ask; false if there are too many before, or ctx ends.
func (s *identities) enter(ctx context.Context) (leave func(), ok bool) {
	select {
	case s.queue <- struct{}{}:
	default:
		return nil, false
	}
	select {
	case s.asking <- struct{}{}:
		return func() { <-s.asking; <-s.queue }, true
	case <-ctx.Done():
		<-s.queue
		return nil, false
	}
}

func (s *identities) key(own token.Secret) string { return s.mac.Digest(own.Reveal())[0] }

// get returns what is known of a credential, or a question to be asked.
func (s *identities) get(own token.Secret) *identity {
	key := s.key(own)
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.all[key]; k != nil && (k.until.IsZero() || time.Now().Before(k.until)) {
		return k
	}
	if len(s.all) >= maxKnown {
		s.evict()
	}
	k := &identity{done: make(chan struct{})}
	s.all[key] = k
	return k
}

// evict drops what is out of date, and everything if that is nothing. The
// caller holds mu.
func (s *identities) evict() {
	now := time.Now()
	for key, k := range s.all {
		if !k.until.IsZero() && now.After(k.until) {
			delete(s.all, key)
		}
	}
	if len(s.all) >= maxKnown {
		clear(s.all)
	}
}

// learned says for how long the answer holds. One that could not be had is not
// remembered.
func (s *identities) learned(own token.Secret, k *identity) {
	key := s.key(own)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case k.err == nil:
		k.until = time.Now().Add(knownFor)
	case token.KindOf(k.err) != token.Unavailable:
		k.until = time.Now().Add(refusedFor)
	case s.all[key] == k:
		delete(s.all, key)
	}
}

// forget drops what is known of a credential.
func (s *identities) forget(own token.Secret) {
	key := s.key(own)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, key)
}
