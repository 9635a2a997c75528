package podstate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// conditions computes the node's own conditions beside those of others, which
// stay. A condition whose status has not changed keeps its transition time.
func conditions(p Pod, pod *corev1.Pod, now time.Time) []corev1.PodCondition {
	own := []corev1.PodCondition{
		truth(corev1.PodReadyToStartContainers, p.Sandbox, "", ""),
		initializedCondition(p),
		containersReady(p),
	}
	own = append(own, podReady(own[2], pod))
	out := slices.Clone(pod.Status.Conditions)
	for _, c := range own {
		c.ObservedGeneration = pod.Generation
		out = upsert(out, c, now)
	}
	return out
}

func truth(t corev1.PodConditionType, ok bool, reason, message string) corev1.PodCondition {
	c := corev1.PodCondition{Type: t, Status: corev1.ConditionFalse, Reason: reason, Message: message}
	if ok {
		c.Status = corev1.ConditionTrue
	}
	return c
}

func upsert(list []corev1.PodCondition, c corev1.PodCondition, now time.Time) []corev1.PodCondition {
	c.LastTransitionTime = metav1.NewTime(now)
	i := slices.IndexFunc(list, func(have corev1.PodCondition) bool { return have.Type == c.Type })
	if i < 0 {
		return append(list, c)
	}
	if list[i].Status == c.Status {
		c.LastTransitionTime = list[i].LastTransitionTime
	}
	list[i] = c
	return list
}

func initDone(p Pod) bool { return len(incompleteInit(p)) == 0 }

func incompleteInit(p Pod) []string {
	var names []string
	for _, c := range p.Containers {
		switch {
		case c.Role == Init && !c.succeeded(), c.Role == Sidecar && !(c.Phase == Running && c.Started):
			names = append(names, c.Name)
		}
	}
	return names
}

func initializedCondition(p Pod) corev1.PodCondition {
	if succeeded(p) {
		return truth(corev1.PodInitialized, true, "PodCompleted", "")
	}
	names := incompleteInit(p)
	if len(names) == 0 || initialized(p) {
		return truth(corev1.PodInitialized, true, "", "")
	}
	return truth(corev1.PodInitialized, false, "ContainersNotInitialized", "containers with incomplete status: ["+strings.Join(names, " ")+"]")
}

func succeeded(p Pod) bool {
	return finished(p) && !anyRunning(p.Containers) && outcome(p) == corev1.PodSucceeded
}

func containersReady(p Pod) corev1.PodCondition {
	if finished(p) && !anyRunning(p.Containers) {
		reason := "PodCompleted"
		if outcome(p) == corev1.PodFailed {
			reason = "PodFailed"
		}
		return truth(corev1.ContainersReady, false, reason, "")
	}
	var unready []string
	for _, c := range p.Containers {
		if c.Role != Init && !ready(c) {
			unready = append(unready, c.Name)
		}
	}
	if len(unready) > 0 {
		return truth(corev1.ContainersReady, false, "ContainersNotReady", "containers with unready status: ["+strings.Join(unready, " ")+"]")
	}
	return truth(corev1.ContainersReady, true, "", "")
}

// podReady is ContainersReady and every readiness gate: conditions that others
// set on the pod.
func podReady(containers corev1.PodCondition, pod *corev1.Pod) corev1.PodCondition {
	if containers.Status != corev1.ConditionTrue {
		return truth(corev1.PodReady, false, containers.Reason, containers.Message)
	}
	var missing []string
	for _, g := range pod.Spec.ReadinessGates {
		met := slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == g.ConditionType && c.Status == corev1.ConditionTrue
		})
		if !met {
			missing = append(missing, fmt.Sprintf("readiness gate %q is not True", g.ConditionType))
		}
	}
	if len(missing) > 0 {
		return truth(corev1.PodReady, false, "ReadinessGatesNotReady", strings.Join(missing, ", "))
	}
	return truth(corev1.PodReady, true, "", "")
}
