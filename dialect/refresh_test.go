package dialect_test

import (
	"math/big"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/token"
)

func refreshShape(t testing.TB, length int) dialect.Tokens {
	t.Helper()
	return mustOpen(t, "ipfabric/7.0", dialect.Settings{RefreshLength: length}).Tokens
}

func randomCore() (core token.Core) {
	for i := range core {
		core[i] = byte(rand.Uint32())
	}
	return core
}

func TestRefreshTokenReadsBack(t *testing.T) {
	first, last := token.Core{}, token.Core{}
	for i := range last {
		last[i] = 0xff
	}
	cores := []token.Core{first, last}
	for range 200 {
		cores = append(cores, randomCore())
	}
	shape := regexp.MustCompile(`^[A-Za-z0-9]{20,}[0-9]{6,}$`)
	for _, length := range []int{49, 80, 1024} {
		tokens := refreshShape(t, length)
		for _, core := range cores {
			text := tokens.MintRefresh(core, token.Identity{ID: "12830361114"})
			if s := text.Reveal(); len(s) != length || !shape.MatchString(s) || !strings.HasSuffix(s, "12830361114") {
				t.Fatalf("MintRefresh = %q; want %d letters and digits with the id at the end", s, length)
			}
			if got, ok := tokens.ParseRefresh(text); got != core || !ok {
				t.Fatalf("ParseRefresh(MintRefresh(%x)) = %x, %v", core, got, ok)
			}
		}
	}
}

func TestRefreshTokenEndsInDigitsOfTheUser(t *testing.T) {
	tokens := refreshShape(t, 80)
	core := randomCore()
	for _, c := range []struct{ id, tail string }{
		{"1", "000001"},
		{"123456", "123456"},
		{"1108612054", "1108612054"},
		{"1234567890123", "1234567890123"},
	} {
		if s := tokens.MintRefresh(core, token.Identity{ID: c.id}).Reveal(); !strings.HasSuffix(s, c.tail) {
			t.Errorf("id %q: %q; want %q at the end", c.id, s, c.tail)
		}
	}
	tail := regexp.MustCompile(`[0-9]{10}$`)
	for _, id := range []string{"", "alice", "12345678901234", "1108612054x", "é"} {
		text := tokens.MintRefresh(core, token.Identity{ID: id})
		if again := tokens.MintRefresh(core, token.Identity{ID: id}); again != text || !tail.MatchString(text.Reveal()) {
			t.Errorf("id %q: %q and %q; want the same ten digits at the end", id, text.Reveal(), again.Reveal())
		}
		if got, ok := tokens.ParseRefresh(text); got != core || !ok {
			t.Errorf("id %q: ParseRefresh = %x, %v", id, got, ok)
		}
	}
}

// TestRefreshTokenHasOneSpelling changes every character to every other one that
// a token could have, and some that none has.
func TestRefreshTokenHasOneSpelling(t *testing.T) {
	tokens := refreshShape(t, 80)
	good := tokens.MintRefresh(randomCore(), token.Identity{ID: "1108612054"}).Reveal()
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_+/= \n\x00\xff"
	for i := range len(good) {
		for _, c := range []byte(alphabet) {
			if c == good[i] {
				continue
			}
			bad := good[:i] + string([]byte{c}) + good[i+1:]
			if _, ok := tokens.ParseRefresh(token.NewSecret(bad)); ok {
				t.Errorf("character %d changed to %q is taken", i, c)
			}
		}
		if i > 0 && good[i] != good[i-1] {
			swapped := good[:i-1] + string([]byte{good[i], good[i-1]}) + good[i+1:]
			if _, ok := tokens.ParseRefresh(token.NewSecret(swapped)); ok {
				t.Errorf("characters %d and %d swapped are taken", i-1, i)
			}
		}
	}
}

func TestRefreshTokenOfAnotherLengthIsRefused(t *testing.T) {
	tokens := refreshShape(t, 80)
	good := tokens.MintRefresh(randomCore(), token.Identity{ID: "1108612054"}).Reveal()
	for name, text := range map[string]string{
		"empty": "", "one short": good[:79], "one more": good + "0", "cut in front": good[1:], "twice": good + good,
		"space before": " " + good[:79], "other setting": refreshShape(t, 81).MintRefresh(token.Core{}, token.Identity{ID: "1"}).Reveal(),
		"past the last core": strings.Repeat("z", 30) + good[30:],
		"not ASCII":          strings.Repeat("é", 40),
	} {
		if _, ok := tokens.ParseRefresh(token.NewSecret(text)); ok {
			t.Errorf("%s is taken", name)
		}
	}
}

// TestCoreHasOneSpelling: 30 characters hold numbers past the last core, which
// must not wrap round to a core that is good.
func TestCoreHasOneSpelling(t *testing.T) {
	tokens := refreshShape(t, 80)
	core := token.Core{21: 7}
	good := tokens.MintRefresh(core, token.Identity{ID: "1108612054"}).Reveal()
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	for times := int64(1); times <= 5; times++ {
		n := new(big.Int).Lsh(big.NewInt(times), 176)
		n.Add(n, new(big.Int).SetBytes(core[:]))
		text := make([]byte, 30)
		for i, rest := len(text)-1, new(big.Int); i >= 0; i-- {
			n.DivMod(n, big.NewInt(62), rest)
			text[i] = digits[rest.Int64()]
		}
		if _, ok := tokens.ParseRefresh(token.NewSecret(string(text) + good[30:])); ok || n.Sign() != 0 {
			t.Errorf("the core plus %d × 2^176 is taken", times)
		}
	}
}

// TestRefreshTokenTailIsNoSecret states what the check characters are not: the
// core alone proves the token, and session compares it.
func TestRefreshTokenTailIsNoSecret(t *testing.T) {
	tokens := refreshShape(t, 80)
	core := randomCore()
	a := tokens.MintRefresh(core, token.Identity{ID: "1108612054"})
	b := tokens.MintRefresh(core, token.Identity{ID: "1108612055"})
	gotA, okA := tokens.ParseRefresh(a)
	gotB, okB := tokens.ParseRefresh(b)
	if a == b || !okA || !okB || gotA != gotB {
		t.Errorf("two ids with one core: %x %v and %x %v; want the same core of both", gotA, okA, gotB, okB)
	}
}

func FuzzParseRefresh(f *testing.F) {
	tokens := refreshShape(f, 80)
	f.Add(tokens.MintRefresh(token.Core{1}, token.Identity{ID: "1108612054"}).Reveal())
	f.Add(strings.Repeat("0", 80))
	f.Fuzz(func(t *testing.T, text string) {
		core, ok := tokens.ParseRefresh(token.NewSecret(text))
		if !ok {
			return
		}
		for n := 6; n <= 13; n++ {
			if tokens.MintRefresh(core, token.Identity{ID: text[80-n:]}).Reveal() == text {
				return
			}
		}
		t.Errorf("ParseRefresh takes %q, which MintRefresh never makes", text)
	})
}

func BenchmarkParseRefresh(b *testing.B) {
	tokens := refreshShape(b, 80)
	text := tokens.MintRefresh(randomCore(), token.Identity{ID: "12830361114"})
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := tokens.ParseRefresh(text); !ok {
			b.Fatal("refused")
		}
	}
}

func BenchmarkParseRefreshJunk(b *testing.B) {
	tokens := refreshShape(b, 80)
	text := token.NewSecret(strings.Repeat("0", 80))
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := tokens.ParseRefresh(text); ok {
			b.Fatal("taken")
		}
	}
}
