package tests

import (
	"context"
	"crypto/rand"
	"net"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// rootSecret is what every gateway with a Redis of its own gets as SECRET.
const rootSecret = "black-box-root-secret-0123456789abcdef"

// realRedis is a redis-server of the test's own, with AOF and a password.
type realRedis struct {
	Addr, Password string
	process        *os.Process
}

// startRedis runs a redis-server in an empty folder.
func startRedis(t testing.TB) *realRedis {
	t.Helper()
	bin := requireProgram(t, "redis-server", "apt-get install redis-server, or ./tests/run where it may install")
	r := &realRedis{Addr: freeAddress(t), Password: rand.Text()}
	r.run(t, bin)
	return r
}

func (r *realRedis) run(t testing.TB, bin string) {
	t.Helper()
	_, port, err := net.SplitHostPort(r.Addr)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), bin, "--port", port, "--bind", "127.0.0.1", "--requirepass", r.Password,
		"--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction", "--dir", dir)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	log := &logBuffer{}
	cmd.Stdout = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.process = cmd.Process
	t.Cleanup(func() { _ = cmd.Wait() }) // ended by a signal
	rdb := r.client(t)
	eventually(t, 10*time.Second, "redis-server answers", func() bool { return rdb.Ping(t.Context()).Err() == nil })
}

// signal stops redis-server (SIGSTOP), or lets it go on (SIGCONT).
func (r *realRedis) signal(t testing.TB, sig os.Signal) {
	t.Helper()
	if err := r.process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// client returns a connection pool to it.
func (r *realRedis) client(t testing.TB) *redis.Client {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: r.Addr, Password: r.Password})
	t.Cleanup(func() { _ = rdb.Close() }) // nothing is left to do about it
	return rdb
}

// url is a REDIS_URL by way of an address: its own, or that of a proxy.
func (r *realRedis) url(addr string) string {
	u := url.URL{Scheme: "redis", User: url.UserPassword("", r.Password), Host: addr, Path: "/0"}
	return u.String()
}

// store returns the settings of a gateway that keeps its sessions here.
func (r *realRedis) store() []string {
	return []string{"REDIS_URL", r.url(r.Addr), "SECRET", rootSecret}
}

// dropper is a TCP proxy before Redis. Armed, it forwards the next call of each
// script, and then closes the connection instead of handing the reply back: what
// happens when a network fails at the worst moment.
type dropper struct {
	Addr   string
	target string

	mu      sync.Mutex
	armed   bool            // guarded by mu
	dropped map[string]bool // script digests, guarded by mu
}

func startDropper(t testing.TB, target string) *dropper {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &dropper{Addr: l.Addr().String(), target: target, dropped: map[string]bool{}}
	ctx := t.Context()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { d.serve(ctx, c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return d
}

// arm begins to drop replies.
func (d *dropper) arm() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.armed = true
}

// disarm stops and returns how many replies were dropped.
func (d *dropper) disarm() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.armed = false
	return len(d.dropped)
}

func (d *dropper) serve(ctx context.Context, down net.Conn) {
	defer down.Close()
	up, err := new(net.Dialer).DialContext(ctx, "tcp", d.target)
	if err != nil {
		return
	}
	defer up.Close()
	stop := context.AfterFunc(ctx, func() { down.Close(); up.Close() })
	defer stop()
	cut := make(chan struct{}, 1)
	var wg sync.WaitGroup
	wg.Go(func() { d.requests(up, down, cut) })
	wg.Go(func() { replies(down, up, cut) })
	wg.Wait()
}

var evalsha = regexp.MustCompile(`(?i)\$7\r\nevalsha\r\n\$40\r\n([0-9a-f]{40})`)

// requests copies from the client; before it forwards a call whose reply is to
// be dropped it leaves a note in cut.
func (d *dropper) requests(up, down net.Conn, cut chan<- struct{}) {
	defer up.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := down.Read(buf)
		if m := evalsha.FindSubmatch(buf[:n]); m != nil && d.take(string(m[1])) {
			cut <- struct{}{}
		}
		if _, werr := up.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

// take reports whether the reply to this call is to be dropped.
func (d *dropper) take(script string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.armed || d.dropped[script] {
		return false
	}
	d.dropped[script] = true
	return true
}

// replies copies to the client until there is a note in cut.
func replies(down, up net.Conn, cut <-chan struct{}) {
	defer down.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := up.Read(buf)
		select {
		case <-cut:
			return
		default:
		}
		if _, werr := down.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}
