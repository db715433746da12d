// Package wiretags holds the promise that every name on the wire is held by a
// test: it changes one tag of one wire struct at a time, on a copy.
package wiretags

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

	"github.com/google/go-cmp/cmp"
)

// unnamed are the tags that no vector names, since no vendor's page does: the
// claims of our own tokens, answers that are extensions, fields of errors whose
// form is not public, and what only the SDK tells of a user or an API token. The
// other tests of package dialect must hold them.
var unnamed = []string{
	"backendjwt.go backendClaims.Audience aud",
	"backendjwt.go backendClaims.Earliest nbf",
	"backendjwt.go backendClaims.Email email",
	"backendjwt.go backendClaims.Expires exp",
	"backendjwt.go backendClaims.Groups groups",
	"backendjwt.go backendClaims.ID jti",
	"backendjwt.go backendClaims.Issued iat",
	"backendjwt.go backendClaims.Issuer iss",
	"backendjwt.go backendClaims.Scope scope",
	"backendjwt.go backendClaims.Subject sub",
	"backendjwt.go backendClaims.Username preferred_username",
	"facfabric.go facfErrorBody.Message message",
	"facfabric.go facfErrorBody.Success success",
	"facoauth_calls.go facIntrospected.Active active",
	"facoauth_calls.go facIntrospected.ClientID client_id",
	"facoauth_calls.go facIntrospected.Exp exp",
	"facoauth_calls.go facIntrospected.Scope scope",
	"facoauth_calls.go facIntrospected.Sub sub",
	"facoauth_calls.go facIntrospected.TokenType token_type",
	"facoauth_calls.go facIntrospected.Username username",
	"facoauth_errors.go facErrorBody.Message message",
	"facoauth_errors.go facErrorBody.Status status",
	"facoauth_oidc.go facMetadata.Challenges code_challenge_methods_supported",
	"facoauth_oidc.go facMetadata.Claims claims_supported",
	"facoauth_oidc.go facMetadata.Grants grant_types_supported",
	"facoauth_oidc.go facMetadata.Introspection introspection_endpoint",
	"facoauth_oidc.go facMetadata.Revocation revocation_endpoint",
	"facoauth_oidc.go facMetadata.Scopes scopes_supported",
	"facoauth_token.go facGrant.Scope scope",
	"ipfabric.go ipfMe.DomainSuffixes domainSuffixes",
	"ipfabric.go ipfMe.Email email",
	"ipfabric.go ipfMe.IsLocal isLocal",
	"ipfabric.go ipfMe.LDAPID ldapId",
	"ipfabric.go ipfMe.RoleIDs roleIds",
	"ipfabric.go ipfMe.RoleNames roleNames",
	"ipfabric.go ipfMe.SSOProvider ssoProvider",
	"ipfabric.go ipfMe.Timezone timezone",
	"ipfabric_apitokens.go ipfAPITokenItem.LastUsed lastUsed",
	"ipfabric_apitokens.go ipfAPITokenItem.MaxScope maxScope",
	"ipfabric_errors.go ipfGoneBody.APIVersion api_version",
	"ipfabric_errors.go ipfGoneBody.Message message",
	"ipfabric_errors.go ipfGoneBody.ReleaseVersion release_version",
	"ipfabric_tokens.go ipfClaims.Aud aud",
	"ipfabric_tokens.go ipfClaims.Exp exp",
	"ipfabric_tokens.go ipfClaims.ID id",
	"ipfabric_tokens.go ipfClaims.Iat iat",
	"ipfabric_tokens.go ipfClaims.IsAdmin isAdmin",
	"ipfabric_tokens.go ipfClaims.Iss iss",
	"ipfabric_tokens.go ipfClaims.JTI jti",
	"ipfabric_tokens.go ipfClaims.SID sid",
	"ipfabric_tokens.go ipfClaims.Scope scope",
	"ipfabric_tokens.go ipfClaims.Username username",
	"ipfabric_version.go ipfVersion.APIVersion apiVersion",
	"ipfabric_version.go ipfVersion.ReleaseVersion releaseVersion",
	"itempath_errors.go itpErrorBody.Login login",
}

// A tag is one name on the wire, as a struct in package dialect has it.
type tag struct{ file, owner, field, key string }

var wireTag = regexp.MustCompile(`json:"([A-Za-z_][A-Za-z0-9_]*)`)

// wireTags finds every tag of every struct in the sources of package dialect.
func wireTags(t *testing.T) (tags []tag) {
	t.Helper()
	files, err := filepath.Glob("../../dialect/*.go")
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
			if m := wireTag.FindStringSubmatch(field.Tag.Value); m != nil && len(field.Names) == 1 {
				tags = append(tags, tag{filepath.Base(file), owner, field.Names[0].Name, m[1]})
			}
			return true
		})
	}
	return tags
}

func (g tag) String() string {
	return fmt.Sprintf("%s %s.%s %s", g.file, g.owner, g.field, g.key)
}

// TestEveryTagOfTheWireIsHeld runs the vectors over a copy of package dialect
// that gives one tag another name, for every tag of every wire struct: they must
// fail, or, where no vector names it, the other tests must.
func TestEveryTagOfTheWireIsHeld(t *testing.T) {
	tags := wireTags(t)
	if len(tags) < 100 {
		t.Fatalf("found %d tags in package dialect; want more", len(tags))
	}
	bin := build(t)
	if !passes(t, bin, vectorTests, tag{}) || !passes(t, bin, allTests, tag{}) {
		t.Fatal("the tests fail as it is")
	}
	var mu sync.Mutex
	var survived []string
	t.Run("changed", func(t *testing.T) {
		for _, g := range tags {
			t.Run(g.String(), func(t *testing.T) {
				t.Parallel()
				if !passes(t, bin, vectorTests, g) {
					return
				}
				mu.Lock()
				survived = append(survived, g.String())
				mu.Unlock()
				if passes(t, bin, allTests, g) {
					t.Error("no test fails when this tag has another name")
				}
			})
		}
	})
	slices.Sort(survived)
	if diff := cmp.Diff(unnamed, survived); diff != "" {
		t.Errorf("the tags that no vector names (-told +found):\n%s", diff)
	}
}

// Which tests of package dialect are run.
const (
	vectorTests = "^TestVectorsFourWays$"
	allTests    = "^Test"
)

// passes runs tests of the copy with one tag changed; the zero tag is none.
func passes(t *testing.T, bin, tests string, g tag) bool {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), bin, "-test.failfast", "-test.run", tests)
	cmd.Dir = "../../dialect"
	cmd.Env = append(os.Environ(), "WIRETAG="+g.owner+"."+g.field, "GOGC=off") // it ends before it needs collecting
	return cmd.Run() == nil
}

// build builds the tests over a copy of package dialect in which every struct
// goes to encoding/json by way of changed.go.txt.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	files, err := filepath.Glob("../../dialect/*.go")
	if err != nil {
		t.Fatal(err)
	}
	replace := map[string]string{absolute(t, "../../dialect/changed.go"): absolute(t, "testdata/changed.go.txt")}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		changed := bytes.ReplaceAll(text, []byte("json.Marshal("), []byte("changed(json.Marshal, "))
		changed = bytes.ReplaceAll(changed, []byte(" plainJSON(v)"), []byte(" changed(plainJSON, v)"))
		if bytes.Equal(changed, text) || strings.HasSuffix(file, "_test.go") {
			continue
		}
		replace[absolute(t, file)] = filepath.Join(dir, filepath.Base(file))
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), changed, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlay, bin := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "dialect.test")
	if err := os.WriteFile(overlay, b, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", bin, "../../dialect")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the copy does not compile: %v\n%s", err, out)
	}
	return bin
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
