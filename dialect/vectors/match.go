package vectors

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// A Scope holds what a vector has captured so far, by name. It is not safe for
// concurrent use.
type Scope map[string]string

// absent stands for a value that is not there; nil is null.
type absent struct{}

// Match holds a JSON value against a matcher, and captures; the error says
// where they differ.
func (s Scope) Match(at string, want, got any) error {
	switch w := want.(type) {
	case string:
		return s.matchText(at, w, got)
	case map[string]any:
		return s.matchObject(at, w, got)
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(w) {
			return differ(at, want, got)
		}
		var errs []error
		for i := range w {
			errs = append(errs, s.Match(fmt.Sprintf("%s[%d]", at, i), w[i], list[i]))
		}
		return errors.Join(errs...)
	}
	if want != got { // a number, a truth or null
		return differ(at, want, got)
	}
	return nil
}

func differ(at string, want, got any) error {
	if got == (absent{}) {
		got = "absent"
	}
	return fmt.Errorf("%s = %.200v; want %v", at, got, want)
}

func (s Scope) matchText(at, want string, got any) error {
	if !strings.HasPrefix(want, "$") {
		if want = s.fill(want); got != want {
			return differ(at, fmt.Sprintf("%q", want), got)
		}
		return nil
	}
	kind, arg, _ := strings.Cut(want, ":")
	text, isText := got.(string)
	var ok bool
	switch kind {
	case "$any":
		ok = got != absent{}
	case "$string":
		ok = isText
	case "$int":
		n, isNumber := got.(float64)
		ok = isNumber && n == float64(int64(n))
	case "$bool":
		_, ok = got.(bool)
	case "$null":
		ok = got == nil
	case "$array":
		_, ok = got.([]any)
	case "$object":
		_, ok = got.(map[string]any)
	case "$absent":
		ok = got == absent{}
	case "$re", "$nre":
		re, err := regexp.Compile(arg)
		if err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
		ok = isText && re.MatchString(text) == (kind == "$re")
	case "$var":
		ok = isText && text == s[arg]
	case "$notvar":
		ok = isText && text != "" && text != s[arg]
	case "$opt":
		if got == (absent{}) {
			return nil
		}
		return s.Match(at, inner(arg), got)
	case "$cap":
		return s.capture(at, arg, got)
	default:
		return fmt.Errorf("%s: the format has no matcher %q", at, want)
	}
	if !ok {
		return differ(at, want, got)
	}
	return nil
}

// inner is a matcher inside another, with or without its dollar.
func inner(s string) string { return "$" + strings.TrimPrefix(s, "$") }

// capture keeps a non-empty string under a name, after an optional matcher.
func (s Scope) capture(at, arg string, got any) error {
	name, matcher, nested := strings.Cut(arg, ":")
	text, _ := got.(string)
	if text == "" {
		return differ(at, "a value to capture as "+name, got)
	}
	if nested {
		if err := s.Match(at, inner(matcher), got); err != nil {
			return err
		}
	}
	s[name] = text
	return nil
}

func (s Scope) matchObject(at string, want map[string]any, got any) error {
	if items, ok := want["$items"]; ok {
		return s.matchItems(at, items, want, got)
	}
	if all, ok := want["$all"].([]any); ok {
		var errs []error
		for _, w := range all {
			errs = append(errs, s.Match(at, w, got))
		}
		return errors.Join(errs...)
	}
	if either, ok := want["$oneof"].([]any); ok {
		if slices.ContainsFunc(either, func(w any) bool { return s.Match(at, w, got) == nil }) {
			return nil
		}
		return differ(at, want, got)
	}
	if jwt, ok := want["$jwt"].(map[string]any); ok {
		return s.matchJWT(at, jwt, got)
	}
	object, ok := got.(map[string]any)
	if !ok {
		return differ(at, want, got)
	}
	return s.matchMembers(at, want, object)
}

func (s Scope) matchItems(at string, each any, want map[string]any, got any) error {
	list, ok := got.([]any)
	least, _ := want["$min"].(float64)
	if !ok || len(list) < int(least) {
		return differ(at, want, got)
	}
	var errs []error
	for i, item := range list {
		errs = append(errs, s.Match(fmt.Sprintf("%s[%d]", at, i), each, item))
	}
	return errors.Join(errs...)
}

func (s Scope) matchMembers(at string, want, got map[string]any) error {
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if key != "$closed" {
			errs = append(errs, s.Match(at+"."+key, want[key], member(got, key)))
		}
	}
	if want["$closed"] == true {
		for key := range got {
			if _, ok := want[key]; !ok {
				errs = append(errs, fmt.Errorf("%s has %s, which it must not", at, key))
			}
		}
	}
	return errors.Join(errs...)
}

func member(of map[string]any, key string) any {
	if v, ok := of[key]; ok {
		return v
	}
	return absent{}
}

// matchJWT looks into a JWT; who signed it is the issuer's business.
func (s Scope) matchJWT(at string, want map[string]any, got any) error {
	text, _ := got.(string)
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return differ(at, "a JWT", got)
	}
	var errs []error
	var decoded [2]map[string]any
	for i, name := range []string{"header", "claims"} {
		b, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err == nil {
			err = json.Unmarshal(b, &decoded[i])
		}
		if w, ok := want[name]; ok && err == nil {
			err = s.Match(at+"."+name, w, decoded[i])
		}
		errs = append(errs, err)
	}
	if life, ok := want["lifetime"]; ok {
		exp, _ := decoded[1]["exp"].(float64)
		iat, _ := decoded[1]["iat"].(float64)
		errs = append(errs, s.Match(at+" lifetime", life, exp-iat))
	}
	if name, ok := want["capture"].(string); ok {
		s[name] = text
	}
	return errors.Join(errs...)
}
