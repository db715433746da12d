package tests

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// backendName is the name by which a gateway finds its backend here. Nobody else
// has one below .test.
const backendName = "backend.gatehouse.test"

// nameService is a DNS server that knows backendName at most.
type nameService struct {
	Addr string                 // on port 53
	ip   atomic.Pointer[net.IP] // of backendName; nil: there is no such name
}

// startNameService runs one, or leaves the test out where port 53 may not be
// opened.
func startNameService(t testing.TB) *nameService {
	t.Helper()
	conn, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.53:53")
	if err != nil {
		t.Skipf("left out: a name service of the test's own needs a free port 53 on 127.0.0.53: %v", err)
	}
	t.Cleanup(func() { conn.Close() })
	s := &nameService{Addr: "127.0.0.53"}
	go func() {
		b := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			if a := s.answer(b[:n]); a != nil {
				_, _ = conn.WriteTo(a, from) // who asked may be gone
			}
		}
	}()
	return s
}

// answer is RFC 1035, section 4.1, for one question: an address with a
// TTL of 1 s, none for another type, or NXDOMAIN.
func (s *nameService) answer(query []byte) []byte {
	const head = 12
	name, at := []string{}, head
	for at < len(query) && query[at] != 0 {
		end := at + 1 + int(query[at])
		if end >= len(query) {
			return nil
		}
		name = append(name, string(query[at+1:end]))
		at = end
	}
	end := at + 5 // the root, type and class
	if end > len(query) {
		return nil
	}
	a := append([]byte(nil), query[:end]...)
	a[2], a[3] = 0x85, 0x80 // an answer, authoritative, recursion as asked for
	copy(a[4:head], []byte{0, 1, 0, 0, 0, 0, 0, 0})
	ip := s.ip.Load()
	switch {
	case ip == nil || !strings.EqualFold(strings.Join(name, "."), backendName):
		a[3] |= 3
	case query[at+1] == 0 && query[at+2] == 1:
		a[7] = 1
		a = append(a, 0xc0, head, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4)
		a = append(a, ip.To4()...)
	}
	return a
}

func (s *nameService) set(ip string) {
	if ip == "" {
		s.ip.Store(nil)
		return
	}
	addr := net.ParseIP(ip)
	s.ip.Store(&addr)
}

// runNamed runs a gateway that asks this name service and no other: in a mount
// namespace of its own, with an /etc/resolv.conf of its own.
func runNamed(t testing.TB, s settings, names *nameService) *gateway {
	t.Helper()
	unshare := requireProgram(t, "unshare", "apt-get install util-linux")
	if out, err := exec.CommandContext(t.Context(), unshare, "-rm", "true").CombinedOutput(); err != nil {
		t.Skipf("left out: a mount namespace may not be made here: %v %s", err, out)
	}
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	conf := writeFile(t, "resolv.conf", "nameserver "+names.Addr+"\noptions timeout:1 attempts:1\n")
	g := prepare(t, s.withPlain("GODEBUG", "netdns=go"))
	g.run(t, unshare, "-rm", "/bin/sh", "-c", `mount --bind "$1" /etc/resolv.conf && exec "$0" serve`, bin, conf)
	g.waitReady(t)
	return g
}

// backendOn is a backend on an address of the loopback network; port 0 is any.
func backendOn(t testing.TB, addr string) *backend {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Skipf("left out: %v", err)
	}
	b := unstartedBackend()
	b.Server = httptest.NewUnstartedServer(b)
	b.Listener.Close()
	b.Listener = l
	b.Start()
	t.Cleanup(b.Close)
	return b
}

// A backend that moves is found where its name leads now, and one whose name is
// gone for a while goes on by the connections there are.
func TestBackendIsFoundAgainWhereItsNameLeads(t *testing.T) {
	names := startNameService(t)
	names.set("127.0.0.1")
	old := backendOn(t, "127.0.0.1:0")
	_, port, err := net.SplitHostPort(old.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	g := runNamed(t, old.account(t).with("BACKEND_URL", "http://"+net.JoinHostPort(backendName, port)), names)
	c := g.client(t)
	p := c.login(t, "alice", userPassword)
	call := func() answer { return c.get(t, snapshots, p.access) }
	wantStatus(t, "call", call(), http.StatusOK)

	names.set("")
	wantStatus(t, "call by the connection there is", call(), http.StatusOK)
	old.CloseClientConnections()
	var a answer
	eventually(t, 5*time.Second, "the backend cannot be found", func() bool { a = call(); return a.status != http.StatusOK })
	wantStatus(t, "call without a name", a, http.StatusBadGateway)
	if strings.Contains(a.body, backendName) {
		t.Errorf("the caller is told the backend's name: %s", a.body)
	}
	eventually(t, 2*time.Second, "the log has the reason", func() bool {
		return strings.Contains(g.log.String(), "no such host "+backendName)
	})
	if g.readyStatus(t) != http.StatusOK {
		t.Error("the gateway is not ready for other backends")
	}
	names.set("127.0.0.1")
	eventually(t, 5*time.Second, "the name is back", func() bool { return call().status == http.StatusOK })

	moved := backendOn(t, "127.0.0.2:"+port)
	names.set("127.0.0.2")
	old.Close()
	began := time.Now()
	eventually(t, 30*time.Second, "the backend is found where it is", func() bool { return call().status == http.StatusOK })
	t.Logf("found again after %v", time.Since(began).Round(time.Millisecond))
	if moved.counted("call") == 0 {
		t.Error("nobody called the backend where it is now")
	}
}
