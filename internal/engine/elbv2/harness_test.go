package elbv2

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/smithy-go"

	"github.com/fairlead-lb/fairlead/internal/apitest"
	"github.com/fairlead-lb/fairlead/internal/engine/balancing"
	"github.com/fairlead-lb/fairlead/internal/engine/state/statetest"
	"github.com/fairlead-lb/fairlead/internal/engine/targethealth"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/store"
)

const network = `
vpcs:
- {vpcId: vpc-1, cidrBlock: 198.18.0.0/16, ipv6CidrBlock: "2001:db8::/32"}
- {vpcId: vpc-2, cidrBlock: 198.19.0.0/16}
subnets:
- {subnetId: subnet-a, vpcId: vpc-1, availabilityZone: us-west-2a, availabilityZoneId: usw2-az1, cidrBlock: 198.18.16.0/20, ipv6CidrBlock: "2001:db8:0:1::/64", public: true}
- {subnetId: subnet-b, vpcId: vpc-1, availabilityZone: us-west-2b, availabilityZoneId: usw2-az2, cidrBlock: 198.18.32.0/20, ipv6CidrBlock: "2001:db8:0:2::/64", public: true}
- {subnetId: subnet-a2, vpcId: vpc-1, availabilityZone: us-west-2a, availabilityZoneId: usw2-az1, cidrBlock: 198.18.48.0/20, public: true}
- {subnetId: subnet-tiny, vpcId: vpc-1, availabilityZone: us-west-2c, availabilityZoneId: usw2-az3, cidrBlock: 198.18.64.0/29, public: true}
- {subnetId: subnet-private, vpcId: vpc-2, availabilityZone: us-west-2a, availabilityZoneId: usw2-az1, cidrBlock: 198.19.0.0/20}
securityGroups:
- {groupId: sg-nodes, groupName: nodes, vpcId: vpc-1}
- {groupId: sg-frontend, groupName: frontend, vpcId: vpc-1}
- {groupId: sg-other, groupName: other, vpcId: vpc-2}
instances:
- instanceId: i-a
  networkInterfaces: [{subnetId: subnet-a, addresses: [198.18.16.16, "2001:db8:0:1::10"], prefixes: [198.18.17.0/24], securityGroups: [sg-nodes]}]
- instanceId: i-b
  networkInterfaces: [{subnetId: subnet-b, addresses: [198.18.32.16], securityGroups: [sg-nodes]}]
- instanceId: i-c
  networkInterfaces: [{subnetId: subnet-tiny, addresses: [198.18.64.6]}]
- {instanceId: i-stopped, state: stopped, networkInterfaces: [{subnetId: subnet-b, addresses: [198.18.32.17]}]}
- {instanceId: i-elsewhere, networkInterfaces: [{subnetId: subnet-private, addresses: [198.19.0.16]}]}
edges:
- {availabilityZone: us-west-2a, addresses: [198.18.16.4]}
- {availabilityZone: us-west-2b, addresses: [198.18.32.4]}
`

// harness is the service behind the real wire layer and a real store, called by
// the AWS SDK.
type harness struct {
	*elb.Client
	t       *testing.T
	path    string
	db      *store.Store
	health  *targethealth.Registry
	service *Service
	asked   *apitest.Judge
}

func newHarness(t *testing.T, configure ...func(*Config)) *harness {
	t.Helper()
	h := &harness{t: t, path: filepath.Join(t.TempDir(), "state.db"), health: targethealth.NewRegistry(), asked: &apitest.Judge{}}
	h.start(configure...)
	return h
}

// start opens the store and serves it; the test ends both.
func (h *harness) start(configure ...func(*Config)) {
	h.t.Helper()
	h.db = statetest.Open(h.t, h.path)
	f, err := inventory.Parse([]byte(network))
	if err != nil {
		h.t.Fatal(err)
	}
	index := inventory.NewIndex(f)
	config := Config{
		Region: "us-west-2", AccountID: "000000000000", Quotas: DefaultQuotas(), DB: h.db,
		Network: func() *inventory.Index { return index }, Health: h.health, Authorizer: h.asked, Now: time.Now,
	}
	for _, c := range configure {
		c(&config)
	}
	h.service = New(config)
	h.Client = elb.NewFromConfig(apitest.Serve(h.t, h.service.API()))
}

func (h *harness) ctx() context.Context { return h.t.Context() }

func (h *harness) balancer(name string, edit ...func(*elb.CreateLoadBalancerInput)) types.LoadBalancer {
	h.t.Helper()
	in := &elb.CreateLoadBalancerInput{Name: &name, Type: types.LoadBalancerTypeEnumNetwork, Subnets: []string{"subnet-a", "subnet-b"}, SecurityGroups: []string{"sg-frontend"}}
	for _, e := range edit {
		e(in)
	}
	return apitest.Must(h.CreateLoadBalancer(h.ctx(), in))(h.t).LoadBalancers[0]
}

func (h *harness) group(name string, edit ...func(*elb.CreateTargetGroupInput)) types.TargetGroup {
	h.t.Helper()
	in := &elb.CreateTargetGroupInput{Name: &name, Protocol: types.ProtocolEnumTcp, Port: aws.Int32(30080), VpcId: aws.String("vpc-1")}
	for _, e := range edit {
		e(in)
	}
	return apitest.Must(h.CreateTargetGroup(h.ctx(), in))(h.t).TargetGroups[0]
}

func (h *harness) listener(b types.LoadBalancer, g types.TargetGroup, port int32) types.Listener {
	h.t.Helper()
	return apitest.Must(h.CreateListener(h.ctx(), listenTo(b, g, port)))(h.t).Listeners[0]
}

func listenTo(b types.LoadBalancer, g types.TargetGroup, port int32) *elb.CreateListenerInput {
	return &elb.CreateListenerInput{LoadBalancerArn: b.LoadBalancerArn, Protocol: g.Protocol, Port: &port, DefaultActions: forwardTo(g)}
}

func forwardTo(g types.TargetGroup) []types.Action {
	return []types.Action{{Type: types.ActionTypeEnumForward, TargetGroupArn: g.TargetGroupArn}}
}

func instances(ids ...string) []types.TargetDescription {
	return balancing.Convert(ids, func(id string) types.TargetDescription { return types.TargetDescription{Id: &id} })
}

func (h *harness) register(g types.TargetGroup, targets ...types.TargetDescription) {
	h.t.Helper()
	apitest.Must(h.RegisterTargets(h.ctx(), &elb.RegisterTargetsInput{TargetGroupArn: g.TargetGroupArn, Targets: targets}))(h.t)
}

// states are the targets' states and reasons, as "id:port state reason".
func (h *harness) states(g types.TargetGroup, targets ...types.TargetDescription) []string {
	h.t.Helper()
	out := apitest.Must(h.DescribeTargetHealth(h.ctx(), &elb.DescribeTargetHealthInput{TargetGroupArn: g.TargetGroupArn, Targets: targets}))(h.t)
	return balancing.Convert(out.TargetHealthDescriptions, func(d types.TargetHealthDescription) string {
		s := fmt.Sprintf("%s:%d %s", *d.Target.Id, *d.Target.Port, d.TargetHealth.State)
		if d.TargetHealth.Reason != "" {
			s += " " + string(d.TargetHealth.Reason)
		}
		return s
	})
}

func messageOf(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorMessage()
	}
	return ""
}
