package podstate

import (
	"fmt"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// View is what a status says beside the containers' state.
type View struct {
	Now     time.Time
	Started time.Time // when the node took the pod up
	HostIPs []netip.Addr
	PodIPs  []netip.Addr
	Reason  string // why the pod's sandbox cannot be made
	Message string
}

// Status computes a pod's status. What it does not own stays as pod has it:
// others' conditions, the quality of service class, the nominated node.
func Status(p Pod, pod *corev1.Pod, v View) corev1.PodStatus {
	st := *pod.Status.DeepCopy()
	st.ObservedGeneration = pod.Generation
	st.Phase = phase(p)
	st.Reason, st.Message = v.Reason, v.Message
	start := metav1.NewTime(v.Started)
	st.StartTime = &start
	st.HostIP, st.HostIPs = "", nil
	for _, ip := range v.HostIPs {
		st.HostIPs = append(st.HostIPs, corev1.HostIP{IP: ip.String()})
	}
	if len(v.HostIPs) > 0 {
		st.HostIP = v.HostIPs[0].String()
	}
	st.PodIP, st.PodIPs = "", nil
	for _, ip := range v.PodIPs {
		st.PodIPs = append(st.PodIPs, corev1.PodIP{IP: ip.String()})
	}
	if len(v.PodIPs) > 0 {
		st.PodIP = v.PodIPs[0].String()
	}
	st.InitContainerStatuses, st.ContainerStatuses = nil, nil
	for _, c := range p.Containers {
		cs := containerStatus(p, c, pod)
		if c.Role == Main {
			st.ContainerStatuses = append(st.ContainerStatuses, cs)
		} else {
			st.InitContainerStatuses = append(st.InitContainerStatuses, cs)
		}
	}
	st.Conditions = conditions(p, pod, v.Now)
	return st
}

// phase follows the kubelet: a pod that has run and will run again is Running.
func phase(p Pod) corev1.PodPhase {
	if finished(p) && !anyRunning(p.Containers) {
		return outcome(p)
	}
	waiting := false
	for _, c := range p.Containers {
		if c.Role == Main && c.Phase == Waiting {
			waiting = true
		}
	}
	if waiting || !initialized(p) {
		return corev1.PodPending
	}
	return corev1.PodRunning
}

// outcome is the phase of a pod that has run its course. A main container that
// never ran is a failure.
func outcome(p Pod) corev1.PodPhase {
	for _, c := range p.Containers {
		failed := c.Phase == Exited && c.Exit.Code != 0
		if c.Role != Sidecar && failed || c.Role == Main && c.Phase == Waiting {
			return corev1.PodFailed
		}
	}
	return corev1.PodSucceeded
}

func containerStatus(p Pod, c Container, pod *corev1.Pod) corev1.ContainerStatus {
	started := c.Phase == Running && c.Started
	cs := corev1.ContainerStatus{
		Name: c.Name, Image: c.Image, RestartCount: c.Restarts, Started: &started,
		Ready: ready(c),
	}
	if c.Phase != Waiting {
		cs.ImageID = c.Image
		cs.ContainerID = c.runID()
	}
	switch {
	case c.Phase == Running:
		cs.State.Running = &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(c.Since)}
		cs.LastTerminationState.Terminated = terminated(c.LastExit)
	case c.Phase == Exited && (c.final() || p.Stopping || c.NotBefore.Equal(c.Exit.Finished)):
		cs.State.Terminated = terminated(c.Exit)
		cs.LastTerminationState.Terminated = terminated(c.LastExit)
	default:
		cs.State.Waiting = waitingState(p, c, pod)
		cs.LastTerminationState.Terminated = terminated(c.Exit)
	}
	return cs
}

func (c Container) runID() string {
	if c.Phase == Exited {
		return c.Exit.ID
	}
	return c.ID
}

func ready(c Container) bool {
	if c.Role == Init {
		return c.succeeded()
	}
	return c.Phase == Running && c.Started && c.Ready
}

func terminated(e *Exit) *corev1.ContainerStateTerminated {
	if e == nil {
		return nil
	}
	return &corev1.ContainerStateTerminated{
		ExitCode: e.Code, Signal: e.Signal, Reason: e.Reason, Message: e.Message, ContainerID: e.ID,
		StartedAt: metav1.NewTime(e.Started), FinishedAt: metav1.NewTime(e.Finished),
	}
}

// waitingState says why a container does not run; the reasons are the
// kubelet's.
func waitingState(p Pod, c Container, pod *corev1.Pod) *corev1.ContainerStateWaiting {
	switch {
	case c.Reason != "":
		return &corev1.ContainerStateWaiting{Reason: c.Reason, Message: c.Message}
	case c.Phase == Exited && !c.NotBefore.IsZero():
		delay := c.NotBefore.Sub(c.Exit.Finished)
		return &corev1.ContainerStateWaiting{
			Reason:  "CrashLoopBackOff",
			Message: fmt.Sprintf("back-off %s restarting failed container=%s pod=%s_%s(%s)", delay, c.Name, pod.Name, pod.Namespace, pod.UID),
		}
	case c.Role == Main && p.Sandbox && !initDone(p):
		return &corev1.ContainerStateWaiting{Reason: "PodInitializing"}
	}
	return &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}
}
