package upstream

import (
	"fmt"
	"net/http"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// Static is a header that goes with every request to a backend as configuration
// has it: an API key, or an Authorization of any scheme.
type Static struct {
	Header string
	Value  token.Secret // the whole value, with the scheme
}

// maxChallenge is how much of a backend's challenge is logged, in bytes.
const maxChallenge = 200

// sendWith sends a request with a credential of the gateway's that nothing can
// renew. When the backend refuses it with 401 (RFC 9110 section 15.5.2), it
// refuses the gateway and not the client, who has no credential there: to log in
// again would not help it, and a browser would ask its user for a password of
// the backend's. So the answer is BadGateway, and the operator is told.
func (b *Backend) sendWith(r *http.Request, header string, value token.Secret) (*http.Response, error) {
	r.Header.Set(header, value.Reveal())
	resp, err := b.send(r)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	resp.Body.Close()
	challenge := resp.Header.Get("WWW-Authenticate")
	challenge = challenge[:min(len(challenge), maxChallenge)]
	if b.alarm.due() {
		b.log.Error("the backend refuses the gateway's credential", "challenge", challenge, "remedy", b.mode().remedy())
	}
	return nil, token.Fail(token.BadGateway, msgCredential, fmt.Errorf("upstream: the backend answered 401, challenge %q", challenge))
}

// remedy says what an operator can do about a backend that refuses the gateway.
func (m mode) remedy() string {
	if m == modeMinted {
		return "have the backend expect issuer and audience of the JWT and read the keys at jwks.json, and compare its clock"
	}
	return "put a valid credential under static in the configuration"
}
