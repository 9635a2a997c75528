package trouble

import (
	"cmp"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/fairlead-lb/fairlead/internal/wire"
)

// Bounds of how long a client is held: less than the API's write timeout.
const (
	defaultHold = Duration(25 * time.Second)
	maxHold     = Duration(55 * time.Second)
)

func (f Fault) hold() time.Duration { return time.Duration(cmp.Or(f.Hold, defaultHold)) }

func (f Fault) err() error {
	return wire.Errorf(cmp.Or(f.Code, "InternalFailure"), "%s", cmp.Or(f.Message, "This failure was asked for."))
}

// rule is a fault with the calls that it has seen.
type rule struct {
	Fault
	mu    sync.Mutex
	seen  int // calls of its action
	given int // calls that it gave trouble
}

// next decides on a call. coin is a random number from 0 to below 1.
func (r *rule) next(call wire.Call, coin float64) Kind {
	if !matches(r.Action, call) {
		return Pass
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.seen
	r.seen++
	if len(r.Script) > 0 {
		if n < len(r.Script) {
			return r.Script[n]
		}
		return Pass
	}
	if n < r.Skip || r.Count > 0 && r.given >= r.Count || r.Probability > 0 && coin >= r.Probability {
		return Pass
	}
	r.given++
	return r.Kind
}

// matches reports whether a call is one of a pattern's: an action with
// wildcards, after its service and a colon or by itself.
func matches(pattern string, call wire.Call) bool {
	service, action, specific := strings.Cut(pattern, ":")
	if !specific {
		service, action = "*", pattern
	}
	return like(service, call.Service) && like(action, call.Action)
}

// like compares names, which have no slashes, with wildcards.
func like(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return err == nil && ok
}
