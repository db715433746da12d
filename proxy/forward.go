package proxy

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// pass hands a request to the backend.
func (p *Proxy) pass(x *exchange) error {
	r := x.r
	if r.Header.Get("Upgrade") != "" {
		if !isWebSocket(r) {
			dropUpgrade(r.Header)
		} else if err := p.o.Edge.sameOriginStrict(r); err != nil {
			return err
		}
	}
	if n := x.route.Forwarding.MaxBody; n > 0 {
		if r.ContentLength > n {
			return token.Fail(token.TooLarge, "the body is over this route's limit", nil)
		}
		r.Body = http.MaxBytesReader(x.w, r.Body, n)
	}
	if x.body != nil {
		x.body.within(0)
		defer x.body.within(restTime)
	}
	ctx := context.WithValue(r.Context(), exchangeKey{}, x)
	if x.inject {
		ctx = token.WithCaller(ctx, x.caller)
	}
	x.route.forward.ServeHTTP(x.w, r.WithContext(ctx))
	return nil
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

func (p *Proxy) reverseProxy(ps *passage) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite:        func(pr *httputil.ProxyRequest) { p.rewrite(ps, pr) },
		ModifyResponse: func(res *http.Response) error { return p.modify(ps, res) },
		ErrorHandler: func(_ http.ResponseWriter, r *http.Request, err error) {
			x := exchangeOf(r.Context())
			p.fail(x, p.classifyForward(x, err))
		},
		Transport:  quiet{ps.Transport},
		BufferPool: buffers{},
		ErrorLog:   slog.NewLogLogger(p.log.Handler(), slog.LevelDebug),
	}
}

// rewrite makes the request that the backend gets: the bytes that policy saw,
// none of the client's credentials, and only our word on where it came from.
func (p *Proxy) rewrite(ps *passage, pr *httputil.ProxyRequest) {
	x, in, out := exchangeOf(pr.In.Context()), pr.In, pr.Out
	out.URL.Scheme, out.URL.Host = ps.Target.Scheme, ps.Target.Host
	out.URL.Path, out.URL.RawPath = joinBase(ps.Target, in.URL)
	out.URL.RawQuery = in.URL.RawQuery // ReverseProxy drops what ParseQuery would not take
	out.Host = ""
	if ps.Forwarding.PreserveHost {
		out.Host = in.Host
	}
	cleanHeaders(out.Header, ps.folded)
	for _, c := range ps.strip {
		c.Del(out)
	}
	if !isGRPC(out.Header) {
		delete(out.Header, "Te")
	}
	out.Trailer = nil
	out.Header.Set("X-Forwarded-For", x.from)
	out.Header.Set("X-Forwarded-Host", in.Host)
	out.Header.Set("X-Forwarded-Proto", p.o.Edge.Scheme(in))
	out.Header.Set(requestIDHeader, x.id)
	if x.inject && x.session != nil {
		ps.Identity.set(out.Header, x.session)
	}
}

// joinBase puts a path under the base path of the backend's URL.
func joinBase(target, u *url.URL) (path, rawPath string) {
	base := strings.TrimSuffix(target.Path, "/")
	if base == "" {
		return u.Path, u.RawPath
	}
	return base + u.Path, strings.TrimSuffix(target.EscapedPath(), "/") + u.EscapedPath()
}

// quiet closes two holes of ReverseProxy around a RoundTripper. A context that
// hides its values takes away the trace by which 1xx answers would reach the
// client past ModifyResponse and clear the headers set before (golang/go#81207);
// trailers, which arrive after ModifyResponse too, are dropped but for gRPC's.
type quiet struct{ next http.RoundTripper }

func (q quiet) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx := context.Context(hidden{r.Context()})
	if c, ok := token.CallerFrom(r.Context()); ok {
		ctx = token.WithCaller(ctx, c)
	}
	res, err := q.next.RoundTrip(r.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	// The transport fills in trailers of its own Response, so a copy stays bare.
	bare := *res
	bare.Trailer, bare.Request = nil, r // whose context still has its values
	if isGRPC(res.Header) {
		bare.Trailer = http.Header{}
		bare.Body = &trailing{ReadCloser: res.Body, from: res, to: bare.Trailer}
	}
	return &bare, nil
}

// hidden keeps deadline and cancellation of a context and hides its values.
type hidden struct{ context.Context } //nolint:containedctx // it is a context

func (hidden) Value(any) any { return nil }

// trailing passes on gRPC's own trailers when the body has ended.
type trailing struct {
	io.ReadCloser
	from *http.Response
	to   http.Header
}

func (t *trailing) Read(b []byte) (int, error) {
	n, err := t.ReadCloser.Read(b)
	if err == io.EOF {
		for _, name := range []string{"Grpc-Status", "Grpc-Message", "Grpc-Status-Details-Bin"} {
			if v, ok := t.from.Trailer[name]; ok {
				t.to[name] = v
			}
		}
	}
	return n, err
}

// buffers lends ReverseProxy the 32 KiB it copies bodies with.
type buffers struct{}

var bufferPool = sync.Pool{New: func() any { return new([32 << 10]byte) }}

func (buffers) Get() []byte {
	b, ok := bufferPool.Get().(*[32 << 10]byte)
	if !ok {
		b = new([32 << 10]byte)
	}
	return b[:]
}

func (buffers) Put(b []byte) {
	if cap(b) == 32<<10 {
		bufferPool.Put((*[32 << 10]byte)(b[:32<<10]))
	}
}
