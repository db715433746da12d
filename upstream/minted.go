package upstream

import (
	"encoding/binary"
	"net/http"
	"sync"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// Mint says how tokens about callers are made for a backend that verifies them
// by itself.
type Mint struct {
	// Make makes a token about a caller who is signed in. It need not be
	// remembered: this package does.
	Make func(token.Caller) (token.Secret, error)
	TTL  time.Duration // how long a token is good from when it is made; at least that
}

// maxMinted is how many tokens are kept, one for each caller with the same
// groups and scopes.
const maxMinted = 4096

// minted keeps tokens for as long as they are good. It is safe for concurrent
// use.
type minted struct {
	mint Mint

	mu   sync.RWMutex
	held map[string]*mintedToken // guarded by mu: by all that a token says of a caller
}

// mintedToken is made by the first who needs it; others wait for that.
type mintedToken struct {
	born  time.Time // before it was made
	once  sync.Once
	value token.Secret // of the Authorization header
	err   error
}

func newMinted(m Mint) *minted { return &minted{mint: m, held: map[string]*mintedToken{}} }

// authorization returns the value of the Authorization header for a caller. A
// token of which less than a fifth of its life is left is replaced, so that the
// backend, whose clock may be ahead, never gets one in its last moment.
func (m *minted) authorization(c token.Caller) (token.Secret, error) {
	var buf [512]byte
	key := appendCaller(buf[:0], c)
	now := time.Now()
	m.mu.RLock()
	t := m.held[string(key)]
	m.mu.RUnlock()
	if !m.fresh(t, now) {
		t = m.replace(string(key), now)
	}
	t.once.Do(func() { t.value, t.err = m.make(c) })
	if t.err != nil {
		m.drop(string(key), t)
	}
	return t.value, t.err
}

func (m *minted) make(c token.Caller) (token.Secret, error) {
	text, err := m.mint.Make(c)
	if err != nil {
		return token.Secret{}, err
	}
	return token.NewSecret("Bearer " + text.Reveal()), nil
}

func (m *minted) fresh(t *mintedToken, now time.Time) bool {
	return t != nil && now.Sub(t.born) < m.mint.TTL/5*4
}

// replace returns the token of a caller, to be made if nobody else was first.
func (m *minted) replace(key string, now time.Time) *mintedToken {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.held[key]; m.fresh(t, now) {
		return t
	}
	if len(m.held) >= maxMinted {
		m.makeRoom(now)
	}
	t := &mintedToken{born: now}
	m.held[key] = t
	return t
}

// makeRoom forgets what has expired, or else any one: it is made again when it
// is needed. The caller holds mu.
func (m *minted) makeRoom(now time.Time) {
	for key, t := range m.held {
		if now.Sub(t.born) >= m.mint.TTL {
			delete(m.held, key)
		}
	}
	for key := range m.held {
		if len(m.held) < maxMinted {
			return
		}
		delete(m.held, key)
	}
}

// drop forgets a token that could not be made.
func (m *minted) drop(key string, t *mintedToken) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held[key] == t {
		delete(m.held, key)
	}
}

// appendCaller appends all that a token may say of a caller, each part with its
// length, so that no two callers have the same key.
func appendCaller(dst []byte, c token.Caller) []byte {
	id := &c.Identity
	for _, s := range [...]string{id.ID, id.Name, id.Email} {
		dst = appendPart(dst, s)
	}
	dst = appendParts(dst, id.Groups)
	return appendParts(dst, c.Scopes)
}

func appendParts(dst []byte, list []string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for _, s := range list {
		dst = appendPart(dst, s)
	}
	return dst
}

func appendPart(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// sendMinted sends a request with a token about the caller. Without one who is
// signed in there is nothing to say, and nothing is injected.
func (b *Backend) sendMinted(r *http.Request, c token.Caller) (*http.Response, error) {
	if c.Identity.ID == "" {
		return b.send(r)
	}
	value, err := b.minted.authorization(c)
	if err != nil {
		return nil, b.drop(r, token.Fail(token.Internal, msgMint, err))
	}
	return b.sendWith(r, "Authorization", value)
}
