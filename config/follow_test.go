package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-gateway/gatehouse/config"
)

// Every file that a setting names is followed, and so is what it names in turn.
func TestFilesReadAreFollowed(t *testing.T) {
	cert, key := certificate(t)
	folder(t, map[string]string{
		"gate.yaml": goodYAML, "users.yaml": usersYML, "fabric.secret": "password", "ca.pem": cert, "key.pem": key, "secrets": secret32 + "1",
	})
	vars := []string{
		"GATEHOUSE_CONFIG=gate.yaml", "LAB_TOKEN=lab-token", "GATEHOUSE_SECRET_FILE=secrets",
		"GATEHOUSE_TLS_CERT_FILE=ca.pem", "GATEHOUSE_TLS_KEY_FILE=key.pem",
	}
	_, files, faults := config.Read(vars)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	var names []string
	for path := range files {
		names = append(names, filepath.Base(path))
		was, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for what, change := range map[string]func() error{
			"changed":   func() error { return os.WriteFile(path, append([]byte(" "), was...), 0o600) },
			"gone":      func() error { return os.Remove(path) },
			"as it was": func() error { return os.WriteFile(path, was, 0o600) },
		} {
			if err := change(); err != nil {
				t.Fatal(err)
			}
			if got, want := files.Changed(), what != "as it was"; got != want {
				t.Errorf("%s is %s: Changed = %v", path, what, got)
			}
			if err := os.WriteFile(path, was, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	slices.Sort(names)
	want := []string{"ca.pem", "fabric.secret", "gate.yaml", "key.pem", "secrets", "users.yaml"}
	if diff := cmp.Diff(names, want); diff != "" {
		t.Errorf("files (-got +want):\n%s", diff)
	}
}

// A fault hides no file: what is mended later is noticed.
func TestFaultyFilesAreFollowed(t *testing.T) {
	folder(t, map[string]string{"gate.yaml": "backends: [", "users.yaml": "[]"})
	_, files, faults := config.Read([]string{"GATEHOUSE_CONFIG=gate.yaml", "GATEHOUSE_SECRET_FILE=absent", "GATEHOUSE_USERS_FILE=users.yaml"})
	if len(faults) == 0 {
		t.Fatal("no faults")
	}
	if files.Changed() {
		t.Error("nothing has changed")
	}
	if err := os.WriteFile("absent", []byte(secret32), 0o600); err != nil {
		t.Fatal(err)
	}
	if !files.Changed() || len(files) != 3 {
		t.Errorf("a file that has come is not noticed; followed: %v", files)
	}
}

// A user's seed lies in a file of its own that only the users file names.
func TestSeedFilesAreFollowed(t *testing.T) {
	folder(t, map[string]string{"users.yaml": usersYML + "  second_factor: {methods: [ftm], totp_secret_file: seed}\n", "seed": "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP\n"})
	_, files, _ := config.Read([]string{"GATEHOUSE_USERS_FILE=users.yaml"})
	if _, followed := files["seed"]; !followed {
		t.Errorf("followed: %v; want seed among them", files)
	}
}
