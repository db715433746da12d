package deliver

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/gatehouse-gateway/gatehouse/identity"
)

// The headers of a call. The signature is "sha256=" and, in hex, HMAC-SHA-256
// under the secret over the time, a dot and the body; the time is in Unix
// seconds, so that the receiver can refuse a call that somebody recorded.
const (
	timeHeader      = "X-Gatehouse-Time"
	signatureHeader = "X-Gatehouse-Signature"
)

// posted is the body of a call.
type posted struct {
	User      string `json:"user"`
	To        string `json:"to"`
	Method    string `json:"method"` // sms or email
	Code      string `json:"code"`
	ExpiresIn int    `json:"expires_in"` // seconds
}

type poster struct {
	Webhook
	client *http.Client
}

func newPoster(c Webhook) (*poster, error) {
	conf, err := tlsConfig(c.CAFile, "")
	if err != nil {
		return nil, err
	}
	return &poster{Webhook: c, client: &http.Client{
		Timeout: c.Timeout,
		Transport: &http.Transport{
			DialContext: (&net.Dialer{Timeout: c.Timeout}).DialContext, TLSClientConfig: conf, TLSHandshakeTimeout: c.Timeout,
			MaxIdleConnsPerHost: atOnce, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true,
		},
		// Where codes go is configured, not said by whoever answers there.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func (p *poster) send(ctx context.Context, c identity.Code, life time.Duration) error {
	body, err := json.Marshal(posted{c.User, c.To, c.Method, c.Text.Reveal(), int(life / time.Second)})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL.String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	at := strconv.FormatInt(time.Now().Unix(), 10)
	h := hmac.New(sha256.New, []byte(p.Secret.Reveal()))
	h.Write([]byte(at + "."))
	h.Write(body)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(timeHeader, at)
	r.Header.Set(signatureHeader, "sha256="+hex.EncodeToString(h.Sum(nil)))
	res, err := p.client.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, _ = io.CopyN(io.Discard, res.Body, 64<<10) // so that the connection can be used again
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fmt.Errorf("the webhook answers %d", res.StatusCode)
	}
	return nil
}
