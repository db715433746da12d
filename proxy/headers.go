package proxy

import (
	"net/http"
	"slices"
	"strings"
)

// spoofable are the names, folded, by which backends believe what a proxy tells
// them. None of them is believed from a client; those that end in - are
// prefixes.
var spoofable = []string{
	"forwarded", "x-forwarded-", "x-real-ip", "true-client-ip", "cf-connecting-ip", "x-client-ip", "x-cluster-client-ip",
	"x-client-cert", "x-ssl-", "x-original-", "x-rewrite-url", "x-http-method", "x-http-method-override",
	"x-method-override", "remote-user", "x-remote-", "x-auth-request-", "x-authenticated-", "x-user", "x-email", "x-groups",
	"x-gatehouse-", "proxy", "x-request-id",
}

// fold is how careless backends read a header's name: CGI and WSGI make no
// difference between - and _, nor between cases.
func fold(name string) string { return strings.ReplaceAll(strings.ToLower(name), "_", "-") }

func spoofs(name string) bool {
	f := fold(name)
	return slices.ContainsFunc(spoofable, func(s string) bool {
		return f == s || strings.HasSuffix(s, "-") && strings.HasPrefix(f, s)
	})
}

// cleanHeaders removes what a client may not tell a backend: spoofable names,
// and, in any spelling that folds to them, those by which the gateway gives it
// credentials or tells it who is calling.
func cleanHeaders(h http.Header, ours []string) {
	for name := range h {
		if spoofs(name) || slices.Contains(ours, fold(name)) {
			delete(h, name)
		}
	}
}

// isWebSocket reports whether a request is a WebSocket handshake (RFC 6455
// section 4.1): the one upgrade that is passed on.
func isWebSocket(r *http.Request) bool {
	return r.Method == http.MethodGet && r.ProtoMajor == 1 && r.ContentLength == 0 && len(r.TransferEncoding) == 0 &&
		len(r.Header["Upgrade"]) == 1 && strings.EqualFold(r.Header.Get("Upgrade"), "websocket") &&
		listed(r.Header["Connection"], "upgrade") &&
		r.Header.Get("Sec-Websocket-Version") == "13" && len(r.Header.Get("Sec-Websocket-Key")) == 24
}

// listed reports whether a header that is a list of tokens names one.
func listed(values []string, name string) bool {
	for _, v := range values {
		for t := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(t), name) {
				return true
			}
		}
	}
	return false
}

// dropUpgrade makes an ordinary request of one that asks for any other
// protocol: ReverseProxy would tunnel whatever the backend agrees to, past
// every check. A server may ignore Upgrade (RFC 9110 section 7.8).
func dropUpgrade(h http.Header) {
	delete(h, "Upgrade")
	delete(h, "Http2-Settings")
}

func isGRPC(h http.Header) bool {
	ct := h.Get("Content-Type")
	return ct == "application/grpc" || strings.HasPrefix(ct, "application/grpc+") || strings.HasPrefix(ct, "application/grpc;")
}
