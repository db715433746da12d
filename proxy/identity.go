package proxy

import (
	"net/http"
	"strings"

	"github.com/gatehouse-gateway/gatehouse/session"
)

// IdentityHeaders are the names of the headers by which a backend is told who is
// calling. An empty one is not sent.
type IdentityHeaders struct {
	User   string
	ID     string
	Email  string
	Groups string // separated by commas
	Scopes string // of the credential presented, separated by spaces
}

// names returns those that are sent.
func (n IdentityHeaders) names() []string {
	var names []string
	for _, name := range []string{n.User, n.ID, n.Email, n.Groups, n.Scopes} {
		if name != "" {
			names = append(names, name)
		}
	}
	return names
}

// set says whose session it is. The client's own headers of these names, in any
// spelling, are gone already.
func (n IdentityHeaders) set(h http.Header, s *session.Session) {
	setField(h, n.User, fieldText(s.Identity.Name, ""))
	setField(h, n.ID, fieldText(s.Identity.ID, ""))
	setField(h, n.Email, fieldText(s.Identity.Email, ""))
	setField(h, n.Groups, fieldList(s.Identity.Groups, ","))
	setField(h, n.Scopes, fieldList(s.Scopes, " "))
}

func setField(h http.Header, name, value string) {
	if name != "" && value != "" {
		h.Set(name, value)
	}
}

func fieldList(items []string, separator string) string {
	safe := make([]string, len(items))
	for i, item := range items {
		safe[i] = fieldText(item, separator)
	}
	return strings.Join(safe, separator)
}

// fieldText writes a text in the visible ASCII that a field value should have
// (RFC 9110 section 5.5): what is not, and the percent sign itself, is
// percent-encoded byte by byte (RFC 3986 section 2.1), so that different texts
// stay different. A space inside stays; at an end it would be taken for
// padding. In a list the separator is encoded too.
func fieldText(s, separator string) string {
	plain := func(i int) bool {
		c := s[i]
		if c == ' ' {
			return separator != " " && i > 0 && i < len(s)-1
		}
		return c > ' ' && c < 0x7f && c != '%' && (separator == "" || c != separator[0])
	}
	i := 0
	for i < len(s) && plain(i) {
		i++
	}
	if i == len(s) {
		return s
	}
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	b.WriteString(s[:i])
	for ; i < len(s); i++ {
		if plain(i) {
			b.WriteByte(s[i])
		} else {
			b.Write([]byte{'%', hex[s[i]>>4], hex[s[i]&15]})
		}
	}
	return b.String()
}
