package dialect_test

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// matcher holds values against the matchers of the vectors; testdata/FORMAT.md
// lists them.
type matcher struct {
	vars   map[string]string
	faults []string
}

func (m *matcher) fault(where string, want, got any) {
	m.faults = append(m.faults, fmt.Sprintf("%s = %.200v; want %v", where, got, want))
}

// match compares got with what the vector wants; nil stands for absent and null.
func (m *matcher) match(where string, want, got any) {
	switch w := want.(type) {
	case string:
		m.text(where, w, got)
	case map[string]any:
		m.object(where, w, got)
	default:
		if !reflect.DeepEqual(want, got) {
			m.fault(where, want, got)
		}
	}
}

func (m *matcher) text(where, want string, got any) {
	kind, rest, _ := strings.Cut(want, ":")
	s, isText := got.(string)
	n, isNumber := got.(float64)
	var ok bool
	switch kind {
	case "$any":
		ok = true
	case "$string":
		ok = isText
	case "$int":
		ok = isNumber && n == float64(int64(n))
	case "$bool":
		_, ok = got.(bool)
	case "$array":
		_, ok = got.([]any)
	case "$object":
		_, ok = got.(map[string]any)
	case "$null", "$absent":
		ok = got == nil
	case "$re":
		ok = isText && regexp.MustCompile(rest).MatchString(s)
	case "$nre":
		ok = isText && !regexp.MustCompile(rest).MatchString(s)
	case "$var":
		ok = isText && s == m.vars[rest]
	case "$notvar":
		ok = isText && s != m.vars[rest]
	case "$opt":
		if got != nil {
			m.match(where, inner(rest), got)
		}
		return
	case "$cap":
		m.capture(where, rest, got)
		return
	default:
		ok = got == want
	}
	if !ok {
		m.fault(where, want, got)
	}
}

// inner is a matcher inside another, with or without its dollar.
func inner(s string) string {
	if strings.HasPrefix(s, "$") {
		return s
	}
	return "$" + s
}

func (m *matcher) capture(where, rest string, got any) {
	name, more, nested := strings.Cut(rest, ":")
	s, ok := got.(string)
	if !ok || s == "" {
		m.fault(where, "$cap:"+rest, got)
		return
	}
	m.vars[name] = s
	if nested {
		m.match(where, inner(more), got)
	}
}

func (m *matcher) object(where string, want map[string]any, got any) {
	switch {
	case want["$all"] != nil:
		for _, w := range want["$all"].([]any) {
			m.match(where, w, got)
		}
	case want["$oneof"] != nil:
		m.oneOf(where, want["$oneof"].([]any), got)
	case want["$items"] != nil:
		m.items(where, want, got)
	default:
		m.members(where, want, got)
	}
}

func (m *matcher) oneOf(where string, choices []any, got any) {
	for _, w := range choices {
		try := matcher{vars: m.vars}
		if try.match(where, w, got); try.faults == nil {
			return
		}
	}
	m.fault(where, choices, got)
}

func (m *matcher) items(where string, want map[string]any, got any) {
	list, ok := got.([]any)
	least, _ := want["$min"].(float64)
	if !ok || len(list) < int(least) {
		m.fault(where, want, got)
	}
	for i, item := range list {
		m.match(fmt.Sprintf("%s[%d]", where, i), want["$items"], item)
	}
}

func (m *matcher) members(where string, want map[string]any, got any) {
	o, ok := got.(map[string]any)
	if !ok {
		m.fault(where, want, got)
		return
	}
	for key, w := range want {
		if key != "$closed" {
			m.match(where+"."+key, w, o[key])
		}
	}
	for key := range o {
		if _, known := want[key]; !known && want["$closed"] == true {
			m.fault(where, want, got)
		}
	}
}

// TestMatcherRefuses keeps the vectors honest: a matcher that takes anything
// would pass them all.
func TestMatcherRefuses(t *testing.T) {
	for _, c := range []struct{ want, got any }{
		{"$string", 1.0},
		{"$int", 1.5},
		{"$bool", "true"},
		{"$absent", "x"},
		{"$re:^a$", "b"},
		{"$nre:^a$", "a"},
		{"$cap:x", ""},
		{"$cap:x:re:^a$", "b"},
		{"$opt:string", 1.0},
		{"$var:none", "x"},
		{"plain", "other"},
		{true, false},
		{map[string]any{"a": "$string"}, map[string]any{}},
		{map[string]any{"a": 1.0, "$closed": true}, map[string]any{"a": 1.0, "b": 2.0}},
		{map[string]any{"$items": "$string", "$min": 1.0}, []any{}},
		{map[string]any{"$items": "$string"}, []any{1.0}},
		{map[string]any{"$all": []any{"$string", "$re:^a"}}, "b"},
		{map[string]any{"$oneof": []any{"a", "b"}}, "c"},
	} {
		m := matcher{vars: map[string]string{}}
		if m.match("value", c.want, c.got); m.faults == nil {
			t.Errorf("matcher %v takes %v", c.want, c.got)
		}
	}
}
