package portal

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"

	"github.com/gatehouse-gateway/gatehouse/token"
)

const maxForm = 64 << 10 // bytes of a form's body

// form is the sign-in form as it was sent, or that of the second factor.
type form struct {
	username string
	password token.Secret
	code     token.Secret
	returnTo string // not checked yet
}

// readForm reads a form from the body alone, never from the URL, which
// ends up in logs. Failures are *token.Error of kind UnsupportedMedia, TooLarge
// and Malformed.
func readForm(w http.ResponseWriter, r *http.Request) (form, error) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" || r.Header.Get("Content-Encoding") != "" {
		return form{}, token.Fail(token.UnsupportedMedia, "The form has to come as application/x-www-form-urlencoded.", nil)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return form{}, token.Fail(token.TooLarge, "The form is larger than 64 KiB.", nil)
	}
	if err != nil {
		return form{}, token.Fail(token.Malformed, "The form did not arrive whole. Try again.", err)
	}
	return parseForm(string(body))
}

// parseForm takes each field at most once: of two user names, what is checked
// and what is counted by the throttle might differ.
func parseForm(body string) (form, error) {
	// The cause is not kept: it quotes the text, and the password may be in it.
	malformed := token.Fail(token.Malformed, "The form cannot be read. Go back and try again.", nil)
	fields, err := url.ParseQuery(body)
	if err != nil {
		return form{}, malformed
	}
	for _, values := range fields {
		if len(values) > 1 {
			return form{}, malformed
		}
	}
	return form{
		username: fields.Get("username"),
		password: token.NewSecret(fields.Get("password")),
		code:     token.NewSecret(fields.Get("code")),
		returnTo: fields.Get("return_to"),
	}, nil
}
