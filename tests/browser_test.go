package tests

import (
	"context"
	"fmt"
	"html"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// browser starts a Chromium that sees nothing of this user's.
func browser(t testing.TB) context.Context {
	t.Helper()
	path := requireProgram(t, "chromium", "apt-get install chromium, or ./tests/run where it may install")
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1000, 800))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 90*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// page is what a test does in the browser; a step that fails ends the test.
type page struct {
	t   testing.TB
	ctx context.Context //nolint:containedctx // the browser is the context
}

// do runs steps in turn.
func (p page) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

// text runs an action that yields one.
func (p page) text(a chromedp.Action[string]) string {
	p.t.Helper()
	s, err := chromedp.Run(p.ctx, a)
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

// shoot saves what the browser shows, in GATEHOUSE_SCREENSHOTS if that is set.
func (p page) shoot(name string) {
	p.t.Helper()
	png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Fatal(err)
	}
	dir := os.Getenv("GATEHOUSE_SCREENSHOTS")
	if dir == "" {
		dir = p.t.TempDir()
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		p.t.Fatal(err)
	}
	path := filepath.Join(dir, name+".png")
	if err := os.WriteFile(path, png, 0o644); err != nil {
		p.t.Fatal(err)
	}
	p.t.Logf("screenshot: %s", path)
}

// A person who asks for a page without a session signs in and lands on it.
func TestSigningInByBrowserLandsWhereOneWantedToGo(t *testing.T) {
	t.Parallel()
	p := page{t, browser(t)}
	b := newBackend(t)
	b.other = func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "<!doctype html><title>Inventory</title><h1>Inventory of %s</h1>", html.EscapeString(r.URL.Query().Get("site")))
	}
	g := start(t, b.account(t))
	_, port, err := net.SplitHostPort(g.settings["LISTEN"])
	if err != nil {
		t.Fatal(err)
	}
	base := "http://localhost:" + port // over http a browser keeps a secure cookie for this name only
	wanted := base + "/inventory?site=Prague"

	p.do(chromedp.Navigate(wanted), chromedp.WaitVisible(`input[name=password]`))
	p.shoot("sign-in")
	p.do(
		chromedp.SendKeys(`input[name=username]`, "alice"),
		chromedp.SendKeys(`input[name=password]`, "wrong"),
		chromedp.Click(`button[type=submit]`),
		chromedp.WaitVisible(`[role=alert]`))
	if p.text(chromedp.Text(`[role=alert]`)) == "" {
		t.Error("the page does not say that the password is wrong")
	}
	p.shoot("sign-in-wrong")
	p.do(
		chromedp.SetValue(`input[name=username]`, "alice"),
		chromedp.SendKeys(`input[name=password]`, userPassword),
		chromedp.Click(`button[type=submit]`),
		chromedp.WaitNotPresent(`input[name=password]`))
	title, where := p.text(chromedp.Text(`h1`)), p.text(chromedp.Location())
	if title != "Inventory of Prague" || where != wanted {
		t.Errorf("landed on %q, %s; want the page that was asked for", title, where)
	}
	p.shoot("signed-in")
	if got := p.text(chromedp.Evaluate[string](`document.cookie`)); got != "" {
		t.Errorf("a script sees cookies: %q", got)
	}
	for _, r := range b.seen() {
		if strings.Contains(strings.Join(r.header["Cookie"], ";"), "__Host-gatehouse") {
			t.Error("the session cookie reached the backend")
		}
	}
}
