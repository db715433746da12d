package session

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// Factors knows the second factors of the gateway's own users. Ids are those of
// token.Identity.
type Factors interface {
	// Factor returns how a user proves himself a second time (ftm, ftk, sms, email,
	// dual, ftm-push; a login asks for the first), none if he does not, and which
	// dialects that cannot ask let him in by password alone.
	Factor(id string) (methods, without []string)
	// Step returns the time step (RFC 6238 section 4.2), at most one from now, whose
	// code by this method the text is. 0: it is none, or codes of this method are
	// not computed but sent.
	Step(id, method string, code token.Secret) int64
	// Send sends a code by sms, email or both (dual). The error is a *token.Error
	// of kind Unavailable, and never shows the code.
	Send(ctx context.Context, id, method string, code token.Secret) error
}

// The methods, in the words of FortiAuthenticator's token endpoint.
const (
	methodPush = "ftm-push" // an operator's approval
	methodApp  = "ftm"      // a code of an authenticator app
	challenge  = "otp"      // what every challenge asks for
)

// sentMethods are those whose code is drawn and sent.
var sentMethods = []string{"sms", "email", "dual"}

// How a user proved himself (RFC 8176 section 2). An approval counts as otp too:
// the vendor calls it an otp challenge, and policy asks for nothing finer.
const (
	amrPassword = "pwd"
	amrFactor   = "otp"
)

const (
	codeDigits = 8  // of a code that is sent
	maxAnswer  = 64 // bytes of an answer
	answerText = 20 // characters of the answer to an approved push
)

// secondFactor applies the issuer's rule to a user whose password is right, and
// returns how he has proved himself. Errors: FactorNeeded, with a Challenge if
// the caller can answer it; BadCredentials for every answer that is not right;
// Throttled and Unavailable.
func (m *Manager) secondFactor(ctx context.Context, iss *Issuer, kind Kind, id token.Identity, g token.Grant) ([]string, error) {
	pwd := []string{amrPassword}
	if iss.Source != SourceUsers || m.o.Factors == nil {
		return pwd, nil
	}
	methods, without := m.o.Factors.Factor(id.ID)
	if len(methods) == 0 {
		return pwd, nil
	}
	rule := iss.SecondFactor
	if kind == KindBasic && rule == token.FactorAsked {
		rule = token.FactorRefused // a call that carries a password has no place for an answer
	}
	switch {
	case rule == token.FactorSkipped:
		return pwd, nil
	case rule != token.FactorAsked && slices.Contains(without, iss.Dialect):
		return pwd, nil
	case rule != token.FactorAsked:
		return nil, errFactorNeeded
	}
	p := party{iss: iss, id: id, user: owner(iss.Source, id.ID), methods: methods, grant: g}
	if g.Factor == nil || g.Factor.Response.IsZero() {
		return nil, m.challenge(ctx, p)
	}
	passed, err := m.tryFactor(ctx, p)
	switch {
	case err != nil:
		return nil, err
	case !passed:
		return nil, errBadCredentials
	}
	return []string{amrPassword, amrFactor}, nil
}

// party is a user on his way through a second factor.
type party struct {
	iss     *Issuer
	id      token.Identity
	user    string // the key of what the store keeps of him
	methods []string
	grant   token.Grant
}

func (p *party) client() string {
	if p.grant.Client == nil {
		return ""
	}
	return p.grant.Client.ID
}

// method is the one that a challenge is for: the one the caller names without
// answering it, if the user has it, else his first.
func (p *party) method() string {
	if a := p.grant.Factor; a != nil && slices.Contains(p.methods, a.Method) {
		return a.Method
	}
	return p.methods[0]
}

// answers reports whether the user may answer by a method. Who approves on his
// phone may type the code that it shows instead.
func (p *party) answers(method string) bool {
	return slices.Contains(p.methods, method) ||
		method == methodApp && slices.Contains(p.methods, methodPush)
}

// challenge asks for the second factor, and sends a code or opens a request for
// approval where the method is such. The error is FactorNeeded if that went well.
func (m *Manager) challenge(ctx context.Context, p party) error {
	c := token.Challenge{Challenge: challenge, Method: p.method(), Status: string(PushPending)}
	var err error
	switch {
	case c.Method == methodPush:
		c.Session, err = m.openPush(ctx, p)
	case slices.Contains(sentMethods, c.Method):
		err = m.sendCode(ctx, p, c.Method)
	}
	if err != nil {
		return err
	}
	return factorNeeded(c)
}

func factorNeeded(c token.Challenge) *token.Error {
	return &token.Error{Kind: token.FactorNeeded, Msg: "A second factor is needed.", Challenge: &c}
}

// sendCode draws a code and sends it, unless the one before still stands.
func (m *Manager) sendCode(ctx context.Context, p party, method string) error {
	code := token.NewSecret(drawText(digits, codeDigits))
	digest := m.codes.factorCode.Digest(p.user + "\x00" + code.Reveal())[0]
	var issue Issue
	a := NewAttempt()
	err := m.ask(ctx, "issue code", func(ctx context.Context) (err error) {
		issue, err = m.o.Tries.IssueCode(ctx, a, IssuedCode{User: p.user, Digest: digest, Life: ChallengeLife, Gap: SendGap})
		return err
	})
	switch {
	case err != nil:
		return err
	case issue.Wait > 0:
		return tooManyChallenges(issue.Wait)
	case issue.Standing:
		return nil
	}
	if err = m.o.Factors.Send(ctx, p.id.ID, method, code); err == nil {
		return nil
	}
	if lost := m.ask(ctx, "withdraw code", func(ctx context.Context) error {
		return m.o.Tries.WithdrawCode(ctx, p.user, digest)
	}); lost != nil {
		m.o.Log.WarnContext(ctx, "code that was not sent could not be withdrawn", "error", lost)
	}
	return err
}

func tooManyChallenges(wait time.Duration) *token.Error {
	return &token.Error{
		Kind: token.Throttled, RetryAfter: wait,
		Msg: "Too many second factors were asked for. Wait and try again.",
	}
}

// tryFactor judges an answer. One that is wrong counts exactly once, whatever is
// wrong with it.
func (m *Manager) tryFactor(ctx context.Context, p party) (bool, error) {
	answer := p.grant.Factor
	t := Try{User: p.user, Within: ChallengeLife}
	text := strings.ReplaceAll(answer.Response.Reveal(), " ", "") // people group digits
	switch {
	case answer.Challenge != challenge || text == "" || len(text) > maxAnswer || !p.answers(answer.Method):
	case answer.Method == methodPush:
		right, used, err := m.usePush(ctx, p, text)
		if err != nil || right && !used {
			return false, err // used before: nobody guessed, so it is not counted
		}
		t.Proved = used
	default:
		t.Step = m.o.Factors.Step(p.id.ID, answer.Method, token.NewSecret(text))
		if slices.Contains(sentMethods, answer.Method) {
			t.Digests = m.codes.factorCode.Digest(p.user + "\x00" + text)
		}
	}
	v, err := m.judge(ctx, p, t)
	return v == TryPassed, err
}

// judge asks the store for its verdict. Proved or dead, requests for approval
// that are still open are of no more use.
func (m *Manager) judge(ctx context.Context, p party, t Try) (v Verdict, err error) {
	a := NewAttempt()
	err = m.ask(ctx, "try factor", func(ctx context.Context) (err error) {
		v, err = m.o.Tries.TryFactor(ctx, a, t)
		return err
	})
	if err != nil || v == TryWrong || !slices.Contains(p.methods, methodPush) {
		return v, err
	}
	closing := m.ask(ctx, "close pushes", func(ctx context.Context) error { return m.o.Pushes.ClosePushes(ctx, p.user) })
	if closing != nil {
		m.o.Log.WarnContext(ctx, "requests for approval could not be closed", "error", closing)
	}
	return v, nil
}

// usePush uses up an approval, if the answer is the one it was given out with.
// right without used says that it was used, decided otherwise or closed.
func (m *Manager) usePush(ctx context.Context, p party, text string) (right, used bool, err error) {
	push, err := m.lookPush(ctx, p.grant.Factor.Session)
	if errors.Is(err, ErrNotFound) {
		return false, false, nil
	}
	if err != nil {
		return false, false, err
	}
	want, err := m.o.Keyring.Open(pushPlace(push.ID), push.Sealed)
	if err != nil || subtle.ConstantTimeCompare(want, []byte(text)) != 1 {
		return false, false, nil //nolint:nilerr // sealed under a secret that is gone: nobody can answer it
	}
	if push.User != p.user || push.Issuer != p.iss.Name || push.Client != p.client() {
		return false, false, nil
	}
	used, err = m.settlePush(ctx, push.ID, PushApproved, PushClosed)
	return true, used, err
}

const (
	digits   = "0123456789"
	alphabet = digits + "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// drawText draws n characters of an alphabet, each as likely as any other.
func drawText(from string, n int) string {
	b := make([]byte, n)
	size := big.NewInt(int64(len(from)))
	for i := range b {
		k, err := rand.Int(rand.Reader, size)
		if err != nil {
			panic("session: " + err.Error()) // crypto/rand never fails
		}
		b[i] = from[k.Int64()]
	}
	return string(b)
}
