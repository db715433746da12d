// Package vectors is the test kit of the wire vectors, the files that
// dialect/testdata/FORMAT.md describes: it reads them, makes the requests of
// their clients, holds answers against their matchers and plays their backends.
// What a vector is run against is the business of the test that runs it.
//
// A part of the format that the kit does not check is refused by Load, so that
// no vector passes by being overlooked.
package vectors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gatehouse-gateway/gatehouse/dialect"
)

// Format is the name and version of the format.
const Format = "wire-vectors/1"

// Load reads the vectors of every dialect in dialect.All from dir, in that
// order. Files of dialects that do not exist are left alone; a dialect without
// vectors is an error.
func Load(dir string) ([]File, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("vectors: %w", err)
	}
	all := map[string][]byte{}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("vectors: %w", err)
		}
		var head struct{ Format string }
		if err := json.Unmarshal(b, &head); err != nil {
			return nil, fmt.Errorf("vectors: %s: %w", name, err)
		}
		if head.Format != Format {
			return nil, fmt.Errorf("vectors: %s: format %q; want %s", name, head.Format, Format)
		}
		all[filepath.Base(name)] = b
	}
	var files []File
	for _, family := range dialect.All {
		name := strings.ReplaceAll(family.Name, "-", "")
		b, ok := all[name+".json"]
		if !ok {
			return nil, fmt.Errorf("vectors: %s has none of %s; every dialect needs some", dir, family.Name)
		}
		f := File{Family: family}
		in := json.NewDecoder(bytes.NewReader(b))
		in.DisallowUnknownFields()
		if err := errors.Join(in.Decode(&f), f.check(name)); err != nil {
			return nil, fmt.Errorf("vectors: %s.json: %w", name, err)
		}
		files = append(files, f)
	}
	return files, nil
}

// check refuses a file of which something would not be run, and gives every
// served vector its profiles.
func (f *File) check(name string) error {
	var errs []error
	if f.Dialect != name || len(f.Served)+len(f.Spoken) == 0 {
		errs = append(errs, fmt.Errorf("dialect %q with %d served and %d spoken vectors", f.Dialect, len(f.Served), len(f.Spoken)))
	}
	for i := range f.Served {
		v := &f.Served[i]
		if v.Profiles == nil {
			v.Profiles = f.Family.Profiles
		}
		for _, profile := range v.Profiles {
			if !slices.Contains(f.Family.Profiles, profile) {
				errs = append(errs, fmt.Errorf("%s: no profile %q", v.ID, profile))
			}
		}
		for n, step := range v.Steps {
			if step.Offline != nil {
				continue
			}
			if (step.Control == nil) == (step.Request == nil) || (step.Request == nil) != (step.Response.Status == nil) {
				errs = append(errs, fmt.Errorf("%s: step %d is neither a control nor a request with its response", v.ID, n+1))
			}
		}
	}
	for _, v := range f.Spoken {
		for n, item := range v.Timeline {
			if item.Drive != nil && item.ClientGets.Status == nil {
				errs = append(errs, fmt.Errorf("%s: item %d does not say what its client gets", v.ID, n+1))
			}
		}
	}
	return errors.Join(errs...)
}
