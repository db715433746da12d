package dialect

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// -> GET /api/version
// <- 200, public: {"apiVersion":"v7.0","releaseVersion":"7.0.12+1"}

type ipfVersion struct {
	APIVersion     string `json:"apiVersion"`
	ReleaseVersion string `json:"releaseVersion"`
}

func ipfReadVersion(*http.Request) (token.Grant, error) {
	return token.Grant{Op: token.OpVersion}, nil
}

func (v ipf) writeVersion(w http.ResponseWriter, _ token.Set) error {
	return writeJSON(w, http.StatusOK, ipfVersion{"v" + v.name, v.release()})
}

// release is the product version shown; the profile with a patch of its own. [I]
func (v ipf) release() string { return v.name + ".0+0" }

// Header versioning, from 7.5 on. The numbers and the date are not public. [I]
const (
	ipfAPIVersion = "1"
	ipfSunset     = "Thu, 31 Dec 2026 23:59:59 GMT"
)

// ipfGoneToken is the token path that 7.0 took away.
var ipfGoneToken = regexp.MustCompile(`^/api/v[^/]*/auth/token$`)

func (v ipf) admit(r *http.Request) *token.Error {
	if !v.versionedToken && ipfGoneToken.MatchString(r.URL.Path) {
		return token.Fail(token.NotFound, "Token endpoints have no version in their path from 7.0 on; use /api/auth/token", nil)
	}
	if !v.headerVersions {
		return nil
	}
	for _, asked := range r.Header.Values("X-API-Version") {
		if strings.TrimSpace(asked) != ipfAPIVersion {
			return token.Fail(token.Gone, "This API version is not served; X-API-Versions-Supported names those that are", nil)
		}
	}
	return nil
}

// decorate adds the headers of 7.5 where the answer lacks them.
func (v ipf) decorate(r *http.Request, h http.Header) {
	add := func(name, value string) {
		if len(h.Values(name)) == 0 {
			h.Set(name, value)
		}
	}
	add("X-API-Versions-Supported", ipfAPIVersion)
	add("X-API-Version-Used", ipfAPIVersion)
	add("X-Product-Version", v.release())
	if rest, ok := strings.CutPrefix(r.URL.Path, "/api"); ok {
		if first, _, _ := segment(rest); isVersion(first) {
			add("Deprecation", "true")
			add("Sunset", ipfSunset)
		}
	}
}
