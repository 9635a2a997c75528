package controller

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/fairlead-lb/fairlead/internal/cloud"
)

// policy says what follows from an error of a class.
type policy struct {
	after     time.Duration // fixed delay; 0 means that it doubles with each failure
	event     bool          // tell the user
	condition string        // reason of the condition Programmed
	known     bool          // the call had no effect for certain
}

// policyOf is the one table of what errors lead to. A class stands for what the
// user or time has to do; the metric label is the class itself.
func policyOf(c cloud.Class) policy {
	switch c {
	case cloud.NotFound, cloud.Duplicate:
		// The picture that the plan was made from is old: look again.
		return policy{condition: "OutOfDate"}
	case cloud.InUse:
		return policy{condition: "WaitingForAWS", known: true}
	case cloud.Throttled:
		return policy{condition: "Throttled", known: true}
	case cloud.Denied:
		return policy{after: time.Minute, event: true, condition: "AccessDenied", known: true}
	case cloud.Quota:
		return policy{after: 2 * time.Minute, event: true, condition: "QuotaExceeded", known: true}
	case cloud.Invalid:
		return policy{after: 2 * time.Minute, event: true, condition: "Refused", known: true}
	default:
		return policy{event: true, condition: "Error"}
	}
}

func keepsState(c cloud.Class) bool { return policyOf(c).known }

// classOf is the class of any error of a pass.
func classOf(err error) cloud.Class {
	if _, ok := errors.AsType[*errNameTaken](err); ok {
		return cloud.Invalid
	}
	if _, ok := errors.AsType[*errGroupName](err); ok {
		return cloud.Invalid
	}
	if _, ok := errors.AsType[*errForeign](err); ok {
		return cloud.Invalid
	}
	return cloud.ClassOf(err)
}

// delay is how long to wait after the nth failure in a row, give or take a
// fifth so that Services that failed together do not come back together.
func (p policy) delay(n int, o Options) time.Duration {
	d := p.after
	if d == 0 {
		d = o.RetryMax
		if n < 20 && o.RetryBase<<n < o.RetryMax {
			d = o.RetryBase << n
		}
	}
	return d - d/5 + rand.N(d*2/5+1)
}
