package admin

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// Sessions lists and ends sessions; *session.Manager is one.
type Sessions interface {
	List(ctx context.Context, q session.Query) (session.Page, error)
	Find(ctx context.Context, id string) ([]session.Listed, error)
	FindAPITokens(ctx context.Context, id, user string) ([]session.Listed, error)
	Revoke(ctx context.Context, sid token.SID) (ended bool, err error)
	RevokeUser(ctx context.Context, name string, tokens bool) (session.Revoked, error)
}

// Challenges decides about second factors that wait for an answer. Errors are
// *token.Error: NotFound, Gone for one that is decided or over, Unavailable.
type Challenges interface {
	PendingChallenges(ctx context.Context) ([]Challenge, error)
	ApproveChallenge(ctx context.Context, id string) error
	DenyChallenge(ctx context.Context, id string) error
}

// maxText is the most characters of a user's name or an id.
const maxText = 256

// action is what one method of a resource does.
type action struct {
	name  string   // for the audit line
	query []string // the parameters that it takes
	run   func(*handler, *exchange) (any, error)
}

// resources are the operator's API, under /v1/. * stands for an id.
var resources = map[string]map[string]action{
	"sessions": {
		http.MethodGet:    {"sessions.list", []string{"user", "limit", "after"}, (*handler).listSessions},
		http.MethodDelete: {"sessions.revoke_user", []string{"user", "tokens"}, (*handler).revokeUser},
	},
	"sessions/*": {
		http.MethodGet:    {"sessions.show", nil, (*handler).showSession},
		http.MethodDelete: {"sessions.revoke", nil, (*handler).revokeSession},
	},
	"tokens": {
		http.MethodGet: {"tokens.list", []string{"user", "limit", "after"}, (*handler).listTokens},
	},
	"tokens/*": {
		http.MethodDelete: {"tokens.revoke", []string{"user"}, (*handler).revokeToken},
	},
	"challenges":           {http.MethodGet: {"challenges.list", nil, (*handler).listChallenges}},
	"challenges/*/approve": {http.MethodPost: {"challenges.approve", nil, (*handler).approve}},
	"challenges/*/deny":    {http.MethodPost: {"challenges.deny", nil, (*handler).deny}},
	"backends":             {http.MethodGet: {"backends.list", nil, (*handler).listBackends}},
	"backends/*/retry":     {http.MethodPost: {"backends.retry", nil, (*handler).retryBackend}},
}

// exchange is one call of the operator's API.
type exchange struct {
	w     http.ResponseWriter
	r     *http.Request
	id    string     // in the path; empty: none
	query url.Values // checked: known names, each once
	event Event
}

// operate answers every path but the open ones, with one audit line.
func (h *handler) operate(w http.ResponseWriter, r *http.Request) {
	var b [8]byte
	rand.Read(b[:]) // never fails: crypto/rand aborts the program instead
	x := &exchange{w: w, r: r, event: Event{Action: "unknown", Outcome: outcomeFailed, Request: hex.EncodeToString(b[:])}}
	x.event.Client, _, _ = net.SplitHostPort(r.RemoteAddr) // net/http wrote it
	w.Header().Set("X-Request-Id", x.event.Request)
	defer func() { h.o.Audit.Audit(r.Context(), x.event) }()
	methods := h.find(x)
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	a, known := methods[method]
	if known {
		x.event.Action = a.name
	}
	if p := h.admit(x); p != nil {
		x.fail(p)
		return
	}
	switch {
	case methods == nil:
		x.fail(errNoPath)
	case !known:
		x.fail(errMethod(allowed(methods)))
	default:
		h.perform(x, a)
	}
}

func (h *handler) perform(x *exchange, a action) {
	p := x.readQuery(a.query)
	if p != nil {
		x.fail(p)
		return
	}
	v, err := a.run(h, x)
	if err != nil {
		x.fail(classify(err))
		return
	}
	x.done(v)
}

// find returns the methods of the resource that a path names; nil: there is none.
func (h *handler) find(x *exchange) map[string]action {
	rest, ours := strings.CutPrefix(x.r.URL.EscapedPath(), "/v1/")
	parts := strings.Split(rest, "/")
	if len(parts) > 1 {
		id, err := url.PathUnescape(parts[1])
		if err != nil || id == "" || len(id) > maxText {
			return nil
		}
		x.id, parts[1] = id, "*"
	}
	if !ours || !h.offers(parts[0]) {
		return nil
	}
	return resources[strings.Join(parts, "/")]
}

// offers reports whether the gateway has the part that resources of a name are of.
func (h *handler) offers(name string) bool {
	switch name {
	case "challenges":
		return h.o.Challenges != nil
	case "backends":
		return h.o.Backends != nil
	}
	return h.o.Sessions != nil
}

func allowed(methods map[string]action) []string {
	list := slices.Sorted(maps.Keys(methods))
	if _, reads := methods[http.MethodGet]; reads {
		list = append(list, http.MethodHead)
	}
	return list
}

// readQuery takes no parameter that the call does not know: a misspelt one would
// make it do something else than was meant.
func (x *exchange) readQuery(names []string) *problem {
	q, err := url.ParseQuery(x.r.URL.RawQuery)
	if err != nil {
		return malformed("The query cannot be read.")
	}
	for name, values := range q {
		if !slices.Contains(names, name) {
			return malformed("This call takes no such parameter. Those it takes: " + cmp.Or(strings.Join(names, ", "), "none") + ".")
		}
		if len(values) != 1 || values[0] == "" {
			return malformed("The parameter " + name + " needs one value.")
		}
	}
	if len(q.Get("user")) > maxText {
		return malformed("A user's name has at most 256 bytes.")
	}
	x.query = q
	return nil
}

// number reads a parameter from 1 to most; def where there is none.
func (x *exchange) number(name string, def, most int) (int, error) {
	if !x.query.Has(name) {
		return def, nil
	}
	n, err := strconv.Atoi(x.query.Get(name))
	if err != nil || n < 1 || n > most {
		return 0, malformed("The parameter " + name + " is a number from 1 to " + strconv.Itoa(most) + ".")
	}
	return n, nil
}

// network is where guesses are counted: the address, or the /64 of an IPv6 one,
// since whoever has one of them has them all.
func (x *exchange) network() string {
	ip, err := netip.ParseAddr(x.event.Client)
	if err != nil {
		return x.event.Client
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is6() {
		p, _ := ip.Prefix(64)
		return p.String()
	}
	return ip.String()
}
