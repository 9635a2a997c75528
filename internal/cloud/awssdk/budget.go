package awssdk

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path"
	"reflect"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/fairlead-lb/fairlead/internal/cloud"
)

// pace is what AWS lets an account do in a region with the actions of a pattern:
// a bucket of tokens, and how fast it fills. One that is for each action is not
// shared by the actions.
type pace struct {
	actions   string
	burst     float64
	perSecond float64
	each      bool
}

// The paces that AWS publishes, the first that fits counts: of ELB in its user
// guide ("Request throttling for the ELB API"), where each version of the API
// has buckets of its own; of EC2 in its developer guide ("Request throttling for
// the Amazon EC2 API"). For tagging nothing is published.
func paces(service string) []pace {
	switch service {
	case "elasticloadbalancingv2", "elasticloadbalancing":
		return []pace{
			{"Describe*", 40, 10, false},
			{"RegisterTargets", 20, 4, false},
			{"DeregisterTargets", 20, 4, false},
			{"CreateLoadBalancer", 10, 0.2, false},
			{"SetSubnets", 10, 0.2, false},
			{"*", 20, 3, false},
		}
	case "ec2":
		return []pace{{"Describe*", 100, 20, true}, {"*", 50, 5, true}}
	default:
		return []pace{{"*", 10, 5, false}}
	}
}

// patience is how long a call waits for its turn. Longer, and it would hold up
// the worker, who has other Services to see to: their targets are not to wait
// for someone's load balancer.
const patience = time.Second

// budget keeps calls within the paces: a controller that runs into AWS's limits
// takes from everyone else in the account too.
type budget struct {
	factor float64 // of the paces; +Inf is no budget

	mu       sync.Mutex
	limiters map[string]*rate.Limiter
}

func newBudget(factor float64) *budget {
	return &budget{factor: factor, limiters: map[string]*rate.Limiter{}}
}

// errBudget says that a call would have had to wait too long.
var errBudget = errors.New("the budget of calls is used up")

// wait waits for a call's turn.
func (b *budget) wait(ctx context.Context, doing string, in any) error {
	if math.IsInf(b.factor, 1) {
		return ctx.Err()
	}
	r := b.limiter(in).Reserve()
	delay := r.Delay()
	if delay > patience {
		r.Cancel()
		return &cloud.Error{Doing: doing, Class: cloud.Throttled, Err: fmt.Errorf("%w: AWS allows few such calls in a while", errBudget)}
	}
	select {
	case <-ctx.Done():
		r.Cancel()
		return cloud.Wrap(doing, ctx.Err())
	case <-time.After(delay):
		return nil
	}
}

// limiter is the one that counts the action that takes this input.
func (b *budget) limiter(in any) *rate.Limiter {
	service, action := path.Base(reflect.TypeOf(in).Elem().PkgPath()), actionOf(in)
	p := paceOf(service, action)
	key := service + ":" + p.actions
	if p.each {
		key = service + ":" + action
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.limiters[key] == nil {
		b.limiters[key] = rate.NewLimiter(rate.Limit(p.perSecond*b.factor), max(1, int(p.burst*b.factor)))
	}
	return b.limiters[key]
}

func paceOf(service, action string) pace {
	for _, p := range paces(service) {
		if fits, err := path.Match(p.actions, action); err == nil && fits {
			return p
		}
	}
	return pace{"*", 1, 1, false} // the last pattern of every service fits all
}
