package dialect_test

import (
	"flag"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/dialect/vectors"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// ownVectors are the project's own, which must touch every call.
const ownVectors = "testdata"

var vectorsDir = flag.String("vectors", ownVectors, "folder of the vector files, one a dialect")

// untouched names the calls that no vector touches, and why.
var untouched = map[string]string{
	"ipfabric version":     "public and without state; TestVersionIsThatOfTheProfile covers it",
	"fac-oauth introspect": "the vendor has none; TestOAuthIntrospection covers it",
}

// TestVectorsFourWays runs every vector of every dialect through the four
// functions of a call: what ReadRequest reads, WriteRequest writes; what
// WriteResponse writes satisfies the vector, and ReadResponse reads it back.
func TestVectorsFourWays(t *testing.T) {
	files, err := vectors.Load(*vectorsDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		f := file.Family
		t.Run(f.Name, func(t *testing.T) {
			touched := map[token.Op]bool{}
			for _, v := range file.Served {
				for _, profile := range v.Profiles {
					t.Run(v.ID+"/"+profile, func(t *testing.T) { runServed(t, f.Name+"/"+profile, file.Fixtures, v, touched) })
				}
			}
			for _, v := range file.Spoken {
				t.Run(v.ID, func(t *testing.T) { runSpoken(t, f.Name+"/"+v.Upstream.Profile, v, touched) })
			}
			if *vectorsDir == ownVectors {
				allTouched(t, f, touched)
			}
		})
	}
}

func allTouched(t *testing.T, f dialect.Family, touched map[token.Op]bool) {
	t.Helper()
	for _, profile := range f.Profiles {
		for _, c := range mustOpen(t, f.Name+"/"+profile, dialect.Settings{}).Calls {
			if _, known := untouched[f.Name+" "+string(c.Op)]; !touched[c.Op] && !known {
				t.Errorf("no vector touches %s of %s", c.Op, f.Name)
			}
		}
	}
}

func mustOpen(t testing.TB, name string, s dialect.Settings) *dialect.Dialect {
	t.Helper()
	d, err := dialect.Open(name, s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// profilesOf returns the profiles of one family.
func profilesOf(t testing.TB, name string) []string {
	t.Helper()
	i := slices.IndexFunc(dialect.All, func(f dialect.Family) bool { return f.Name == name })
	if i < 0 {
		t.Fatalf("no dialect %s", name)
	}
	return dialect.All[i].Profiles
}

var revealed = cmp.Comparer(func(a, b token.Secret) bool { return a.Reveal() == b.Reveal() })

var emptyIsNil = cmp.Transformer("emptyIsNil", func(ss []string) string { return strings.Join(ss, "\x00") })
