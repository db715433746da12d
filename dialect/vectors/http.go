package vectors

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// NewRequest makes a client's request as a server gets it, to host
// gateway.test.
func (s Scope) NewRequest(t testing.TB, q Request) *http.Request {
	t.Helper()
	body, contentType := s.fill(q.Body.Raw), ""
	switch {
	case q.Body.JSON != nil:
		b, err := json.Marshal(s.fillAll(q.Body.JSON))
		if err != nil {
			t.Fatal(err)
		}
		body, contentType = string(b), "application/json"
	case q.Body.Form != nil:
		form := url.Values{}
		for k, v := range q.Body.Form {
			form.Set(k, s.fill(v))
		}
		body, contentType = form.Encode(), "application/x-www-form-urlencoded"
	}
	r := httptest.NewRequestWithContext(t.Context(), q.Method, s.fill(q.Path), strings.NewReader(body))
	r.Host = "gateway.test"
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for k, v := range q.Headers {
		if v == nil {
			r.Header.Del(k)
			continue
		}
		r.Header.Set(k, s.fill(*v))
	}
	for _, k := range slices.Sorted(maps.Keys(q.Cookies)) {
		dialect.Cookie{Name: k}.Set(r, token.NewSecret(s.fill(q.Cookies[k])))
	}
	return r
}

// Check holds an answer against what the vector wants, and captures. The body
// can be read again afterwards.
func (s Scope) Check(want Response, got *http.Response) error {
	b, err := io.ReadAll(got.Body)
	errs := []error{err, got.Body.Close()}
	got.Body = io.NopCloser(bytes.NewReader(b))
	if !slices.Contains(want.Status, got.StatusCode) {
		errs = append(errs, fmt.Errorf("status = %d; want %v", got.StatusCode, want.Status))
	}
	for _, k := range slices.Sorted(maps.Keys(want.Headers)) {
		errs = append(errs, s.Match("header "+k, want.Headers[k], headerValue(got.Header, k)))
	}
	for _, k := range slices.Sorted(maps.Keys(want.Cookies)) {
		for _, cookie := range cookies(got, k) {
			errs = append(errs, s.Match("cookie "+k, want.Cookies[k], cookie))
		}
	}
	errs = append(errs, lacks(got.Header, b, want.NotContains), s.checkBody(want, string(b)), s.checkLocation(want, got))
	return errors.Join(errs...)
}

// headerValue is a header as matchers look at it: its lines as one list.
func headerValue(h http.Header, name string) any {
	if lines := h.Values(name); len(lines) > 0 {
		return strings.Join(lines, ", ")
	}
	return absent{}
}

// checkLocation compares Location without its query, and the query's fields.
func (s Scope) checkLocation(want Response, got *http.Response) error {
	if want.Location.URL == nil && want.Location.Query == nil {
		return nil
	}
	u, err := url.Parse(got.Header.Get("Location"))
	if err != nil {
		return err
	}
	var errs []error
	for _, k := range slices.Sorted(maps.Keys(want.Location.Query)) {
		var value any = absent{}
		if u.Query().Has(k) {
			value = u.Query().Get(k)
		}
		errs = append(errs, s.Match("location query "+k, want.Location.Query[k], value))
	}
	if u.RawQuery = ""; want.Location.URL != nil {
		errs = append(errs, s.Match("location", want.Location.URL, u.String()))
	}
	return errors.Join(errs...)
}

func (s Scope) checkBody(want Response, got string) error {
	var errs []error
	if want.Body.Empty && got != "" {
		errs = append(errs, fmt.Errorf("body = %q; want none", got))
	}
	for _, not := range want.Body.NotContains {
		if strings.Contains(got, s.fill(not)) {
			errs = append(errs, fmt.Errorf("the body contains %q", not))
		}
	}
	if want.Body.Text != nil {
		errs = append(errs, s.Match("body", want.Body.Text, got))
	}
	if want.Body.JSON != nil {
		errs = append(errs, s.matchJSON(want.Body.JSON, []byte(got)))
	}
	for _, path := range slices.Sorted(maps.Keys(want.Body.XML)) {
		errs = append(errs, s.Match("body "+path, want.Body.XML[path], xmlText(got, path)))
	}
	return errors.Join(errs...)
}

// xmlText returns the text of the first element of a path like
// response/data/accessToken.
func xmlText(doc, path string) any {
	in := xml.NewDecoder(strings.NewReader(doc))
	var at []string
	for {
		t, err := in.Token()
		if err != nil {
			return absent{}
		}
		switch t := t.(type) {
		case xml.StartElement:
			at = append(at, t.Name.Local)
			if strings.Join(at, "/") != path {
				continue
			}
			var text struct {
				Text string `xml:",chardata"`
			}
			if in.DecodeElement(&text, &t) != nil {
				return absent{}
			}
			return text.Text
		case xml.EndElement:
			at = at[:len(at)-1]
		}
	}
}

func (s Scope) matchJSON(want any, body []byte) error {
	var got any
	if err := json.Unmarshal(body, &got); err != nil {
		return fmt.Errorf("body is not JSON: %w", err)
	}
	return s.Match("body", want, got)
}

// lacks refuses a message that holds one of the texts.
func lacks(h http.Header, body []byte, texts []string) error {
	all := fmt.Sprint(h) + string(body)
	for _, text := range texts {
		if strings.Contains(all, text) {
			return fmt.Errorf("it contains %q", text)
		}
	}
	return nil
}

// cookies reads the Set-Cookie lines of one name into what cookie matchers look
// at. A name that is set twice has two, for peers differ in which of them
// counts; one that is not set has the absent one.
func cookies(resp *http.Response, name string) []any {
	var found []any
	for _, c := range resp.Cookies() {
		if c.Name != name {
			continue
		}
		m := map[string]any{
			"value": c.Value, "path": c.Path, "secure": c.Secure, "http_only": c.HttpOnly, "has_expires": !c.Expires.IsZero(),
		}
		// As they stand in the line: http.Cookie has -1 for a Max-Age of 0.
		for _, part := range strings.Split(c.Raw, ";")[1:] {
			switch key, value, _ := strings.Cut(strings.TrimSpace(part), "="); key {
			case "SameSite":
				m["same_site"] = value
			case "Max-Age":
				if n, err := strconv.Atoi(value); err == nil {
					m["max_age"] = float64(n)
				}
			}
		}
		found = append(found, m)
	}
	if found == nil {
		return []any{absent{}}
	}
	return found
}
