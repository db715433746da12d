//go:build unix

package config

import (
	"fmt"
	"io/fs"
	"syscall"
)

// owner names the user that a file belongs to.
func owner(info fs.FileInfo) string {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprintf(", owner %d", st.Uid)
	}
	return ""
}
