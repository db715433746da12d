package portal

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"log/slog"
	"net/http"
)

//go:embed pages
var files embed.FS

var templates = template.Must(template.ParseFS(files, "pages/*.html"))

// The style sheet carries a hash of its content in its name, so that it can be
// kept for ever by browsers and is never out of date.
var (
	style     = mustRead("pages/style.css")
	styleName = "style-" + shortHash(style) + ".css"
)

func mustRead(name string) []byte {
	b, err := files.ReadFile(name)
	if err != nil {
		panic("portal: " + err.Error()) // it is compiled in
	}
	return b
}

func shortHash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:6])
}

func serveStyle(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/css; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Write(style) //nolint:errcheck // the browser has gone; nobody is left to tell
}

// frame is what every page needs.
type frame struct {
	Heading string
	Base    string // the base path
	Style   string // URL of the style sheet
}

func (p *Portal) frame(heading string) frame {
	return frame{Heading: heading, Base: p.o.BasePath, Style: p.url("/" + styleName)}
}

// render writes one page. It is made whole before the first byte goes out.
func (p *Portal) render(w http.ResponseWriter, status int, name string, data any) {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, data); err != nil {
		p.o.Log.Error("page cannot be made", slog.String("page", name), slog.Any("error", err))
		http.Error(w, "Internal error.", http.StatusInternalServerError)
		return
	}
	pageHeader(w.Header())
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write(b.Bytes()) //nolint:errcheck // the browser has gone; nobody is left to tell
}

// pageHeader sets what every page and redirect of ours carries. The referrer
// goes to this origin only; with no-referrer browsers would send "Origin: null"
// with the form, which cross-origin protection refuses where there is no
// Sec-Fetch-Site (plain http).
func pageHeader(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// seeOther redirects as a GET (RFC 9110 section 15.4.4) to a path that was
// checked before. http.Redirect is not used because it rewrites paths.
func seeOther(w http.ResponseWriter, to string) {
	pageHeader(w.Header())
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}

// message is a page that says one thing.
type message struct {
	frame
	Status    int
	Msg       string
	RequestID string // empty: not shown
	SignIn    bool   // offer to sign in
	SignOut   bool   // offer to sign out
}

// headings are what the statuses mean, for people.
var headings = map[int]string{
	http.StatusBadRequest:            "This request makes no sense",
	http.StatusUnauthorized:          "Please sign in",
	http.StatusForbidden:             "You may not go here",
	http.StatusNotFound:              "Nothing here",
	http.StatusMethodNotAllowed:      "Not possible here",
	http.StatusGone:                  "No longer here",
	http.StatusRequestEntityTooLarge: "Too large",
	http.StatusUnsupportedMediaType:  "Not in this form",
	http.StatusMisdirectedRequest:    "Unknown address",
	http.StatusTooManyRequests:       "Too many attempts",
	http.StatusInternalServerError:   "Something went wrong",
	http.StatusBadGateway:            "The system behind is in trouble",
	http.StatusServiceUnavailable:    "Just now this is not possible",
	http.StatusGatewayTimeout:        "The system behind does not answer",
}

func heading(status int) string {
	if h, ok := headings[status]; ok {
		return h
	}
	return "Something went wrong"
}

// ErrorPage answers a browser's navigation that failed. msg is a fixed text for
// people; requestID is what they can name to an operator. Headers that the
// caller has set, Retry-After say, stay.
func (p *Portal) ErrorPage(w http.ResponseWriter, _ *http.Request, status int, msg, requestID string) {
	p.render(w, status, "message", message{
		frame:     p.frame(heading(status)),
		Status:    status,
		Msg:       msg,
		RequestID: requestID,
		SignIn:    status == http.StatusUnauthorized,
		SignOut:   status == http.StatusForbidden,
	})
}

// fail is ErrorPage for a failure within the portal. The front door has put the
// request's id into the header of the answer.
func (p *Portal) fail(w http.ResponseWriter, r *http.Request, status int, msg string) {
	p.ErrorPage(w, r, status, msg, w.Header().Get("X-Request-Id"))
}
