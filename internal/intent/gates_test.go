package intent_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/internal/intent"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

// gatedPod has our gate, another one that is open, and containers that are ready.
func gatedPod(changes ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{}
	p.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: intent.ReadinessGate}, {ConditionType: "example.com/warm"}}
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.ContainersReady, Status: corev1.ConditionTrue}, {Type: "example.com/warm", Status: corev1.ConditionTrue}}
	for _, change := range changes {
		change(p)
	}
	return p
}

func TestAPodIsFitWhenOnlyOurGateCanKeepItFromBeingReady(t *testing.T) {
	type answer struct{ Fit, Waits bool }
	condition := func(kind corev1.PodConditionType, s corev1.ConditionStatus) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.Conditions = append([]corev1.PodCondition{{Type: kind, Status: s}}, p.Status.Conditions[1:]...)
		}
	}
	for name, tt := range map[string]struct {
		pod  *corev1.Pod
		want answer
	}{
		"its gate has no condition yet": {gatedPod(), answer{true, true}},
		"its gate is closed": {gatedPod(func(p *corev1.Pod) {
			p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: intent.ReadinessGate, Status: corev1.ConditionFalse})
		}), answer{true, true}},
		"its gate is open": {gatedPod(func(p *corev1.Pod) {
			p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: intent.ReadinessGate, Status: corev1.ConditionTrue})
		}), answer{true, false}},
		"a container is not ready":       {gatedPod(condition(corev1.ContainersReady, corev1.ConditionFalse)), answer{}},
		"another gate is closed":         {gatedPod(func(p *corev1.Pod) { p.Status.Conditions[1].Status = corev1.ConditionFalse }), answer{}},
		"another gate has no condition":  {gatedPod(func(p *corev1.Pod) { p.Status.Conditions = p.Status.Conditions[:1] }), answer{}},
		"it is on its way out":           {gatedPod(func(p *corev1.Pod) { p.DeletionTimestamp = new(metav1.Now()) }), answer{}},
		"it has no gate of ours":         {gatedPod(func(p *corev1.Pod) { p.Spec.ReadinessGates = p.Spec.ReadinessGates[1:] }), answer{}},
		"nothing has been said about it": {gatedPod(func(p *corev1.Pod) { p.Status.Conditions = nil }), answer{}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, answer{intent.Fit(tt.pod), intent.Waits(tt.pod)}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestPodsAreTargetsBeforeTheyAreReadyWhenTheyWaitForIt(t *testing.T) {
	in := read(t, "testdata/without-node-ports/in.yaml")
	port, name, protocol := int32(8080), in.Service.Spec.Ports[0].Name, corev1.ProtocolTCP
	endpoint := func(address, uid string, ready, terminating bool) discoveryv1.Endpoint {
		return discoveryv1.Endpoint{
			Addresses: []string{address}, TargetRef: &corev1.ObjectReference{Kind: "Pod", UID: types.UID(uid)},
			Conditions: discoveryv1.EndpointConditions{Ready: &ready, Terminating: &terminating},
		}
	}
	in.Slices = []*discoveryv1.EndpointSlice{{
		AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &port, Protocol: &protocol}},
		Endpoints: []discoveryv1.Endpoint{
			endpoint("198.18.17.1", "ready", true, false),
			endpoint("198.18.17.2", "fit", false, false),
			endpoint("198.18.17.3", "unfit", false, false),
			endpoint("198.18.17.4", "fit-but-terminating", false, true),
			{Addresses: []string{"198.18.17.5"}, Conditions: discoveryv1.EndpointConditions{Ready: new(false)}},
		},
	}}
	in.Fit = map[types.UID]bool{"fit": true, "fit-but-terminating": true}
	stack, _ := intent.Desired(in)
	want := []lb.Target{{ID: "198.18.17.1", Port: 8080}, {ID: "198.18.17.2", Port: 8080}}
	if diff := cmp.Diff(want, stack.TargetGroups[0].Targets); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}
}

func TestPodTargets(t *testing.T) {
	ports := []corev1.ServicePort{{Port: 80}}
	for name, tt := range map[string]struct {
		annotations map[string]string
		spec        corev1.ServiceSpec
		defaults    lb.TargetType
		want        bool
	}{
		"by default":                  {nil, corev1.ServiceSpec{Ports: ports}, lb.InstanceTarget, false},
		"by the controller's default": {nil, corev1.ServiceSpec{Ports: ports}, lb.IPTarget, true},
		"by annotation":               {map[string]string{"service.beta.kubernetes.io/aws-load-balancer-nlb-target-type": "ip"}, corev1.ServiceSpec{Ports: ports}, lb.InstanceTarget, true},
		"without node ports":          {nil, corev1.ServiceSpec{Ports: ports, AllocateLoadBalancerNodePorts: new(false)}, lb.InstanceTarget, true},
	} {
		t.Run(name, func(t *testing.T) {
			svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Annotations: tt.annotations}, Spec: tt.spec}
			if got := intent.PodTargets(svc, intent.Defaults{TargetType: tt.defaults}); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
