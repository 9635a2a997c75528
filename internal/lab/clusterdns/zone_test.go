package clusterdns

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	"pgregory.net/rapid"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// fixed is a Source of objects that do not change.
type fixed struct {
	services []*corev1.Service
	slices   []*discoveryv1.EndpointSlice
}

func (f fixed) Service(namespace, name string) *corev1.Service {
	for _, s := range f.services {
		if s.Namespace == namespace && s.Name == name {
			return s
		}
	}
	return nil
}

func (f fixed) Slices(namespace, service string) (out []*discoveryv1.EndpointSlice) {
	for _, s := range f.slices {
		if s.Namespace == namespace && s.Labels[discoveryv1.LabelServiceName] == service {
			out = append(out, s)
		}
	}
	return out
}

func (f fixed) ServicesAt(ip netip.Addr) (out []*corev1.Service) {
	for _, s := range f.services {
		keys, _ := serviceIPs(s)
		for _, k := range keys {
			if k == ip.String() {
				out = append(out, s)
			}
		}
	}
	return out
}

func (f fixed) SlicesAt(ip netip.Addr) (out []*discoveryv1.EndpointSlice) {
	for _, s := range f.slices {
		keys, _ := sliceIPs(s)
		for _, k := range keys {
			if k == ip.String() {
				out = append(out, s)
			}
		}
	}
	return out
}

func service(name string, spec corev1.ServiceSpec) *corev1.Service {
	spec.Ports = []corev1.ServicePort{{Name: "http", Protocol: corev1.ProtocolTCP, Port: 80}}
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Spec: spec}
}

func endpoints(service string, port int32, es ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
	name := "http"
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		Ports:      []discoveryv1.EndpointPort{{Name: &name, Port: &port}}, Endpoints: es,
	}
}

func endpointAt(ip string, ready bool, hostname string) discoveryv1.Endpoint {
	e := discoveryv1.Endpoint{Addresses: []string{ip}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}
	if hostname != "" {
		e.Hostname = &hostname
	}
	return e
}

func shop() Zone {
	return Zone{Domain: "cluster.local", Source: fixed{
		services: []*corev1.Service{
			service("web", corev1.ServiceSpec{ClusterIP: "198.19.0.7", ClusterIPs: []string{"198.19.0.7", "2001:db8:ffff::7"}}),
			service("db", corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone}),
			service("early", corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, PublishNotReadyAddresses: true}),
			service("out", corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "web.shop.svc.cluster.local"}),
		},
		slices: []*discoveryv1.EndpointSlice{
			endpoints("db", 5432, endpointAt("198.18.17.2", true, "db-0"), endpointAt("198.18.17.3", true, ""), endpointAt("198.18.17.4", false, "db-2")),
			endpoints("db", 5432, endpointAt("2001:db8:0:1:1::2", true, "db-0")),
			endpoints("early", 80, endpointAt("198.18.17.9", false, "e-0")),
		},
	}}
}

func TestZoneAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		name string
		kind uint16
		want []string // record data; nil: no records
		none bool     // the name does not exist
	}{
		"a Service by its IPv4 address":                      {"web.shop.svc.cluster.local.", dns.TypeA, []string{"198.19.0.7"}, false},
		"a Service by its IPv6 address":                      {"web.shop.svc.cluster.local.", dns.TypeAAAA, []string{"2001:db8:ffff::7"}, false},
		"names in any case":                                  {"Web.SHOP.svc.cluster.LOCAL.", dns.TypeA, []string{"198.19.0.7"}, false},
		"no record of another type for a name that exists":   {"web.shop.svc.cluster.local.", dns.TypeMX, nil, false},
		"a named port of a Service":                          {"_http._tcp.web.shop.svc.cluster.local.", dns.TypeSRV, []string{"0 100 80 web.shop.svc.cluster.local."}, false},
		"not a port of another protocol":                     {"_http._udp.web.shop.svc.cluster.local.", dns.TypeSRV, nil, true},
		"not a Service that is not there":                    {"gone.shop.svc.cluster.local.", dns.TypeA, nil, true},
		"not a name below a Service with an address":         {"x.web.shop.svc.cluster.local.", dns.TypeA, nil, true},
		"a headless Service by its ready endpoints":          {"db.shop.svc.cluster.local.", dns.TypeA, []string{"198.18.17.2", "198.18.17.3"}, false},
		"a headless Service's endpoints of the other family": {"db.shop.svc.cluster.local.", dns.TypeAAAA, []string{"2001:db8:0:1:1::2"}, false},
		"an endpoint by its host name":                       {"db-0.db.shop.svc.cluster.local.", dns.TypeA, []string{"198.18.17.2"}, false},
		"an endpoint without a host name by its address":     {"198-18-17-3.db.shop.svc.cluster.local.", dns.TypeA, []string{"198.18.17.3"}, false},
		"not an endpoint that is not ready":                  {"db-2.db.shop.svc.cluster.local.", dns.TypeA, nil, true},
		"an endpoint that is wanted before it is ready":      {"early.shop.svc.cluster.local.", dns.TypeA, []string{"198.18.17.9"}, false},
		"ports of a headless Service by endpoint names": {"_http._tcp.db.shop.svc.cluster.local.", dns.TypeSRV, []string{
			"0 100 5432 db-0.db.shop.svc.cluster.local.", "0 100 5432 198-18-17-3.db.shop.svc.cluster.local."}, false},
		"an external name by an alias":              {"out.shop.svc.cluster.local.", dns.TypeCNAME, []string{"web.shop.svc.cluster.local."}, false},
		"the name of a cluster IP":                  {"7.0.19.198.in-addr.arpa.", dns.TypePTR, []string{"web.shop.svc.cluster.local."}, false},
		"the name of an IPv6 cluster IP":            {reverse(t, "2001:db8:ffff::7"), dns.TypePTR, []string{"web.shop.svc.cluster.local."}, false},
		"the name of an endpoint with a host name":  {"2.17.18.198.in-addr.arpa.", dns.TypePTR, []string{"db-0.db.shop.svc.cluster.local."}, false},
		"no name for an endpoint without one":       {"3.17.18.198.in-addr.arpa.", dns.TypePTR, nil, true},
		"no name for an address that is not there":  {"1.1.1.1.in-addr.arpa.", dns.TypePTR, nil, true},
		"the version of its schema":                 {"dns-version.cluster.local.", dns.TypeTXT, []string{`"1.1.0"`}, false},
		"that namespaces may exist":                 {"shop.svc.cluster.local.", dns.TypeA, nil, false},
		"not what is beside svc":                    {"a.b.pod.cluster.local.", dns.TypeA, nil, true},
		"the zone itself":                           {"cluster.local.", dns.TypeNS, []string{"ns.dns.cluster.local."}, false},
		"that the zone itself has no address":       {"cluster.local.", dns.TypeA, nil, false},
		"not a name for reverse lookup with a typo": {"x.0.19.198.in-addr.arpa.", dns.TypePTR, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			got := shop().Answer(dns.Question{Name: test.name, Qtype: test.kind, Qclass: dns.ClassINET})
			if diff := cmp.Diff(test.want, data(got.Records)); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
			if got.Exists == test.none {
				t.Errorf("exists is %t, want %t", got.Exists, !test.none)
			}
		})
	}
}

func reverse(t *testing.T, ip string) string {
	t.Helper()
	name, err := dns.ReverseAddr(ip)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// data returns what records say beside their header.
func data(rrs []dns.RR) []string {
	var out []string
	for _, rr := range rrs {
		out = append(out, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	return out
}

func TestReverseNamesLeadBackToTheAddress(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "IPv4")
		if rapid.Bool().Draw(t, "IPv6") {
			b = rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "IPv6 bytes")
			b[0] |= 0x20 // not an IPv4 address in IPv6 form
		}
		want, _ := netip.AddrFromSlice(b)
		name, err := dns.ReverseAddr(want.String())
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := reverseAddr(name); !ok || got != want {
			t.Errorf("%s leads to %s, %t; want %s", name, got, ok, want)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	for _, name := range []string{"web.shop.svc.cluster.local.", "7.0.19.198.in-addr.arpa.", ".", "svc.cluster.local.", "_http._tcp.db.shop.svc.cluster.local."} {
		f.Add(name, dns.TypeA)
	}
	f.Fuzz(func(t *testing.T, name string, kind uint16) {
		z := shop()
		if _, ok := dns.IsDomainName(name); !ok || !z.Holds(name) {
			return
		}
		a := z.Answer(dns.Question{Name: dns.Fqdn(name), Qtype: kind, Qclass: dns.ClassINET})
		if len(a.Records) > 0 && !a.Exists {
			t.Errorf("%q has records and does not exist", name)
		}
	})
}
