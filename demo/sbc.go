package demo

import (
	"encoding/xml"
	"net/http"
	"strings"
	"sync"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// sbc shows an Oracle SBC: XML, a lock tied to the token, a renewal that carries
// it over.
var sbc = Simulation{
	Name: "oracle-sbc", Dialect: "oracle-sbc/1.2", Product: "Oracle SBC 9.x",
	Resources: SBC,
	Lines: []Line{
		{"call without a credential", 401, "Client not authorized.", `curl -si "$G/rest/v1.2/system/status" -H "$H"; echo`},
		{"log in with a wrong password", 401, "Client not authorized.", `curl -si -X POST -u alice:wrong "$G/rest/v1.2/auth/token" -H "$H"; echo`},
		{"log in: a token for ten minutes, in XML", 200, "<accessToken>", `IN=$(curl -si -X POST -u alice:alice-demo "$G/rest/v1.2/auth/token" -H "$H"); echo "$IN"; AT=$(element accessToken)`},
		{"call: the gateway puts its own backend token in", 200, "<role>active</role>", `curl -si "$G/rest/v1.2/system/status" -H "$H" -H "Authorization: Bearer $AT"; echo`},
		{"write without the configuration lock", 423, "User does not have the lock.", sbcWrite},
		{"take the lock", 204, "", `curl -si -X POST "$G/rest/v1.2/configuration/lock" -H "$H" -H "Authorization: Bearer $AT"; echo`},
		{"write with it", 204, "", sbcWrite},
		{"renew: password and current token for the next token", 200, "<accessToken>", `OLD=$AT; IN=$(curl -si -u alice:alice-demo "$G/rest/v1.2/auth/token" -H "$H" -H 'Content-Type: x-www-form-urlencoded' -d "accessToken=$AT"); echo "$IN"; AT=$(element accessToken)`},
		{"call with the token before it", 401, "Client not authorized.", `curl -si "$G/rest/v1.2/system/status" -H "$H" -H "Authorization: Bearer $OLD"; echo`},
		{"write with the new one: it has the lock", 204, "", sbcWrite},
		{"give the lock back", 204, "", `curl -si -X POST "$G/rest/v1.2/configuration/unlock" -H "$H" -H "Authorization: Bearer $AT"; echo`},
	},
}

const sbcWrite = `curl -si "$G/rest/v1.2/configuration/configElements" -H "$H" -H "Authorization: Bearer $AT" -H 'Content-Type: application/xml' -d '<configElement><elementType>local-policy</elementType></configElement>'; echo`

// SBC is the resource API of a simulated Oracle SBC: system status and the
// configuration with its lock, under the versions that there are. Its callers
// have been checked before they come here. The lock belongs to the session that
// took it and goes when alive says that this has ended. The shapes are the
// vendor's, the data is not.
func SBC(alive func(token.SID) bool) http.Handler {
	c := &sbcConfiguration{alive: alive, elements: []string{"host-route", "sip-config"}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /system/status", func(w http.ResponseWriter, _ *http.Request) {
		writeXML(w, http.StatusOK, "<systemStatus><role>active</role></systemStatus>", "")
	})
	mux.HandleFunc("GET /configuration/configElements", c.list)
	mux.HandleFunc("POST /configuration/configElements", c.add)
	mux.HandleFunc("POST /configuration/lock", c.take)
	mux.HandleFunc("POST /configuration/unlock", c.release)
	mux.HandleFunc("/", sbcNotFound)
	versions := http.NewServeMux()
	for _, v := range []string{"/rest/v1.0", "/rest/v1.1", "/rest/v1.2"} {
		versions.Handle(v+"/", http.StripPrefix(v, mux))
	}
	versions.HandleFunc("/", sbcNotFound)
	return versions
}

func sbcNotFound(w http.ResponseWriter, _ *http.Request) {
	writeXML(w, http.StatusNotFound, "", "Unsupported versionId in URI, or no such resource.")
}

// sbcConfiguration is what may be changed by one session at a time.
type sbcConfiguration struct {
	alive func(token.SID) bool

	mu       sync.Mutex
	holder   token.SID // guarded by mu; zero: nobody has the lock
	elements []string  // guarded by mu: the types there are
}

// maxElements bounds the toy configuration.
const maxElements = 100

const sbcLocked = "User does not have the lock."

// held reports who has the lock, less those whose session has ended. c.mu is held.
func (c *sbcConfiguration) held() token.SID {
	if !c.holder.IsZero() && !c.alive(c.holder) {
		c.holder = token.SID{}
	}
	return c.holder
}

// has reports whether the caller of a request has the lock. c.mu is held.
func (c *sbcConfiguration) has(r *http.Request) bool {
	caller, _ := token.CallerFrom(r.Context())
	return !caller.SID.IsZero() && c.held() == caller.SID
}

// take gives the lock to a caller; who has it already keeps it.
func (c *sbcConfiguration) take(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	caller, ok := token.CallerFrom(r.Context())
	switch {
	case !ok || caller.SID.IsZero():
		writeXML(w, http.StatusUnauthorized, "", "Client not authorized.")
	case !c.held().IsZero() && !c.has(r):
		writeXML(w, http.StatusLocked, "", sbcLocked)
	default:
		c.holder = caller.SID
		w.WriteHeader(http.StatusNoContent)
	}
}

func (c *sbcConfiguration) release(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.has(r) {
		writeXML(w, http.StatusLocked, "", sbcLocked)
		return
	}
	c.holder = token.SID{}
	w.WriteHeader(http.StatusNoContent)
}

func (c *sbcConfiguration) list(w http.ResponseWriter, _ *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for _, name := range c.elements {
		b.WriteString("<configElement><elementType>" + name + "</elementType></configElement>")
	}
	writeXML(w, http.StatusOK, "<configElements>"+b.String()+"</configElements>", "")
}

func (c *sbcConfiguration) add(w http.ResponseWriter, r *http.Request) {
	var element struct {
		XMLName xml.Name `xml:"configElement"`
		Type    string   `xml:"elementType"`
	}
	err := xml.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&element)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.has(r):
		writeXML(w, http.StatusLocked, "", sbcLocked)
	case err != nil || !isElementType(element.Type) || len(c.elements) == maxElements:
		writeXML(w, http.StatusBadRequest, "", "The body is no configElement with an elementType, or there are too many.")
	default:
		c.elements = append(c.elements, element.Type)
		w.WriteHeader(http.StatusNoContent)
	}
}

// isElementType takes lower-case words with dashes, as the vendor's types are.
func isElementType(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(c rune) bool { return c != '-' && (c < 'a' || c > 'z') })
}

// writeXML answers in the vendor's envelope with data, which is XML, or a message.
func writeXML(w http.ResponseWriter, status int, data, message string) {
	if message != "" {
		message = "<errorMessage>" + message + "</errorMessage>"
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(`<?xml version="1.0" encoding="UTF-8" standalone="yes"?><response><data>` + data + // a client that went away is no error here
		"</data><messages>" + message + "</messages><links/></response>"))
}
