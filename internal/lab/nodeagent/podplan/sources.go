package podplan

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Sources is everything outside the pod that its plan depends on.
type Sources struct {
	NodeName      string
	HostIPs       []netip.Addr
	PodIPs        []netip.Addr
	Allocatable   corev1.ResourceList // stands for limits that are not set
	ClusterDNS    []netip.Addr
	ClusterDomain string

	ConfigMaps map[string]*corev1.ConfigMap // by name, in the pod's namespace; a missing one does not exist
	Secrets    map[string]*corev1.Secret    // likewise
	Services   []*corev1.Service            // of all namespaces
	Tokens     map[TokenKey]string          // service account tokens
}

// TokenKey names one token that a pod's volume asks for.
type TokenKey struct {
	Audience          string
	ExpirationSeconds int64
}

// References is what has to be fetched before a pod can be planned.
type References struct {
	ConfigMaps []string
	Secrets    []string
	Tokens     []TokenKey
}

// Empty reports whether nothing has to be fetched.
func (r References) Empty() bool {
	return len(r.ConfigMaps) == 0 && len(r.Secrets) == 0 && len(r.Tokens) == 0
}

// Refer lists what the volumes and environments of a pod refer to, each once.
func Refer(pod *corev1.Pod) References {
	var c collector
	for _, v := range pod.Spec.Volumes {
		c.volume(v)
	}
	for _, ctr := range containers(pod) {
		c.env(ctr)
	}
	return c.refs
}

// containers returns the init containers and then the others.
func containers(pod *corev1.Pod) []corev1.Container {
	return append(append([]corev1.Container{}, pod.Spec.InitContainers...), pod.Spec.Containers...)
}

type collector struct{ refs References }

func (c *collector) configMap(name string) { c.refs.ConfigMaps = appendOnce(c.refs.ConfigMaps, name) }
func (c *collector) secret(name string)    { c.refs.Secrets = appendOnce(c.refs.Secrets, name) }

func (c *collector) volume(v corev1.Volume) {
	switch {
	case v.ConfigMap != nil:
		c.configMap(v.ConfigMap.Name)
	case v.Secret != nil:
		c.secret(v.Secret.SecretName)
	case v.Projected != nil:
		for _, s := range v.Projected.Sources {
			c.projection(s)
		}
	}
}

func (c *collector) projection(s corev1.VolumeProjection) {
	switch {
	case s.ConfigMap != nil:
		c.configMap(s.ConfigMap.Name)
	case s.Secret != nil:
		c.secret(s.Secret.Name)
	case s.ServiceAccountToken != nil:
		c.refs.Tokens = appendOnce(c.refs.Tokens, tokenKey(s.ServiceAccountToken))
	}
}

func (c *collector) env(ctr corev1.Container) {
	for _, from := range ctr.EnvFrom {
		if from.ConfigMapRef != nil {
			c.configMap(from.ConfigMapRef.Name)
		}
		if from.SecretRef != nil {
			c.secret(from.SecretRef.Name)
		}
	}
	for _, e := range ctr.Env {
		if e.ValueFrom != nil && e.ValueFrom.ConfigMapKeyRef != nil {
			c.configMap(e.ValueFrom.ConfigMapKeyRef.Name)
		}
		if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
			c.secret(e.ValueFrom.SecretKeyRef.Name)
		}
	}
}

func tokenKey(p *corev1.ServiceAccountTokenProjection) TokenKey {
	k := TokenKey{Audience: p.Audience, ExpirationSeconds: 3600} // the API's default
	if p.ExpirationSeconds != nil {
		k.ExpirationSeconds = *p.ExpirationSeconds
	}
	return k
}

func appendOnce[T comparable](list []T, v T) []T {
	if slices.Contains(list, v) {
		return list
	}
	return append(list, v)
}
