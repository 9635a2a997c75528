package intent_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-lb/fairlead/internal/intent"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

// crowd are n nodes, in two zones by turns.
func crowd(n int) (nodes []*corev1.Node) {
	for i := range n {
		nodes = append(nodes, node(fmt.Sprintf("node-%d", i), "us-west-2"+string(rune('a'+i%2)), fmt.Sprintf("i-%017x", i)))
	}
	return nodes
}

// endpointsOn is a slice with a ready endpoint on each of these nodes.
func endpointsOn(nodes ...string) *discoveryv1.EndpointSlice {
	name, port, protocol := "http", int32(80), corev1.ProtocolTCP
	s := &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &port, Protocol: &protocol}}}
	for i, n := range nodes {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("198.18.%d.%d", 48+i/250, i%250)}, NodeName: &n})
	}
	return s
}

func localService(annotations map[string]string) *corev1.Service {
	svc := service(annotations)
	svc.Spec.ExternalTrafficPolicy, svc.Spec.HealthCheckNodePort = corev1.ServiceExternalTrafficPolicyLocal, 31000
	return svc
}

// targets are those of a Service's first group, by zone of their numbers.
func targets(t *testing.T, in intent.Input) (ids []string, problems []intent.Problem) {
	t.Helper()
	stack, problems := intent.Desired(in)
	for _, target := range stack.TargetGroups[0].Targets {
		ids = append(ids, target.ID)
	}
	return ids, problems
}

func TestNodesStayWithinTheQuotasOfTargets(t *testing.T) {
	ports := func(n int, annotations map[string]string) *corev1.Service {
		svc := service(annotations)
		svc.Spec.Ports = nil
		for i := range n {
			svc.Spec.Ports = append(svc.Spec.Ports, corev1.ServicePort{Name: fmt.Sprint("p", i), Port: int32(80 + i), Protocol: corev1.ProtocolTCP, NodePort: int32(30000 + i)})
		}
		return svc
	}
	tests := map[string]struct {
		service *corev1.Service
		nodes   int
		want    int
	}{
		"all of few":                           {ports(1, nil), 800, 800},
		"450 in each zone":                     {ports(1, nil), 2000, 900},
		"four ports share the zones' quota":    {ports(4, nil), 2000, 2 * 112},
		"all zones share it with cross-zone":   {ports(1, map[string]string{aws + "attributes": lb.AttrCrossZone + "=true"}), 2000, 450},
		"so do they with cross-zone of groups": {ports(2, map[string]string{aws + "target-group-attributes": lb.AttrCrossZone + "=true"}), 2000, 225},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			in := input(tt.service)
			in.Nodes = crowd(tt.nodes)
			got, problems := targets(t, in)
			if len(got) != tt.want {
				t.Errorf("got %d targets, want %d", len(got), tt.want)
			}
			if warned := len(problems) == 1 && problems[0].Severity == intent.Warning && strings.Contains(problems[0].Why, fmt.Sprintf("%d of %d nodes", tt.want, tt.nodes)); warned != (tt.want < tt.nodes) {
				t.Errorf("got problems %v", problems)
			}
		})
	}
}

func TestTheSubsetOfNodesIsStableAndDiffersBetweenServices(t *testing.T) {
	in := input(service(nil))
	in.Nodes = crowd(2000)
	before, _ := targets(t, in)
	in.Nodes = slices.Delete(slices.Clone(in.Nodes), 0, 20)
	after, _ := targets(t, in)
	joined := 0
	for _, id := range after {
		if !slices.Contains(before, id) {
			joined++
		}
	}
	if joined > 20 {
		t.Errorf("20 nodes left and %d others joined", joined)
	}
	in.Service.UID = "another"
	others, _ := targets(t, in)
	same := 0
	for _, id := range others {
		if slices.Contains(after, id) {
			same++
		}
	}
	if same > 600 {
		t.Errorf("two Services share %d of 900 targets: a cluster of 1,980 nodes is not divided", same)
	}
}

func TestNodesWithEndpointsComeFirstUnderPolicyLocal(t *testing.T) {
	in := input(localService(nil))
	in.Nodes = crowd(2000)
	var want []string
	for i := range 300 {
		want = append(want, fmt.Sprintf("node-%d", 1999-i))
	}
	in.Slices = []*discoveryv1.EndpointSlice{endpointsOn(want...)}
	got, _ := targets(t, in)
	for i := range want {
		if id := fmt.Sprintf("i-%017x", 1999-i); !slices.Contains(got, id) {
			t.Fatalf("node %s has an endpoint and is not a target", want[i])
		}
	}
}

func TestPodsStayWithinTheQuotasOfTargets(t *testing.T) {
	in := input(service(map[string]string{aws + "nlb-target-type": "ip"}))
	nodes := make([]string, 1200)
	slice := endpointsOn(nodes...)
	for i := range slice.Endpoints {
		zone := "us-west-2" + string(rune('a'+i%2))
		slice.Endpoints[i].Zone = &zone
	}
	in.Slices = []*discoveryv1.EndpointSlice{slice}
	got, problems := targets(t, in)
	if len(got) != 900 || len(problems) != 1 || !strings.Contains(problems[0].Why, "900 of 1200 pods") {
		t.Errorf("got %d targets, problems %v", len(got), problems)
	}
}

func TestOnlyNodesWithEndpoints(t *testing.T) {
	only := map[string]string{fairlead + "target-nodes": "with-endpoints"}
	notReady := endpointsOn("node-2")
	notReady.Endpoints[0].Conditions.Ready = new(bool)
	tests := map[string]struct {
		service *corev1.Service
		want    []int
		warns   bool
	}{
		"by default all nodes are targets":        {localService(nil), []int{0, 1, 2}, false},
		"the others are left out":                 {localService(only), []int{1}, false},
		"without policy Local it is warned about": {service(maps.Clone(only)), []int{0, 1, 2}, true},
		"all may be said":                         {localService(map[string]string{fairlead + "target-nodes": "all"}), []int{0, 1, 2}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			in := input(tt.service)
			in.Nodes, in.Slices = crowd(3), []*discoveryv1.EndpointSlice{endpointsOn("node-1"), notReady}
			got, problems := targets(t, in)
			var want []string
			for _, n := range tt.want {
				want = append(want, fmt.Sprintf("i-%017x", n))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("targets (-want +got):\n%s", diff)
			}
			if warned := len(problems) == 1 && problems[0].Severity == intent.Warning; warned != tt.warns || len(problems) > 1 {
				t.Errorf("got problems %v", problems)
			}
		})
	}
}

func TestNodesThatAreBeingRemovedLeaveEarly(t *testing.T) {
	tests := map[string]func(*corev1.Node){
		"the autoscaler is about to delete it": func(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{{Key: "ToBeDeletedByClusterAutoscaler"}} },
		"Karpenter is about to replace it":     func(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{{Key: "karpenter.sh/disrupted"}} },
		"it is being deleted":                  func(n *corev1.Node) { n.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} },
		"its label excludes it":                func(n *corev1.Node) { n.Labels[corev1.LabelNodeExcludeBalancers] = "" },
		"it is not set up yet": func(n *corev1.Node) {
			n.Spec.Taints = []corev1.Taint{{Key: "node.cloudprovider.kubernetes.io/uninitialized"}}
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			in := input(service(nil))
			in.Nodes = crowd(2)
			if in.Nodes[0].Labels == nil {
				in.Nodes[0].Labels = map[string]string{}
			}
			change(in.Nodes[0])
			if got, _ := targets(t, in); !slices.Equal(got, []string{fmt.Sprintf("i-%017x", 1)}) {
				t.Errorf("targets are %v", got)
			}
		})
	}
}

// The endpoint slice controller puts publishNotReadyAddresses into the
// condition: such an endpoint is ready though it does not serve.
func TestPodsThatAreToBePublishedBeforeTheyAreReadyAreTargets(t *testing.T) {
	yes, no := true, false
	tests := map[string]struct {
		conditions discoveryv1.EndpointConditions
		want       int
	}{
		"published though not ready": {discoveryv1.EndpointConditions{Ready: &yes, Serving: &no}, 1},
		"not ready":                  {discoveryv1.EndpointConditions{Ready: &no, Serving: &no}, 0},
		"terminating, still serving": {discoveryv1.EndpointConditions{Ready: &no, Serving: &yes, Terminating: &yes}, 0},
		"nothing known":              {discoveryv1.EndpointConditions{}, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			in := input(service(map[string]string{aws + "nlb-target-type": "ip"}))
			in.Service.Spec.PublishNotReadyAddresses = true
			slice := endpointsOn("node-1")
			slice.Endpoints[0].Conditions = tt.conditions
			in.Slices = []*discoveryv1.EndpointSlice{slice}
			if got, _ := targets(t, in); len(got) != tt.want {
				t.Errorf("targets are %v, want %d", got, tt.want)
			}
		})
	}
}
