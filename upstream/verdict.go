package upstream

import (
	"bytes"
	"io"
	"net/http"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// verdict is what an answer says of the access token.
type verdict uint8

const (
	accepted verdict = iota // nothing: it is about something else
	doubtful                // it may be refused, in words that the dialect does not know
	refused                 // it is refused
)

// refused returns what the backend says of the access token. Only an answer whose
// status may mean a refusal is looked into.
func (b *Backend) refused(resp *http.Response) verdict {
	if !b.cfg.Dialect.Errors.MayExpire(resp.StatusCode) {
		return accepted
	}
	return refusesAccess(resp.StatusCode, b.read(resp).Kind)
}

// refusesAccess says whether an answer is about the access token. A 401 that
// the dialect knows nothing about may be; one that it knows to be about something
// else, a wrong old password say, is not.
func refusesAccess(status int, k token.Kind) verdict {
	switch k {
	case token.ExpiredAccess, token.InvalidAccess, token.Missing:
		return refused
	case token.Internal, token.BadGateway, token.Unavailable:
		if status == http.StatusUnauthorized {
			return doubtful
		}
	}
	return accepted
}

// read gives meaning to a failure and leaves the answer as it was.
func (b *Backend) read(resp *http.Response) *token.Error {
	head, err := io.ReadAll(io.LimitReader(resp.Body, maxFailure))
	rest := io.Reader(resp.Body)
	if err != nil {
		rest = broken{err}
	}
	resp.Body = &joined{Reader: io.MultiReader(bytes.NewReader(head), rest), Closer: resp.Body}
	return b.cfg.Dialect.Errors.Read(resp.StatusCode, resp.Header, head)
}

// joined is a body of which the head was read already.
type joined struct {
	io.Reader
	io.Closer
}

// broken is a body that broke off with an error.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }
