package tests

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/argon2"
)

// The users of a gateway in account mode. alice may read and write, rita only
// read, root is an administrator; all have the one password.
const userPassword = "user-pass-Vb93kQ0xTn"

// userHash is at the least cost that is taken: what a login costs is the promise
// of few tests.
var userHash = func() string {
	salt := []byte("0123456789abcdef")
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=19$m=8,t=1,p=1$%s$%s", b64(salt), b64(argon2.IDKey([]byte(userPassword), salt, 1, 8, 1, 32)))
}()

// operatorsHash is made once, by the command that operators use, at the cost of
// real users.
var operatorsHash = sync.OnceValues(func() (string, error) {
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
	return writeUsers(t, userHash)
}

// dearUsersFile is usersFile with hashes of operators' cost.
func dearUsersFile(t testing.TB) string {
	t.Helper()
	hash, err := operatorsHash()
	if err != nil {
		t.Fatal(err)
	}
	return writeUsers(t, hash)
}

func writeUsers(t testing.TB, hash string) string {
	t.Helper()
	return writeFile(t, "users.yaml", fmt.Sprintf(`users:
  - {name: alice, id: "1001", hash: %[1]q, groups: [network], scopes: [read, write], permissions: [widget]}
  - {name: rita, id: "1002", hash: %[1]q, scopes: [read]}
  - {name: root, id: "1003", hash: %[1]q, scopes: [read, write, settings, team], admin: true}
`, hash))
}
