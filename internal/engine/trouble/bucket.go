package trouble

import (
	"sync"
	"time"

	"github.com/fairlead-lb/fairlead/internal/wire"
)

// Rate is a token bucket of request throttling.
type Rate struct {
	Action    string  `json:"action"`         // as in Fault
	Burst     float64 `json:"burst"`          // how many calls a full bucket lets through
	PerSecond float64 `json:"perSecond"`      // how fast it fills
	Each      bool    `json:"each,omitempty"` // a bucket for every action that matches, not one for all
}

// awsRates are what AWS publishes for an account in a region. Of the ELB API in
// its user guide (Elastic Load Balancing User Guide, "Request throttling for the
// Elastic Load Balancing API", elb-api-throttling.html): actions of a kind share a
// bucket, and each version of the API has buckets of its own. Of EC2 in its
// developer guide (Amazon EC2 Developer Guide, "Request throttling for the Amazon
// EC2 API", ec2-api-throttling.html): every action has its own bucket.
var awsRates = []Rate{
	{Action: "elasticloadbalancing:Describe*", Burst: 40, PerSecond: 10},
	{Action: "elasticloadbalancing:RegisterTargets", Burst: 20, PerSecond: 4},
	{Action: "elasticloadbalancing:DeregisterTargets", Burst: 20, PerSecond: 4},
	{Action: "elasticloadbalancing:CreateLoadBalancer", Burst: 10, PerSecond: 0.2},
	{Action: "elasticloadbalancing:SetSubnets", Burst: 10, PerSecond: 0.2},
	{Action: "elasticloadbalancing:*", Burst: 20, PerSecond: 3},
	{Action: "ec2:Describe*", Burst: 100, PerSecond: 20, Each: true},
	{Action: "ec2:RunInstances", Burst: 5, PerSecond: 2, Each: true},
	{Action: "ec2:*", Burst: 50, PerSecond: 5, Each: true},
}

// bucket holds tokens. A new one is full.
type bucket struct {
	tokens float64
	at     time.Time // when tokens was right
}

// take returns the bucket after a call at now and whether the call may pass.
func (b bucket) take(r Rate, now time.Time) (bucket, bool) {
	if b.at.IsZero() {
		b.tokens = r.Burst
	} else if passed := now.Sub(b.at).Seconds(); passed > 0 {
		b.tokens = min(r.Burst, b.tokens+passed*r.PerSecond)
	}
	b.at = now
	if b.tokens < 1 {
		return b, false
	}
	b.tokens--
	return b, true
}

// buckets are those of all rates. There are at most as many as actions.
type buckets struct {
	rates []Rate
	mu    sync.Mutex
	held  map[string]bucket
}

func newBuckets(rates []Rate) *buckets { return &buckets{rates: rates, held: map[string]bucket{}} }

// take reports whether a call may pass. A call that no rate is about always may.
func (b *buckets) take(call wire.Call, now time.Time) bool {
	for _, r := range b.rates {
		if !matches(r.Action, call) {
			continue
		}
		key := r.Action + " " + call.Version
		if r.Each {
			key += " " + call.Action
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		after, ok := b.held[key].take(r, now)
		b.held[key] = after
		return ok
	}
	return true
}
