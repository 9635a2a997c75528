package awssdk

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"

	"github.com/fairlead-lb/fairlead/internal/cloud"
)

// passes is how many of n calls at once get through without giving up.
func passes(b *budget, n int, in any) (through int) {
	for range n {
		if b.wait(context.Background(), "call", in) == nil {
			through++
		}
	}
	return through
}

func TestTheBudgetIsWhatAWSPublishes(t *testing.T) {
	tests := map[string]struct {
		in      any
		in10s   int // calls that pass in ten seconds, with a burst first
		instant int // of these, without any wait
	}{
		"describe":             {&elbv2.DescribeLoadBalancersInput{}, 40 + 100, 40},
		"register":             {&elbv2.RegisterTargetsInput{}, 20 + 40, 20},
		"create load balancer": {&elbv2.CreateLoadBalancerInput{}, 10 + 2, 10},
		"other writes":         {&elbv2.CreateTargetGroupInput{}, 20 + 30, 20},
		"EC2 writes":           {&ec2.CreateSecurityGroupInput{}, 50 + 50, 50},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, start := newBudget(1), time.Now()
				through, instant := 0, 0
				for time.Since(start) < 10*time.Second {
					if b.wait(t.Context(), "call", tt.in) != nil {
						time.Sleep(100 * time.Millisecond)
						continue
					}
					through++
					if time.Since(start) == 0 {
						instant++
					}
				}
				if instant != tt.instant || through < tt.in10s-1 || through > tt.in10s+1 {
					t.Errorf("%d calls at once and %d in ten seconds, want %d and %d", instant, through, tt.instant, tt.in10s)
				}
			})
		})
	}
}

func TestBudgetsAreApartWhereAWSKeepsThemApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(1)
		passes(b, 100, &elbv2.CreateLoadBalancerInput{})
		for name, in := range map[string]any{
			"another action":              &elbv2.RegisterTargetsInput{},
			"the other version's API":     &elb.CreateLoadBalancerInput{},
			"another service":             &ec2.CreateSecurityGroupInput{},
			"another action of a service": &ec2.DeleteSecurityGroupInput{},
		} {
			if passes(b, 1, in) != 1 {
				t.Errorf("%s waits for CreateLoadBalancer", name)
			}
		}
		passes(b, 1000, &elbv2.CreateTargetGroupInput{})
		if start := time.Now(); passes(b, 10, &elbv2.CreateListenerInput{}) == 10 && time.Since(start) == 0 {
			t.Error("actions that share a bucket do not share the budget")
		}
	})
}

func TestACallDoesNotWaitLongForItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, start := newBudget(1), time.Now()
		passes(b, 10, &elbv2.SetSubnetsInput{})
		err := b.wait(t.Context(), "set subnets", &elbv2.SetSubnetsInput{})
		if !cloud.Is(err, cloud.Throttled) || time.Since(start) > patience {
			t.Errorf("after %v: %v, want an error of class %s", time.Since(start), err, cloud.Throttled)
		}
		time.Sleep(5 * time.Second) // a call that gave up took no turn from others
		if passes(b, 1, &elbv2.SetSubnetsInput{}) != 1 {
			t.Error("its turn was not given back")
		}
	})
}

func TestABudgetCanBeRaisedOrLifted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if got := passes(newBudget(3), 100, &elbv2.CreateLoadBalancerInput{}); got != 30 {
			t.Errorf("%d calls at three times the rate, want 30", got)
		}
		if got := passes(newBudget(math.Inf(1)), 10_000, &elbv2.CreateLoadBalancerInput{}); got != 10_000 {
			t.Errorf("%d of 10,000 calls without a budget", got)
		}
	})
}
