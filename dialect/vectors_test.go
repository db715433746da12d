package dialect_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/token"
)

var vectorsDir = flag.String("vectors", "testdata", "folder of the vector files, one a dialect")

// untouched names the calls that no vector touches, and why.
var untouched = map[string]string{
	"ipfabric version": "public and without state; TestVersionIsThatOfTheProfile covers it",
}

// A vectorFile is one file of testdata; FORMAT.md beside it describes them.
type vectorFile struct {
	Format   string
	Profiles map[string]string
	Fixtures struct {
		Users []struct {
			Username, Password, ID string
			Scope                  []string
		}
		APITokens []struct {
			Token, ID, User string
			Expired         bool
		} `json:"api_tokens"`
	}
	Served []servedVector
	Spoken []spokenVector
}

type servedVector struct {
	ID       string
	Profiles []string
	Steps    []struct {
		Control *struct{ Set map[string]any }
		Request *wireRequest
		// Response is absent in a control step.
		Response *wireResponse
		Example  *struct{ Body json.RawMessage }
	}
}

type spokenVector struct {
	ID       string
	Upstream struct{ Profile, Username, Password string }
	Timeline []struct {
		Exchanges []struct {
			Expect wireExpect
			Reply  struct {
				Status  int
				Headers [][2]string
				Body    struct {
					JSON json.RawMessage
					Raw  string
				}
			}
		}
	}
}

type wireRequest struct {
	Method, Path string
	Headers      map[string]*string
	Cookies      map[string]string
	Body         struct {
		JSON any
		Raw  string
	}
}

type wireResponse struct {
	Status  any
	Headers map[string]any
	Cookies map[string]any
	Body    struct {
		JSON        any
		NotContains []string `json:"not_contains"`
	}
}

type wireExpect struct {
	Method, Path        string
	Body                struct{ JSON any }
	CarriesAccessToken  string `json:"carries_access_token"`
	CarriesRefreshToken string `json:"carries_refresh_token"`
}

// TestVectorsFourWays runs every vector of every dialect through the four
// functions of a call: what ReadRequest reads, WriteRequest writes; what
// WriteResponse writes satisfies the vector, and ReadResponse reads it back.
func TestVectorsFourWays(t *testing.T) {
	for _, f := range dialect.All {
		t.Run(f.Name, func(t *testing.T) {
			file := readVectors(t, f.Name)
			touched := map[token.Op]bool{}
			for _, v := range file.Served {
				for _, profile := range f.Profiles {
					if v.Profiles == nil || slices.Contains(v.Profiles, profile) {
						t.Run(v.ID+"/"+profile, func(t *testing.T) { runServed(t, f.Name+"/"+profile, file, v, touched) })
					}
				}
			}
			for _, v := range file.Spoken {
				t.Run(v.ID, func(t *testing.T) { runSpoken(t, f.Name+"/"+v.Upstream.Profile, v, touched) })
			}
			allTouched(t, f, touched)
		})
	}
}

func readVectors(t *testing.T, name string) vectorFile {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(*vectorsDir, strings.ReplaceAll(name, "-", "")+".json"))
	if err != nil {
		t.Fatalf("every dialect needs vectors: %v", err)
	}
	var file vectorFile
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	if file.Format != "wire-vectors/1" || len(file.Served) == 0 || len(file.Spoken) == 0 {
		t.Fatalf("%s: format %q, %d served and %d spoken vectors", name, file.Format, len(file.Served), len(file.Spoken))
	}
	return file
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

var revealed = cmp.Comparer(func(a, b token.Secret) bool { return a.Reveal() == b.Reveal() })

func statuses(v any) (codes []int) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	for _, n := range list {
		code, _ := n.(float64)
		codes = append(codes, int(code))
	}
	return codes
}

var emptyIsNil = cmp.Transformer("emptyIsNil", func(ss []string) string { return strings.Join(ss, "\x00") })
