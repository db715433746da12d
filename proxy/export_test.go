package proxy

import (
	"net/http"

	"github.com/gatehouse-gateway/gatehouse/session"
)

// FieldText is fieldText, for its fuzz target.
var FieldText = fieldText

// SetIdentity is IdentityHeaders.set.
func SetIdentity(n IdentityHeaders, h http.Header, s *session.Session) { n.set(h, s) }
