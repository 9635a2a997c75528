package engine

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	classic "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/fairlead-lb/fairlead/internal/cloud/plainbody"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

const classicARN = "arn:aws:elasticloadbalancing:us-west-2:000000000000:loadbalancer/web"

// classic is an SDK client for Classic Load Balancers.
func (r *rig) classic() *classic.Client {
	key, _ := r.engine.RootKey()
	return classic.New(classic.Options{
		Region: "us-west-2", BaseEndpoint: &r.url, Retryer: aws.NopRetryer{}, HTTPClient: plainbody.Client(r.http),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: key.AccessKeyID, SecretAccessKey: key.SecretAccessKey}, nil
		}),
	})
}

// classicFixture is a Classic Load Balancer of both zones with both instances;
// it returns its DNS name.
func (r *rig) classicFixture() string {
	r.t.Helper()
	c, ctx, name := r.classic(), r.t.Context(), aws.String("web")
	made, err := c.CreateLoadBalancer(ctx, &classic.CreateLoadBalancerInput{
		LoadBalancerName: name, Subnets: []string{"subnet-a", "subnet-b"},
		Listeners: []types.Listener{{Protocol: aws.String("TCP"), LoadBalancerPort: 80, InstancePort: aws.Int32(30080)}},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := c.ConfigureHealthCheck(ctx, &classic.ConfigureHealthCheckInput{LoadBalancerName: name, HealthCheck: &types.HealthCheck{
		Target: aws.String("HTTP:31000/healthz"), Interval: aws.Int32(10), Timeout: aws.Int32(5), UnhealthyThreshold: aws.Int32(6), HealthyThreshold: aws.Int32(2),
	}}); err != nil {
		r.t.Fatal(err)
	}
	if _, err := c.RegisterInstancesWithLoadBalancer(ctx, &classic.RegisterInstancesWithLoadBalancerInput{
		LoadBalancerName: name, Instances: []types.Instance{{InstanceId: aws.String("i-a")}, {InstanceId: aws.String("i-b")}},
	}); err != nil {
		r.t.Fatal(err)
	}
	return *made.DNSName
}

func (r *rig) classicStates() string {
	r.t.Helper()
	out, err := r.classic().DescribeInstanceHealth(r.t.Context(), &classic.DescribeInstanceHealthInput{LoadBalancerName: aws.String("web")})
	if err != nil {
		r.t.Fatal(err)
	}
	var states []string
	for _, s := range out.InstanceStates {
		states = append(states, *s.InstanceId+" "+*s.State)
	}
	return strings.Join(states, ", ")
}

func TestEdgesGetClassicLoadBalancers(t *testing.T) {
	r := newRig(t)
	a := r.edge("us-west-2a")
	a.until("nothing", func(s lb.ZoneSnapshot) bool { return len(s.Classic) == 0 })
	r.classicFixture()
	s := a.until("one instance", func(s lb.ZoneSnapshot) bool {
		return len(s.Classic) == 1 && len(s.TargetGroups) == 1 && len(s.TargetGroups[0].Targets) == 1
	})
	if len(s.LoadBalancers) != 0 {
		t.Errorf("a Classic load balancer stands among the network ones: %+v", s.LoadBalancers)
	}
	want := []lb.ClassicBalancer{{
		ARN: classicARN, Name: "web", IPv4: netip.MustParseAddr("198.18.16.5"), IdleTimeout: time.Minute, DesyncMode: "defensive",
		Listeners: []lb.ClassicListener{{Port: 80, Protocol: lb.TCP, InstancePort: 30080, InstanceProtocol: lb.TCP}},
	}}
	sameAddr := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	if diff := cmp.Diff(want, s.Classic, sameAddr); diff != "" {
		t.Errorf("load balancers (-want +got):\n%s", diff)
	}
	group := lb.ZonalGroup{
		ARN: classicARN, Name: "web", Protocol: lb.TCP,
		HealthCheck: lb.HealthCheck{Protocol: lb.HTTP, Port: "31000", Path: "/healthz", Matcher: "200", Interval: 10 * time.Second, Timeout: 5 * time.Second, HealthyThreshold: 2, UnhealthyThreshold: 6},
		Targets:     []lb.ZonalTarget{{ID: "i-a", Port: 31000, Zone: "us-west-2a", Addr: netip.MustParseAddr("198.18.16.16")}},
	}
	if diff := cmp.Diff(group, s.TargetGroups[0], sameAddr, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("group to be probed (-want +got):\n%s", diff)
	}
	if _, err := r.classic().DeleteLoadBalancer(t.Context(), &classic.DeleteLoadBalancerInput{LoadBalancerName: aws.String("web")}); err != nil {
		t.Fatal(err)
	}
	a.until("nothing left", func(s lb.ZoneSnapshot) bool { return len(s.Classic) == 0 && len(s.TargetGroups) == 0 })
}

func TestClassicHealthAndNamesFollowTheEdges(t *testing.T) {
	r := newRig(t)
	name := r.classicFixture()
	if got, want := r.classicStates(), "i-a OutOfService, i-b OutOfService"; got != want {
		t.Errorf("before any report: %s, want %s", got, want)
	}
	a, b := r.edge("us-west-2a"), r.edge("us-west-2b")
	report := func(e *edge, id string, state lb.HealthState) {
		e.out.Put(lb.HealthReport{Targets: []lb.TargetHealthReport{{
			Target: lb.TargetKey{TargetGroupARN: classicARN, ID: id, Port: 31000}, Health: lb.TargetHealth{State: state},
		}}})
	}
	report(a, "i-a", lb.Healthy)
	report(b, "i-b", lb.Unhealthy)
	r.await("i-a in service", func() bool { return r.classicStates() == "i-a InService, i-b OutOfService" })
	lookup := func() []string {
		addrs, _, _ := r.engine.Lookup(strings.ToUpper(name))
		return texts(addrs)
	}
	r.await("the name to lead to zone a", func() bool { return cmp.Equal(lookup(), []string{"198.18.16.5"}) })
	report(b, "i-b", lb.Healthy)
	r.await("the name to lead to both zones", func() bool { return len(lookup()) == 2 })
	r.restart()
	if got := len(lookup()); got != 2 {
		t.Errorf("the name has %d addresses after a restart, before edges come back, want all", got)
	}
}

func TestClassicInstancesDrain(t *testing.T) {
	r := newRig(t)
	r.classicFixture()
	c, name := r.classic(), aws.String("web")
	modify := func(seconds int32) {
		t.Helper()
		if _, err := c.ModifyLoadBalancerAttributes(t.Context(), &classic.ModifyLoadBalancerAttributesInput{LoadBalancerName: name, LoadBalancerAttributes: &types.LoadBalancerAttributes{
			ConnectionDraining: &types.ConnectionDraining{Enabled: true, Timeout: &seconds},
		}}); err != nil {
			t.Fatal(err)
		}
	}
	leave := func(id string) {
		t.Helper()
		if _, err := c.DeregisterInstancesFromLoadBalancer(t.Context(), &classic.DeregisterInstancesFromLoadBalancerInput{LoadBalancerName: name, Instances: []types.Instance{{InstanceId: &id}}}); err != nil {
			t.Fatal(err)
		}
	}
	a, b := r.edge("us-west-2a"), r.edge("us-west-2b")
	draining := func(s lb.ZoneSnapshot) bool {
		return len(s.TargetGroups) == 1 && len(s.TargetGroups[0].Targets) == 1 && !s.TargetGroups[0].Targets[0].DrainUntil.IsZero()
	}
	gone := func(s lb.ZoneSnapshot) bool { return len(s.TargetGroups) == 1 && len(s.TargetGroups[0].Targets) == 0 }
	modify(3600)
	leave("i-b")
	b.until("an instance that drains", draining)
	modify(1)
	leave("i-a")
	a.until("an instance that drains", draining)
	a.until("no instance", gone)
	if got := r.classicStates(); got != "" {
		t.Errorf("instances %s are left", got)
	}
}

func TestAClassicSessionWithTheStockAWSCLI(t *testing.T) {
	t.Parallel() // most of it is the CLI starting
	r := newRig(t)
	group := r.aws("ec2", "create-security-group", "--group-name", "frontend", "--description", "frontend of web", "--vpc-id", "vpc-1", "--query", "GroupId")
	name := r.aws("elb", "create-load-balancer", "--load-balancer-name", "web", "--subnets", "subnet-a", "subnet-b", "--security-groups", group, "--tags", "Key=team,Value=a",
		"--listeners", "Protocol=TCP,LoadBalancerPort=80,InstanceProtocol=TCP,InstancePort=30080", "--query", "DNSName")
	if got := r.aws("elb", "describe-load-balancers", "--query", "LoadBalancerDescriptions[].[LoadBalancerName,DNSName,HealthCheck.Target]"); got != "web\t"+name+"\tTCP:30080" {
		t.Errorf("describe-load-balancers printed %q", got)
	}
	r.aws("elb", "configure-health-check", "--load-balancer-name", "web", "--health-check", "Target=HTTP:31000/healthz,Interval=5,Timeout=2,UnhealthyThreshold=2,HealthyThreshold=2")
	r.aws("elb", "create-load-balancer-listeners", "--load-balancer-name", "web", "--listeners", "Protocol=HTTP,LoadBalancerPort=8080,InstancePort=30081")
	r.aws("elb", "create-lb-cookie-stickiness-policy", "--load-balancer-name", "web", "--policy-name", "sticky", "--cookie-expiration-period", "60")
	r.aws("elb", "set-load-balancer-policies-of-listener", "--load-balancer-name", "web", "--load-balancer-port", "8080", "--policy-names", "sticky")
	r.aws("elb", "set-load-balancer-policies-of-listener", "--load-balancer-name", "web", "--load-balancer-port", "8080", "--policy-names", "[]")
	r.aws("elb", "modify-load-balancer-attributes", "--load-balancer-name", "web", "--load-balancer-attributes", `{"CrossZoneLoadBalancing":{"Enabled":true}}`)
	r.aws("elb", "register-instances-with-load-balancer", "--load-balancer-name", "web", "--instances", "i-a", "i-b")
	a := r.edge("us-west-2a")
	for _, id := range []string{"i-a", "i-b"} { // with cross-zone one edge may speak for both
		a.out.Put(lb.HealthReport{Targets: []lb.TargetHealthReport{{Target: lb.TargetKey{TargetGroupARN: classicARN, ID: id, Port: 31000}, Health: lb.TargetHealth{State: lb.Healthy}}}})
	}
	r.await("both instances in service", func() bool { return r.classicStates() == "i-a InService, i-b InService" })
	r.aws("elb", "wait", "instance-in-service", "--load-balancer-name", "web")
	r.aws("elb", "wait", "any-instance-in-service", "--load-balancer-name", "web")
	if got := r.aws("resourcegroupstaggingapi", "get-resources", "--tag-filters", "Key=team,Values=a", "--query", "ResourceTagMappingList[].ResourceARN"); got != classicARN {
		t.Errorf("get-resources printed %q", got)
	}
	r.aws("elb", "deregister-instances-from-load-balancer", "--load-balancer-name", "web", "--instances", "i-a")
	r.aws("elb", "wait", "instance-deregistered", "--load-balancer-name", "web", "--instances", "i-a")
	if message := r.awsFails("ec2", "delete-security-group", "--group-id", group); !strings.Contains(message, "DependencyViolation") {
		t.Errorf("delete the group in use: %s", message)
	}
	r.aws("elb", "delete-load-balancer", "--load-balancer-name", "web")
	r.aws("ec2", "delete-security-group", "--group-id", group)
	if message := r.awsFails("elb", "describe-load-balancers", "--load-balancer-names", "web"); !strings.Contains(message, "LoadBalancerNotFound") {
		t.Errorf("describe what is gone: %s", message)
	}
}
