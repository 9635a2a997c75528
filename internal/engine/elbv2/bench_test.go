package elbv2

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/engine/state/statetest"
	"github.com/fairlead-lb/fairlead/internal/engine/targethealth"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/store"
)

// populated is a service with n load balancers of one group with ten targets.
func populated(b *testing.B, n int) *Service {
	b.Helper()
	db := statetest.New(b)
	f, err := inventory.Parse([]byte(network))
	if err != nil {
		b.Fatal(err)
	}
	index := inventory.NewIndex(f)
	s := New(Config{
		Region: "us-west-2", AccountID: "000000000000", Quotas: DefaultQuotas(), DB: db,
		Network: func() *inventory.Index { return index }, Health: targethealth.NewRegistry(), Authorizer: allowAny{}, Now: time.Now,
	})
	err = db.Update(func(tx *store.Tx) error {
		for i := range n {
			putExample(tx, s, i)
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func putExample(tx *store.Tx, s *Service, i int) {
	name, id := fmt.Sprint("b", i), fmt.Sprintf("%016x", i)
	b := state.LoadBalancer{ARN: s.balancerARN(name, id), Name: name, DNSName: s.dnsName(name, id), VPCID: "vpc-1", Zones: []state.ZoneMapping{{Zone: "us-west-2a", SubnetID: "subnet-a"}}}
	g := state.TargetGroup{ARN: s.groupARN(name, id), Name: name, Protocol: "TCP", TargetType: "instance", VPCID: "vpc-1"}
	state.LoadBalancers.Put(tx, b)
	state.TargetGroups.Put(tx, g)
	for port := range uint16(10) {
		state.Targets.Put(tx, state.Target{TargetGroupARN: g.ARN, ID: "i-a", Port: port + 1})
	}
}

func BenchmarkDescribeOneOf(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := populated(b, n)
			in := &elb.DescribeLoadBalancersInput{Names: []string{"b0"}}
			for b.Loop() {
				if _, err := s.describeLoadBalancers(b.Context(), in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRegisterTargets200(b *testing.B) {
	s := populated(b, 1000)
	in := &elb.RegisterTargetsInput{TargetGroupArn: aws.String(s.groupARN("b0", fmt.Sprintf("%016x", 0)))}
	for port := range int32(200) {
		in.Targets = append(in.Targets, types.TargetDescription{Id: aws.String("i-a"), Port: aws.Int32(port + 1000)})
	}
	out := &elb.DeregisterTargetsInput{TargetGroupArn: in.TargetGroupArn, Targets: in.Targets}
	for b.Loop() {
		if _, err := s.registerTargets(b.Context(), in); err != nil {
			b.Fatal(err)
		}
		if _, err := s.deregisterTargets(b.Context(), out); err != nil {
			b.Fatal(err)
		}
	}
}

type allowAny struct{}

func (allowAny) Authorize(context.Context, string, string, map[string][]string) error { return nil }
