package clusterdns

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// Zones of reverse lookups (RFC 1035, RFC 3596).
const (
	reverse4 = "in-addr.arpa."
	reverse6 = "ip6.arpa."
)

func isReverse(name string) bool {
	return dns.IsSubDomain(reverse4, name) || dns.IsSubDomain(reverse6, name)
}

// reverse answers with the names that an address has: the Service with that
// cluster IP, and endpoints of headless Services that have a host name.
func (z Zone) reverse(q dns.Question) Answer {
	ip, ok := reverseAddr(q.Name)
	if !ok {
		return Answer{}
	}
	var names []string
	for _, s := range z.Source.ServicesAt(ip) {
		names = append(names, serviceName(s, z.Domain))
	}
	for _, slice := range z.Source.SlicesAt(ip) {
		s := z.Source.Service(slice.Namespace, slice.Labels["kubernetes.io/service-name"])
		if s == nil || !headless(s) {
			continue
		}
		for _, e := range slice.Endpoints {
			if !published(s, e) || !slices.Contains(e.Addresses, ip.String()) {
				continue
			}
			if n := named(e, ip); n.named {
				names = append(names, n.label+"."+serviceName(s, z.Domain))
			}
		}
	}
	slices.Sort(names)
	a := Answer{Exists: len(names) > 0}
	for _, n := range slices.Compact(names) {
		if q.Qtype == dns.TypePTR {
			a.Records = append(a.Records, &dns.PTR{Hdr: header(q.Name, dns.TypePTR), Ptr: n})
		}
	}
	return a
}

// reverseAddr reads the address out of a name for reverse lookup.
func reverseAddr(name string) (netip.Addr, bool) {
	name = strings.ToLower(name)
	if rest, ok := strings.CutSuffix(name, "."+reverse4); ok {
		labels := strings.Split(rest, ".")
		slices.Reverse(labels)
		ip, err := netip.ParseAddr(strings.Join(labels, "."))
		return ip, err == nil && ip.Is4()
	}
	rest, ok := strings.CutSuffix(name, "."+reverse6)
	nibbles := strings.Split(rest, ".")
	if !ok || len(nibbles) != 32 {
		return netip.Addr{}, false
	}
	slices.Reverse(nibbles)
	var b [16]byte
	for i, n := range nibbles {
		v, err := strconv.ParseUint(n, 16, 4)
		if err != nil || len(n) != 1 {
			return netip.Addr{}, false
		}
		b[i/2] = b[i/2]<<4 | byte(v)
	}
	return netip.AddrFrom16(b), true
}
