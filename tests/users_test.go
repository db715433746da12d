package tests

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// The users of a gateway in account mode. alice may read and write, rita only
// read, root is an administrator; all have the one password.
const userPassword = "user-pass-Vb93kQ0xTn"

// userHash is made once, by the command that operators use.
var userHash = sync.OnceValues(func() (string, error) {
	bin, err := binary()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(context.Background(), bin, "hash-password")
	cmd.Env = settings{}.environ()
	cmd.Stdin = strings.NewReader(userPassword + "\n")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("hash-password: %w: %s", err, &stderr)
	}
	return strings.TrimSpace(string(out)), nil
})

// usersFile writes a USERS_FILE and returns its path.
func usersFile(t testing.TB) string {
	t.Helper()
	hash, err := userHash()
	if err != nil {
		t.Fatal(err)
	}
	return writeFile(t, "users.yaml", fmt.Sprintf(`users:
  - {name: alice, id: "1001", hash: %[1]q, groups: [network], scopes: [read, write], permissions: [widget]}
  - {name: rita, id: "1002", hash: %[1]q, scopes: [read]}
  - {name: root, id: "1003", hash: %[1]q, scopes: [read, write, settings, team], admin: true}
`, hash))
}
