package vectors

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"regexp"
	"strings"
)

var placeholder = regexp.MustCompile(`\{\{([a-z0-9_]+)(?:\(([^)]*)\))?\}\}`)

// Fill inserts captured values and the functions of the format.
func (s Scope) Fill(text string) string { return s.fill(text) }

func (s Scope) fill(text string) string {
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

// fillAll applies fill to every string of a JSON value.
func (s Scope) fillAll(v any) any {
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
