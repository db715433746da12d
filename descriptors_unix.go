//go:build unix

package main

import "syscall"

// descriptors returns how many files and connections this process may have open.
// The runtime has raised the limit as far as it may be raised.
func descriptors() int {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return maxDescriptors
	}
	return int(min(uint64(l.Cur), maxDescriptors)) //nolint:unconvert // it is signed on some systems
}
