package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-gateway/gatehouse/config"
	"github.com/gatehouse-gateway/gatehouse/identity"
	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

const (
	// warmFor is how long a new gateway may take to hear of the store's events.
	// Until it does it asks the store about every request.
	warmFor = 2 * time.Second
	// tryEvery is how often a reload is tried again that failed for no fault of
	// the files, where files are not looked at.
	tryEvery = 5 * time.Second
)

// The outcomes of a reload, as metrics have them.
const (
	reloadOK          = "ok"
	reloadRefused     = "refused"     // the files are at fault
	reloadUnavailable = "unavailable" // the store cannot be asked
)

// reloader takes over what changes in the files of the configuration: a whole
// new gateway is made beside the one at work, and takes its place. On any error
// the old one stays.
type reloader struct {
	*server
	begin   func(*gateway) *generation // starts its background work
	replace func(*generation)          // lets it take the requests

	cfg   *config.Config // in use
	inUse config.Files   // that cfg was read from
	seen  config.Files   // as they were last looked at
	said  string         // why the last reload failed; empty: it did not
	again bool           // try again though the files stay as they are
	aged  int            // how many warnings there were of the certificate's end
}

// run reloads on every signal and when files have changed, until ctx ends. One
// reload runs at a time; signals that come meanwhile count as one.
func (r *reloader) run(ctx context.Context, signals <-chan os.Signal) {
	every := r.cfg.ReloadEvery
	if every == 0 {
		every = tryEvery
	}
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		r.warnOfCertificate(time.Now())
		select {
		case <-ctx.Done():
			return
		case <-signals:
			if !r.reload(ctx) {
				r.log.Info("the configuration has not changed")
			}
		case <-t.C:
			if r.again || r.cfg.ReloadEvery > 0 && r.seen.Changed() {
				r.reload(ctx)
			}
		}
	}
}

// reload takes over what the files hold now, and reports whether that is another
// configuration than the one in use.
func (r *reloader) reload(ctx context.Context) bool {
	cfg, files, faults := read()
	r.seen, r.again = files, false
	if files.Equal(r.inUse) {
		r.mended()
		return false
	}
	if r.again = files.Changed(); r.again {
		return true // somebody is writing just now
	}
	if len(faults) > 0 {
		r.failed(reloadRefused, faultsOf(faults))
		return true
	}
	next, err := r.prepare(ctx, cfg)
	switch {
	case ctx.Err() != nil && err == nil:
		next.end() // its heartbeats would outlive the one at work
	case ctx.Err() != nil:
	case err != nil:
		r.again = true
		r.failed(outcomeOf(err), []string{err.Error()})
	default:
		r.replace(next.generation)
		r.install(next)
		r.tell(cfg)
		r.cfg, r.inUse, r.said = cfg, files, ""
	}
	return true
}

// reading is what one reading of the configuration was made into.
type reading struct {
	cfg   *config.Config
	users *identity.Users  // nil: there are none
	cert  *tls.Certificate // nil: the front door speaks plain HTTP
	*generation
}

// unavailable says that the store could not be asked.
type unavailable struct{ error }

func (e unavailable) Unwrap() error { return e.error }

func outcomeOf(err error) string {
	if _, ok := errors.AsType[unavailable](err); ok {
		return reloadUnavailable
	}
	return reloadRefused
}

// prepare makes a gateway that is ready to take requests.
func (r *reloader) prepare(ctx context.Context, cfg *config.Config) (next reading, err error) {
	next.cfg = cfg
	if next.users, err = r.lasting.users(cfg); err != nil {
		return next, err
	}
	if next.cert, err = certificate(cfg.TLS); err != nil {
		return next, err
	}
	if err = r.client.Ping(ctx); err != nil {
		return next, unavailable{err}
	}
	if next.generation, err = r.bring(ctx, cfg, next.users); err == nil {
		return next, nil
	}
	r.fleet.current.Load().declare()
	if !errors.Is(err, session.ErrNoSigningKey) && r.client.Ping(ctx) != nil {
		err = unavailable{err}
	}
	return next, err
}

// bring makes a gateway beside the one at work and has it speak for the process
// once it can take over: other replicas may use from then on what it knows.
func (r *reloader) bring(ctx context.Context, cfg *config.Config, users *identity.Users) (*generation, error) {
	g, err := r.build(ctx, cfg, users)
	if err != nil {
		return nil, err
	}
	one := r.begin(g)
	if err = warm(ctx, g); err == nil {
		err = g.join(ctx)
	}
	if err != nil {
		one.end()
		return nil, err
	}
	return one, nil
}

// warm waits until a gateway hears of the store's events.
func warm(ctx context.Context, g *gateway) error {
	ctx, cancel := context.WithTimeout(ctx, warmFor)
	defer cancel()
	look := time.NewTicker(warmFor / 100)
	defer look.Stop()
	for g.sessions.Degraded() {
		select {
		case <-look.C:
		case <-ctx.Done():
			return unavailable{errors.New("the store's events do not come in")}
		}
	}
	return nil
}

// failed keeps the configuration in use and says why, once.
func (r *reloader) failed(outcome string, why []string) {
	text := strings.Join(why, "; ")
	r.state.amiss.Store(&text)
	said := text
	if outcome == reloadUnavailable {
		said = outcome // its text names ports, which differ every time
	}
	if said == r.said {
		return
	}
	r.said = said
	r.metrics.Reload(outcome)
	r.log.Error("the configuration on disk is not taken over; the one in use stays", "outcome", outcome, "faults", why)
}

// mended is called when the files hold again what is in use.
func (r *reloader) mended() {
	if r.said != "" {
		r.log.Info("the configuration on disk is the one in use again")
	}
	r.said = ""
	r.state.amiss.Store(nil)
}

// tell says what an operator should know of a configuration that was taken over.
func (r *reloader) tell(cfg *config.Config) {
	r.metrics.Reload(reloadOK)
	r.log.Info("the configuration was taken over")
	for _, w := range cfg.Warnings {
		if !slices.Contains(r.cfg.Warnings, w) {
			r.log.Warn(w)
		}
	}
	if cfg.RedisURL.Reveal() != r.cfg.RedisURL.Reveal() {
		r.log.Warn("GATEHOUSE_REDIS_URL has changed, which a running process cannot follow: restart to apply")
	}
	has := func(s token.Secret) func(token.Secret) bool {
		return func(t token.Secret) bool { return s.Reveal() == t.Reveal() }
	}
	for i, s := range r.cfg.Secrets {
		if !slices.ContainsFunc(cfg.Secrets, has(s)) {
			r.log.Warn(fmt.Sprintf("secret %d of the old GATEHOUSE_SECRET is gone: tokens made under it are refused from now on", i+1))
		}
	}
}

func faultsOf(faults config.Faults) []string {
	lines := make([]string, len(faults))
	for i, f := range faults {
		lines[i] = f.String()
	}
	return lines
}
