package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"regexp"
	"strings"
)

// scope holds what a vector has captured so far.
type scope map[string]string

var placeholder = regexp.MustCompile(`\{\{([a-z0-9_]+)(?:\(([^)]*)\))?\}\}`)

// fill inserts captured values and the functions of the vector format.
func (s scope) fill(text string) string {
	return placeholder.ReplaceAllStringFunc(text, func(m string) string {
		g := placeholder.FindStringSubmatch(m)
		name, arg := g[1], g[2]
		if !strings.Contains(m, "(") {
			return s[name]
		}
		switch name {
		case "b64":
			return base64.StdEncoding.EncodeToString([]byte(s.fill(arg)))
		case "urlenc":
			return url.QueryEscape(s[arg])
		case "s256":
			sum := sha256.Sum256([]byte(arg))
			return base64.RawURLEncoding.EncodeToString(sum[:])
		}
		return forge(name, s[arg])
	})
}

// forge makes the bad JWTs of the vectors out of a good one.
func forge(how, jwt string) string {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return "not-a-jwt"
	}
	enc := base64.RawURLEncoding.EncodeToString
	switch how {
	case "tamper":
		sig := []byte(parts[2])
		if sig[4] = 'A'; parts[2][4] == 'A' {
			sig[4] = 'B'
		}
		return parts[0] + "." + parts[1] + "." + string(sig)
	case "algnone":
		return enc([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + parts[1] + "."
	case "resign_hs256":
		head := enc([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + parts[1]
		mac := hmac.New(sha256.New, []byte("guessed"))
		mac.Write([]byte(head))
		return head + "." + enc(mac.Sum(nil))
	}
	return "unknown-function-" + how
}

// fillAll applies fill to every string of a JSON value.
func (s scope) fillAll(v any) any {
	switch v := v.(type) {
	case string:
		return s.fill(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = s.fillAll(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k := range v {
			out[k] = s.fillAll(v[k])
		}
		return out
	}
	return v
}

// absent stands for a value that is not there.
type absent struct{}

// match compares a value with a matcher of the format; the error says where
// they differ.
func (s scope) match(at string, want, got any) error {
	switch w := want.(type) {
	case string:
		return s.matchString(at, w, got)
	case map[string]any:
		return s.matchObject(at, w, got)
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(w) {
			return fmt.Errorf("%s = %v; want %v", at, got, want)
		}
		for i := range w {
			if err := s.match(fmt.Sprintf("%s[%d]", at, i), w[i], list[i]); err != nil {
				return err
			}
		}
		return nil
	}
	if !reflect.DeepEqual(want, got) {
		return fmt.Errorf("%s = %v; want %v", at, got, want)
	}
	return nil
}

func (s scope) matchString(at, want string, got any) error {
	if !strings.HasPrefix(want, "$") {
		if got != s.fill(want) {
			return fmt.Errorf("%s = %v; want %q", at, got, s.fill(want))
		}
		return nil
	}
	kind, arg, _ := strings.Cut(want[1:], ":")
	text, isString := got.(string)
	_, gone := got.(absent)
	var ok bool
	switch kind {
	case "any":
		ok = !gone
	case "string":
		ok = isString
	case "int":
		n, isNumber := got.(float64)
		ok = isNumber && n == float64(int64(n))
	case "bool":
		_, ok = got.(bool)
	case "null":
		ok = got == nil
	case "array":
		_, ok = got.([]any)
	case "object":
		_, ok = got.(map[string]any)
	case "absent":
		ok = gone
	case "re":
		ok = isString && regexp.MustCompile(arg).MatchString(text)
	case "nre":
		ok = isString && !regexp.MustCompile(arg).MatchString(text)
	case "opt":
		if gone {
			return nil
		}
		return s.match(at, "$"+strings.TrimPrefix(arg, "$"), got)
	case "var":
		ok = isString && text == s[arg]
	case "notvar":
		ok = isString && text != "" && text != s[arg]
	case "cap":
		return s.capture(at, arg, text)
	default:
		return fmt.Errorf("%s: the format has no matcher %q", at, want)
	}
	if !ok {
		return fmt.Errorf("%s = %v; want %s", at, got, want)
	}
	return nil
}

// capture keeps a non-empty string under a name, after an optional matcher.
func (s scope) capture(at, arg, text string) error {
	name, matcher, has := strings.Cut(arg, ":")
	if has {
		if err := s.match(at, "$"+strings.TrimPrefix(matcher, "$"), text); err != nil {
			return err
		}
	}
	if text == "" {
		return fmt.Errorf("%s is empty; want a value to capture as %s", at, name)
	}
	s[name] = text
	return nil
}

func (s scope) matchObject(at string, want map[string]any, got any) error {
	if items, ok := want["$items"]; ok {
		list, isList := got.([]any)
		least, _ := want["$min"].(float64)
		if !isList || len(list) < int(least) {
			return fmt.Errorf("%s = %v; want a list of at least %v", at, got, least)
		}
		for i := range list {
			if err := s.match(fmt.Sprintf("%s[%d]", at, i), items, list[i]); err != nil {
				return err
			}
		}
		return nil
	}
	if all, ok := want["$all"].([]any); ok {
		for _, m := range all {
			if err := s.match(at, m, got); err != nil {
				return err
			}
		}
		return nil
	}
	if either, ok := want["$oneof"].([]any); ok {
		for _, m := range either {
			if s.match(at, m, got) == nil {
				return nil
			}
		}
		return fmt.Errorf("%s = %v; want one of %v", at, got, either)
	}
	if j, ok := want["$jwt"].(map[string]any); ok {
		return s.matchJWT(at, j, got)
	}
	object, ok := got.(map[string]any)
	if !ok {
		return fmt.Errorf("%s = %v; want an object", at, got)
	}
	return s.matchFields(at, want, object)
}

func (s scope) matchFields(at string, want, got map[string]any) error {
	for k, w := range want {
		if k == "$closed" {
			continue
		}
		v, there := got[k]
		if !there {
			v = absent{}
		}
		if err := s.match(at+"."+k, w, v); err != nil {
			return err
		}
	}
	if closed, _ := want["$closed"].(bool); closed {
		for k := range got {
			if _, ok := want[k]; !ok {
				return fmt.Errorf("%s has %s, which it must not", at, k)
			}
		}
	}
	return nil
}

func (s scope) matchJWT(at string, want map[string]any, got any) error {
	text, _ := got.(string)
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return fmt.Errorf("%s = %v; want a JWT", at, got)
	}
	var decoded [2]map[string]any
	for i := range decoded {
		b, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
		if err := json.NewDecoder(bytes.NewReader(b)).Decode(&decoded[i]); err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
	}
	for i, name := range []string{"header", "claims"} {
		if w, ok := want[name]; ok {
			if err := s.match(at+"."+name, w, any(decoded[i])); err != nil {
				return err
			}
		}
	}
	if life, ok := want["lifetime"].(float64); ok {
		exp, _ := decoded[1]["exp"].(float64)
		iat, _ := decoded[1]["iat"].(float64)
		if exp-iat != life {
			return fmt.Errorf("%s: exp-iat = %v; want %v", at, exp-iat, life)
		}
	}
	if name, ok := want["capture"].(string); ok {
		s[name] = text
	}
	return nil
}
