package intent

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
)

// ReadinessGate is the condition that pods may wait for before they are Ready:
// every target group that they are in finds them healthy. It is injected by
// config/admission/pod-readiness-gate.yaml, together with the label.
const ReadinessGate corev1.PodConditionType = "fairlead.io/target-health"

// The label of pods that have the gate. Pods are found by it: without, all pods
// of a cluster would have to be watched.
const (
	GateLabel      = "fairlead.io/readiness-gate"
	GateLabelValue = "target-health"
)

// PodTargets says whether the Service's targets are pods.
func PodTargets(svc *corev1.Service, d Defaults) bool {
	return newBuilder(Input{Service: svc, Defaults: d}).podTargets()
}

// Gated says whether the pod has our readiness gate.
func Gated(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Spec.ReadinessGates, func(g corev1.PodReadinessGate) bool { return g.ConditionType == ReadinessGate })
}

// Fit says whether nothing but our gate can keep the pod from being Ready. Such
// a pod has to be a target before it is Ready: else each would wait for the
// other.
func Fit(pod *corev1.Pod) bool {
	if !Gated(pod) || !pod.DeletionTimestamp.IsZero() || !isTrue(pod, corev1.ContainersReady) {
		return false
	}
	return !slices.ContainsFunc(pod.Spec.ReadinessGates, func(g corev1.PodReadinessGate) bool {
		return g.ConditionType != ReadinessGate && !isTrue(pod, g.ConditionType)
	})
}

// Waits says whether the pod is fit and its gate is not open yet. A gate that
// was opened once stays open: it is about a pod's start.
func Waits(pod *corev1.Pod) bool { return Fit(pod) && !isTrue(pod, ReadinessGate) }

func isTrue(pod *corev1.Pod, kind corev1.PodConditionType) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == kind && c.Status == corev1.ConditionTrue
	})
}

// takesConnections says whether an endpoint is ready for new connections, or
// would be but for our gate. The endpoint slice controller has put
// publishNotReadyAddresses into the condition already.
func takesConnections(e discoveryv1.Endpoint, fit map[types.UID]bool) bool {
	if deref(e.Conditions.Ready, true) {
		return true
	}
	return e.TargetRef != nil && fit[e.TargetRef.UID] && !deref(e.Conditions.Terminating, false)
}
