package identity

import (
	"crypto/subtle"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// stepsOff is how many time steps before and after the present one are taken
// too (RFC 6238 section 5.2).
const stepsOff = 1

// matchStep returns the latest time step near now whose code this is; 0: none.
func matchStep(seed token.Seed, digits int, code token.Secret, now time.Time) int64 {
	var found int64
	for step := token.StepAt(now) - stepsOff; step <= token.StepAt(now)+stepsOff; step++ {
		if subtle.ConstantTimeCompare([]byte(seed.Code(step, digits).Reveal()), []byte(code.Reveal())) == 1 {
			found = step
		}
	}
	return found
}
