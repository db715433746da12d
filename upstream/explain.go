package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// Explain says in one line why a backend could not be reached and what to do
// about it, naming the settings ca_file, server_name and url. It is for
// operators, never for clients: the text may name hosts. What it does not know
// it returns as err says it.
func Explain(err error) string {
	if text := explain(err); text != "" {
		return text
	}
	return "the backend could not be reached: " + err.Error()
}

func explain(err error) string {
	if text := explainTLS(err); text != "" {
		return text
	}
	return explainNet(err)
}

// explained adds cause and remedy to what a transport returned.
func explained(err error) error {
	text := explain(err)
	if text == "" {
		text = "the backend could not be reached"
	}
	return fmt.Errorf("%s: %w", text, err)
}

func explainTLS(err error) string {
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		return fmt.Sprintf("the backend's certificate is not for %s: set server_name to a name that it is for (%s)", e.Host, certificateNames(e.Certificate))
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "the backend's certificate is signed by an authority that is not trusted: set ca_file to that authority's certificate"
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if e.Reason == x509.Expired {
			return "the backend's certificate is expired or not yet valid: renew it, or set the clock of this machine"
		}
		return "the backend's certificate is not valid (" + e.Error() + "): replace it"
	}
	if e, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		if string(e.RecordHeader[:]) == "HTTP/" {
			return "the backend speaks plain http on this port: change the url to http://, or name the https port"
		}
		return "the backend does not speak TLS on this port: check the port in url"
	}
	if e, ok := errors.AsType[tls.AlertError](err); ok {
		return "the backend refused the TLS handshake (" + e.Error() + "): check server_name, and which TLS versions it speaks"
	}
	return ""
}

// certificateNames lists the first names a certificate is for.
func certificateNames(c *x509.Certificate) string {
	if c == nil {
		return "it names none"
	}
	names := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return "it names none; it has to be made anew with a subject alternative name"
	}
	return strings.Join(names[:min(len(names), 5)], ", ")
}

func explainNet(err error) string {
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		if e.IsNotFound {
			return "no such host " + e.Name + ": check the host in url and this machine's name service"
		}
		return "the name service did not answer for " + e.Name + ": check this machine's name service"
	}
	switch {
	case exhausted(err):
		return "as many connections are open as the limit of open files leaves room for: raise it (ulimit -n)"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused: check host and port in url, and that the backend runs"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no route to the backend: check the address in url and the network"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the backend closed the connection without an answer: check that url has the right scheme and port"
	case isTimeout(err):
		return "the backend did not answer in time: check that it runs and that nothing in between drops packets"
	}
	return ""
}

func isTimeout(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// exhausted reports whether a connection was not made for want of a descriptor.
func exhausted(err error) bool {
	return errors.Is(err, errNoPlace) || errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// unreachable makes a *token.Error of what a transport returned: GatewayTimeout,
// BadGateway, or Unavailable where the request was not sent for want of a
// descriptor, with cause and remedy for the log alone.
func unreachable(err error) *token.Error {
	cause := fmt.Errorf("upstream: %w", explained(err))
	if exhausted(err) {
		return unavailable("The gateway has too many connections open. Try again later.", cause, time.Second)
	}
	if isTimeout(err) {
		return token.Fail(token.GatewayTimeout, "The backend did not answer in time. Try again later.", cause)
	}
	return token.Fail(token.BadGateway, "The backend could not be reached. Try again later, or ask the operator.", cause)
}
