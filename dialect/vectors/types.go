package vectors

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-gateway/gatehouse/dialect"
)

// A File is the vectors of one dialect.
type File struct {
	Family dialect.Family `json:"-"` // whose vectors these are

	Format   string
	Dialect  string // the family's name without dashes
	About    string
	Profiles map[string]string // name: meaning
	Fixtures Fixtures
	Served   []Served
	Spoken   []Spoken
}

// Fixtures is what the gateway is seeded with.
type Fixtures struct {
	Users []struct {
		Username, Password, ID string
		Scope                  []string
		Realm                  string
		Class                  string // Oracle's class of user
		Widget                 bool   // FortiAuthenticator's permission of that name
		Type                   string // ItemPath's type of user
		MFA                    string // the second factor's method
		OTP                    string // the code that proves it, in the tests
	}
	APITokens []struct {
		Token, ID, User string
		Expires         any
		Expired         bool
	} `json:"api_tokens"`
	Clients []struct { // of an OAuth server
		ClientID     string `json:"client_id"`
		ClientSecret string `json:"client_secret"`
		Type         string
		AccessTTL    Seconds  `json:"access_ttl"`
		RedirectURIs []string `json:"redirect_uris"`
	}
	Switches map[string]string // name: meaning; Switches has their values
}

// About is what a vector says of itself.
type About struct {
	ID, Title            string
	Origin, Source, Note string // how it is known to be so
}

// A Served vector has the gateway as the issuer, and a client that talks to it.
type Served struct {
	About
	Profiles []string // those it holds for
	Steps    []Step
}

// A Step is a control, or a request with its response.
type Step struct {
	Control  *Control
	Request  *Request
	Response Response
	Example  *Example
	Offline  *Offline // verification data alone: nothing is sent
}

// An Example is the answer that the vendor's page shows.
type Example struct {
	Headers map[string]string
	Body    json.RawMessage // JSON, or a string that holds something else
}

// Text is the body, word for word.
func (e Example) Text() string {
	var text string
	if json.Unmarshal(e.Body, &text) == nil {
		return text
	}
	return string(e.Body)
}

// A Control moves the issuer's clock or changes its configuration.
type Control struct {
	Advance Seconds
	Set     *Switches
}

// Switches is a change of the configuration; what is absent stays as it is.
type Switches struct {
	Local      string  // "false" turns login and Basic off
	AccessTTL  Seconds `json:"access_ttl"`
	RefreshTTL Seconds `json:"refresh_ttl"`
	Missing    string  // the error code of a call without any credential
	HTTPSOnly  string  `json:"https_only"`   // "true" refuses calls without TLS
	Approve    string  `json:"push_approve"` // the session of a pending challenge
	Deny       string  `json:"push_deny"`
}

// Apply changes a dialect's settings.
func (s Switches) Apply(to *dialect.Settings) {
	if s.Local != "" {
		to.LocalAuthOff = s.Local == "false"
	}
	if s.AccessTTL != 0 {
		to.AccessTTL = s.AccessTTL.Duration()
	}
	if s.RefreshTTL != 0 {
		to.RefreshTTL = s.RefreshTTL.Duration()
	}
	if s.Missing != "" {
		to.MissingTokenCode = s.Missing
	}
	if s.HTTPSOnly != "" {
		to.HTTPSOnly = s.HTTPSOnly == "true"
	}
}

// A Request is what a client sends; Scope.NewRequest makes it.
type Request struct {
	Method, Path string
	As           string             // which signed-in user drives a spoken vector; empty: c1
	Headers      map[string]*string // null removes what the body has set
	Cookies      map[string]string
	Body         struct {
		JSON any
		Form map[string]string
		Raw  string
	}
}

// A Response is what a client gets; Scope.Check holds an answer against it.
type Response struct {
	Status  Statuses
	Headers map[string]any
	Cookies map[string]any
	Body    struct {
		JSON        any
		XML         map[string]any // by path: response/data/accessToken
		Text        any
		Empty       bool
		NotContains []string `json:"not_contains"`
	}
	Location struct {
		URL   any
		Query map[string]any
	}
	NotContains []string `json:"not_contains"` // neither in the header nor in the body
}

// A Spoken vector has the gateway as the client of a backend, which a Script
// plays.
type Spoken struct {
	About
	Upstream struct {
		Profile, Username, Password string
		APIToken                    string `json:"api_token"`
		Version                     string // which version of the API is spoken first
		ClientID                    string `json:"client_id"`
		ClientSecret                string `json:"client_secret"`
		TOTPSeed                    string `json:"totp_seed"`         // base32
		ApplicationToken            bool   `json:"application_token"` // log in only to get one
		StaticToken                 string `json:"static_token"`
	}
	MaxRetries int `json:"max_retries"` // for the reader: the exchanges say what happens
	Timeline   []Item
}

// An Item is a drive, a move of the clock or the shutdown, and what happens at
// the backend meanwhile.
type Item struct {
	Drive      *Request
	ClientGets Response `json:"client_gets"`
	Exchanges  []Exchange
	Concurrent int // how many drives there are at once; 0: one
	Advance    Seconds
	Shutdown   bool
}

// An Exchange is a request that the backend expects, and its reply.
type Exchange struct {
	Expect    Expect
	Reply     Reply
	Repeat    Times
	DelayMS   int `json:"delay_ms"`
	HoldUntil int `json:"hold_until"` // every reply waits until so many requests have come
}

// Expect is what a request to the backend must be; its Check says whether it is.
type Expect struct {
	Method, Path string // Path may be a matcher
	Headers      map[string]any
	Body         struct {
		JSON any
		Raw  any // a matcher of the text
	}
	BodyToken    string   `json:"body_contains_token"`
	BodyNoToken  bool     `json:"body_contains_no_token"` // the body is empty
	AccessToken  string   `json:"carries_access_token"`
	RefreshToken string   `json:"carries_refresh_token"`
	NotContains  []string `json:"not_contains"` // neither in the header nor in the body
}

// A Reply is what the backend answers.
type Reply struct {
	Status  int
	Headers [][2]string
	Body    struct {
		JSON json.RawMessage
		Raw  string
	}
}

// Header returns the reply's header.
func (p Reply) Header() http.Header {
	h := http.Header{}
	for _, kv := range p.Headers {
		h.Add(kv[0], kv[1])
	}
	if p.Body.JSON != nil && h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	return h
}

// Text returns the reply's body.
func (p Reply) Text() string { return p.Body.Raw + string(p.Body.JSON) }

// Seconds is a span of time.
type Seconds float64

// Duration returns it as the standard library has it.
func (s Seconds) Duration() time.Duration { return time.Duration(float64(s) * float64(time.Second)) }

// Statuses is the status codes that a response may have.
type Statuses []int

// UnmarshalJSON reads a code or a list of codes.
func (s *Statuses) UnmarshalJSON(b []byte) error {
	if strings.HasPrefix(string(b), "[") {
		return json.Unmarshal(b, (*[]int)(s))
	}
	*s = Statuses{0}
	return json.Unmarshal(b, &(*s)[0])
}

// Times is how often an exchange happens. Zero: once.
type Times struct{ Least, Most int }

// UnmarshalJSON reads n or "least..most".
func (n *Times) UnmarshalJSON(b []byte) error {
	if !strings.HasPrefix(string(b), `"`) {
		err := json.Unmarshal(b, &n.Least)
		n.Most = n.Least
		return err
	}
	var text string
	err := json.Unmarshal(b, &text)
	least, most, _ := strings.Cut(text, "..")
	var errs [2]error
	n.Least, errs[0] = strconv.Atoi(least)
	n.Most, errs[1] = strconv.Atoi(most)
	return errors.Join(err, errs[0], errs[1])
}
