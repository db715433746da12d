//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package journal

import (
	"errors"
	"os"
)

// lock fails: without a lock that ends with its process nobody knows whose a file
// is, and two processes could replay one.
func lock(*os.File) error { return errors.ErrUnsupported }
