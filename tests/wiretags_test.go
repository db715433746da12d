package tests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// unnamed are the tags of wire structs that no vector names, since none of the
// vendors' pages does; each with the test that does.
var unnamed = map[string]string{}

// A tag is one name on the wire, as a struct in package dialect has it.
type tag struct {
	file       string
	from, to   int    // its bytes in the file
	owner      string // the struct
	field, key string
}

var wireTag = regexp.MustCompile(`(?:json|xml):"([A-Za-z_][A-Za-z0-9_>]*)`)

// wireTags finds every tag of every struct in the sources of package dialect.
func wireTags(t *testing.T) (tags []tag) {
	t.Helper()
	files, err := filepath.Glob("../dialect/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		tree, err := parser.ParseFile(set, file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		owner := ""
		ast.Inspect(tree, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				owner = spec.Name.Name
			}
			field, ok := n.(*ast.Field)
			if !ok || field.Tag == nil {
				return true
			}
			at := set.Position(field.Tag.Pos()).Offset
			if m := wireTag.FindStringSubmatchIndex(field.Tag.Value); m != nil {
				key := field.Tag.Value[m[2]:m[3]]
				name := key
				if len(field.Names) > 0 {
					name = field.Names[0].Name
				}
				tags = append(tags, tag{file: file, owner: owner, from: at + m[2], to: at + m[3], field: name, key: key})
			}
			return true
		})
	}
	return tags
}

func (g tag) String() string {
	return fmt.Sprintf("%s %s.%s %s", filepath.Base(g.file), g.owner, g.field, g.key)
}

// TestEveryTagOfTheWireIsHeldByAVector changes one tag of one wire struct at a
// time, on a copy, and runs the vectors over it: they must fail.
func TestEveryTagOfTheWireIsHeldByAVector(t *testing.T) {
	if testing.Short() {
		t.Skip("left out by -short: it compiles package dialect once for every tag")
	}
	tags := wireTags(t)
	if len(tags) < 10 {
		t.Fatalf("found %d tags in package dialect; want more", len(tags))
	}
	if err := runVectors(t, nil); err != nil {
		t.Fatalf("the vectors fail as it is: %v", err)
	}
	var mu sync.Mutex
	var survived []string
	t.Run("changed", func(t *testing.T) {
		for _, g := range tags {
			t.Run(g.String(), func(t *testing.T) {
				t.Parallel()
				if runVectors(t, &g) == nil {
					mu.Lock()
					defer mu.Unlock()
					survived = append(survived, g.String())
				}
			})
		}
	})
	slices.Sort(survived)
	for _, g := range survived {
		if unnamed[g] == "" {
			t.Errorf("no vector fails when the tag %q has another name", g)
		}
	}
	for g := range unnamed {
		if !slices.Contains(survived, g) {
			t.Errorf("a vector holds the tag %q, or it is gone: take it out of the list", g)
		}
	}
}

// runVectors builds the tests of package dialect, with one tag changed, and runs
// the vectors.
func runVectors(t *testing.T, g *tag) error {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "dialect.test")
	args := []string{"test", "-c", "-vet=off", "-ldflags=-s -w", "-o", bin}
	if g != nil {
		args = append(args, "-overlay", overlay(t, *g))
	}
	build := exec.CommandContext(t.Context(), "go", append(args, "../dialect")...)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("with %v changed, package dialect does not compile: %v\n%s", g, err, out)
	}
	defer os.Remove(bin)
	run := exec.CommandContext(t.Context(), bin, "-test.run", "^TestVectorsFourWays$")
	run.Dir = "../dialect"
	return run.Run()
}

// overlay writes a copy of a file with the tag changed, and what tells go to
// compile it in the file's place.
func overlay(t *testing.T, g tag) string {
	t.Helper()
	text, err := os.ReadFile(g.file)
	if err != nil {
		t.Fatal(err)
	}
	original, err := filepath.Abs(g.file)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Join([][]byte{text[:g.from], text[g.to:]}, []byte("changed"))
	dir := t.TempDir()
	copied := filepath.Join(dir, filepath.Base(g.file))
	if err := os.WriteFile(copied, changed, 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(map[string]map[string]string{"Replace": {original: copied}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
