// Package deliver brings the codes of second factors to their users: by mail
// over SMTP, and by a webhook of the operator's, who knows how to reach phones.
//
// A code never shows in an error. Each delivery has a time limit, few go at
// once, and those beyond a queue are refused: whoever waits for one holds a
// login open.
package deliver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gatehouse-gateway/gatehouse/identity"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// Bounds of what goes on at once.
const (
	atOnce   = 8
	maxQueue = 64 // that wait
)

// SMTP says which mail server to use.
type SMTP struct {
	Address  string // host:port
	From     string // a mail address without a name
	Username string // empty: no authentication
	Password token.Secret
	TLS      string        // "starttls", "implicit" or "off"
	CAFile   string        // PEM; empty: the system's authorities
	Timeout  time.Duration // of one mail as a whole
}

// Webhook says where codes are posted.
type Webhook struct {
	URL     *url.URL
	Secret  token.Secret // signs the calls
	CAFile  string
	Timeout time.Duration
}

// way is one of the two.
type way interface {
	send(ctx context.Context, c identity.Code, life time.Duration) error
}

// Courier delivers. It is safe for concurrent use.
type Courier struct {
	mail, hook way // nil: there is none
	life       time.Duration
	slots      chan struct{}
	waiting    atomic.Int64
}

var _ identity.Courier = (*Courier)(nil)

// New returns a courier over what is given; either may be nil. life is how long
// a code is good, which users are told. The error names a CA file that cannot be
// used.
func New(mail *SMTP, hook *Webhook, life time.Duration) (*Courier, error) {
	c := &Courier{life: life, slots: make(chan struct{}, atOnce)}
	if mail != nil {
		m, err := newMailer(*mail)
		if err != nil {
			return nil, err
		}
		c.mail = m
	}
	if hook != nil {
		h, err := newPoster(*hook)
		if err != nil {
			return nil, err
		}
		c.hook = h
	}
	return c, nil
}

var (
	errNoWay = errors.New("deliver: nothing is configured that could")
	errBusy  = errors.New("deliver: too many codes are on their way")
)

// Deliver implements identity.Courier. Mail goes over SMTP if there is any, all
// else to the webhook.
func (c *Courier) Deliver(ctx context.Context, code identity.Code) error {
	w := c.hook
	if code.Method == "email" && c.mail != nil {
		w = c.mail
	}
	if w == nil {
		return errNoWay
	}
	if c.waiting.Add(1) > atOnce+maxQueue {
		c.waiting.Add(-1)
		return errBusy
	}
	defer c.waiting.Add(-1)
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := w.send(ctx, code, c.life); err != nil {
		// The cause is not wrapped: its text could hold the code.
		return fmt.Errorf("deliver: %s: %s", code.Method, scrub(err, code.Text))
	}
	return nil
}

// scrub takes the code out of what a server said back.
func scrub(err error, code token.Secret) string {
	return strings.ReplaceAll(err.Error(), code.Reveal(), "[code]")
}

// tlsConfig returns the settings for a server of a name.
func tlsConfig(caFile, server string) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: server}
	if caFile == "" {
		return conf, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("deliver: %w", err)
	}
	conf.RootCAs = x509.NewCertPool()
	if !conf.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("deliver: %s holds no certificate", caFile)
	}
	return conf, nil
}
