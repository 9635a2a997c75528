// Package podstate holds what a node knows of a pod's containers, decides what
// has to happen next and writes it down as a PodStatus.
//
// It is pure: [Decide] and [Status] look at values and the time they are given,
// and the transitions of [Container] return new values.
package podstate

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Role is what a container is for.
type Role int

// Roles. A sidecar is an init container with restartPolicy Always.
const (
	Main Role = iota
	Init
	Sidecar
)

// Phase is where a container stands.
type Phase int

// Phases.
const (
	Waiting Phase = iota // not started yet
	Running
	Exited
)

// Exit is the end of a run.
type Exit struct {
	ID       string // of the run
	Code     int32
	Signal   int32
	Reason   string // Completed, Error, …
	Message  string
	Started  time.Time
	Finished time.Time
}

// Container is the state of one container.
type Container struct {
	Name    string
	Image   string
	Role    Role
	Phase   Phase
	Restart corev1.RestartPolicy

	ID       string // of the present run
	Since    time.Time
	Started  bool // startup probe passed, or there is none
	Ready    bool // readiness probe passes, or there is none
	Exit     *Exit
	LastExit *Exit // of the run before Exit
	Restarts int32

	Reason    string // why it is not running
	Message   string
	NotBefore time.Time // earliest next attempt to start
	backoff   backoff
	pulling   backoff
}

// Pod is the state of a pod's containers, init containers first.
type Pod struct {
	Containers []Container
	Sandbox    bool // network and volumes are there
	Stopping   bool // the pod is being deleted: nothing is started any more
}

// New returns the state of a pod of which nothing runs yet. Restart counts go on
// from the status that the API server has, and a run that it knows of but
// that this node does not have any more ended with the node.
func New(pod *corev1.Pod) Pod {
	var p Pod
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		role := Init
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			role = Sidecar
		}
		p.Containers = append(p.Containers, newContainer(pod, c, role))
	}
	for i := range pod.Spec.Containers {
		p.Containers = append(p.Containers, newContainer(pod, &pod.Spec.Containers[i], Main))
	}
	return p
}

func newContainer(pod *corev1.Pod, spec *corev1.Container, role Role) Container {
	c := Container{Name: spec.Name, Image: spec.Image, Role: role, Restart: restartPolicy(pod, role)}
	for _, s := range append(append([]corev1.ContainerStatus{}, pod.Status.InitContainerStatuses...), pod.Status.ContainerStatuses...) {
		if s.Name == spec.Name {
			return resume(c, s)
		}
	}
	return c
}

// restartPolicy returns the policy of a role: an init container that succeeded
// is never run again, whatever the pod's policy.
func restartPolicy(pod *corev1.Pod, role Role) corev1.RestartPolicy {
	switch {
	case role == Sidecar:
		return corev1.RestartPolicyAlways
	case role == Init && pod.Spec.RestartPolicy == corev1.RestartPolicyAlways:
		return corev1.RestartPolicyOnFailure
	}
	return pod.Spec.RestartPolicy
}

// exitCodeLost is what is reported for a run whose end nobody saw: that of
// SIGKILL, which it indeed got.
const exitCodeLost = 137

// resume takes over what the API server knows of a container's earlier runs.
// An init container runs again all the same: what it made may have been in a
// volume that the node does not have any more.
func resume(c Container, s corev1.ContainerStatus) Container {
	c.Restarts = s.RestartCount
	c.Exit = lastExit(s)
	if c.Exit != nil && c.Role != Init {
		c.Phase = Exited
	}
	return c
}

func lastExit(s corev1.ContainerStatus) *Exit {
	switch {
	case s.State.Terminated != nil:
		return exitOf(s.State.Terminated)
	case s.State.Running != nil:
		return &Exit{
			ID: s.ContainerID, Code: exitCodeLost, Reason: "ContainerStatusUnknown",
			Message: "the container was killed with the node agent that ran it",
			Started: s.State.Running.StartedAt.Time,
		}
	case s.LastTerminationState.Terminated != nil:
		return exitOf(s.LastTerminationState.Terminated)
	}
	return nil
}

func exitOf(t *corev1.ContainerStateTerminated) *Exit {
	return &Exit{
		ID: t.ContainerID, Code: t.ExitCode, Signal: t.Signal, Reason: t.Reason, Message: t.Message,
		Started: t.StartedAt.Time, Finished: t.FinishedAt.Time,
	}
}

// Begin is the transition to a run.
func (c Container) Begin(id string, hasStartup, hasReadiness bool, now time.Time) Container {
	if c.Exit != nil {
		c.Restarts++
		c.LastExit = c.Exit
	}
	c.Phase, c.ID, c.Since, c.Exit = Running, id, now, nil
	c.Started, c.Ready = !hasStartup, !hasStartup && !hasReadiness
	c.Reason, c.Message = "", ""
	c.pulling = backoff{}
	return c
}

// End is the transition out of a run. It says when the next may begin.
func (c Container) End(e Exit) Container {
	e.ID, e.Started = c.ID, c.Since
	c.Phase, c.Exit, c.Started, c.Ready = Exited, &e, false, false
	delay := time.Duration(0)
	c.backoff, delay = c.backoff.next(e.Finished.Sub(c.Since))
	c.NotBefore = e.Finished.Add(delay)
	return c
}

// retryConfig is how long after a failed attempt to configure a container the
// next one is made: what is missing is an object that someone may yet create.
const retryConfig = 5 * time.Second

// Refuse records that an attempt to start did not lead to a run.
func (c Container) Refuse(reason, message string, now time.Time) Container {
	c.Reason, c.Message, c.NotBefore = reason, message, now.Add(retryConfig)
	return c
}

// RefuseImage records that the image does not exist: at first as the failure it
// is, from the second attempt on as waiting for the next.
func (c Container) RefuseImage(message string, now time.Time) Container {
	again := c.pulling.delay > 0
	var delay time.Duration
	c.pulling, delay = c.pulling.retry()
	c.Reason, c.Message, c.NotBefore = "ErrImagePull", message, now.Add(delay)
	if again {
		c.Reason, c.Message = "ImagePullBackOff", fmt.Sprintf("Back-off pulling image %q: ErrImagePull: %s", c.Image, message)
	}
	return c
}

// restarts reports whether a container that ended shall run again.
func (c Container) restarts() bool {
	switch c.Restart {
	case corev1.RestartPolicyNever:
		return false
	case corev1.RestartPolicyOnFailure:
		return c.Exit.Code != 0
	}
	return true
}

// final reports whether a container ended for good.
func (c Container) final() bool { return c.Phase == Exited && !c.restarts() }

// succeeded reports whether a container ended for good and well.
func (c Container) succeeded() bool { return c.final() && c.Exit.Code == 0 }
