package upstream

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// unknownVersions says that a backend knows none of the versions of its API that
// may be spoken.
type unknownVersions struct {
	tried []string // as in paths: v1.2
	err   error    // what it answered in the end
}

func (e *unknownVersions) Error() string { return "no version of the API is known: " + e.err.Error() }
func (e *unknownVersions) Unwrap() error { return e.err }

func (e *unknownVersions) message() string {
	return fmt.Sprintf("The backend has no token API of version %s. An operator has to set the versions of the backend to those that it has.",
		strings.Join(e.tried, ", "))
}

// spoken returns the version of the API that the backend took last, or the
// preferred one.
func (b *Backend) spoken() string {
	if v := b.cfg.Dialect.Versions; len(v) > 0 {
		return v[b.version.Load()]
	}
	return b.cfg.Dialect.Profile
}

// underVersion makes a call under the version that the backend took last and, as
// long as that is answered 404, once under each of the others. An answer of any
// other kind shows that the version is known.
func (b *Backend) underVersion(call func(version string) error) error {
	versions := b.cfg.Dialect.Versions
	if len(versions) == 0 {
		return call(b.cfg.Dialect.Profile)
	}
	first := int(b.version.Load())
	unknown := &unknownVersions{}
	for i := range versions {
		at := (first + i) % len(versions)
		err := call(versions[at])
		r, refused := errors.AsType[*refusal](err)
		if !refused || r.status != http.StatusNotFound {
			if err == nil || refused {
				b.version.Store(int32(at)) //nolint:gosec // versions are few
			}
			return err
		}
		unknown.tried, unknown.err = append(unknown.tried, "v"+versions[at]), err
	}
	return unknown
}
