package clusterdns

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// schemaVersion is the version of the specification that the zone follows.
const schemaVersion = "1.1.0"

// ttl of every record, in seconds: short, because endpoints come and go.
const ttl = 5

// Source is what the zone's records are made from.
type Source interface {
	Service(namespace, name string) *corev1.Service // nil if there is none
	Slices(namespace, service string) []*discoveryv1.EndpointSlice
	ServicesAt(ip netip.Addr) []*corev1.Service          // with that cluster IP
	SlicesAt(ip netip.Addr) []*discoveryv1.EndpointSlice // with an endpoint of that address
}

// Zone answers questions about a cluster's names.
type Zone struct {
	Domain string // without dots at its ends
	Source Source
}

// Answer is what there is to say to a question. With no records, Exists tells a
// name that has none of the type from a name that is not there.
type Answer struct {
	Records []dns.RR
	Exists  bool
	Alias   string // the last record is an alias to this name, outside the zone
}

// Holds reports whether a name is the zone's to answer for.
func (z Zone) Holds(name string) bool {
	return dns.IsSubDomain(dns.Fqdn(z.Domain), name) || isReverse(name)
}

// Answer answers a question of class IN about a name that the zone holds.
func (z Zone) Answer(q dns.Question) Answer {
	if isReverse(q.Name) {
		return z.reverse(q)
	}
	name := strings.ToLower(q.Name)
	labels := dns.SplitDomainName(strings.TrimSuffix(name, dns.Fqdn(z.Domain)))
	n := len(labels)
	switch {
	case n == 0:
		return z.apex(q)
	case n == 1 && labels[0] == "dns-version":
		return one(q, dns.TypeTXT, &dns.TXT{Hdr: header(q.Name, dns.TypeTXT), Txt: []string{schemaVersion}})
	case labels[n-1] != "svc":
		return Answer{}
	case n < 3:
		return Answer{Exists: true} // names below may exist, so this one does (RFC 8020)
	}
	s := z.Source.Service(labels[n-2], labels[n-3])
	if s == nil {
		return Answer{}
	}
	return z.service(q, s, labels[:n-3])
}

func (z Zone) apex(q dns.Question) Answer {
	switch q.Qtype {
	case dns.TypeSOA:
		return Answer{Records: []dns.RR{z.soa()}, Exists: true}
	case dns.TypeNS:
		return Answer{Records: []dns.RR{&dns.NS{Hdr: header(q.Name, dns.TypeNS), Ns: "ns.dns." + dns.Fqdn(z.Domain)}}, Exists: true}
	}
	return Answer{Exists: true}
}

// soa goes with negative answers, so that they are kept no longer than others.
func (z Zone) soa() dns.RR {
	domain := dns.Fqdn(z.Domain)
	return &dns.SOA{
		Hdr: header(domain, dns.TypeSOA), Ns: "ns.dns." + domain, Mbox: "hostmaster." + domain,
		Serial: 1, Refresh: 7200, Retry: 1800, Expire: 86400, Minttl: ttl,
	}
}

// service answers for the names of one Service; below are the labels left of its
// own name.
func (z Zone) service(q dns.Question, s *corev1.Service, below []string) Answer {
	switch {
	case s.Spec.Type == corev1.ServiceTypeExternalName:
		return z.externalName(q, s, below)
	case len(below) == 2:
		return z.ports(q, s, below[0], below[1])
	case headless(s):
		return z.endpoints(q, s, below)
	case len(below) > 0:
		return Answer{}
	}
	var ips []netip.Addr
	for _, text := range clusterIPs(s) {
		if ip, err := netip.ParseAddr(text); err == nil {
			ips = append(ips, ip)
		}
	}
	return addresses(q, ips)
}

func headless(s *corev1.Service) bool { return s.Spec.ClusterIP == corev1.ClusterIPNone }

func clusterIPs(s *corev1.Service) []string {
	if len(s.Spec.ClusterIPs) > 0 {
		return s.Spec.ClusterIPs
	}
	return []string{s.Spec.ClusterIP}
}

func (z Zone) externalName(q dns.Question, s *corev1.Service, below []string) Answer {
	if len(below) > 0 {
		return Answer{}
	}
	target := strings.ToLower(dns.Fqdn(s.Spec.ExternalName))
	a := Answer{Exists: true, Records: []dns.RR{&dns.CNAME{Hdr: header(q.Name, dns.TypeCNAME), Target: target}}}
	if q.Qtype != dns.TypeCNAME {
		a.Alias = target
	}
	return a
}

// endpoint is one address of a Service's slices with the name that the
// specification gives it.
type endpoint struct {
	label string
	ip    netip.Addr
	named bool // by the endpoint's own host name
}

func (z Zone) endpointsOf(s *corev1.Service) []endpoint {
	var out []endpoint
	for _, slice := range z.Source.Slices(s.Namespace, s.Name) {
		for _, e := range slice.Endpoints {
			if !published(s, e) {
				continue
			}
			for _, text := range e.Addresses {
				if ip, err := netip.ParseAddr(text); err == nil {
					out = append(out, named(e, ip))
				}
			}
		}
	}
	return out
}

// published reports whether an endpoint is in DNS: ready, or wanted before.
func published(s *corev1.Service, e discoveryv1.Endpoint) bool {
	return s.Spec.PublishNotReadyAddresses || e.Conditions.Ready == nil || *e.Conditions.Ready
}

// named gives an endpoint without a host name one made of its address.
func named(e discoveryv1.Endpoint, ip netip.Addr) endpoint {
	if e.Hostname != nil && *e.Hostname != "" {
		return endpoint{strings.ToLower(*e.Hostname), ip, true}
	}
	return endpoint{strings.NewReplacer(".", "-", ":", "-").Replace(ip.String()), ip, false}
}

// endpoints answers for a headless Service and for the names of its endpoints.
func (z Zone) endpoints(q dns.Question, s *corev1.Service, below []string) Answer {
	var ips []netip.Addr
	for _, e := range z.endpointsOf(s) {
		if len(below) == 0 || below[0] == e.label {
			ips = append(ips, e.ip)
		}
	}
	if len(ips) == 0 && len(below) > 0 {
		return Answer{}
	}
	return addresses(q, ips)
}

// ports answers for _port._protocol of a Service: where that port is.
func (z Zone) ports(q dns.Question, s *corev1.Service, port, protocol string) Answer {
	name := serviceName(s, z.Domain)
	var a Answer
	for _, p := range s.Spec.Ports {
		if "_"+strings.ToLower(p.Name) != port || "_"+strings.ToLower(string(p.Protocol)) != protocol {
			continue
		}
		a.Exists = true
		if q.Qtype != dns.TypeSRV {
			continue
		}
		if !headless(s) {
			a.Records = append(a.Records, srv(q.Name, name, uint16(p.Port)))
			continue
		}
		a.Records = append(a.Records, z.endpointPorts(q.Name, s, p)...)
	}
	return a
}

// endpointPorts has a record per endpoint name, with the port that the endpoint
// has it at.
func (z Zone) endpointPorts(owner string, s *corev1.Service, p corev1.ServicePort) []dns.RR {
	var out []dns.RR
	seen := map[string]bool{}
	for _, slice := range z.Source.Slices(s.Namespace, s.Name) {
		port, ok := slicePort(slice, p)
		if !ok {
			continue
		}
		for _, e := range slice.Endpoints {
			for _, text := range e.Addresses {
				ip, err := netip.ParseAddr(text)
				if err != nil || !published(s, e) {
					continue
				}
				target := named(e, ip).label + "." + serviceName(s, z.Domain)
				if !seen[target] {
					seen[target] = true
					out = append(out, srv(owner, target, port))
				}
			}
		}
	}
	return out
}

func slicePort(slice *discoveryv1.EndpointSlice, p corev1.ServicePort) (uint16, bool) {
	i := slices.IndexFunc(slice.Ports, func(have discoveryv1.EndpointPort) bool {
		return have.Name != nil && *have.Name == p.Name && have.Port != nil
	})
	if i < 0 {
		return 0, false
	}
	return uint16(*slice.Ports[i].Port), true
}

func srv(owner, target string, port uint16) dns.RR {
	return &dns.SRV{Hdr: header(owner, dns.TypeSRV), Priority: 0, Weight: 100, Port: port, Target: target}
}

func serviceName(s *corev1.Service, domain string) string {
	return dns.Fqdn(s.Name + "." + s.Namespace + ".svc." + domain)
}

// addresses answers with those of the family that was asked for. The name exists
// whatever family that is.
func addresses(q dns.Question, ips []netip.Addr) Answer {
	a := Answer{Exists: true}
	for _, ip := range ips {
		switch {
		case ip.Is4() && q.Qtype == dns.TypeA:
			a.Records = append(a.Records, &dns.A{Hdr: header(q.Name, dns.TypeA), A: ip.AsSlice()})
		case ip.Is6() && q.Qtype == dns.TypeAAAA:
			a.Records = append(a.Records, &dns.AAAA{Hdr: header(q.Name, dns.TypeAAAA), AAAA: ip.AsSlice()})
		}
	}
	return a
}

func one(q dns.Question, kind uint16, rr dns.RR) Answer {
	if q.Qtype != kind {
		return Answer{Exists: true}
	}
	return Answer{Records: []dns.RR{rr}, Exists: true}
}

func header(name string, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: ttl}
}
