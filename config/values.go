package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-gateway/gatehouse/seal"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// Bounds of settings.
const (
	minSecret     = seal.MinSecret
	maxGrace      = 60 * time.Second
	maxDegraded   = 10 * time.Minute
	maxDrain      = 10 * time.Minute
	maxHeaderWait = time.Hour
	maxTTL        = 400 * 24 * time.Hour // whoever wants more wants 0, never, where the vendor has it
	maxLength     = 4096                 // of a refresh token: it travels in a cookie
)

// duration reads a time like "90s" or "12h". Empty gives 0 and no fault.
func (l *loader) duration(place, text string, least, most time.Duration) time.Duration {
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		l.fault(place, fmt.Sprintf("%q is no time", text), "write a number with its unit, like 90s, 30m or 12h")
		return 0
	case d < least || d > most:
		l.fault(place, fmt.Sprintf("%s is out of range", text), fmt.Sprintf("take %s to %s", short(least), short(most)))
		return 0
	}
	return d
}

// short writes a time as one would: 10m, not 10m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func (l *loader) boolean(place, text string) bool {
	switch text {
	case "true":
		return true
	case "false", "":
		return false
	}
	l.fault(place, fmt.Sprintf("%q is neither true nor false", text), "write true or false")
	return false
}

func (l *loader) oneOf(place, text string, values ...string) string {
	if !slices.Contains(values, text) {
		l.fault(place, fmt.Sprintf("%q is not known", text), "use "+strings.Join(values, " or "))
	}
	return text
}

// number reads a whole number. Empty gives 0.
func (l *loader) number(place, text string, most int) int {
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		l.fault(place, fmt.Sprintf("%q is no number from 1 to %d", text, most), "correct it or leave it out")
		return 0
	}
	return n
}

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"", 1}}

// size reads a number of bytes, also as 64KiB, 10MiB or 2GiB. Empty gives 0.
func (l *loader) size(place, text string) int64 {
	for _, u := range sizeUnits {
		digits, ok := strings.CutSuffix(text, u.suffix)
		if !ok {
			continue
		}
		if text == "" {
			return 0
		}
		n, err := strconv.ParseInt(digits, 10, 32)
		if err == nil && n > 0 {
			return n * u.bytes
		}
		break
	}
	l.fault(place, fmt.Sprintf("%q is no size", text), "write bytes, or a number with KiB, MiB or GiB; leave it out for no limit")
	return 0
}

// address checks what a listener listens on.
func (l *loader) address(place, text string) string {
	_, port, err := net.SplitHostPort(text)
	if err != nil || !goodPort(port) {
		l.fault(place, fmt.Sprintf("%q is no address to listen on", text), "write host:port, or :port for all interfaces")
	}
	return text
}

// networks reads a list of addresses and networks.
func (l *loader) networks(place, text string) []netip.Prefix {
	var nets []netip.Prefix
	for _, item := range splitList(text) {
		if a, err := netip.ParseAddr(item); err == nil {
			nets = append(nets, netip.PrefixFrom(a.Unmap().WithZone(""), a.Unmap().BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(item)
		if err != nil {
			l.fault(place, fmt.Sprintf("%q is neither an address nor a network", item), "write a list like 10.0.0.0/8,192.0.2.7")
			continue
		}
		if p.Masked() != p {
			l.fault(place, fmt.Sprintf("%q has bits beyond its prefix", item), fmt.Sprintf("did you mean %s?", p.Masked()))
		}
		nets = append(nets, p.Masked())
	}
	return nets
}

// splitList splits at commas and line ends and drops what is blank.
func splitList(text string) []string {
	items := strings.FieldsFunc(text, func(c rune) bool { return c == ',' || c == '\n' || c == '\r' })
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	return slices.DeleteFunc(items, func(s string) bool { return s == "" })
}

// httpURL reads the URL of something that speaks HTTP. It never shows the URL:
// one that is wrong may hold a password.
func (l *loader) httpURL(place, text string) *url.URL {
	const remedy = "write one like https://host.example.com"
	u, err := url.Parse(text)
	switch {
	case err != nil:
		l.fault(place, "it is no URL", remedy)
	case u.Scheme != "http" && u.Scheme != "https":
		l.fault(place, "its scheme is neither http nor https", remedy)
	case u.Hostname() == "":
		l.fault(place, "it has no host", remedy)
	case u.User != nil:
		l.fault(place, "it holds a user name or a password", "take it out of the URL; the gateway logs in with its account")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		l.fault(place, "it has a query or a fragment", remedy)
	case u.Port() != "" && !goodPort(u.Port()):
		l.fault(place, "its port is out of range", remedy)
	default:
		return u
	}
	return nil
}

func goodPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && strconv.FormatUint(n, 10) == port
}

var redisSchemes = []string{"redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"}

// redisURL checks the form as far as it can without asking the store. net/url
// does not read lists of hosts.
func (l *loader) redisURL(secret token.Secret) token.Secret {
	if secret.IsZero() {
		return secret
	}
	const place, remedy = prefix + "REDIS_URL", "write redis://host:6379/0, rediss://…, redis+sentinel://master@host1,host2/0 or redis+cluster://host1,host2"
	scheme, rest, ok := strings.Cut(secret.Reveal(), "://")
	if !ok || !slices.Contains(redisSchemes, scheme) {
		l.fault(place, "its scheme is none of "+strings.Join(redisSchemes, ", "), remedy)
		return secret
	}
	hosts, _, _ := strings.Cut(rest, "?")
	hosts, _, _ = strings.Cut(hosts, "/")
	hosts = hosts[strings.LastIndexByte(hosts, '@')+1:]
	for h := range strings.SplitSeq(hosts, ",") {
		if h == "" || strings.HasPrefix(h, ":") {
			l.fault(place, "it has no host", remedy)
			return secret
		}
	}
	return secret
}

var pagesPath = regexp.MustCompile(`^(/[A-Za-z0-9_.~-]+)+$`)

// pagesPath reads where our own pages are.
func (l *loader) pagesPath(place, text string) string {
	path := strings.TrimSuffix(text, "/")
	if !pagesPath.MatchString(path) || dotted(path) {
		l.fault(place, fmt.Sprintf("%q is no path for pages", text), "write one like /.gatehouse, of letters, digits and . _ ~ -")
	}
	return path
}

// dotted reports whether a path has a segment that stands for another.
func dotted(path string) bool {
	return slices.ContainsFunc(strings.Split(path, "/"), func(s string) bool { return s == "." || s == ".." })
}

var goodName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// name checks what becomes a metric label and part of a key.
func (l *loader) name(place, text string) {
	if !goodName.MatchString(text) {
		l.fault(place, fmt.Sprintf("%q is no good name", text), "use 1 to 64 letters, digits and . _ -, beginning with a letter or digit")
	}
}
