package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// A backend may answer a right password by asking for a second factor. For the
// account the gateway proves it by itself, by a code that it computes or by
// waiting for somebody's approval, under the lease of the login, which it renews
// before each call.

// The methods that the gateway can prove, and the statuses of a poll, in the
// words of FortiAuthenticator's token endpoint.
const (
	methodApp    = "ftm"      // a code of an authenticator app
	methodFob    = "ftk"      // a code of a key fob
	methodPush   = "ftm-push" // an approval on a phone
	pushPending  = "pending"
	pushApproved = "success"
)

// sentMethods are those whose code goes to a person.
var sentMethods = []string{"sms", "email", "dual"}

// Times of a second factor.
const (
	codeDigits = 6 // the vendor's default
	maxCodes   = 2 // of one login
	// stepMargin is how much of a time step must be left for its code to be sent.
	stepMargin = 2 * time.Second
	// pollApproval is between two looks for an approval, and between two renewals
	// of the lease.
	pollApproval = 2 * time.Second
	// approvalLimit is for how long an approval is waited for. After that nobody is
	// asked again for askAgain: each login sends one more message to a phone.
	approvalLimit = time.Minute
	askAgain      = 5 * time.Minute
)

const (
	msgCode     = "The backend refuses the codes of the gateway's own account. An operator has to correct its TOTP secret, or this machine's clock."
	msgNoSecret = "The backend asks the gateway's own account for a code of an authenticator app (%s). An operator has to configure the account's TOTP secret."
	msgSent     = "The backend sends the gateway's own account a code (%s), which the gateway cannot read. An operator has to give the account an app or a push as its second factor, or none."
	msgUnknown  = "The backend asks the gateway's own account for a second factor that the gateway does not know. An operator has to give the account an app or a push as its second factor, or none; the log names the one that was asked for."
	msgDenied   = "The sign-in of the gateway's own account was not approved (ftm-push). An operator has to find out why; a TOTP secret needs no approval."
	msgWaiting  = "The sign-in of the gateway's own account waits to be approved on a phone (ftm-push). Try again later."
)

var (
	errDraining  = errors.New("the gateway is stopping")
	errLeaseLost = errors.New("another gateway took over this login")
)

// unproved says why a second factor that the backend asks for was not proved.
type unproved struct {
	class class
	msg   string        // for clients
	wait  time.Duration // until it may be tried again; 0: as after any failure
	err   error
}

func (e *unproved) Error() string { return e.err.Error() }
func (e *unproved) Unwrap() error { return e.err }

// challengeIn returns what a backend's answer to a login asks for; nil for
// nothing.
func challengeIn(err error) *token.Challenge {
	r, ok := errors.AsType[*refusal](err)
	if !ok || r.op != token.OpLogin || r.err.Kind != token.FactorNeeded {
		return nil
	}
	return r.err.Challenge
}

// signIn is one login of the account, from its first call to its last.
type signIn struct {
	*turn
	grant token.Grant
	open  Attempt // the attempt that is counted now
}

// prove answers a challenge and returns the tokens that the login brings.
func (b *Backend) prove(s *signIn, c token.Challenge, asked error) (*tokens, error) {
	coded := c.Method == methodApp || c.Method == methodFob
	seeded := !b.cfg.Account.TOTPSecret.IsZero()
	switch {
	case seeded && (coded || c.Method == methodPush):
		return b.proveByCode(s, c)
	case c.Method == methodPush && c.Session != "" && b.speaks(token.OpPoll):
		return b.proveByApproval(s, c)
	}
	msg := msgUnknown
	switch {
	case coded:
		msg = fmt.Sprintf(msgNoSecret, c.Method)
	case slices.Contains(sentMethods, c.Method):
		msg = fmt.Sprintf(msgSent, c.Method)
	}
	return nil, &unproved{class: noFactor, msg: msg, err: fmt.Errorf("challenge %.64q by %.64q: %w", c.Challenge, c.Method, asked)}
}

// proveByCode answers with a code of the account's seed, and once more with
// another if that is refused. Who may approve on his phone may send its code
// instead, without the session.
func (b *Backend) proveByCode(s *signIn, c token.Challenge) (*tokens, error) {
	seed, err := token.ParseSeed(b.cfg.Account.TOTPSecret)
	if err != nil {
		return nil, &unproved{class: noFactor, msg: msgCode, err: err}
	}
	f := token.Factor{Challenge: c.Challenge, Method: c.Method, Session: c.Session}
	if c.Method == methodPush {
		f.Method, f.Session = methodApp, ""
	}
	for n := 1; ; n++ {
		step := b.nextStep(time.Now())
		if err := b.hold(s, token.StepBegins(step)); err != nil {
			return nil, err
		}
		f.Response = seed.Code(step, codeDigits)
		next, err := b.answer(s, f)
		if classify(token.OpLogin, err) != rejected {
			return next, err
		}
		err = &unproved{class: noFactor, msg: msgCode, err: err}
		if n == maxCodes {
			return nil, err
		}
		if counted, lost := b.countAnother(s); lost != nil || !counted {
			return nil, errors.Join(lost, err)
		}
	}
}

// nextStep returns the time step whose code is sent next: one that no code was
// sent of before, since it would be refused, whether it was right or wrong.
func (b *Backend) nextStep(now time.Time) int64 {
	for {
		last, step := b.coded.Load(), token.StepAt(now.Add(stepMargin-1))
		if last == step || last == step+1 { // further ahead is a clock that was set back
			step = last + 1
		}
		if b.coded.CompareAndSwap(last, step) {
			return step
		}
	}
}

// countAnother counts a refused answer, and the attempt that the next one is. It
// reports whether that may be made.
func (b *Backend) countAnother(s *signIn) (bool, error) {
	b.conclude(s.open, Rejected)
	s.open = b.attempt(s.grant)
	ctx, cancel := detached(storeTimeout)
	defer cancel()
	ans, err := b.cfg.Store.Attempt(ctx, s.open)
	return ans.State == Done, err
}

// answer makes the call of the login again, with the answer to the challenge.
func (b *Backend) answer(s *signIn, f token.Factor) (*tokens, error) {
	g := s.grant
	g.Factor = &f
	next, _, err := b.exchange(g, time.Time{})
	return next, err
}

// hold waits until a moment with the lease in hand, which then lasts for one
// call more.
func (b *Backend) hold(s *signIn, until time.Time) error {
	for {
		if err := b.mine(s); err != nil {
			return err
		}
		left := time.Until(until)
		if left <= 0 {
			return nil
		}
		if !b.pauseUnlessDraining(context.Background(), min(left, pollApproval)) {
			return errDraining
		}
	}
}

// mine makes sure that the lease of a sign-in is still held, for one call more.
func (b *Backend) mine(s *signIn) error {
	ans, err := b.extend(s.turn)
	if err == nil && ans.State != Lead {
		err = errLeaseLost
	}
	return err
}

// proveByApproval waits until somebody has approved the sign-in, and answers
// with what that brings. What stands in the way for a moment does not end it.
func (b *Backend) proveByApproval(s *signIn, c token.Challenge) (*tokens, error) {
	b.log.Warn("the backend asks somebody to approve the gateway's sign-in on his phone", "method", c.Method, "within", approvalLimit.String())
	for began := time.Now(); ; {
		if err := b.mine(s); err != nil {
			return nil, err
		}
		said, err := b.poll(c.Session)
		r, refused := errors.AsType[*refusal](err)
		switch {
		case refused && final(r):
			return nil, &unproved{class: noFactor, msg: msgDenied, err: err}
		case err == nil && said.Status == pushApproved && !said.Response.IsZero():
			return b.answerApproved(s, c, said.Response)
		case err == nil && said.Status != pushPending:
			return nil, &unproved{class: noFactor, msg: msgDenied, err: fmt.Errorf("the sign-in was to be approved; its status is %.64q", said.Status)}
		}
		if time.Since(began)+pollApproval > approvalLimit {
			err = errors.Join(errors.New("nobody approved the sign-in in time"), err)
			return nil, &unproved{class: transient, msg: msgWaiting, wait: askAgain, err: err}
		}
		if !b.pauseUnlessDraining(context.Background(), pollApproval) {
			return nil, errDraining
		}
	}
}

func (b *Backend) answerApproved(s *signIn, c token.Challenge, response token.Secret) (*tokens, error) {
	if err := b.mine(s); err != nil {
		return nil, err
	}
	next, err := b.answer(s, token.Factor{Challenge: c.Challenge, Method: c.Method, Session: c.Session, Response: response})
	if classify(token.OpLogin, err) == rejected {
		err = &unproved{class: noFactor, msg: msgDenied, err: err}
	}
	return next, err
}

// poll asks the backend how far a challenge is, by the backend's own name of it.
func (b *Backend) poll(session string) (token.Challenge, error) {
	ctx, cancel := detached(b.cfg.Limits.Call)
	defer cancel()
	set, err := b.speak(ctx, token.Grant{Op: token.OpPoll, Factor: &token.Factor{Session: session}})
	switch {
	case err != nil:
		return token.Challenge{}, err
	case set.Challenge == nil:
		return token.Challenge{}, &refusal{op: token.OpPoll, status: http.StatusOK, err: token.Fail(token.BadGateway, "", nil)}
	}
	return *set.Challenge, nil
}

// trim drops the full stop of a sentence, for a log that goes on.
func trim(msg string) string { return strings.TrimSuffix(msg, ".") }
