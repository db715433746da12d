package session_test

import (
	"testing"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// Whatever stands in the place of a page's end, it is refused or gives a page.
func FuzzListAfter(f *testing.F) {
	w := newWorld(f, func(o *session.Options) { o.Feed = nil })
	for range 3 {
		w.login(session.KindLogin)
	}
	page, err := w.m.List(f.Context(), session.Query{Limit: 1})
	if err != nil || page.Next == "" {
		f.Fatalf("List = %+v, %v; want a first page", page, err)
	}
	f.Add(page.Next)
	f.Add("")
	f.Add("e30")
	f.Add("eyJvd25lciI6eyJuYW1lIjoiYSJ9LCJzaWQiOiJ6In0")
	f.Fuzz(func(t *testing.T, after string) {
		page, err := w.m.List(t.Context(), session.Query{Limit: 2, After: after})
		switch {
		case err != nil && token.KindOf(err) != token.Malformed:
			t.Errorf("List = %v; want malformed", err)
		case len(page.Sessions) > 2:
			t.Errorf("a page of %d; want 2 at most", len(page.Sessions))
		}
	})
}
