package podplan

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// field reads what a fieldRef of env or of a downward API volume names.
// The list is the API's own: the API server refuses others.
func field(pod *corev1.Pod, src Sources, path string) (string, error) {
	if name, key, ok := subscript(path); ok {
		return mapField(pod, name, key)
	}
	switch path {
	case "metadata.name":
		return pod.Name, nil
	case "metadata.namespace":
		return pod.Namespace, nil
	case "metadata.uid":
		return string(pod.UID), nil
	case "metadata.labels":
		return lines(pod.Labels), nil
	case "metadata.annotations":
		return lines(pod.Annotations), nil
	case "spec.nodeName":
		return src.NodeName, nil
	case "spec.serviceAccountName":
		return pod.Spec.ServiceAccountName, nil
	case "status.podIP":
		return first(src.PodIPs), nil
	case "status.podIPs":
		return join(src.PodIPs, ","), nil
	case "status.hostIP":
		return first(src.HostIPs), nil
	case "status.hostIPs":
		return join(src.HostIPs, ","), nil
	}
	return "", fmt.Errorf("fieldRef %q names no field that a container can see", path)
}

// subscript splits metadata.labels['key'] into its parts.
func subscript(path string) (name, key string, ok bool) {
	name, rest, found := strings.Cut(path, "['")
	if !found || !strings.HasSuffix(rest, "']") {
		return "", "", false
	}
	return name, strings.TrimSuffix(rest, "']"), true
}

func mapField(pod *corev1.Pod, name, key string) (string, error) {
	switch name {
	case "metadata.labels":
		return pod.Labels[key], nil
	case "metadata.annotations":
		return pod.Annotations[key], nil
	}
	return "", fmt.Errorf("fieldRef %s['%s'] names no field that a container can see", name, key)
}

// lines renders a map as the downward API does: key="value", sorted.
func lines(m map[string]string) string {
	var out []string
	for k, v := range m {
		out = append(out, fmt.Sprintf("%s=%q", k, v))
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

func first(ips []netip.Addr) string {
	if len(ips) == 0 {
		return ""
	}
	return ips[0].String()
}

func join(ips []netip.Addr, sep string) string {
	var out []string
	for _, ip := range ips {
		out = append(out, ip.String())
	}
	return strings.Join(out, sep)
}

// resourceField reads a limit or request of a container in units of the
// divisor, rounded up. A limit that is not set is what the node can give.
func resourceField(c *corev1.Container, src Sources, ref *corev1.ResourceFieldSelector) (string, error) {
	kind, name, _ := strings.Cut(ref.Resource, ".")
	var list corev1.ResourceList
	switch kind {
	case "limits":
		list = c.Resources.Limits
	case "requests":
		list = c.Resources.Requests
	default:
		return "", fmt.Errorf("resourceFieldRef %q must start with \"limits.\" or \"requests.\"", ref.Resource)
	}
	q, ok := list[corev1.ResourceName(name)]
	if !ok && kind == "limits" {
		q = src.Allocatable[corev1.ResourceName(name)]
	}
	return strconv.FormatInt(divide(q, ref.Divisor, name == "cpu"), 10), nil
}

func divide(q, divisor resource.Quantity, milli bool) int64 {
	if divisor.IsZero() {
		divisor = resource.MustParse("1")
	}
	have, unit := q.Value(), divisor.Value()
	if milli {
		have, unit = q.MilliValue(), divisor.MilliValue()
	}
	return (have + unit - 1) / unit
}
