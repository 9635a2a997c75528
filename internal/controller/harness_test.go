package controller

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	elbsdk "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	elbv2sdk "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/fairlead-lb/fairlead/internal/cloud"
	"github.com/fairlead-lb/fairlead/internal/cloud/awssdk"
	"github.com/fairlead-lb/fairlead/internal/cloud/plainbody"
	"github.com/fairlead-lb/fairlead/internal/engine"
	"github.com/fairlead-lb/fairlead/internal/engine/elbv2"
	"github.com/fairlead-lb/fairlead/internal/intent"
	"github.com/fairlead-lb/fairlead/internal/kubetest"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/owner"
)

// cluster is the API server that all tests of the package share.
var cluster *kubetest.Cluster

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(kubetest.Main(m, &cluster))
}

const clusterName = "fairlead"

// resync is far away, so that it happens in tests that want it.
const resync = 100_000 * time.Hour

// resyncIsFar tells a pass that waits for the resync from one that waits for AWS.
const resyncIsFar = time.Minute

const inventoryFile = `
elasticIpPools: [203.0.113.128/25]
vpcs: [{vpcId: vpc-1, cidrBlock: 198.18.0.0/16, ipv6CidrBlock: "2001:db8::/32"}]
subnets:
- {subnetId: subnet-a, vpcId: vpc-1, availabilityZone: us-west-2a, availabilityZoneId: usw2-az1, cidrBlock: 198.18.16.0/20, ipv6CidrBlock: "2001:db8:0:1::/64", public: true, tags: {kubernetes.io/role/elb: "1", kubernetes.io/role/internal-elb: "1", kubernetes.io/cluster/fairlead: shared}}
- {subnetId: subnet-b, vpcId: vpc-1, availabilityZone: us-west-2b, availabilityZoneId: usw2-az2, cidrBlock: 198.18.32.0/20, ipv6CidrBlock: "2001:db8:0:2::/64", public: true, tags: {kubernetes.io/role/elb: "1", kubernetes.io/role/internal-elb: "1", kubernetes.io/cluster/fairlead: shared}}
- {subnetId: subnet-a2, vpcId: vpc-1, availabilityZone: us-west-2a, availabilityZoneId: usw2-az1, cidrBlock: 198.18.48.0/20, public: true}
- {subnetId: subnet-b2, vpcId: vpc-1, availabilityZone: us-west-2b, availabilityZoneId: usw2-az2, cidrBlock: 198.18.64.0/20, public: true}
securityGroups:
- {groupId: sg-00000000000000001, groupName: nodes, vpcId: vpc-1, tags: {kubernetes.io/cluster/fairlead: owned}}
instances:
- {instanceId: i-00000000000000001, networkInterfaces: [{subnetId: subnet-a, addresses: [198.18.16.16], prefixes: [198.18.17.0/24], securityGroups: [sg-00000000000000001]}]}
- {instanceId: i-00000000000000002, networkInterfaces: [{subnetId: subnet-b, addresses: [198.18.32.16], prefixes: [198.18.33.0/24], securityGroups: [sg-00000000000000001]}]}
- {instanceId: i-00000000000000003, networkInterfaces: [{subnetId: subnet-a, addresses: [198.18.16.17], prefixes: [198.18.18.0/24], securityGroups: [sg-00000000000000001]}]}
edges:
- {availabilityZone: us-west-2a, addresses: [198.18.16.4]}
- {availabilityZone: us-west-2b, addresses: [198.18.32.4]}
`

// iamFile gives the controller the policy that is published, and nothing else.
const iamFile = `
users:
- name: controller
  accessKeys: [{accessKeyId: AKIACONTROLLER000000, secretAccessKey: secret-of-the-controller-in-tests-only0}]
  policies: [{name: published, file: policy.json}]
`

// world is an engine of its own and a Reconciler, on the shared API server.
type world struct {
	t       *testing.T
	kube    client.WithWatch
	engine  *engine.Engine
	aws     *wire
	api     cloud.API // without faults and counting
	elb     *elbv2sdk.Client
	classic *elbsdk.Client
	r       *Reconciler
	notes   *notes
	now     time.Time
	rate    float64 // of the controller's calls, for the next process
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, now: time.Now(), rate: math.Inf(1)}
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	if err := discoveryv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.kube, err = client.NewWithWatch(cluster.Config, client.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
	w.startEngine()
	w.restart()
	for n := range 2 {
		w.addNode(n + 1)
	}
	t.Cleanup(w.clear)
	return w
}

func (w *world) startEngine() {
	w.t.Helper()
	dir := w.t.TempDir()
	inventory := filepath.Join(dir, "inventory.yaml")
	if err := os.WriteFile(inventory, []byte(inventoryFile), 0o600); err != nil {
		w.t.Fatal(err)
	}
	iam := filepath.Join(dir, "iam.yaml")
	if err := os.WriteFile(iam, []byte(iamFile), 0o600); err != nil {
		w.t.Fatal(err)
	}
	policy, err := os.ReadFile("../../config/iam/controller-policy.json")
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "policy.json"), policy, 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.engine, err = engine.Open(engine.Config{
		Region: "us-west-2", AccountID: "000000000000", StateDir: filepath.Join(dir, "state"), Inventory: inventory, IAM: iam, Quotas: elbv2.DefaultQuotas(),
		Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	server := httptest.NewServer(w.engine.Handler())
	w.t.Cleanup(func() {
		server.Close()
		if err := w.engine.Close(); err != nil {
			w.t.Error(err)
		}
	})
	w.aws = &wire{next: server.Client().Transport}
	w.aws.url = server.URL
	key, _ := w.engine.RootKey()
	root := credentials.NewStaticCredentialsProvider(key.AccessKeyID, key.SecretAccessKey, "")
	w.api = w.client(server.Client(), root)
	w.elb = elbv2sdk.New(elbv2sdk.Options{Region: "us-west-2", BaseEndpoint: &server.URL, Credentials: root, HTTPClient: plainbody.Client(nil)})
	w.classic = elbsdk.New(elbsdk.Options{Region: "us-west-2", BaseEndpoint: &server.URL, Credentials: root, HTTPClient: plainbody.Client(nil)})
}

func (w *world) client(http aws.HTTPClient, as aws.CredentialsProvider) cloud.API {
	w.t.Helper()
	c, err := awssdk.New(w.t.Context(), awssdk.Config{
		Region: "us-west-2", VPCID: "vpc-1", Description: owner.Cluster(clusterName).RuleDescription(), MaxAttempts: 1, RequestRate: w.rate,
		Adjust: func(c *aws.Config) {
			c.BaseEndpoint, c.HTTPClient, c.Credentials = &w.aws.url, http, as
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// restart replaces the Reconciler by one that knows nothing, as a new process.
func (w *world) restart() {
	w.notes = &notes{}
	api := w.client(&http.Client{Transport: w.aws}, credentials.NewStaticCredentialsProvider("AKIACONTROLLER000000", "secret-of-the-controller-in-tests-only0", ""))
	w.r = &Reconciler{
		client: interceptor.NewClient(w.kube, w.aws.kube()), api: api, shared: newShared(api, clusterName, holders(w.kube)), events: w.notes,
		log: slog.New(slog.DiscardHandler), metrics: newMetrics(nil), now: func() time.Time { return w.now },
		opts: Options{
			Cluster: clusterName, TakeUnclassed: true, Resync: resync, RetryBase: time.Millisecond, RetryMax: 10 * time.Millisecond,
			Defaults: intent.Defaults{Scheme: lb.InternetFacing, TargetType: lb.InstanceTarget, HealthInterval: 10 * time.Second, HealthyThreshold: 3, UnhealthyThreshold: 3},
		},
		services: map[types.NamespacedName]*service{},
	}
}

// clear removes what a test left in the shared API server.
func (w *world) clear() {
	ctx := context.Background()
	var services corev1.ServiceList
	if err := w.kube.List(ctx, &services, client.InNamespace("default")); err != nil {
		w.t.Error(err)
	}
	for _, s := range services.Items {
		if s.Name == "kubernetes" {
			continue
		}
		s.Finalizers = nil
		_ = w.kube.Update(ctx, &s) // it may be gone between
		_ = w.kube.Delete(ctx, &s)
	}
	if err := w.kube.DeleteAllOf(ctx, &corev1.Node{}); err != nil {
		w.t.Error(err)
	}
	for _, of := range []client.Object{&discoveryv1.EndpointSlice{}, &corev1.Pod{}} {
		if err := w.kube.DeleteAllOf(ctx, of, client.InNamespace("default"), client.GracePeriodSeconds(0)); err != nil {
			w.t.Error(err)
		}
	}
}

// once is one pass over a Service, and the time that it then wants to pass
// until the next.
func (w *world) once(ctx context.Context, name string) reconcile.Result {
	w.t.Helper()
	result, err := w.r.Reconcile(ctx, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "default", Name: name}})
	if err != nil {
		result.RequeueAfter = time.Millisecond
	}
	if result.RequeueAfter <= resyncIsFar {
		w.now = w.now.Add(result.RequeueAfter)
	}
	return result
}

// settle passes over Services until none wants another pass soon; targets are
// healthy as soon as someone asks.
func (w *world) settle(names ...string) {
	w.t.Helper()
	for range 50 {
		w.beHealthy()
		names = slices.DeleteFunc(slices.Clone(names), func(name string) bool {
			r := w.once(w.t.Context(), name)
			return r.RequeueAfter == 0 || r.RequeueAfter > resyncIsFar
		})
		if len(names) == 0 {
			return
		}
	}
	w.t.Fatalf("Services %v do not settle: %v", names, w.notes.list())
}

// beHealthy reports every target healthy, as edges would.
func (w *world) beHealthy() {
	w.t.Helper()
	var healthy []lb.TargetHealthReport
	for _, g := range w.targetGroups() {
		targets, err := w.api.DescribeTargetHealth(w.t.Context(), g)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, t := range targets {
			healthy = append(healthy, lb.TargetHealthReport{
				Target: lb.TargetKey{TargetGroupARN: g, ID: t.ID, Port: t.Port}, Health: lb.TargetHealth{State: lb.Healthy},
			})
		}
	}
	healthy = append(healthy, w.classicHealth()...)
	for _, zone := range []string{"us-west-2a", "us-west-2b"} {
		w.engine.Source().Report(lb.HealthReport{Zone: zone, Full: true, Targets: healthy})
	}
}

// targetGroups are the ARNs of all target groups of the account.
func (w *world) targetGroups() (arns []string) {
	w.t.Helper()
	pages := elbv2sdk.NewDescribeTargetGroupsPaginator(w.elb, &elbv2sdk.DescribeTargetGroupsInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		for _, g := range page.TargetGroups {
			arns = append(arns, *g.TargetGroupArn)
		}
	}
	return arns
}

func (w *world) groups() []cloud.TargetGroup {
	w.t.Helper()
	groups, err := w.api.DescribeTargetGroups(w.t.Context(), w.all().groups)
	if err != nil {
		w.t.Fatal(err)
	}
	return groups
}

// everything is what the account holds.
type everything struct {
	balancers []string
	groups    []string
	security  []cloud.SecurityGroup // ours
	nodeRules []cloud.IngressRule
}

func (w *world) all() everything {
	w.t.Helper()
	ctx := w.t.Context()
	var out everything
	balancers, err := w.elb.DescribeLoadBalancers(ctx, &elbv2sdk.DescribeLoadBalancersInput{})
	if err != nil {
		w.t.Fatal(err)
	}
	groups, err := w.elb.DescribeTargetGroups(ctx, &elbv2sdk.DescribeTargetGroupsInput{})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, b := range balancers.LoadBalancers {
		out.balancers = append(out.balancers, *b.LoadBalancerName)
	}
	for _, b := range w.classics() {
		out.balancers = append(out.balancers, *b.LoadBalancerName)
	}
	for _, g := range groups.TargetGroups {
		if *g.TargetGroupName != foreignGroup {
			out.groups = append(out.groups, *g.TargetGroupName)
		}
	}
	security, err := w.api.DescribeSecurityGroups(ctx, cloud.GroupFilter{TagKey: owner.TagKubernetesCluster + clusterName})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, g := range security {
		if g.Tags[owner.TagCluster] != "" {
			out.security = append(out.security, g)
		} else {
			out.nodeRules = append(out.nodeRules, g.Ingress...)
		}
	}
	return out
}

func (e everything) empty() bool {
	return len(e.balancers) == 0 && len(e.groups) == 0 && len(e.security) == 0 && len(e.nodeRules) == 0
}

func (e everything) String() string {
	var names []string
	for _, b := range e.balancers {
		names = append(names, "load balancer "+b)
	}
	for _, g := range e.groups {
		names = append(names, "target group "+g)
	}
	for _, g := range e.security {
		names = append(names, "security group "+g.Name)
	}
	for _, r := range e.nodeRules {
		names = append(names, "rule on the nodes from "+r.SourceGroup)
	}
	return strings.Join(names, ", ")
}

// notes are the events that were sent.
type notes struct {
	mu   sync.Mutex
	sent []string
}

func (n *notes) Eventf(_, _ runtime.Object, _, reason, _, note string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sent = append(n.sent, reason+": "+fmt.Sprintf(note, args...))
}

func (n *notes) list() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.sent)
}

func (n *notes) has(reason string) bool {
	return slices.ContainsFunc(n.list(), func(s string) bool { return strings.HasPrefix(s, reason+": ") })
}
