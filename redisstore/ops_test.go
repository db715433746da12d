package redisstore_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-gateway/gatehouse/redisstore"
)

// A name that Ops lacks would be counted as "other", one that nothing reports
// would stand at 0 for ever.
func TestOpsNamesEveryOperationThatIsReported(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	call := regexp.MustCompile(`\b(?:eval|ask|record|add)\((?:ctx, )?"([a-z_]+)"`)
	var used []string
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range call.FindAllStringSubmatch(string(b), -1) {
			used = append(used, m[1])
		}
	}
	used = append(used, "ping") // the feed's, named by a constant
	for _, op := range used {
		if !slices.Contains(redisstore.Ops(), op) {
			t.Errorf("%s is reported, but Ops does not name it", op)
		}
	}
	for _, op := range redisstore.Ops() {
		if !slices.Contains(used, op) {
			t.Errorf("Ops names %s, which nothing reports", op)
		}
	}
}
