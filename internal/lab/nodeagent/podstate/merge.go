package podstate

import corev1 "k8s.io/api/core/v1"

// own are the conditions that the node sets; all others belong to whoever set
// them, such as the scheduler or a controller with a readiness gate.
func own(t corev1.PodConditionType) bool {
	switch t {
	case corev1.PodReadyToStartContainers, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady:
		return true
	}
	return false
}

// Merge puts what the node says into a status that is there: everything but
// others' conditions and the fields that only others write.
func Merge(have, mine corev1.PodStatus) corev1.PodStatus {
	out := *mine.DeepCopy()
	out.Conditions = WithConditionsOf(have, mine).Conditions
	out.QOSClass, out.NominatedNodeName = have.QOSClass, have.NominatedNodeName
	out.Resize, out.ResourceClaimStatuses = have.Resize, have.ResourceClaimStatuses
	out.EphemeralContainerStatuses = have.EphemeralContainerStatuses
	return out
}

// WithConditionsOf returns have with the node's own conditions as mine has them.
func WithConditionsOf(have, mine corev1.PodStatus) corev1.PodStatus {
	out := *have.DeepCopy()
	out.Conditions = nil
	for _, c := range have.Conditions {
		if !own(c.Type) {
			out.Conditions = append(out.Conditions, c)
		}
	}
	for _, c := range mine.Conditions {
		if own(c.Type) {
			out.Conditions = append(out.Conditions, c)
		}
	}
	return out
}
