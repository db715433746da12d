package main

import (
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/admin"
)

func TestTablesSayNeverWhereASessionHasNoEnd(t *testing.T) {
	issued := time.Date(2026, 3, 1, 9, 39, 13, 0, time.UTC)
	for lives, want := range map[time.Duration]string{
		24 * time.Hour:         "2026-03-02 09:39:13Z",
		3650 * 24 * time.Hour:  "2036-02-27 09:39:13Z",
		36500 * 24 * time.Hour: "never",
	} {
		if got := whenEnds(admin.Session{Issued: issued, Ends: issued.Add(lives)}); got != want {
			t.Errorf("a session of %s ends %q; want %q", lives, got, want)
		}
	}
}
