package redisstore

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestURLForms(t *testing.T) {
	type parts struct {
		Addrs                  []string
		User, Password, Master string
		DB                     int
		TLS, Cluster           bool
	}
	for _, c := range []struct {
		url  string
		want parts
	}{
		{"redis://h", parts{Addrs: []string{"h:6379"}}},
		{"redis://h:7000/3", parts{Addrs: []string{"h:7000"}, DB: 3}},
		{"redis://:p%40ss@h/0", parts{Addrs: []string{"h:6379"}, Password: "p@ss"}},
		{"redis://u:p@ss@h", parts{Addrs: []string{"h:6379"}, User: "u", Password: "p@ss"}},
		{"redis://u:p@[::1]:6380?db=2", parts{Addrs: []string{"[::1]:6380"}, User: "u", Password: "p", DB: 2}},
		{"rediss://h?user=u&password=p", parts{Addrs: []string{"h:6379"}, User: "u", Password: "p", TLS: true}},
		{"redis+sentinel://main@h1,h2:26380/1?password=p", parts{Addrs: []string{"h1:26379", "h2:26380"}, Master: "main", Password: "p", DB: 1}},
		{"redis+cluster://u:p@h1,h2", parts{Addrs: []string{"h1:6379", "h2:6379"}, User: "u", Password: "p", Cluster: true}},
		{"rediss+cluster://h1", parts{Addrs: []string{"h1:6379"}, Cluster: true, TLS: true}},
	} {
		o, err := parseURL(c.url)
		if err != nil {
			t.Errorf("parseURL(%s) = %v; want no error", c.url, err)
			continue
		}
		got := parts{o.Addrs, o.Username, o.Password, o.MasterName, o.DB, o.TLSConfig != nil, o.IsClusterMode}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("parseURL(%s) (-want +got):\n%s", c.url, diff)
		}
	}
}

func TestBadURLIsNamedWithoutItsPassword(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(empty, []byte("none"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ url, want string }{
		{"localhost:6379", "no scheme"},
		{"http://:hunter2@h", "scheme is not"},
		{"redis://:hunter2/x@h", "database is not a number"},
		{"redis://u:hunter2%zz@h", "percent-encoding"},
		{"redis://:hunter2@h:port", "not host or host:port"},
		{"redis://:hunter2@h:70000", "not host or host:port"},
		{"redis://:hunter2@", "not host or host:port"},
		{"redis://:hunter2@a,b", "several hosts"},
		{"redis://:hunter2@h/x", "database"},
		{"redis+sentinel://h1/0?password=hunter2", "name of the master"},
		{"redis+cluster://:hunter2@h/1", "only database 0"},
		{"redis://h?passwort=hunter2", "query knows"},
		{"redis://h?ca_file=" + empty, "needs TLS"},
		{"rediss://h?ca_file=" + empty, "no PEM"},
		{"rediss://h?ca_file=/does/not/exist", "ca_file"},
	} {
		_, err := Open(Options{URL: c.url})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Open(%s) = %v; want it to say %q, and no password", c.url, err, c.want)
		}
	}
}

func FuzzURL(f *testing.F) {
	for _, s := range []string{"redis://h", "redis+sentinel://m@a,b/0?db=1", "rediss+cluster://u:p@h", "redis://:p@[::1]:1/2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "ca_file") {
			t.Skip("reads files")
		}
		o, err := parseURL(text)
		if err == nil && len(o.Addrs) == 0 {
			t.Errorf("parseURL(%q) = no host and no error", text)
		}
	})
}
