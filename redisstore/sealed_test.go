package redisstore

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
)

// sealedIn counts all pages.
func sealedIn(t *testing.T, c *Client) (looked int, values map[string]session.SealedValues) {
	t.Helper()
	values = map[string]session.SealedValues{}
	for next := ""; ; {
		page, err := c.Sealed().Sealed(t.Context(), next)
		if err != nil {
			t.Fatal(err)
		}
		looked += page.Looked
		for _, v := range page.Values {
			old := values[v.Secret]
			v.Count += old.Count
			v.Endless = v.Endless || old.Endless
			if old.Until.After(v.Until) {
				v.Until = old.Until
			}
			values[v.Secret] = v
		}
		if next = page.Next; next == "" {
			return looked, values
		}
	}
}

func TestSealedValuesAreCountedBySecret(t *testing.T) {
	for name, c := range map[string]*Client{"redis": opened(t, listeningRedis(t), ""), "embedded": embedded(t)} {
		t.Run(name, func(t *testing.T) {
			set := func(key, access, refresh string, life time.Duration) {
				t.Helper()
				if err := c.rdb.HSet(t.Context(), key, "access", access, "refresh", refresh, "v", 1).Err(); err != nil {
					t.Fatal(err)
				}
				if life > 0 {
					if err := c.rdb.PExpire(t.Context(), key, life).Err(); err != nil {
						t.Fatal(err)
					}
				}
			}
			for i := range 2500 { // more than one SCAN looks at
				set(backendKey(fmt.Sprintf("%016x", i), "fabric"), "11111111.aaaa", "", time.Hour)
			}
			set(backendKey("a.1", "fabric"), "22222222.aaaa", "11111111.bbbb", 2*time.Hour)
			set(backendKey("a.2", "fabric"), "22222222.aaaa", "22222222.bbbb", 0)
			set(backendKey("a.3", "fabric"), "", "", 0)          // logged out
			set("gh:{0123456789abcdef}", "33333333.aaaa", "", 0) // no backend session
			set(dueKey("fabric", "a.1"), "33333333.aaaa", "", 0) // nor this
			looked, values := sealedIn(t, c)
			if looked < 2503 || len(values) != 2 {
				t.Fatalf("looked at %d and found %v; want 2503 and two secrets", looked, values)
			}
			one, two := values["11111111"], values["22222222"]
			if one.Count < 2501 || one.Endless || time.Until(one.Until) < 110*time.Minute || time.Until(one.Until) > 2*time.Hour {
				t.Errorf("first secret = %+v; want 2501 until in two hours", one)
			}
			if two.Count != 2 || !two.Endless {
				t.Errorf("second secret = %+v; want 2, one without an end", two)
			}
			for _, bad := range []string{"x", "-1.0", "0.x", "0"} {
				if _, err := c.Sealed().Sealed(t.Context(), bad); !errors.Is(err, session.ErrNotFound) {
					t.Errorf("Sealed(%q) = %v; want ErrNotFound", bad, err)
				}
			}
			if page, err := c.Sealed().Sealed(t.Context(), "7.0"); err != nil || page.Next != "" || page.Looked != 0 {
				t.Errorf("Sealed of a primary that is not there = %+v, %v; want nothing more", page, err)
			}
		})
	}
}
