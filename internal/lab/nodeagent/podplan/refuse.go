package podplan

import (
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// Refuse returns every part of a pod's specification that the lab cannot
// honour and that would change what the pod does if it were left out. Resource
// limits are not among them: they are accepted and not enforced.
func Refuse(pod *corev1.Pod) error {
	s := pod.Spec
	refused := []struct {
		set bool
		why string
	}{
		{s.HostPID, "hostPID: containers see their own processes only"},
		{s.HostIPC, "hostIPC: containers have an IPC namespace each"},
		{isTrue(s.ShareProcessNamespace), "shareProcessNamespace: containers have a PID namespace each"},
		{s.RuntimeClassName != nil, "runtimeClassName: there is one runtime"},
		{s.HostUsers != nil && !*s.HostUsers, "hostUsers: false: there are no user namespaces"},
		{s.OS != nil && s.OS.Name != corev1.Linux, "os: nodes run Linux"},
		{len(s.EphemeralContainers) > 0, "ephemeralContainers: use kubectl exec"},
	}
	var errs []error
	for _, r := range refused {
		if r.set {
			errs = append(errs, fmt.Errorf("the lab's nodes do not offer %s", r.why))
		}
	}
	for _, c := range containers(pod) {
		errs = append(errs, refuseContainer(pod, c)...)
	}
	return errors.Join(errs...)
}

func refuseContainer(pod *corev1.Pod, c corev1.Container) []error {
	var errs []error
	if len(c.VolumeDevices) > 0 {
		errs = append(errs, fmt.Errorf("container %s: the lab's nodes do not offer volumeDevices", c.Name))
	}
	for _, p := range c.Ports {
		if p.HostPort != 0 && !pod.Spec.HostNetwork {
			errs = append(errs, fmt.Errorf("container %s: the lab's nodes do not offer hostPort %d; use hostNetwork or a Service of type NodePort", c.Name, p.HostPort))
		}
	}
	return errs
}
