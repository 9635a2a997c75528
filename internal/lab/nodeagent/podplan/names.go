package podplan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// maxHostname is the longest host name that Linux takes (HOST_NAME_MAX is 64,
// a DNS label has at most 63).
const maxHostname = 63

// Hostname returns the host name inside the pod.
func Hostname(pod *corev1.Pod, nodeName string) string {
	switch {
	case pod.Spec.HostNetwork:
		return nodeName
	case pod.Spec.Hostname != "":
		return pod.Spec.Hostname
	case len(pod.Name) > maxHostname:
		return strings.TrimRight(pod.Name[:maxHostname], "-.")
	}
	return pod.Name
}

// Hosts renders /etc/hosts.
func Hosts(pod *corev1.Pod, src Sources) string {
	var b strings.Builder
	b.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	host := Hostname(pod, src.NodeName)
	names := host
	if pod.Spec.Subdomain != "" && !pod.Spec.HostNetwork {
		names = fmt.Sprintf("%s.%s.%s.svc.%s\t%s", host, pod.Spec.Subdomain, pod.Namespace, src.ClusterDomain, host)
	}
	for _, ip := range src.PodIPs {
		fmt.Fprintf(&b, "%s\t%s\n", ip, names)
	}
	for _, a := range pod.Spec.HostAliases {
		fmt.Fprintf(&b, "%s\t%s\n", a.IP, strings.Join(a.Hostnames, "\t"))
	}
	return b.String()
}

// ResolvConf renders /etc/resolv.conf by the pod's dnsPolicy. The policy
// Default asks the cluster's DNS too, without search domains: the machine's own
// servers are outside the lab, and nothing leaves it.
func ResolvConf(pod *corev1.Pod, src Sources) string {
	servers, search, options := src.ClusterDNS, []string{}, map[string]string{}
	policy := pod.Spec.DNSPolicy
	if policy == corev1.DNSClusterFirst && pod.Spec.HostNetwork {
		policy = corev1.DNSDefault
	}
	switch policy {
	case corev1.DNSNone:
		servers = nil
	case corev1.DNSDefault:
	default:
		search = []string{pod.Namespace + ".svc." + src.ClusterDomain, "svc." + src.ClusterDomain, src.ClusterDomain}
		options["ndots"] = "5"
	}
	return render(merge(resolver{servers, search, options}, pod.Spec.DNSConfig))
}

// resolver is the content of a resolv.conf.
type resolver struct {
	servers []netip.Addr
	search  []string
	options map[string]string
}

func merge(r resolver, c *corev1.PodDNSConfig) resolver {
	if c == nil {
		return r
	}
	for _, s := range c.Nameservers {
		if ip, err := netip.ParseAddr(s); err == nil { // the API server lets only addresses through
			r.servers = appendOnce(slices.Clone(r.servers), ip)
		}
	}
	for _, s := range c.Searches {
		r.search = appendOnce(r.search, s)
	}
	for _, o := range c.Options {
		value := ""
		if o.Value != nil {
			value = *o.Value
		}
		r.options[o.Name] = value
	}
	return r
}

func render(r resolver) string {
	var b strings.Builder
	for _, s := range r.servers {
		fmt.Fprintf(&b, "nameserver %s\n", s)
	}
	if len(r.search) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(r.search, " "))
	}
	var opts []string
	for name, value := range r.options {
		if value != "" {
			name += ":" + value
		}
		opts = append(opts, name)
	}
	if slices.Sort(opts); len(opts) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(opts, " "))
	}
	return b.String()
}
