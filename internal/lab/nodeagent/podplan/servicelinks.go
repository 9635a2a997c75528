package podplan

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// serviceLinks returns the variables by which containers find Services without
// DNS: those of the pod's namespace unless enableServiceLinks is false, and
// always the API server's. Headless Services have none.
func serviceLinks(pod *corev1.Pod, services []*corev1.Service) []corev1.EnvVar {
	linked := pod.Spec.EnableServiceLinks == nil || *pod.Spec.EnableServiceLinks
	byName := map[string]*corev1.Service{}
	for _, s := range services {
		api := s.Namespace == corev1.NamespaceDefault && s.Name == "kubernetes"
		own := linked && s.Namespace == pod.Namespace
		// A Service of the pod's namespace hides the API server's of the same name.
		if hasClusterIP(s) && (own || api && byName[s.Name] == nil) {
			byName[s.Name] = s
		}
	}
	var names []string
	for n := range byName {
		names = append(names, n)
	}
	slices.Sort(names)
	var out []corev1.EnvVar
	for _, n := range names {
		out = append(out, linksOf(byName[n])...)
	}
	return out
}

func hasClusterIP(s *corev1.Service) bool {
	return s.Spec.ClusterIP != "" && s.Spec.ClusterIP != corev1.ClusterIPNone && len(s.Spec.Ports) > 0
}

func linksOf(s *corev1.Service) []corev1.EnvVar {
	name := strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_"))
	var out []corev1.EnvVar
	add := func(k, v string) { out = append(out, corev1.EnvVar{Name: name + k, Value: v}) }
	add("_SERVICE_HOST", s.Spec.ClusterIP)
	add("_SERVICE_PORT", strconv.Itoa(int(s.Spec.Ports[0].Port)))
	for _, p := range s.Spec.Ports {
		if p.Name != "" {
			add("_SERVICE_PORT_"+strings.ToUpper(strings.ReplaceAll(p.Name, "-", "_")), strconv.Itoa(int(p.Port)))
		}
	}
	add("_PORT", portURL(s, s.Spec.Ports[0]))
	for _, p := range s.Spec.Ports {
		prefix := fmt.Sprintf("_PORT_%d_%s", p.Port, strings.ToUpper(protocol(p)))
		add(prefix, portURL(s, p))
		add(prefix+"_PROTO", protocol(p))
		add(prefix+"_PORT", strconv.Itoa(int(p.Port)))
		add(prefix+"_ADDR", s.Spec.ClusterIP)
	}
	return out
}

func protocol(p corev1.ServicePort) string {
	if p.Protocol == "" {
		return "tcp"
	}
	return strings.ToLower(string(p.Protocol))
}

func portURL(s *corev1.Service, p corev1.ServicePort) string {
	return protocol(p) + "://" + net.JoinHostPort(s.Spec.ClusterIP, strconv.Itoa(int(p.Port)))
}
