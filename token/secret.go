package token

import (
	"fmt"
	"log/slog"
	"strings"
)

const redacted = "[redacted]"

// Secret is a password, a token or a key: a string that prints, logs and
// marshals as [redacted]. Its text leaves by Reveal only, so a search for
// Reveal finds every place where a secret is used.
type Secret struct{ text string }

// NewSecret wraps text as it is.
func NewSecret(text string) Secret { return Secret{text} }

// Reveal returns the text.
func (s Secret) Reveal() string { return s.text }

// IsZero reports whether there is no secret at all.
func (s Secret) IsZero() bool { return s.text == "" }

// String returns [redacted], or nothing for no secret.
func (s Secret) String() string {
	if s.text == "" {
		return ""
	}
	return redacted
}

// Format keeps every verb of fmt, %#v and %q among them, from printing the text.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }

// LogValue keeps the text out of structured logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText keeps the text out of JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText takes the text from configuration. Line ends around it are
// dropped, since editors and echo add one to a secret's file.
func (s *Secret) UnmarshalText(b []byte) error {
	s.text = strings.Trim(string(b), "\r\n")
	return nil
}
