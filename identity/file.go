package identity

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// maxFile is the largest users file, in bytes.
const maxFile = 8 << 20

// FileError is one thing that is wrong with a users file.
type FileError struct {
	Path string
	Line int // 0: the file as a whole
	Msg  string
}

// Error returns "path:line: message".
func (e *FileError) Error() string {
	if e.Line == 0 {
		return e.Path + ": " + e.Msg
	}
	return fmt.Sprintf("%s:%d: %s", e.Path, e.Line, e.Msg)
}

// LoadUsers reads a users file: YAML, either a list of users or a map with that
// list under "users". The error joins everything that is wrong with the file,
// each a *FileError; a file that cannot be read is an *fs.PathError instead.
func LoadUsers(path string) (*Users, error) { return ReadUsers(path, readFile) }

// ReadUsers is LoadUsers with another way to read files: the users file and
// those that it names. Errors of read are handed on.
func ReadUsers(path string, read func(path string) ([]byte, error)) (*Users, error) {
	text, err := read(path)
	if err != nil {
		return nil, err
	}
	users, faults := parseUsers(text, folder{filepath.Dir(path), read})
	errs := make([]error, len(faults))
	for i := range faults {
		faults[i].Path = path
		errs[i] = &faults[i]
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return users, nil
}

// folder is what the files that a users file names are relative to.
type folder struct {
	dir  string
	read func(path string) ([]byte, error)
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = &FileError{Path: path, Msg: fmt.Sprintf("the file is larger than %d MiB", maxFile>>20)}
	}
	return text, err
}

func parseUsers(text []byte, dir folder) (*Users, []FileError) {
	if len(strings.TrimSpace(string(text))) == 0 {
		return nil, []FileError{{Msg: "the file is empty"}}
	}
	var doc yaml.Node
	if err := yaml.Load(text, &doc); err != nil {
		return nil, yamlFaults(err)
	}
	items, faults := userNodes(&doc)
	if len(faults) > 0 {
		return nil, faults
	}
	var list []User
	var lines []int // of the users in list; those that cannot be read are left out
	for _, n := range items {
		var u User
		if wrong := readUser(n, &u); len(wrong) > 0 {
			faults = append(faults, wrong...)
			continue
		}
		list, lines = append(list, u), append(lines, n.Line)
	}
	if len(faults) > 0 && len(list) == 0 {
		return nil, faults
	}
	users, wrong := build(list, dir)
	for _, f := range wrong {
		faults = append(faults, FileError{Line: lineOf(lines, f.index), Msg: f.text(list)})
	}
	return users, faults
}

// lineOf returns 0 for the list as a whole.
func lineOf(lines []int, i int) int {
	if i < 0 {
		return 0
	}
	return lines[i]
}

// userNodes finds the list of users in either form of the file.
func userNodes(doc *yaml.Node) ([]*yaml.Node, []FileError) {
	if len(doc.Content) == 0 {
		return nil, []FileError{{Msg: "the file is empty"}}
	}
	top := doc.Content[0]
	if top.Kind == yaml.MappingNode {
		if len(top.Content) != 2 || top.Content[0].Value != "users" {
			return nil, []FileError{{Line: top.Line, Msg: `the only key at the top is "users"`}}
		}
		top = top.Content[1]
	}
	if top.Kind != yaml.SequenceNode {
		return nil, []FileError{{Line: top.Line, Msg: "the file must hold a list of users"}}
	}
	return top.Content, nil
}

var (
	userKeys = []string{
		"name", "hash", "id", "email", "realm", "groups", "scopes", "admin", "kind", "permissions", "disabled",
		"second_factor", "allow_without_factor",
	}
	factorKeys = []string{"methods", "totp_secret_file", "totp_digits", "phone", "email"}
)

// readUser reads one user. Keys are checked here and not by the YAML library,
// whose message would name a Go type.
func readUser(n *yaml.Node, u *User) []FileError {
	if n.Kind != yaml.MappingNode {
		return []FileError{{Line: n.Line, Msg: "a user must be a map with name and hash"}}
	}
	faults := userFaults(n)
	if len(faults) > 0 {
		return faults
	}
	if err := n.Load(u); err != nil {
		return yamlFaults(err)
	}
	return nil
}

func userFaults(n *yaml.Node) []FileError {
	var faults []FileError
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Value == "password":
			faults = append(faults, FileError{Line: key.Line, Msg: "passwords are not kept here; put the output of gatehouse hash-password under hash"})
		case !slices.Contains(userKeys, key.Value):
			faults = append(faults, FileError{Line: key.Line, Msg: unknownKey(key.Value)})
		case hasNull(value):
			faults = append(faults, FileError{Line: value.Line, Msg: key.Value + " has no value"})
		case key.Value == "second_factor":
			faults = append(faults, factorFaults(value)...)
		}
	}
	return faults
}

func factorFaults(n *yaml.Node) []FileError {
	if n.Kind != yaml.MappingNode {
		return []FileError{{Line: n.Line, Msg: "second_factor must be a map with methods"}}
	}
	var faults []FileError
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Value == "totp_secret":
			faults = append(faults, FileError{Line: key.Line, Msg: "secrets are not kept here; name a file that holds it under totp_secret_file"})
		case !slices.Contains(factorKeys, key.Value):
			faults = append(faults, FileError{Line: key.Line, Msg: fmt.Sprintf("unknown key %q; second_factor has %s", key.Value, strings.Join(factorKeys, ", "))})
		case hasNull(value):
			faults = append(faults, FileError{Line: value.Line, Msg: key.Value + " has no value"})
		}
	}
	return faults
}

// unknownKey does not repeat what may be a piece of a hash: inside braces an
// unquoted one falls apart at its commas.
func unknownKey(key string) string {
	if strings.ContainsAny(key, "$=") {
		return "the hash falls apart at its commas; put it in quotes"
	}
	return fmt.Sprintf("unknown key %q; a user has %s", key, strings.Join(userKeys, ", "))
}

// hasNull finds the nulls that the library would silently read as absent.
func hasNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" || n.Kind == yaml.SequenceNode && slices.ContainsFunc(n.Content, hasNull)
}

func yamlFaults(err error) []FileError {
	if list, ok := errors.AsType[*yaml.LoadErrors](err); ok {
		faults := make([]FileError, len(list.Errors))
		for i, e := range list.Errors {
			faults[i] = FileError{Line: e.Mark.Line, Msg: e.Message}
		}
		return faults
	}
	if e, ok := errors.AsType[*yaml.LoadError](err); ok {
		return []FileError{{Line: e.Mark.Line, Msg: e.Message}}
	}
	return []FileError{{Msg: err.Error()}}
}
