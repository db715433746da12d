package config

import (
	"fmt"
	"io/fs"
	"os"
	"testing"
)

// The kernel refuses root nothing, so the refusal is made up here.
func TestRefusedFileNamesUserAndMode(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("secret", nil, 0o400); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"secret":  fmt.Sprintf("X_FILE: uid %d cannot read secret (mode 0400, owner %d): chmod 444 it", os.Getuid(), os.Getuid()),
		"in/none": fmt.Sprintf("X_FILE: uid %d cannot look into the folder of in/none: chmod 755 the folder", os.Getuid()),
	} {
		l := &loader{}
		l.unreadable("X_FILE", path, &fs.PathError{Op: "open", Path: path, Err: fs.ErrPermission})
		if got := l.faults.Error(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestNearestWord(t *testing.T) {
	known := []string{"GATEHOUSE_LISTEN", "GATEHOUSE_LOG_LEVEL", "path", "policy"}
	for word, want := range map[string]string{
		"GATEHOUSE_LISTN":    "did you mean GATEHOUSE_LISTEN?",
		"GATEHOUSE_LOGLEVEL": "did you mean GATEHOUSE_LOG_LEVEL?",
		"polcy":              "did you mean policy?",
		"pth":                "did you mean path?",
		"nothing":            "else",
		"":                   "else",
	} {
		if got := didYouMean(word, known, "else"); got != want {
			t.Errorf("%s: %s; want %s", word, got, want)
		}
	}
}
