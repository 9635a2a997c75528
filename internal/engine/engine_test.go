package engine

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/fairlead-lb/fairlead/internal/cloud/plainbody"
	"github.com/fairlead-lb/fairlead/internal/edgeapi"
	"github.com/fairlead-lb/fairlead/internal/engine/elbv2"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testInventory = `
vpcs:
- {vpcId: vpc-1, cidrBlock: 198.18.0.0/16, ipv6CidrBlock: "2001:db8::/32"}
subnets:
- {subnetId: subnet-a, vpcId: vpc-1, availabilityZone: us-west-2a, availabilityZoneId: usw2-az1, cidrBlock: 198.18.16.0/20, ipv6CidrBlock: "2001:db8:0:1::/64", public: true}
- {subnetId: subnet-b, vpcId: vpc-1, availabilityZone: us-west-2b, availabilityZoneId: usw2-az2, cidrBlock: 198.18.32.0/20, ipv6CidrBlock: "2001:db8:0:2::/64", public: true}
securityGroups:
- {groupId: sg-nodes, groupName: nodes, vpcId: vpc-1}
instances:
- instanceId: i-a
  networkInterfaces: [{subnetId: subnet-a, addresses: [198.18.16.16, "2001:db8:0:1::10"], prefixes: [198.18.17.0/24]}]
- instanceId: i-b
  networkInterfaces: [{subnetId: subnet-b, addresses: [198.18.32.16]}]
edges:
- {availabilityZone: us-west-2a, addresses: [198.18.16.4]}
- {availabilityZone: us-west-2b, addresses: [198.18.32.4]}
`

// rig is a whole engine with its sockets on loopback, and an SDK client.
type rig struct {
	*elb.Client
	t      *testing.T
	dir    string
	engine *Engine
	url    string
	http   *http.Client
	iam    string // path of the IAM file; empty: the root key alone
	edges  string
	stop   func()
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir()}
	r.writeInventory(testInventory)
	r.start()
	t.Cleanup(func() { r.stop() })
	return r
}

func (r *rig) writeInventory(content string) {
	r.t.Helper()
	path := filepath.Join(r.dir, "inventory.yaml")
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		r.t.Fatal(err)
	}
}

// writeIAM writes an IAM file for the next start.
func (r *rig) writeIAM(content string) {
	r.t.Helper()
	r.iam = filepath.Join(r.dir, "iam.yaml")
	if err := os.WriteFile(r.iam, []byte(content), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// start opens the engine, serves its API from httptest and its edges for real.
func (r *rig) start() {
	r.t.Helper()
	e, err := Open(Config{
		Region: "us-west-2", AccountID: "000000000000", StateDir: filepath.Join(r.dir, "state"), Inventory: filepath.Join(r.dir, "inventory.yaml"), IAM: r.iam,
		Quotas: elbv2.DefaultQuotas(), DNSTTL: 5 * time.Second, Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	api := httptest.NewServer(e.Handler())
	edges, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	server, err := e.edgeServer()
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- server.Serve(ctx, edges) }()
	go func() { done <- e.background(ctx) }()
	r.stop = func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				r.t.Error(err)
			}
		}
		api.Close()
		if err := e.Close(); err != nil {
			r.t.Error(err)
		}
		r.stop = func() {}
	}
	r.engine, r.url, r.http, r.edges = e, api.URL, api.Client(), edges.Addr().String()
	key, _ := e.RootKey()
	r.Client = elb.New(elb.Options{
		Region: "us-west-2", BaseEndpoint: &r.url, Retryer: aws.NopRetryer{}, HTTPClient: plainbody.Client(api.Client()),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: key.AccessKeyID, SecretAccessKey: key.SecretAccessKey}, nil
		}),
	})
}

// restart ends the engine and starts another on the same state.
func (r *rig) restart() {
	r.t.Helper()
	r.stop()
	r.start()
}

// fixture is a load balancer with one group and two targets.
type fixture struct{ balancer, dns, group, listener string }

func (r *rig) fixture(delaySeconds string) fixture {
	r.t.Helper()
	ctx := r.t.Context()
	check := func(err error) {
		r.t.Helper()
		if err != nil {
			r.t.Fatal(err)
		}
	}
	b, err := r.CreateLoadBalancer(ctx, &elb.CreateLoadBalancerInput{Name: aws.String("web"), Type: types.LoadBalancerTypeEnumNetwork, Subnets: []string{"subnet-a", "subnet-b"}})
	check(err)
	g, err := r.CreateTargetGroup(ctx, &elb.CreateTargetGroupInput{Name: aws.String("pods"), Protocol: types.ProtocolEnumTcp, Port: aws.Int32(30080), VpcId: aws.String("vpc-1")})
	check(err)
	f := fixture{balancer: *b.LoadBalancers[0].LoadBalancerArn, dns: *b.LoadBalancers[0].DNSName, group: *g.TargetGroups[0].TargetGroupArn}
	_, err = r.ModifyTargetGroupAttributes(ctx, &elb.ModifyTargetGroupAttributesInput{TargetGroupArn: &f.group,
		Attributes: []types.TargetGroupAttribute{{Key: aws.String(lb.AttrDeregistrationDelay), Value: &delaySeconds}}})
	check(err)
	l, err := r.CreateListener(ctx, &elb.CreateListenerInput{LoadBalancerArn: &f.balancer, Protocol: types.ProtocolEnumTcp, Port: aws.Int32(80),
		DefaultActions: []types.Action{{Type: types.ActionTypeEnumForward, TargetGroupArn: &f.group}}})
	check(err)
	f.listener = *l.Listeners[0].ListenerArn
	_, err = r.RegisterTargets(ctx, &elb.RegisterTargetsInput{TargetGroupArn: &f.group, Targets: []types.TargetDescription{{Id: aws.String("i-a")}, {Id: aws.String("i-b")}}})
	check(err)
	return f
}

// edge is a real edge connection whose reports the test makes up.
type edge struct {
	t         *testing.T
	snapshots chan lb.ZoneSnapshot
	out       *edgeapi.Outbox
	stop      func()
}

func (r *rig) edge(zone string) *edge {
	r.t.Helper()
	authority, err := edgeapi.OpenAuthority(filepath.Join(r.dir, "state"))
	if err != nil {
		r.t.Fatal(err)
	}
	identity, err := authority.Issue(zone)
	if err != nil {
		r.t.Fatal(err)
	}
	dir := r.t.TempDir()
	if err := identity.Write(dir); err != nil {
		r.t.Fatal(err)
	}
	out := edgeapi.NewOutbox(zone)
	client, err := edgeapi.NewClient(edgeapi.ClientConfig{Engine: r.edges, Zone: zone, IdentityDir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	e := &edge{t: r.t, snapshots: make(chan lb.ZoneSnapshot, 100), out: out}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = client.Run(ctx, out, func(s lb.ZoneSnapshot) { e.snapshots <- s })
	}()
	e.stop = func() { cancel(); <-done }
	r.t.Cleanup(func() { e.stop() })
	return e
}

// until returns the first snapshot that a test accepts.
func (e *edge) until(what string, accept func(lb.ZoneSnapshot) bool) lb.ZoneSnapshot {
	e.t.Helper()
	var last lb.ZoneSnapshot
	for {
		select {
		case last = <-e.snapshots:
			if accept(last) {
				return last
			}
		case <-time.After(time.Minute):
			e.t.Fatalf("no snapshot with %s; the last was %+v", what, last)
		}
	}
}

func targets(n int) func(lb.ZoneSnapshot) bool {
	return func(s lb.ZoneSnapshot) bool {
		return len(s.TargetGroups) == 1 && len(s.TargetGroups[0].Targets) == n && len(s.LoadBalancers[0].Listeners) == 1
	}
}

func TestEdgesGetWhatTheirZoneNeeds(t *testing.T) {
	r := newRig(t)
	a := r.edge("us-west-2a")
	a.until("nothing", func(s lb.ZoneSnapshot) bool { return len(s.LoadBalancers) == 0 })
	f := r.fixture("300")
	s := a.until("one target", targets(1))
	want := lb.ZoneSnapshot{
		Revision: s.Revision, Zone: "us-west-2a",
		LoadBalancers: []lb.ZonalBalancer{{ARN: f.balancer, Name: "web", IPv4: netip.MustParseAddr("198.18.16.5"), Listeners: []lb.ZonalListener{{
			ARN: f.listener, Protocol: lb.TCP, Port: 80, IdleTimeout: 350 * time.Second, Forward: []lb.WeightedGroup{{TargetGroupARN: f.group, Weight: 1}},
		}}}},
		TargetGroups: []lb.ZonalGroup{{
			ARN: f.group, Name: "pods", Protocol: lb.TCP, PreserveClientIP: true, UnhealthyTermination: true, UnhealthyRoutingMinCount: 1,
			HealthCheck: lb.HealthCheck{Protocol: lb.TCP, Port: lb.TrafficPort, Interval: 30 * time.Second, Timeout: 10 * time.Second, HealthyThreshold: 5, UnhealthyThreshold: 2},
			Targets: []lb.ZonalTarget{{ID: "i-a", Port: 30080, Zone: "us-west-2a", Addr: netip.MustParseAddr("198.18.16.16"), Siblings: []netip.Prefix{
				netip.MustParsePrefix("198.18.16.16/32"), netip.MustParsePrefix("2001:db8:0:1::10/128"), netip.MustParsePrefix("198.18.17.0/24"),
			}}},
		}},
	}
	compare := cmp.Options{cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })}
	if diff := cmp.Diff(want, s, compare); diff != "" {
		t.Errorf("snapshot (-want +got):\n%s", diff)
	}
	if _, err := r.ModifyLoadBalancerAttributes(t.Context(), &elb.ModifyLoadBalancerAttributesInput{LoadBalancerArn: &f.balancer,
		Attributes: []types.LoadBalancerAttribute{{Key: aws.String(lb.AttrCrossZone), Value: aws.String("true")}}}); err != nil {
		t.Fatal(err)
	}
	if s := a.until("two targets", targets(2)); !s.TargetGroups[0].CrossZone {
		t.Error("the group does not say that cross-zone is on")
	}
	if _, err := r.DeleteLoadBalancer(t.Context(), &elb.DeleteLoadBalancerInput{LoadBalancerArn: &f.balancer}); err != nil {
		t.Fatal(err)
	}
	a.until("nothing left", func(s lb.ZoneSnapshot) bool { return len(s.LoadBalancers) == 0 && len(s.TargetGroups) == 0 })
}

func TestWhatDoesNotConcernAZoneIsNotSentToIt(t *testing.T) {
	r := newRig(t)
	f := r.fixture("300")
	b := r.edge("us-west-2b")
	first := b.until("one target", targets(1))
	ctx := t.Context()
	if _, err := r.AddTags(ctx, &elb.AddTagsInput{ResourceArns: []string{f.balancer}, Tags: []types.Tag{{Key: aws.String("k")}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.DeregisterTargets(ctx, &elb.DeregisterTargetsInput{TargetGroupArn: &f.group, Targets: []types.TargetDescription{{Id: aws.String("i-a")}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.DeregisterTargets(ctx, &elb.DeregisterTargetsInput{TargetGroupArn: &f.group, Targets: []types.TargetDescription{{Id: aws.String("i-b")}}}); err != nil {
		t.Fatal(err)
	}
	next := b.until("a draining target", func(s lb.ZoneSnapshot) bool { return true })
	if next.Revision != first.Revision+3 || next.TargetGroups[0].Targets[0].DrainUntil.IsZero() {
		t.Errorf("the next snapshot is of revision %d with %+v, want %d with a draining target: the two before concern others", next.Revision, next.TargetGroups[0].Targets, first.Revision+3)
	}
}

func TestHealthAndNamesFollowTheEdges(t *testing.T) {
	r := newRig(t)
	f := r.fixture("300")
	names := func() []string {
		addrs, ttl, ok := r.engine.Lookup(f.dns)
		if !ok || ttl != 5*time.Second {
			t.Errorf("Lookup = %v, %v, %v", addrs, ttl, ok)
		}
		return texts(addrs)
	}
	both := []string{"198.18.16.5", "198.18.32.5"}
	if got := names(); !cmp.Equal(got, both) {
		t.Errorf("before any report the name has %q, want %q", got, both)
	}
	a, b := r.edge("us-west-2a"), r.edge("us-west-2b")
	report := func(e *edge, id string, health lb.TargetHealth) {
		e.out.Put(lb.HealthReport{Targets: []lb.TargetHealthReport{{Target: lb.TargetKey{TargetGroupARN: f.group, ID: id, Port: 30080}, Health: health}}})
	}
	report(a, "i-a", lb.TargetHealth{State: lb.Healthy})
	report(b, "i-b", lb.TargetHealth{State: lb.Unhealthy, Reason: lb.FailedHealthChecks, Description: "Health checks failed"})
	r.await("i-a healthy, i-b unhealthy", func() bool { return cmp.Equal(r.states(f.group), []string{"healthy", "unhealthy"}) })
	r.await("the name to lead to zone a alone", func() bool { return cmp.Equal(names(), both[:1]) })
	if addrs, _, ok := r.engine.Lookup("us-west-2b." + f.dns); !ok || !cmp.Equal(texts(addrs), both[1:]) {
		t.Errorf("the zonal name has %v, want %v", addrs, both[1:])
	}
	for _, unknown := range []string{"us-west-2c." + f.dns, "web.elb.us-west-2.amazonaws.com", "elb.us-west-2.amazonaws.com", ""} {
		if _, _, ok := r.engine.Lookup(unknown); ok {
			t.Errorf("Lookup(%q) found something", unknown)
		}
	}
	a.stop()
	r.await("the name to lead to the connected zone", func() bool { return cmp.Equal(names(), both[1:]) })
	if got := r.states(f.group); !cmp.Equal(got, []string{"healthy", "unhealthy"}) {
		t.Errorf("states %q after an edge was lost: what it said should stay", got)
	}
}

func texts(addrs []netip.Addr) []string {
	var out []string
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return out
}

func (r *rig) states(group string) []string {
	r.t.Helper()
	out, err := r.DescribeTargetHealth(r.t.Context(), &elb.DescribeTargetHealthInput{TargetGroupArn: &group})
	if err != nil {
		r.t.Fatal(err)
	}
	var states []string
	for _, d := range out.TargetHealthDescriptions {
		states = append(states, string(d.TargetHealth.State))
	}
	return states
}

// await waits for what other goroutines bring about.
func (r *rig) await(what string, done func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestDrainedTargetsGoAlsoAfterARestart(t *testing.T) {
	r := newRig(t)
	f := r.fixture("1")
	deregister := func(id string) {
		t.Helper()
		if _, err := r.DeregisterTargets(t.Context(), &elb.DeregisterTargetsInput{TargetGroupArn: &f.group, Targets: []types.TargetDescription{{Id: &id}}}); err != nil {
			t.Fatal(err)
		}
	}
	deregister("i-a")
	if got := r.states(f.group); !slices.Contains(got, "draining") {
		t.Errorf("states %q right after deregistration, want one draining", got)
	}
	r.await("i-a to go", func() bool { return len(r.states(f.group)) == 1 })
	deregister("i-b")
	r.restart()
	r.await("i-b to go after a restart", func() bool { return len(r.states(f.group)) == 0 })
}

func TestTheInventoryIsFollowedAndABadOneIsNotTaken(t *testing.T) {
	r := newRig(t)
	f := r.fixture("300")
	a := r.edge("us-west-2a")
	a.until("one target", targets(1))
	r.writeInventory("vpcs: [{vpcId: nonsense}]")
	r.writeInventory(strings.ReplaceAll(testInventory, "198.18.16.16", "198.18.16.99"))
	s := a.until("the new address", func(s lb.ZoneSnapshot) bool {
		return targets(1)(s) && s.TargetGroups[0].Targets[0].Addr == netip.MustParseAddr("198.18.16.99")
	})
	if s.TargetGroups[0].ARN != f.group {
		t.Errorf("snapshot of group %s", s.TargetGroups[0].ARN)
	}
	r.writeInventory("vpcs: [")
	r.engine.network.reload()
	if _, ok := r.engine.network.current().Instance("i-a"); !ok {
		t.Error("a bad inventory replaced a good one")
	}
}
