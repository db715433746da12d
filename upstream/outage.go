package upstream

import (
	"sync/atomic"
	"time"
)

// calm is for how long no refresh token is used that may be used once only after
// the store could not be asked: whoever has renewed it meanwhile offers what came
// of that every offerEvery.
const calm = offerEvery * 3 / 2

// outage knows when the store was last found to answer again. The zero value knows
// of no time when it did not.
type outage struct {
	down atomic.Bool
	back atomic.Int64 // Unix ns
}

// note takes what came of a call to the store.
func (o *outage) note(err error) {
	switch {
	case err != nil:
		o.down.Store(true)
	case o.down.Swap(false):
		o.back.Store(time.Now().UnixNano())
	}
}

// rest is what is left of the calm; 0 or less: nothing.
func (o *outage) rest() time.Duration {
	return min(time.Until(time.Unix(0, o.back.Load()).Add(calm)), calm)
}
