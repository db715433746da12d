package config

import (
	"fmt"
	"strings"

	"github.com/gatehouse-gateway/gatehouse/policy"
)

// warnOfPolicy notes what the policy, or that there is none, means for the ways
// in which the backends are spoken to.
func (l *loader) warnOfPolicy(say func(string)) {
	for _, b := range l.cfg.Backends {
		if l.cfg.HasPolicy {
			break
		}
		const remedy = "; write policy into the file of " + prefix + "CONFIG"
		switch {
		case b.Account != nil:
			say("there is no policy: signed-in users may call everything of backend " + b.Name + " as the service account" + remedy)
		case b.Static != nil:
			say("there is no policy: signed-in users may call everything of backend " + b.Name + " with the gateway's own credential" + remedy)
		case b.JWT != nil:
			say("there is no policy: signed-in users may call everything of backend " + b.Name + ", which alone decides by their JWTs" + remedy)
		}
	}
	for i, r := range l.cfg.Policy {
		if r.Public && r.Inject && !r.Deny {
			l.warnOfInject(i, r, say)
		}
	}
}

// warnOfInject notes a rule that lets anonymous requests use a credential of the
// backend's where each client has its own.
func (l *loader) warnOfInject(i int, r policy.Rule, say func(string)) {
	name := r.Name
	if name == "" {
		name = fmt.Sprintf("#%d", i+1)
	}
	told := map[string]bool{}
	for _, rt := range l.cfg.Routes {
		b, _ := l.backend(rt.Backend)
		if !b.passThrough() || told[b.Name] || !hostsMeet(rt.Host, r.Host) || !pathsMeet(rt.Path, r.Path) {
			continue
		}
		told[b.Name] = true
		say("rule " + name + " has public and inject, but clients of backend " + b.Name +
			" use credentials of their own: anonymous requests can only be answered 401; take inject out, or give the backend an account")
	}
}

// passThrough reports whether each client logs in to the backend with its own
// credentials.
func (b Backend) passThrough() bool { return b.HasTokenAPI() && b.Account == nil }

// hostsMeet reports whether some host is taken by both patterns: a name,
// "*.example.com", or empty for any.
func hostsMeet(a, b string) bool {
	a, b = strings.ToLower(a), strings.TrimSuffix(strings.ToLower(b), ".")
	belowA, wildA := strings.CutPrefix(a, "*")
	belowB, wildB := strings.CutPrefix(b, "*")
	switch {
	case a == "" || b == "":
		return true
	case wildA && wildB:
		return strings.HasSuffix(belowA, belowB) || strings.HasSuffix(belowB, belowA)
	case wildA:
		return strings.HasSuffix(b, belowA)
	case wildB:
		return strings.HasSuffix(a, belowB)
	}
	return a == b
}

// pathsMeet reports whether some path lies below a route's prefix and matches a
// rule's pattern.
func pathsMeet(prefix, pattern string) bool {
	if pattern == "" || prefix == "/" {
		return true
	}
	head, below := strings.CutSuffix(pattern, "/**")
	var segments []string
	if head != "" {
		segments = strings.Split(head[1:], "/")
	}
	for i, seg := range strings.Split(prefix[1:], "/") {
		if i == len(segments) {
			return below
		}
		if segments[i] != "*" && segments[i] != seg {
			return false
		}
	}
	return true
}
