package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// maxPEM is the largest certificate or key file, in bytes.
const maxPEM = 1 << 20

// readFile reads a file of at most limit bytes, or says why it cannot.
func (l *loader) readFile(place, path string, limit int64) ([]byte, bool) {
	f, err := os.Open(path)
	if err != nil {
		l.unreadable(place, path, err)
		return nil, false
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		l.unreadable(place, path, err)
		return nil, false
	}
	if int64(len(b)) > limit {
		l.fault(place, fmt.Sprintf("%s is larger than %d KiB", path, limit>>10), "is it the right file?")
		return nil, false
	}
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
