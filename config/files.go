package config

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"

	"github.com/gatehouse-gateway/gatehouse/identity"
)

// Bounds of files, in bytes.
const (
	maxPEM   = 1 << 20 // of certificates or a key
	maxUsers = 8 << 20 // of users
)

// Files are the files that a configuration was read from, by their paths, with
// digests of what was in them.
type Files map[string]Digest

// Digest tells contents of a file apart. The zero one stands for a file that
// could not be read.
type Digest [sha256.Size]byte

// Changed reports whether any of the files holds something else now, has come or
// is gone. It reads them all: what a path leads to may be swapped without a trace
// in names and times.
func (f Files) Changed() bool {
	for path, was := range f {
		if digest(path) != was {
			return true
		}
	}
	return false
}

// Equal reports whether these are the same files with the same contents.
func (f Files) Equal(g Files) bool { return maps.Equal(f, g) }

// digest reads no more than tells a file from any that is taken.
func digest(path string) (d Digest) {
	b, err := readAtMost(path, maxUsers)
	if err == nil {
		d = sha256.Sum256(b)
	}
	return d
}

// readAtMost reads a file, and of one that is longer a byte more than limit.
func readAtMost(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit+1))
}

// note remembers a file with what was read of it. A path that is read twice
// counts as it was at first.
func (l *loader) note(path string, d Digest) {
	if l.files == nil {
		l.files = Files{}
	}
	if _, known := l.files[path]; !known {
		l.files[path] = d
	}
}

// usersFile reads what identity asks for.
func (l *loader) usersFile(path string) ([]byte, error) {
	b, err := readAtMost(path, maxUsers)
	if err != nil {
		l.note(path, Digest{})
		return nil, err
	}
	l.note(path, sha256.Sum256(b))
	if len(b) > maxUsers {
		return nil, &identity.FileError{Path: path, Msg: fmt.Sprintf("the file is larger than %d MiB", maxUsers>>20)}
	}
	return b, nil
}

// readFile reads a file of at most limit bytes, or says why it cannot.
func (l *loader) readFile(place, path string, limit int64) ([]byte, bool) {
	b, err := readAtMost(path, limit)
	if err != nil {
		l.note(path, Digest{})
		l.unreadable(place, path, err)
		return nil, false
	}
	if int64(len(b)) > limit {
		l.note(path, digest(path))
		l.fault(place, fmt.Sprintf("%s is larger than %d KiB", path, limit>>10), "is it the right file?")
		return nil, false
	}
	l.note(path, sha256.Sum256(b))
	return b, true
}

// unreadable says who could not read what, since that is what one needs to know
// when a container runs under a user id of its own.
func (l *loader) unreadable(place, path string, err error) {
	info, statErr := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.fault(place, "there is no file "+path, "is it mounted, and the path right?")
	case statErr == nil && info.IsDir():
		l.fault(place, path+" is a folder", "name a file")
	case errors.Is(err, fs.ErrPermission) && statErr == nil:
		l.fault(place, fmt.Sprintf("uid %d cannot read %s (mode %04o%s)", os.Getuid(), path, info.Mode().Perm(), owner(info)), "chmod 444 it")
	case errors.Is(err, fs.ErrPermission):
		l.fault(place, fmt.Sprintf("uid %d cannot look into the folder of %s", os.Getuid(), path), "chmod 755 the folder")
	default:
		if pe, ok := errors.AsType[*fs.PathError](err); ok {
			err = pe.Err // the path is named once
		}
		l.fault(place, "cannot read "+path, err.Error())
	}
}

// folder checks that a folder is one, if it is there at all.
func (l *loader) folder(place, path string) {
	if info, err := os.Stat(path); path != "" && err == nil && !info.IsDir() {
		l.fault(place, path+" is not a folder", "name one that the gateway may write to")
	}
}
