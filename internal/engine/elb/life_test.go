package elb_test

import (
	"errors"
	"regexp"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/fairlead-lb/fairlead/internal/apitest"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

var ignoreInternals = cmpopts.IgnoreUnexported(
	types.LoadBalancerDescription{}, types.HealthCheck{}, types.ListenerDescription{}, types.Listener{}, types.Policies{}, types.Instance{},
	types.SourceSecurityGroup{}, types.LBCookieStickinessPolicy{}, types.AppCookieStickinessPolicy{}, types.BackendServerDescription{},
	types.LoadBalancerAttributes{}, types.AccessLog{}, types.ConnectionDraining{}, types.ConnectionSettings{}, types.CrossZoneLoadBalancing{},
	types.AdditionalAttribute{}, types.TagDescription{}, types.Tag{},
)

func TestDescriptionOfANewLoadBalancer(t *testing.T) {
	r := newRig(t)
	r.create("web", func(in *sdk.CreateLoadBalancerInput) {
		in.Listeners = []types.Listener{listens("tcp", 443, "", 30443), listens("HTTP", 80, "", 30080)}
	})
	got := r.describe("web")
	if !regexp.MustCompile(`^web-[0-9]+\.us-west-2\.elb\.amazonaws\.com$`).MatchString(*got.DNSName) {
		t.Errorf("DNS name %s", *got.DNSName)
	}
	if age := time.Since(*got.CreatedTime); age < 0 || age > time.Minute {
		t.Errorf("created %s ago", age)
	}
	want := types.LoadBalancerDescription{
		LoadBalancerName: aws.String("web"), DNSName: got.DNSName, CanonicalHostedZoneName: got.DNSName, CanonicalHostedZoneNameID: aws.String("Z1H1FL5HABSF5"),
		CreatedTime: got.CreatedTime, Scheme: aws.String("internet-facing"), VPCId: aws.String("vpc-1"),
		AvailabilityZones: []string{"us-west-2a", "us-west-2b"}, Subnets: []string{"subnet-a", "subnet-b"}, SecurityGroups: []string{"sg-front"},
		SourceSecurityGroup: &types.SourceSecurityGroup{OwnerAlias: aws.String("000000000000"), GroupName: aws.String("front")},
		HealthCheck: &types.HealthCheck{
			Target: aws.String("TCP:30443"), Interval: aws.Int32(30), Timeout: aws.Int32(5), UnhealthyThreshold: aws.Int32(2), HealthyThreshold: aws.Int32(10),
		},
		ListenerDescriptions: []types.ListenerDescription{
			{Listener: &types.Listener{Protocol: aws.String("HTTP"), LoadBalancerPort: 80, InstanceProtocol: aws.String("HTTP"), InstancePort: aws.Int32(30080)}, PolicyNames: []string{}},
			{Listener: &types.Listener{Protocol: aws.String("TCP"), LoadBalancerPort: 443, InstanceProtocol: aws.String("TCP"), InstancePort: aws.Int32(30443)}, PolicyNames: []string{}},
		},
		BackendServerDescriptions: []types.BackendServerDescription{}, Instances: []types.Instance{},
		Policies: &types.Policies{AppCookieStickinessPolicies: []types.AppCookieStickinessPolicy{}, LBCookieStickinessPolicies: []types.LBCookieStickinessPolicy{}, OtherPolicies: []string{}},
	}
	want.HealthCheck.Target = aws.String("TCP:30080") // of the listener on the lowest port
	if diff := cmp.Diff(want, got, ignoreInternals); diff != "" {
		t.Errorf("description (-want +got):\n%s", diff)
	}
}

func TestAnInternalLoadBalancerWithoutGroups(t *testing.T) {
	r := newRig(t)
	r.create("db", func(in *sdk.CreateLoadBalancerInput) { in.Scheme, in.SecurityGroups = aws.String("internal"), nil })
	got := r.describe("db")
	if !regexp.MustCompile(`^internal-db-[0-9]+\.us-west-2\.elb\.amazonaws\.com$`).MatchString(*got.DNSName) {
		t.Errorf("DNS name %s", *got.DNSName)
	}
	if diff := cmp.Diff([]string{"sg-default"}, got.SecurityGroups); diff != "" {
		t.Errorf("security groups, want the VPC's default (-want +got):\n%s", diff)
	}
	r.create("zones", func(in *sdk.CreateLoadBalancerInput) {
		in.Subnets, in.SecurityGroups, in.Scheme = nil, nil, aws.String("internal")
		in.AvailabilityZones = []string{"us-west-2b"}
	})
	enabled := apitest.Must(r.EnableAvailabilityZonesForLoadBalancer(t.Context(), &sdk.EnableAvailabilityZonesForLoadBalancerInput{LoadBalancerName: aws.String("zones"), AvailabilityZones: []string{"us-west-2a", "us-west-2b"}}))(t)
	if diff := cmp.Diff([]string{"us-west-2a", "us-west-2b"}, enabled.AvailabilityZones); diff != "" {
		t.Errorf("enabled zones (-want +got):\n%s", diff)
	}
	disabled := apitest.Must(r.DisableAvailabilityZonesForLoadBalancer(t.Context(), &sdk.DisableAvailabilityZonesForLoadBalancerInput{LoadBalancerName: aws.String("zones"), AvailabilityZones: []string{"us-west-2b"}}))(t)
	if diff := cmp.Diff([]string{"us-west-2a"}, disabled.AvailabilityZones); diff != "" {
		t.Errorf("zones left (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"subnet-default-a"}, r.describe("zones").Subnets); diff != "" {
		t.Errorf("subnets of zones in the default VPC (-want +got):\n%s", diff)
	}
	if got := *r.describe("zones").SourceSecurityGroup; *got.OwnerAlias != "amazon-elb" || *got.GroupName != "amazon-elb-sg" {
		t.Errorf("source group %s/%s where the VPC has no default group", *got.OwnerAlias, *got.GroupName)
	}
}

func TestCreateIsIdempotentForTheSameSettingsOnly(t *testing.T) {
	r := newRig(t)
	tagged := func(in *sdk.CreateLoadBalancerInput) {
		in.Tags = []types.Tag{{Key: aws.String("team"), Value: aws.String("a")}}
	}
	first := apitest.Must(r.CreateLoadBalancer(t.Context(), input("web", tagged)))(t)
	again := apitest.Must(r.CreateLoadBalancer(t.Context(), input("web", tagged)))(t)
	if *first.DNSName != *again.DNSName {
		t.Errorf("the second create answers %s, the first %s", *again.DNSName, *first.DNSName)
	}
	for name, edit := range map[string]func(*sdk.CreateLoadBalancerInput){
		"other tags":     func(in *sdk.CreateLoadBalancerInput) { in.Tags = nil },
		"another subnet": func(in *sdk.CreateLoadBalancerInput) { in.Subnets = []string{"subnet-a"} },
		"another scheme": func(in *sdk.CreateLoadBalancerInput) { in.Scheme = aws.String("internal") },
		"other groups":   func(in *sdk.CreateLoadBalancerInput) { in.SecurityGroups = []string{"sg-default"} },
		"another port":   func(in *sdk.CreateLoadBalancerInput) { in.Listeners[0] = listens("TCP", 80, "TCP", 30081) },
		"other protocol": func(in *sdk.CreateLoadBalancerInput) { in.Listeners[0] = listens("TCP", 80, "SSL", 30080) },
		"more listeners": func(in *sdk.CreateLoadBalancerInput) {
			in.Listeners = append(in.Listeners, listens("TCP", 81, "TCP", 30081))
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.CreateLoadBalancer(t.Context(), input("web", tagged, edit))
			if _, typed := errors.AsType[*types.DuplicateAccessPointNameException](err); !typed {
				t.Errorf("create with %s: %v, want DuplicateLoadBalancerName", name, err)
			}
		})
	}
}

func TestAddressesComeFromTheSubnetsAndGoBack(t *testing.T) {
	r := newRig(t)
	addresses := func() string {
		return r.aws("ec2", "describe-network-interfaces", "--filters", "Name=description,Values=ELB web", "Name=attachment.instance-owner-id,Values=amazon-elb",
			"--query", "sort(NetworkInterfaces[].PrivateIpAddress)")
	}
	free := func() string {
		return r.aws("ec2", "describe-subnets", "--subnet-ids", "subnet-a", "subnet-b", "subnet-c", "--query", "Subnets[].AvailableIpAddressCount")
	}
	before := free()
	r.create("web")
	if got := addresses(); got != "198.18.16.4\t198.18.32.4" {
		t.Errorf("addresses %q, want the first free one of each subnet", got)
	}
	apitest.Must(r.AttachLoadBalancerToSubnets(t.Context(), &sdk.AttachLoadBalancerToSubnetsInput{LoadBalancerName: aws.String("web"), Subnets: []string{"subnet-c", "subnet-b"}}))(t)
	left := apitest.Must(r.DetachLoadBalancerFromSubnets(t.Context(), &sdk.DetachLoadBalancerFromSubnetsInput{LoadBalancerName: aws.String("web"), Subnets: []string{"subnet-a", "subnet-a2"}}))(t)
	if diff := cmp.Diff([]string{"subnet-b", "subnet-c"}, left.Subnets); diff != "" {
		t.Errorf("subnets left (-want +got):\n%s", diff)
	}
	if got := addresses(); got != "198.18.32.4\t198.18.64.4" {
		t.Errorf("addresses %q: a subnet that stays keeps its address", got)
	}
	for range 2 { // the second deletes what is not there
		apitest.Must(r.DeleteLoadBalancer(t.Context(), &sdk.DeleteLoadBalancerInput{LoadBalancerName: aws.String("web")}))(t)
	}
	if got := addresses(); got != "" {
		t.Errorf("addresses %q after the load balancer was deleted", got)
	}
	if after := free(); after != before {
		t.Errorf("the subnets have %s free addresses after the load balancer was deleted, %s before", after, before)
	}
	_, err := r.DescribeLoadBalancers(t.Context(), &sdk.DescribeLoadBalancersInput{LoadBalancerNames: []string{"web"}})
	if _, typed := errors.AsType[*types.AccessPointNotFoundException](err); !typed {
		t.Errorf("describe by the name of what is gone: %v", err)
	}
}

func TestInstanceHealthIsWhatEdgesFound(t *testing.T) {
	r := newRig(t)
	r.create("web")
	r.register("web", "i-a", "i-b", "i-c", "i-pending", "i-stopped", "i-gone")
	r.report("us-west-2b", "web", "i-b", 30080, lb.Unhealthy)
	want := []string{
		"i-a OutOfService ELB: Instance registration is still in progress.",
		"i-b OutOfService Instance: Instance has failed at least the UnhealthyThreshold number of health checks consecutively.",
		"i-c OutOfService ELB: Instance is in the EC2 Availability Zone for which LoadBalancer is not configured to route traffic to.",
		"i-gone OutOfService Instance: Instance is in terminated state.",
		"i-pending OutOfService Instance: Instance is in pending state.",
		"i-stopped OutOfService Instance: Instance is in stopped state.",
	}
	if diff := cmp.Diff(want, r.health("web")); diff != "" {
		t.Errorf("health of all (-want +got):\n%s", diff)
	}
	r.report("us-west-2a", "web", "i-a", 30080, lb.Healthy)
	if diff := cmp.Diff([]string{"i-a InService N/A: N/A"}, r.health("web", "i-a")); diff != "" {
		t.Errorf("health of one (-want +got):\n%s", diff)
	}
	r.report("us-west-2a", "web", "i-b", 30080, lb.Healthy) // cross-zone is off: the edge of zone a has no say
	if got := r.health("web", "i-b"); got[0] != want[1] {
		t.Errorf("%s, want what the edge of its own zone found", got[0])
	}
	apitest.Must(r.ConfigureHealthCheck(t.Context(), &sdk.ConfigureHealthCheckInput{LoadBalancerName: aws.String("web"), HealthCheck: check("HTTP:31000/healthz")}))(t)
	if got := r.health("web", "i-a"); got[0] != want[0] {
		t.Errorf("%s under a new health check, want that it begins anew", got[0])
	}
	if diff := cmp.Diff([]string{"i-elsewhere OutOfService Instance: Instance is not currently registered with the LoadBalancer."}, r.health("web", "i-elsewhere")); diff != "" {
		t.Errorf("health of a stranger (-want +got):\n%s", diff)
	}
}

func check(target string) *types.HealthCheck {
	return &types.HealthCheck{Target: &target, Interval: aws.Int32(10), Timeout: aws.Int32(5), UnhealthyThreshold: aws.Int32(6), HealthyThreshold: aws.Int32(2)}
}

func TestRegistrationAnswersWithAllInstances(t *testing.T) {
	r := newRig(t)
	r.create("web")
	ids := func(list []types.Instance) []string {
		out := []string{}
		for _, i := range list {
			out = append(out, *i.InstanceId)
		}
		return out
	}
	name := aws.String("web")
	r.register("web", "i-b")
	registered := apitest.Must(r.RegisterInstancesWithLoadBalancer(t.Context(), &sdk.RegisterInstancesWithLoadBalancerInput{LoadBalancerName: name, Instances: instances("i-a", "i-b")}))(t)
	if diff := cmp.Diff([]string{"i-a", "i-b"}, ids(registered.Instances)); diff != "" {
		t.Errorf("registered (-want +got):\n%s", diff)
	}
	left := apitest.Must(r.DeregisterInstancesFromLoadBalancer(t.Context(), &sdk.DeregisterInstancesFromLoadBalancerInput{LoadBalancerName: name, Instances: instances("i-b", "i-c")}))(t)
	if diff := cmp.Diff([]string{"i-a"}, ids(left.Instances)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	// All or none: i-c is fine, the other is not.
	if _, err := r.RegisterInstancesWithLoadBalancer(t.Context(), &sdk.RegisterInstancesWithLoadBalancerInput{LoadBalancerName: name, Instances: instances("i-c", "i-unknown")}); failure(err) != "InvalidInstance 400" {
		t.Errorf("register an unknown instance: %v", err)
	}
	if diff := cmp.Diff([]string{"i-a"}, ids(r.describe("web").Instances)); diff != "" {
		t.Errorf("after a refused registration (-want +got):\n%s", diff)
	}
	apitest.Must(r.ModifyLoadBalancerAttributes(t.Context(), &sdk.ModifyLoadBalancerAttributesInput{LoadBalancerName: name, LoadBalancerAttributes: &types.LoadBalancerAttributes{
		ConnectionDraining: &types.ConnectionDraining{Enabled: true}}}))(t)
	r.report("us-west-2a", "web", "i-a", 30080, lb.Healthy)
	apitest.Must(r.DeregisterInstancesFromLoadBalancer(t.Context(), &sdk.DeregisterInstancesFromLoadBalancerInput{LoadBalancerName: name, Instances: instances("i-a")}))(t)
	if got := r.health("web", "i-a"); got[0] != "i-a InService N/A: Instance deregistration currently in progress." {
		t.Errorf("while connections drain: %s", got[0])
	}
	if got := r.describe("web").Instances; len(got) != 0 {
		t.Errorf("%d instances are shown while the last one leaves", len(got))
	}
	r.register("web", "i-a")
	if got := r.health("web"); len(got) != 1 || got[0] != "i-a InService N/A: N/A" {
		t.Errorf("registered again: %s", got)
	}
}
