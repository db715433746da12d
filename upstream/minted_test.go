package upstream

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// mill counts the tokens it makes; their text is their number.
type mill struct {
	made atomic.Int64
	fail error
}

func (m *mill) mint(token.Caller) (token.Secret, error) {
	n := m.made.Add(1)
	runtime.Gosched() // others come while it is being made
	return token.NewSecret(fmt.Sprint(n)), m.fail
}

func caller(name string, groups, scopes []string) token.Caller {
	return token.Caller{Identity: token.Identity{Name: name, ID: "id-" + name, Groups: groups}, Scopes: scopes}
}

func mustAuthorize(t *testing.T, m *minted, c token.Caller) string {
	t.Helper()
	value, err := m.authorization(c)
	if err != nil {
		t.Fatal(err)
	}
	return value.Reveal()
}

func TestTokensAreKeptUntilAFifthOfTheirLifeIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMinted(Mint{Make: (&mill{}).mint, TTL: 10 * time.Second})
		c := caller("alice", nil, nil)
		for _, step := range []struct {
			wait time.Duration
			want string
		}{
			{0, "Bearer 1"}, {7999 * time.Millisecond, "Bearer 1"}, {time.Millisecond, "Bearer 2"}, {0, "Bearer 2"}, {time.Hour, "Bearer 3"},
		} {
			time.Sleep(step.wait)
			if got := mustAuthorize(t, m, c); got != step.want {
				t.Errorf("after a further %v = %q; want %q", step.wait, got, step.want)
			}
		}
	})
}

// Nobody gets a token about somebody else, or with groups and scopes of another
// credential, however names and lists are cut.
func TestEveryCallerHasATokenOfItsOwn(t *testing.T) {
	m := newMinted(Mint{Make: (&mill{}).mint, TTL: time.Hour})
	seen := map[string]int{}
	callers := []token.Caller{
		caller("a", nil, nil), caller("b", nil, nil), caller("a", []string{"x"}, nil), caller("a", nil, []string{"x"}),
		caller("a", []string{"x", "y"}, nil), caller("a", []string{"x"}, []string{"y"}), caller("a", []string{"xy"}, nil),
		caller("a", []string{"\x01x"}, nil), caller("a", []string{"", "x"}, nil), caller("a", []string{"x", ""}, nil),
		{Identity: token.Identity{ID: "1", Name: "23"}},
		{Identity: token.Identity{ID: "12", Name: "3"}},
		{Identity: token.Identity{ID: "1", Name: "2", Email: "3"}},
	}
	for i, c := range callers {
		text := mustAuthorize(t, m, c)
		if other, taken := seen[text]; taken {
			t.Errorf("callers %+v and %+v share a token", callers[other], c)
		}
		seen[text] = i
	}
	for i, c := range callers {
		if got := seen[mustAuthorize(t, m, c)]; got != i {
			t.Errorf("caller %d gets the token of %d", i, got)
		}
	}
	one := callers[0]
	one.SID = token.SID{7} // another session of the same user
	if got := seen[mustAuthorize(t, m, one)]; got != 0 {
		t.Errorf("another session of caller 0 gets the token of %d", got)
	}
}

func TestManyRequestsOfACallerMakeOneToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		made := &mill{}
		m := newMinted(Mint{Make: made.mint, TTL: time.Minute})
		for range 3 {
			before := made.made.Load()
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() {
					if _, err := m.authorization(caller("alice", nil, nil)); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if n := made.made.Load() - before; n != 1 {
				t.Errorf("%d tokens were made; want 1", n)
			}
			time.Sleep(time.Minute)
		}
	})
}

func TestTokensThatCannotBeMadeAreNotKept(t *testing.T) {
	made := &mill{fail: errors.New("too many groups")}
	m := newMinted(Mint{Make: made.mint, TTL: time.Minute})
	for range 2 {
		if value, err := m.authorization(caller("alice", nil, nil)); !errors.Is(err, made.fail) || !value.IsZero() {
			t.Errorf("= %q, %v; want the error alone", value.Reveal(), err)
		}
	}
	made.fail = nil
	if got := mustAuthorize(t, m, caller("alice", nil, nil)); got != "Bearer 3" {
		t.Errorf("= %q; want Bearer 3", got)
	}
}

func TestTokensKeptHaveABound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMinted(Mint{Make: func(token.Caller) (token.Secret, error) { return token.NewSecret("x"), nil }, TTL: time.Minute})
		fill := func(from, to int) {
			for i := from; i < to; i++ {
				mustAuthorize(t, m, caller(fmt.Sprint(i), nil, nil))
			}
		}
		fill(0, maxMinted)
		if n := len(m.held); n != maxMinted {
			t.Errorf("%d are kept; want %d", n, maxMinted)
		}
		fill(maxMinted, maxMinted+10)
		if n := len(m.held); n != maxMinted {
			t.Errorf("with 10 more %d are kept; want %d", n, maxMinted)
		}
		time.Sleep(time.Minute)
		fill(0, 1)
		mustAuthorize(t, m, caller("new", nil, nil))
		if n := len(m.held); n > 2 {
			t.Errorf("of those that expired %d are kept; want none", n-2)
		}
	})
}

// BenchmarkMintedToken is the look-up that every request of a caller makes.
func BenchmarkMintedToken(b *testing.B) {
	m := newMinted(Mint{Make: (&mill{}).mint, TTL: time.Hour})
	c := caller("alice", []string{"network", "operators"}, []string{"read", "write"})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := m.authorization(c); err != nil {
				b.Error(err)
			}
		}
	})
}
