package deliver

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/smtp"
	"strings"
	"time"

	"github.com/gatehouse-gateway/gatehouse/identity"
)

// mailer sends one mail a connection (RFC 5321): codes are few, and a connection
// kept open is one more thing that breaks.
type mailer struct {
	SMTP
	host string
	tls  *tls.Config
}

func newMailer(c SMTP) (*mailer, error) {
	host, _, err := net.SplitHostPort(c.Address)
	if err != nil {
		return nil, fmt.Errorf("deliver: %w", err)
	}
	conf, err := tlsConfig(c.CAFile, host)
	return &mailer{SMTP: c, host: host, tls: conf}, err
}

func (m *mailer) send(ctx context.Context, c identity.Code, life time.Duration) error {
	to, err := mail.ParseAddress(c.To)
	if err != nil {
		return errors.New("the user's mail address is none")
	}
	ctx, cancel := context.WithTimeout(ctx, m.Timeout)
	defer cancel()
	conn, err := m.dial(ctx)
	if err != nil {
		return err
	}
	// The deadline bounds every read and write; a caller who is gone ends them.
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	client, err := smtp.NewClient(conn, m.host)
	if err != nil {
		_ = conn.Close()
		return err
	}
	defer client.Close()
	if err := m.greet(client); err != nil {
		return err
	}
	if err := client.Mail(m.From); err != nil {
		return err
	}
	if err := client.Rcpt(to.Address); err != nil {
		return err
	}
	w, err := client.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte(m.message(to.Address, c, life))); err != nil {
		return err
	}
	if err := w.Close(); err != nil { // the server's word that it has the mail
		return err
	}
	_ = client.Quit() // the mail is under way
	return nil
}

func (m *mailer) dial(ctx context.Context) (net.Conn, error) {
	if m.TLS == "implicit" { // RFC 8314 section 3.3
		return (&tls.Dialer{Config: m.tls}).DialContext(ctx, "tcp", m.Address)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", m.Address)
}

// greet puts TLS on and signs in. A server that does not offer STARTTLS where it
// is asked for gets nothing (RFC 3207 section 6).
func (m *mailer) greet(client *smtp.Client) error {
	if m.TLS == "starttls" {
		if err := client.StartTLS(m.tls.Clone()); err != nil {
			return fmt.Errorf("starttls: %w", err)
		}
	}
	if m.Username == "" {
		return nil
	}
	return client.Auth(smtp.PlainAuth("", m.Username, m.Password.Reveal(), m.host))
}

// message is the mail, RFC 5322 in plain ASCII.
func (m *mailer) message(to string, c identity.Code, life time.Duration) string {
	lines := []string{
		"From: " + m.From, "To: " + to, "Subject: Your sign-in code",
		"Date: " + time.Now().Format(time.RFC1123Z),
		"Message-ID: <" + rand.Text() + m.From[strings.LastIndexByte(m.From, '@'):] + ">",
		"MIME-Version: 1.0", "Content-Type: text/plain; charset=us-ascii", "Auto-Submitted: auto-generated", "",
		"Your sign-in code is " + c.Text.Reveal() + ".", "",
		fmt.Sprintf("It is good for %d minutes, once. If you are not signing in just now,", int(life/time.Minute)),
		"somebody knows your password: tell your operator.", "",
	}
	return strings.Join(lines, "\r\n")
}
