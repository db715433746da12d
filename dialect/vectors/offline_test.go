package vectors_test

import (
	"testing"

	"github.com/gatehouse-gateway/gatehouse/dialect/vectors"
)

// TestOfflineCheckRefuses keeps the check honest: another key, another access
// token and another claim are each found.
func TestOfflineCheckRefuses(t *testing.T) {
	good := pageExample(t)
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*vectors.Offline){
		"another key":          func(o *vectors.Offline) { o.JWK.N = "A" + o.JWK.N[1:] },
		"another kid":          func(o *vectors.Offline) { o.JWK.Kid = "x" },
		"another access token": func(o *vectors.Offline) { o.AccessToken += "x" },
		"another audience":     func(o *vectors.Offline) { o.Expect.Aud = "x" },
		"another end":          func(o *vectors.Offline) { o.Expect.Exp++ },
	} {
		o := *good
		spoil(&o)
		if o.Check() == nil {
			t.Errorf("%s passes", name)
		}
	}
}

func pageExample(t *testing.T) *vectors.Offline {
	t.Helper()
	files, err := vectors.Load("../testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		for _, v := range f.Served {
			for _, step := range v.Steps {
				if step.Offline != nil {
					return step.Offline
				}
			}
		}
	}
	t.Fatal("no vector is offline")
	return nil
}
