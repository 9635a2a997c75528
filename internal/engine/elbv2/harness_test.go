package elbv2

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/smithy-go"

	"github.com/fairlead-lb/fairlead/internal/cloud/plainbody"
	"github.com/fairlead-lb/fairlead/internal/engine/balancing"
	"github.com/fairlead-lb/fairlead/internal/engine/state/statetest"
	"github.com/fairlead-lb/fairlead/internal/engine/targethealth"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
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
	asked   *askedFor
}

// askedFor is an Authorizer that remembers the questions and denies what it is
// told to.
type askedFor struct {
	mu    sync.Mutex
	asked []question
	deny  string // an action
}

type question struct {
	action, resource string
	keys             map[string][]string
}

func (a *askedFor) Authorize(_ context.Context, action, resource string, keys map[string][]string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, question{action, resource, keys})
	if action == a.deny {
		return wire.AccessDeniedf("denied: %s", action)
	}
	return nil
}

// take returns the questions since the last take.
func (a *askedFor) take() []question {
	a.mu.Lock()
	defer a.mu.Unlock()
	asked := a.asked
	a.asked = nil
	return asked
}

type oneKey struct{}

func (oneKey) Credential(id string) (wire.Credential, bool) {
	return wire.Credential{Caller: wire.Caller{AccountID: "000000000000", Name: "test", ARN: "arn:aws:iam::000000000000:user/test", AccessKeyID: id}, SecretAccessKey: "secret"}, id == "AKIDTEST"
}

func newHarness(t *testing.T, configure ...func(*Config)) *harness {
	t.Helper()
	h := &harness{t: t, path: filepath.Join(t.TempDir(), "state.db"), health: targethealth.NewRegistry(), asked: &askedFor{}}
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
	handler := wire.NewHandler(wire.Config{
		APIs: []wire.API{h.service.API()}, Credentials: oneKey{}, Region: "us-west-2", Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	})
	server := httptest.NewServer(handler)
	h.t.Cleanup(server.Close)
	h.Client = elb.New(elb.Options{
		Region: "us-west-2", BaseEndpoint: &server.URL, Retryer: aws.NopRetryer{}, HTTPClient: plainbody.Client(nil),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIDTEST", SecretAccessKey: "secret"}, nil
		}),
	})
}

func (h *harness) ctx() context.Context { return h.t.Context() }

// must ends the test on an error.
func must[T any](out T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

func (h *harness) balancer(name string, edit ...func(*elb.CreateLoadBalancerInput)) types.LoadBalancer {
	h.t.Helper()
	in := &elb.CreateLoadBalancerInput{Name: &name, Type: types.LoadBalancerTypeEnumNetwork, Subnets: []string{"subnet-a", "subnet-b"}, SecurityGroups: []string{"sg-frontend"}}
	for _, e := range edit {
		e(in)
	}
	return must(h.CreateLoadBalancer(h.ctx(), in))(h.t).LoadBalancers[0]
}

func (h *harness) group(name string, edit ...func(*elb.CreateTargetGroupInput)) types.TargetGroup {
	h.t.Helper()
	in := &elb.CreateTargetGroupInput{Name: &name, Protocol: types.ProtocolEnumTcp, Port: aws.Int32(30080), VpcId: aws.String("vpc-1")}
	for _, e := range edit {
		e(in)
	}
	return must(h.CreateTargetGroup(h.ctx(), in))(h.t).TargetGroups[0]
}

func (h *harness) listener(b types.LoadBalancer, g types.TargetGroup, port int32) types.Listener {
	h.t.Helper()
	return must(h.CreateListener(h.ctx(), listenTo(b, g, port)))(h.t).Listeners[0]
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
	must(h.RegisterTargets(h.ctx(), &elb.RegisterTargetsInput{TargetGroupArn: g.TargetGroupArn, Targets: targets}))(h.t)
}

// states are the targets' states and reasons, as "id:port state reason".
func (h *harness) states(g types.TargetGroup, targets ...types.TargetDescription) []string {
	h.t.Helper()
	out := must(h.DescribeTargetHealth(h.ctx(), &elb.DescribeTargetHealthInput{TargetGroupArn: g.TargetGroupArn, Targets: targets}))(h.t)
	return balancing.Convert(out.TargetHealthDescriptions, func(d types.TargetHealthDescription) string {
		s := fmt.Sprintf("%s:%d %s", *d.Target.Id, *d.Target.Port, d.TargetHealth.State)
		if d.TargetHealth.Reason != "" {
			s += " " + string(d.TargetHealth.Reason)
		}
		return s
	})
}

// codeOf is the AWS error code of an error.
func codeOf(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return fmt.Sprint(err)
}

func messageOf(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorMessage()
	}
	return ""
}
