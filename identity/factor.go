package identity

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// SecondFactor is how a user proves himself a second time.
type SecondFactor struct {
	// Methods are ftm and ftk (codes of an authenticator app or a key fob), sms,
	// email, dual (both at once) and ftm-push (an operator approves). A login asks
	// for the first; each may be answered by.
	Methods []string `yaml:"methods"`
	// TOTPSecretFile names a file, relative to the users file, that holds the seed
	// of the codes in base32: alone, or as lines of "name seed" for many users.
	TOTPSecretFile string `yaml:"totp_secret_file"`
	// TOTPSecret is the seed itself, where there is no file.
	TOTPSecret token.Secret `yaml:"-"`
	Digits     int          `yaml:"totp_digits"` // 6 or 8; 0: 6
	Phone      string       `yaml:"phone"`       // for sms and dual
	Email      string       `yaml:"email"`       // for email and dual; empty: the user's
}

// factor is a SecondFactor ready to be asked.
type factor struct {
	methods      []string
	seed         token.Seed // zero: no codes of an app
	digits       int
	phone, email string
}

// The methods by what they need.
var (
	appMethods   = []string{"ftm", "ftk"}
	phoneMethods = []string{"sms", "dual"}
	emailMethods = []string{"email", "dual"}
	allMethods   = []string{"ftm", "ftk", "sms", "email", "dual", "ftm-push"}
)

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

// newFactor returns nil for a user without one.
func newFactor(u User, dir folder) (*factor, []string) {
	var msgs []string
	if slices.ContainsFunc(u.AllowWithoutFactor, func(s string) bool { return !isWord(s) }) {
		msgs = append(msgs, "allow_without_factor must be words without spaces")
	}
	s := u.SecondFactor
	if s == nil {
		if u.AllowWithoutFactor != nil {
			msgs = append(msgs, "allow_without_factor says nothing without second_factor")
		}
		return nil, msgs
	}
	f := &factor{methods: s.Methods, digits: s.Digits, phone: s.Phone, email: s.Email}
	if f.digits == 0 {
		f.digits = 6
	}
	if f.email == "" {
		f.email = u.Email
	}
	var err error
	if f.seed, err = s.seed(u.Name, dir); err != nil {
		msgs = append(msgs, err.Error())
	}
	return f, append(msgs, f.check(err != nil)...)
}

// check returns what is wrong; a seed that could not be read was told already.
func (f *factor) check(noSeed bool) []string {
	var msgs []string
	add := func(bad bool, msg string) {
		if bad {
			msgs = append(msgs, msg)
		}
	}
	add(len(f.methods) == 0, "second_factor has no methods")
	for i, m := range f.methods {
		add(!slices.Contains(allMethods, m), fmt.Sprintf("method %q is none of %s", m, strings.Join(allMethods, ", ")))
		add(slices.Contains(f.methods[:i], m), fmt.Sprintf("method %q is named twice", m))
	}
	add(overlap(f.methods, appMethods) && f.seed.IsZero() && !noSeed, "ftm and ftk need a totp_secret_file")
	add(f.digits != 6 && f.digits != 8, "totp_digits must be 6 or 8")
	add(overlap(f.methods, phoneMethods) && f.phone == "", "sms and dual need a phone")
	add(overlap(f.methods, emailMethods) && f.email == "", "email and dual need an email address")
	add(!clean(f.phone) || !clean(f.email), "phone and email must not hold control characters")
	return msgs
}

// seed reads the seed of a user; zero without an error if he has none.
func (s *SecondFactor) seed(name string, dir folder) (token.Seed, error) {
	text := s.TOTPSecret.Reveal()
	if s.TOTPSecretFile != "" {
		path := s.TOTPSecretFile
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir.dir, path)
		}
		b, err := dir.read(path)
		if err != nil {
			return token.Seed{}, fmt.Errorf("totp_secret_file %s cannot be read: %w", path, cause(err))
		}
		if text = seedLine(string(b), name); text == "" {
			return token.Seed{}, fmt.Errorf("totp_secret_file %s has neither a secret alone nor a line for this user", path)
		}
	}
	if text == "" {
		return token.Seed{}, nil
	}
	return token.ParseSeed(token.NewSecret(text))
}

// cause drops the path that a PathError repeats.
func cause(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}

// seedLine finds a user's line; a file that holds one word is anybody's.
func seedLine(text, name string) string {
	if words := strings.Fields(text); len(words) == 1 {
		return words[0]
	}
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, name)
		if words := strings.Fields(rest); ok && len(words) == 1 && strings.TrimLeft(rest, " \t") != rest {
			return words[0]
		}
	}
	return ""
}

// Code is a code on its way to a user.
type Code struct {
	User   string
	Method string // sms or email
	To     string // a phone number or an address
	Text   token.Secret
}

// Courier brings codes to users. The error never shows the code.
type Courier interface {
	Deliver(ctx context.Context, c Code) error
}

// Factors answers for the second factors of users. It is safe for concurrent use.
type Factors struct {
	users   *Users
	courier Courier
}

// Factors returns the second factors of the users. courier may be nil if nobody
// Needs one.
func (u *Users) Factors(courier Courier) *Factors { return &Factors{u, courier} }

// Factor returns a user's methods, the one to ask for first, and the dialects
// that let him in by password alone.
func (f *Factors) Factor(id string) (methods, without []string) {
	e := f.users.byID[id]
	if e == nil || e.factor == nil {
		return nil, nil
	}
	return e.factor.methods, e.without
}

// Step returns the time step of a code by ftm or ftk, 0 for none.
func (f *Factors) Step(id, method string, code token.Secret) int64 {
	e := f.users.byID[id]
	if e == nil || e.factor == nil || e.factor.seed.IsZero() || !slices.Contains(appMethods, method) {
		return 0
	}
	return matchStep(e.factor.seed, e.factor.digits, code, time.Now())
}

// Send sends a code by sms, email or dual; of dual, one that arrives will do.
// Failures are *token.Error of kind Unavailable.
func (f *Factors) Send(ctx context.Context, id, method string, code token.Secret) error {
	e := f.users.byID[id]
	if e == nil || e.factor == nil || f.courier == nil {
		return undelivered(errors.New("identity: there is no way to send a code"))
	}
	var errs []error
	sent := 0
	deliver := func(method, to string) {
		if err := f.courier.Deliver(ctx, Code{User: e.identity.Name, Method: method, To: to, Text: code}); err != nil {
			errs = append(errs, err)
			return
		}
		sent++
	}
	if slices.Contains(phoneMethods, method) {
		deliver("sms", e.factor.phone)
	}
	if slices.Contains(emailMethods, method) {
		deliver("email", e.factor.email)
	}
	if sent == 0 {
		return undelivered(errors.Join(errs...))
	}
	return nil
}

func undelivered(err error) *token.Error {
	return &token.Error{
		Kind: token.Unavailable, Err: err, RetryAfter: 30 * time.Second,
		Msg: "The code of the second factor could not be sent. Try again shortly.",
	}
}

// Needs reports whether some user has a method of codes that are sent by sms,
// and by email.
func (u *Users) Needs() (sms, email bool) {
	for _, e := range u.byID {
		if e.factor != nil {
			sms = sms || overlap(e.factor.methods, phoneMethods)
			email = email || overlap(e.factor.methods, emailMethods)
		}
	}
	return sms, email
}

// Lifted returns the dialects that some user may use without his second factor.
func (u *Users) Lifted() []string {
	var names []string
	for _, e := range u.byID {
		names = append(names, e.without...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
