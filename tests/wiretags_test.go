package tests

import (
	"bytes"
	"context"
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
	from, to   int // its bytes in the file
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
		ast.Inspect(tree, func(n ast.Node) bool {
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
				tags = append(tags, tag{file: file, from: at + m[2], to: at + m[3], field: name, key: key})
			}
			return true
		})
	}
	return tags
}

func (g tag) String() string {
	return fmt.Sprintf("%s %s %s", filepath.Base(g.file), g.field, g.key)
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
	if out, err := runVectors(t, nil); err != nil {
		t.Fatalf("the vectors fail as it is: %v\n%s", err, out)
	}
	var mu sync.Mutex
	var survived []string
	var wg sync.WaitGroup
	slots := make(chan struct{}, 2)
	for _, g := range tags {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			out, err := runVectors(t, &g)
			if strings.Contains(string(out), "[build failed]") || strings.Contains(string(out), "[setup failed]") {
				t.Errorf("%s: the changed copy does not compile:\n%s", g, out)
			}
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				survived = append(survived, g.String())
			}
		})
	}
	wg.Wait()
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

// runVectors runs the vectors of package dialect, with one tag changed.
func runVectors(t *testing.T, g *tag) ([]byte, error) {
	t.Helper()
	args := []string{"test", "-vet=off", "-count=1", "-run", "^TestVectorsFourWays$"}
	if g != nil {
		args = append(args, "-overlay", overlay(t, *g))
	}
	cmd := exec.CommandContext(context.Background(), "go", append(args, "../dialect")...)
	return cmd.CombinedOutput()
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
