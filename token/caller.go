package token

import "context"

// Caller says on whose behalf a request goes to a backend. The front door puts
// it into the request's context; the backend's RoundTripper reads it.
type Caller struct {
	SID      SID      // the gateway session; zero for none
	Identity Identity // who it is
	Scopes   []string // of the credential presented: the Identity's, or fewer
	// Own is a credential of the backend's own making (a backend-issued API
	// token in pass-through mode) that is to be passed on as it came, instead of
	// one from a backend session. Zero: inject from the backend session.
	Own Secret
}

type callerKey struct{}

// WithCaller returns a context that says on whose behalf the request is made.
// A request without a Caller is anonymous: nothing is injected.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerFrom returns what WithCaller stored.
func CallerFrom(ctx context.Context) (Caller, bool) {
	c, ok := ctx.Value(callerKey{}).(Caller)
	return c, ok
}
