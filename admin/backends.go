package admin

import (
	"context"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// Backends tells how it stands with the backends. Errors are *token.Error: NotFound
// for a name that is none or has no account to log in with, Unavailable.
type Backends interface {
	Backends(ctx context.Context) []Backend
	// RetryBackend has an account that was refused, or is left alone after a
	// failure, tried again on every replica.
	RetryBackend(ctx context.Context, name string) error
}

func (h *handler) backends() (Backends, error) {
	if b := h.o.Backends(); b != nil {
		return b, nil
	}
	return nil, errNotReady
}

func (h *handler) listBackends(x *exchange) (any, error) {
	b, err := h.backends()
	if err != nil {
		return nil, err
	}
	return BackendList{Backends: append([]Backend{}, b.Backends(x.r.Context())...)}, nil
}

func (h *handler) retryBackend(x *exchange) (any, error) {
	x.event.Target = unknownTarget
	b, err := h.backends()
	if err != nil {
		return nil, err
	}
	if err := b.RetryBackend(x.r.Context(), x.id); err != nil {
		return nil, err
	}
	x.event.Target = x.id
	return Retried{Backend: x.id}, nil
}

// NoBackend is the error of a name that cannot be retried.
func NoBackend(name string) error {
	return token.Fail(token.NotFound, "No backend of the name "+name+" has an account that the gateway logs in with.", nil)
}
