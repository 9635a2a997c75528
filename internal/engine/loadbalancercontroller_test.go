package engine

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/cloud/plainbody"
	"github.com/fairlead-lb/fairlead/internal/iam/iamtest"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

const controllerInventory = `
vpcs:
- {vpcId: vpc-1, cidrBlock: 198.18.0.0/16, ipv6CidrBlock: "2001:db8::/32"}
subnets:
- {subnetId: subnet-a, vpcId: vpc-1, availabilityZone: us-west-2a, availabilityZoneId: usw2-az1, cidrBlock: 198.18.16.0/20, ipv6CidrBlock: "2001:db8:0:1::/64", public: true, tags: {kubernetes.io/role/elb: "1"}}
- {subnetId: subnet-b, vpcId: vpc-1, availabilityZone: us-west-2b, availabilityZoneId: usw2-az2, cidrBlock: 198.18.32.0/20, ipv6CidrBlock: "2001:db8:0:2::/64", public: true, tags: {kubernetes.io/role/elb: "1"}}
securityGroups:
- {groupId: sg-nodes, groupName: nodes, vpcId: vpc-1, tags: {kubernetes.io/cluster/c: owned}}
instances:
- instanceId: i-a
  networkInterfaces: [{subnetId: subnet-a, addresses: [198.18.16.16, "2001:db8:0:1::10"], prefixes: [198.18.17.0/24]}]
- instanceId: i-b
  networkInterfaces: [{subnetId: subnet-b, addresses: [198.18.32.16]}]
edges:
- {availabilityZone: us-west-2a, addresses: [198.18.16.4]}
- {availabilityZone: us-west-2b, addresses: [198.18.32.4]}
`

// controller makes the calls of the AWS Load Balancer Controller as a user who
// has nothing but the policy that it publishes.
type controller struct {
	*elb.Client
	ec2 *ec2.Client
	ctx context.Context
	t   *testing.T
}

// newController is a rig, whose own client has the root key, and a controller.
func newController(t *testing.T) (*rig, controller) {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir()}
	r.writeInventory(controllerInventory)
	r.writeIAM(fmt.Sprintf(`users: [{name: controller, accessKeys: [{accessKeyId: AKIACONTROLLER000000, secretAccessKey: s}], policies: [{name: published, document: %s}]}]`, iamtest.ControllerPolicy(t)))
	r.start()
	t.Cleanup(func() { r.stop() })
	credentials := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "AKIACONTROLLER000000", SecretAccessKey: "s"}, nil
	})
	client := plainbody.Client(r.http)
	return r, controller{
		Client: elb.New(elb.Options{Region: "us-west-2", BaseEndpoint: &r.url, Retryer: aws.NopRetryer{}, HTTPClient: client, Credentials: credentials}),
		ec2:    ec2.New(ec2.Options{Region: "us-west-2", BaseEndpoint: &r.url, Retryer: aws.NopRetryer{}, HTTPClient: client, Credentials: credentials}),
		ctx:    t.Context(), t: t,
	}
}

// allowed returns what a call answered, which must not fail.
func allowed[T any](t *testing.T) func(T, error) T {
	return func(out T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

// tags are the controller's on a resource of the Service default/web.
func (c controller) tags(resource string) []types.Tag {
	return []types.Tag{
		{Key: aws.String(iamtest.ClusterTag), Value: aws.String("c")},
		{Key: aws.String("service.k8s.aws/stack"), Value: aws.String("default/web")},
		{Key: aws.String("service.k8s.aws/resource"), Value: &resource},
	}
}

func ec2Filter(name string, values ...string) ec2types.Filter {
	return ec2types.Filter{Name: &name, Values: values}
}

// discover reads the network as the controller does before it makes anything.
func (c controller) discover() (subnets []string) {
	t, ctx := c.t, c.ctx
	allowed[*ec2.DescribeVpcsOutput](t)(c.ec2.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{VpcIds: []string{"vpc-1"}}))
	found := allowed[*ec2.DescribeSubnetsOutput](t)(c.ec2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{
		Filters: []ec2types.Filter{ec2Filter("tag:kubernetes.io/role/elb", "", "1"), ec2Filter("vpc-id", "vpc-1")}}))
	for _, s := range found.Subnets {
		subnets = append(subnets, *s.SubnetId)
		zones := allowed[*ec2.DescribeAvailabilityZonesOutput](t)(c.ec2.DescribeAvailabilityZones(ctx, &ec2.DescribeAvailabilityZonesInput{ZoneIds: []string{*s.AvailabilityZoneId}}))
		if got := *zones.AvailabilityZones[0].ZoneType; got != "availability-zone" {
			t.Errorf("zone %s is a %q", *s.AvailabilityZoneId, got)
		}
	}
	allowed[*ec2.DescribeRouteTablesOutput](t)(c.ec2.DescribeRouteTables(ctx, &ec2.DescribeRouteTablesInput{Filters: []ec2types.Filter{ec2Filter("vpc-id", "vpc-1")}}))
	allowed[*ec2.DescribeInstancesOutput](t)(c.ec2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{"i-a", "i-b"}}))
	allowed[*ec2.DescribeNetworkInterfacesOutput](t)(c.ec2.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{
		Filters: []ec2types.Filter{ec2Filter("vpc-id", "vpc-1"), ec2Filter("addresses.private-ip-address", "198.18.16.16")}}))
	nodes := allowed[*ec2.DescribeSecurityGroupsOutput](t)(c.ec2.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{
		Filters: []ec2types.Filter{ec2Filter("tag-key", "kubernetes.io/cluster/c"), ec2Filter("vpc-id", "vpc-1")}}))
	if len(nodes.SecurityGroups) != 1 {
		t.Errorf("%d security groups of the cluster's nodes, want 1", len(nodes.SecurityGroups))
	}
	return subnets
}

// securityGroup finds none, makes one with its tags and opens a port.
func (c controller) securityGroup(name string) string {
	t, ctx := c.t, c.ctx
	find := &ec2.DescribeSecurityGroupsInput{Filters: []ec2types.Filter{
		ec2Filter("vpc-id", "vpc-1"), ec2Filter("tag:"+iamtest.ClusterTag, "c"), ec2Filter("tag:elbv2.k8s.aws/resource", name)}}
	if got := allowed[*ec2.DescribeSecurityGroupsOutput](t)(c.ec2.DescribeSecurityGroups(ctx, find)); len(got.SecurityGroups) != 0 {
		t.Fatalf("%s is there already", name)
	}
	made := allowed[*ec2.CreateSecurityGroupOutput](t)(c.ec2.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{
		VpcId: aws.String("vpc-1"), GroupName: &name, Description: aws.String("[k8s] Managed SecurityGroup for LoadBalancer"),
		TagSpecifications: []ec2types.TagSpecification{{ResourceType: ec2types.ResourceTypeSecurityGroup, Tags: []ec2types.Tag{
			{Key: aws.String(iamtest.ClusterTag), Value: aws.String("c")}, {Key: aws.String("elbv2.k8s.aws/resource"), Value: &name}}}},
	}))
	permission := ec2types.IpPermission{IpProtocol: aws.String("tcp"), FromPort: aws.Int32(80), ToPort: aws.Int32(80), IpRanges: []ec2types.IpRange{{CidrIp: aws.String("0.0.0.0/0"), Description: aws.String("")}}}
	allowed[*ec2.AuthorizeSecurityGroupIngressOutput](t)(c.ec2.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: made.GroupId, IpPermissions: []ec2types.IpPermission{permission}}))
	if got := allowed[*ec2.DescribeSecurityGroupsOutput](t)(c.ec2.DescribeSecurityGroups(ctx, find)); len(got.SecurityGroups) != 1 {
		t.Errorf("%d security groups have the tags of %s, want 1", len(got.SecurityGroups), name)
	}
	return *made.GroupId
}

// fromBackend lets the load balancer's group in to the nodes'.
func fromBackend(group string) []ec2types.IpPermission {
	return []ec2types.IpPermission{{IpProtocol: aws.String("tcp"), FromPort: aws.Int32(0), ToPort: aws.Int32(65535),
		UserIdGroupPairs: []ec2types.UserIdGroupPair{{GroupId: &group, Description: aws.String("elbv2.k8s.aws/targetGroupBinding=shared")}}}}
}

func (c controller) targetGroup(name string, kind types.TargetTypeEnum) string {
	t, ctx := c.t, c.ctx
	made := allowed[*elb.CreateTargetGroupOutput](t)(c.CreateTargetGroup(ctx, &elb.CreateTargetGroupInput{
		Name: &name, TargetType: kind, Protocol: types.ProtocolEnumTcp, Port: aws.Int32(30080), VpcId: aws.String("vpc-1"), Tags: c.tags("default/web:80"),
		HealthCheckEnabled: aws.Bool(true), HealthCheckProtocol: types.ProtocolEnumTcp, HealthCheckPort: aws.String(lb.TrafficPort),
		HealthCheckIntervalSeconds: aws.Int32(10), HealthyThresholdCount: aws.Int32(3), UnhealthyThresholdCount: aws.Int32(3),
	}))
	arn := made.TargetGroups[0].TargetGroupArn
	allowed[*elb.DescribeTargetGroupAttributesOutput](t)(c.DescribeTargetGroupAttributes(ctx, &elb.DescribeTargetGroupAttributesInput{TargetGroupArn: arn}))
	allowed[*elb.ModifyTargetGroupAttributesOutput](t)(c.ModifyTargetGroupAttributes(ctx, &elb.ModifyTargetGroupAttributesInput{TargetGroupArn: arn,
		Attributes: []types.TargetGroupAttribute{{Key: aws.String(lb.AttrDeregistrationDelay), Value: aws.String("0")}}}))
	return *arn
}

func (c controller) loadBalancer(subnets []string, groups ...string) string {
	t, ctx := c.t, c.ctx
	in := &elb.CreateLoadBalancerInput{Name: aws.String("k8s-default-web"), Type: types.LoadBalancerTypeEnumNetwork, Scheme: types.LoadBalancerSchemeEnumInternetFacing,
		IpAddressType: types.IpAddressTypeIpv4, SecurityGroups: groups, Tags: c.tags("LoadBalancer")}
	for _, s := range subnets {
		in.SubnetMappings = append(in.SubnetMappings, types.SubnetMapping{SubnetId: &s})
	}
	arn := allowed[*elb.CreateLoadBalancerOutput](t)(c.CreateLoadBalancer(ctx, in)).LoadBalancers[0].LoadBalancerArn
	allowed[*elb.DescribeLoadBalancerAttributesOutput](t)(c.DescribeLoadBalancerAttributes(ctx, &elb.DescribeLoadBalancerAttributesInput{LoadBalancerArn: arn}))
	allowed[*elb.ModifyLoadBalancerAttributesOutput](t)(c.ModifyLoadBalancerAttributes(ctx, &elb.ModifyLoadBalancerAttributesInput{LoadBalancerArn: arn,
		Attributes: []types.LoadBalancerAttribute{{Key: aws.String(lb.AttrCrossZone), Value: aws.String("true")}}}))
	allowed[*elb.DescribeCapacityReservationOutput](t)(c.DescribeCapacityReservation(ctx, &elb.DescribeCapacityReservationInput{LoadBalancerArn: arn}))
	return *arn
}

func forwardTo(group string) []types.Action {
	return []types.Action{{Type: types.ActionTypeEnumForward, ForwardConfig: &types.ForwardActionConfig{TargetGroups: []types.TargetGroupTuple{{TargetGroupArn: &group}}}}}
}

func (c controller) listener(balancer, group string) string {
	t, ctx := c.t, c.ctx
	made := allowed[*elb.CreateListenerOutput](t)(c.CreateListener(ctx, &elb.CreateListenerInput{LoadBalancerArn: &balancer, Protocol: types.ProtocolEnumTcp, Port: aws.Int32(80),
		DefaultActions: forwardTo(group), Tags: c.tags("80")}))
	arn := made.Listeners[0].ListenerArn
	allowed[*elb.DescribeListenerAttributesOutput](t)(c.DescribeListenerAttributes(ctx, &elb.DescribeListenerAttributesInput{ListenerArn: arn}))
	allowed[*elb.ModifyListenerAttributesOutput](t)(c.ModifyListenerAttributes(ctx, &elb.ModifyListenerAttributesInput{ListenerArn: arn,
		Attributes: []types.ListenerAttribute{{Key: aws.String("tcp.idle_timeout.seconds"), Value: aws.String("400")}}}))
	return *arn
}

// targets come, are asked about, and one goes.
func (c controller) targets(group string, ids ...string) {
	t, ctx := c.t, c.ctx
	var targets []types.TargetDescription
	for _, id := range ids {
		targets = append(targets, types.TargetDescription{Id: &id, Port: aws.Int32(30080)})
	}
	allowed[*elb.RegisterTargetsOutput](t)(c.RegisterTargets(ctx, &elb.RegisterTargetsInput{TargetGroupArn: &group, Targets: targets}))
	health := allowed[*elb.DescribeTargetHealthOutput](t)(c.DescribeTargetHealth(ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: &group}))
	if len(health.TargetHealthDescriptions) != len(ids) {
		t.Errorf("%d targets, want %q", len(health.TargetHealthDescriptions), ids)
	}
	allowed[*elb.DescribeTargetHealthOutput](t)(c.DescribeTargetHealth(ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: &group, Targets: targets[:1]}))
	allowed[*elb.DeregisterTargetsOutput](t)(c.DeregisterTargets(ctx, &elb.DeregisterTargetsInput{TargetGroupArn: &group, Targets: targets[:1]}))
}

// find lists everything with its tags, as the controller finds what it owns
// after a restart.
func (c controller) find(want ...string) {
	t, ctx := c.t, c.ctx
	balancers := allowed[*elb.DescribeLoadBalancersOutput](t)(c.DescribeLoadBalancers(ctx, &elb.DescribeLoadBalancersInput{}))
	groups := allowed[*elb.DescribeTargetGroupsOutput](t)(c.DescribeTargetGroups(ctx, &elb.DescribeTargetGroupsInput{}))
	listeners := allowed[*elb.DescribeListenersOutput](t)(c.DescribeListeners(ctx, &elb.DescribeListenersInput{LoadBalancerArn: balancers.LoadBalancers[0].LoadBalancerArn}))
	in := &elb.DescribeTagsInput{ResourceArns: []string{*balancers.LoadBalancers[0].LoadBalancerArn, *groups.TargetGroups[0].TargetGroupArn, *listeners.Listeners[0].ListenerArn}}
	if diff := cmp.Diff(want, in.ResourceArns); diff != "" {
		t.Errorf("what is there (-want +got):\n%s", diff)
	}
	for _, d := range allowed[*elb.DescribeTagsOutput](t)(c.DescribeTags(ctx, in)).TagDescriptions {
		if len(d.Tags) != 3 {
			t.Errorf("%s has %d tags, want 3", *d.ResourceArn, len(d.Tags))
		}
	}
}

// update makes the changes that a Service's annotations may ask for.
func (c controller) update(balancer, listener, group, other, frontend, backend string) {
	t, ctx := c.t, c.ctx
	cost := []types.Tag{{Key: aws.String("cost"), Value: aws.String("1")}}
	for _, arn := range []string{balancer, group, listener} {
		allowed[*elb.AddTagsOutput](t)(c.AddTags(ctx, &elb.AddTagsInput{ResourceArns: []string{arn}, Tags: cost}))
		allowed[*elb.RemoveTagsOutput](t)(c.RemoveTags(ctx, &elb.RemoveTagsInput{ResourceArns: []string{arn}, TagKeys: []string{"cost"}}))
	}
	plain := []ec2types.Tag{{Key: aws.String("cost"), Value: aws.String("1")}}
	allowed[*ec2.CreateTagsOutput](t)(c.ec2.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{frontend}, Tags: plain}))
	allowed[*ec2.DeleteTagsOutput](t)(c.ec2.DeleteTags(ctx, &ec2.DeleteTagsInput{Resources: []string{frontend}, Tags: plain}))
	allowed[*elb.SetSecurityGroupsOutput](t)(c.SetSecurityGroups(ctx, &elb.SetSecurityGroupsInput{LoadBalancerArn: &balancer, SecurityGroups: []string{frontend}}))
	allowed[*elb.SetSecurityGroupsOutput](t)(c.SetSecurityGroups(ctx, &elb.SetSecurityGroupsInput{LoadBalancerArn: &balancer, SecurityGroups: []string{frontend, backend}}))
	allowed[*elb.SetSubnetsOutput](t)(c.SetSubnets(ctx, &elb.SetSubnetsInput{LoadBalancerArn: &balancer, SubnetMappings: []types.SubnetMapping{{SubnetId: aws.String("subnet-a")}}}))
	allowed[*elb.SetIpAddressTypeOutput](t)(c.SetIpAddressType(ctx, &elb.SetIpAddressTypeInput{LoadBalancerArn: &balancer, IpAddressType: types.IpAddressTypeDualstack}))
	allowed[*elb.ModifyTargetGroupOutput](t)(c.ModifyTargetGroup(ctx, &elb.ModifyTargetGroupInput{TargetGroupArn: &group, HealthCheckProtocol: types.ProtocolEnumHttp, HealthCheckPath: aws.String("/healthz")}))
	allowed[*elb.ModifyListenerOutput](t)(c.ModifyListener(ctx, &elb.ModifyListenerInput{ListenerArn: &listener, Protocol: types.ProtocolEnumTcp, Port: aws.Int32(8080), DefaultActions: forwardTo(other)}))
}

// TestTheLoadBalancerControllersOwnPolicyIsEnoughForIt takes a Service's Network
// Load Balancer from its first call to its last. The calls, their tags and their
// filters are those of the AWS Load Balancer Controller's source: pkg/networking
// (what is looked up, the backend security group and the rules of the nodes'),
// pkg/deploy/ec2 (security groups), pkg/deploy/elbv2 (load balancers, target
// groups, listeners, attributes, tags) and pkg/targetgroupbinding (targets).
func TestTheLoadBalancerControllersOwnPolicyIsEnoughForIt(t *testing.T) {
	for kind, ids := range map[types.TargetTypeEnum][]string{
		types.TargetTypeEnumInstance: {"i-a", "i-b"},
		types.TargetTypeEnumIp:       {"198.18.17.5", "198.18.32.16"},
	} {
		t.Run(string(kind), func(t *testing.T) {
			r, c := newController(t)
			subnets := c.discover()
			if diff := cmp.Diff([]string{"subnet-a", "subnet-b"}, subnets); diff != "" {
				t.Fatalf("subnets (-want +got):\n%s", diff)
			}
			frontend, backend := c.securityGroup("k8s-default-web"), c.securityGroup("k8s-traffic-c")
			group := c.targetGroup("k8s-default-web-1", kind)
			balancer := c.loadBalancer(subnets, frontend, backend)
			listener := c.listener(balancer, group)
			nodes := fromBackend(backend)
			allowed[*ec2.AuthorizeSecurityGroupIngressOutput](t)(c.ec2.AuthorizeSecurityGroupIngress(c.ctx, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: aws.String("sg-nodes"), IpPermissions: nodes}))
			c.targets(group, ids...)
			c.find(balancer, group, listener)
			other := c.targetGroup("k8s-default-web-2", kind)
			c.update(balancer, listener, group, other, frontend, backend)

			allowed[*elb.DeleteListenerOutput](t)(c.DeleteListener(c.ctx, &elb.DeleteListenerInput{ListenerArn: &listener}))
			allowed[*ec2.RevokeSecurityGroupIngressOutput](t)(c.ec2.RevokeSecurityGroupIngress(c.ctx, &ec2.RevokeSecurityGroupIngressInput{GroupId: aws.String("sg-nodes"), IpPermissions: nodes}))
			for _, arn := range []string{group, other} {
				allowed[*elb.DeleteTargetGroupOutput](t)(c.DeleteTargetGroup(c.ctx, &elb.DeleteTargetGroupInput{TargetGroupArn: &arn}))
			}
			allowed[*elb.DeleteLoadBalancerOutput](t)(c.DeleteLoadBalancer(c.ctx, &elb.DeleteLoadBalancerInput{LoadBalancerArn: &balancer}))
			for _, id := range []string{frontend, backend} {
				allowed[*ec2.DeleteSecurityGroupOutput](t)(c.ec2.DeleteSecurityGroup(c.ctx, &ec2.DeleteSecurityGroupInput{GroupId: &id}))
			}
			left := allowed[*elb.DescribeLoadBalancersOutput](t)(r.DescribeLoadBalancers(c.ctx, &elb.DescribeLoadBalancersInput{}))
			if len(left.LoadBalancers) != 0 {
				t.Errorf("%d load balancers are left", len(left.LoadBalancers))
			}
		})
	}
}

// TestTheLoadBalancerControllersOwnPolicyKeepsItFromWhatIsNotItsOwn tries what
// the conditions of the policy forbid.
func TestTheLoadBalancerControllersOwnPolicyKeepsItFromWhatIsNotItsOwn(t *testing.T) {
	r, c := newController(t)
	ctx := t.Context()
	foreign := r.fixture("300")
	own, ownGroup := c.targetGroup("own", types.TargetTypeEnumIp), c.securityGroup("own")
	claim, other := c.tags("LoadBalancer"), []types.Tag{{Key: aws.String("team"), Value: aws.String("a")}}
	group := &elb.CreateTargetGroupInput{Name: aws.String("other"), Protocol: types.ProtocolEnumTcp, Port: aws.Int32(80), VpcId: aws.String("vpc-1"), Tags: other}
	balancer := &elb.CreateLoadBalancerInput{Name: aws.String("other"), Type: types.LoadBalancerTypeEnumNetwork, Subnets: []string{"subnet-a"}}
	tagged := *balancer
	tagged.Tags = other
	groupTags := []ec2types.Tag{{Key: aws.String(iamtest.ClusterTag), Value: aws.String("c")}}
	idle := []types.ListenerAttribute{{Key: aws.String("tcp.idle_timeout.seconds"), Value: aws.String("400")}}
	before := r.engine.db.Current().Number()
	for name, call := range map[string]func() error{
		"a load balancer without a tag":           func() error { return second(c.CreateLoadBalancer(ctx, balancer)) },
		"a load balancer without the cluster tag": func() error { return second(c.CreateLoadBalancer(ctx, &tagged)) },
		"a target group without the cluster tag":  func() error { return second(c.CreateTargetGroup(ctx, group)) },
		"a security group without the cluster tag": func() error {
			return second(c.ec2.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{GroupName: aws.String("g"), Description: aws.String("g"), VpcId: aws.String("vpc-1"),
				TagSpecifications: []ec2types.TagSpecification{{ResourceType: ec2types.ResourceTypeSecurityGroup, Tags: []ec2types.Tag{{Key: aws.String("team"), Value: aws.String("a")}}}}}))
		},
		"to delete another's load balancer": func() error {
			return second(c.DeleteLoadBalancer(ctx, &elb.DeleteLoadBalancerInput{LoadBalancerArn: &foreign.balancer}))
		},
		"to change another's subnets": func() error {
			return second(c.SetSubnets(ctx, &elb.SetSubnetsInput{LoadBalancerArn: &foreign.balancer, Subnets: []string{"subnet-a"}}))
		},
		"to change another's address type": func() error {
			return second(c.SetIpAddressType(ctx, &elb.SetIpAddressTypeInput{LoadBalancerArn: &foreign.balancer, IpAddressType: types.IpAddressTypeDualstack}))
		},
		"to change another's load balancer": func() error {
			return second(c.ModifyLoadBalancerAttributes(ctx, &elb.ModifyLoadBalancerAttributesInput{LoadBalancerArn: &foreign.balancer,
				Attributes: []types.LoadBalancerAttribute{{Key: aws.String(lb.AttrCrossZone), Value: aws.String("true")}}}))
		},
		"to change another's listener": func() error {
			return second(c.ModifyListenerAttributes(ctx, &elb.ModifyListenerAttributesInput{ListenerArn: &foreign.listener, Attributes: idle}))
		},
		"to change another's target group": func() error {
			return second(c.ModifyTargetGroup(ctx, &elb.ModifyTargetGroupInput{TargetGroupArn: &foreign.group, HealthCheckPort: aws.String("80")}))
		},
		"to delete another's target group": func() error {
			return second(c.DeleteTargetGroup(ctx, &elb.DeleteTargetGroupInput{TargetGroupArn: &foreign.group}))
		},
		"to claim another's load balancer": func() error {
			return second(c.AddTags(ctx, &elb.AddTagsInput{ResourceArns: []string{foreign.balancer}, Tags: claim}))
		},
		"to tag another's beside its own": func() error {
			return second(c.AddTags(ctx, &elb.AddTagsInput{ResourceArns: []string{own, foreign.group}, Tags: other}))
		},
		"to hand its own to another cluster": func() error {
			return second(c.AddTags(ctx, &elb.AddTagsInput{ResourceArns: []string{own}, Tags: claim}))
		},
		"to claim the nodes' security group": func() error {
			return second(c.ec2.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{"sg-nodes"}, Tags: groupTags}))
		},
		"to delete the nodes' security group": func() error {
			return second(c.ec2.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: aws.String("sg-nodes")}))
		},
		"to tag an instance": func() error {
			return second(c.ec2.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{"i-a"}, Tags: groupTags}))
		},
		"a rule for what leaves": func() error {
			return second(c.ec2.AuthorizeSecurityGroupEgress(ctx, &ec2.AuthorizeSecurityGroupEgressInput{GroupId: &ownGroup, IpPermissions: fromBackend(ownGroup)}))
		},
	} {
		err := call()
		if refused, _ := errors.AsType[smithy.APIError](err); refused == nil || refused.ErrorCode() != "AccessDenied" && refused.ErrorCode() != "UnauthorizedOperation" {
			t.Errorf("%s: %v, want it denied", name, err)
		}
	}
	if after := r.engine.db.Current().Number(); after != before {
		t.Errorf("denied calls made %d transactions", after-before)
	}
}

// second is the error of a call.
func second[T any](_ T, err error) error { return err }
