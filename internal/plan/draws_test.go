package plan_test

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// stacks draws what a Service may want: every name follows from what cannot
// change in place, as intent makes it.
func stacks(t *rapid.T, label string) lb.Stack {
	if rapid.IntRange(0, 9).Draw(t, label+"-empty") == 0 {
		return lb.Stack{}
	}
	scheme := rapid.SampledFrom([]lb.Scheme{lb.Internal, lb.InternetFacing}).Draw(t, label+"-scheme")
	if rapid.IntRange(0, 2).Draw(t, label+"-type") == 0 {
		return classicStacks(t, label, scheme)
	}
	name := rapid.SampledFrom([]string{"chosen", "made-" + string(scheme)}).Draw(t, label+"-name")
	text := rapid.SampledFrom([]string{"a", "b"})
	s := lb.Stack{
		LoadBalancer: lb.LoadBalancer{
			Name: name, Type: lb.Network, Scheme: scheme,
			IPAddressType: rapid.SampledFrom([]lb.IPAddressType{lb.IPv4, lb.DualStack}).Draw(t, label+"-family"),
			Subnets:       rapid.SampledFrom([][]string{{"subnet-a"}, {"subnet-a", "subnet-b"}, {"subnet-c"}}).Draw(t, label+"-subnets"),
			Tags:          rapid.MapOfN(text, text, 0, 2).Draw(t, label+"-tags"),
		},
		Backend: rapid.Bool().Draw(t, label+"-backend"),
	}
	chooseAddresses(t, label, &s.LoadBalancer)
	s.LoadBalancer.CapacityUnits = rapid.SampledFrom([]int32{0, 0, 2750}).Draw(t, label+"-capacity")
	s.LoadBalancer.PrivateLinkUnfiltered = rapid.Bool().Draw(t, label+"-private-link")
	if rapid.Bool().Draw(t, label+"-crosszone") {
		s.LoadBalancer.Attributes = map[string]string{lb.AttrCrossZone: "true"}
	}
	chooseGuard(t, label, &s)
	for _, port := range rapid.SliceOfNDistinct(rapid.SampledFrom([]uint16{80, 81, 443}), 1, 3, rapid.ID).Draw(t, label+"-ports") {
		addPort(t, label, &s, port)
	}
	for i := range s.Listeners {
		weigh(t, fmt.Sprintf("%s-%d", label, s.Listeners[i].Port), &s, &s.Listeners[i])
	}
	crowd(t, label, &s)
	slices.SortFunc(s.TargetGroups, func(a, b lb.TargetGroup) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(s.Listeners, func(a, b lb.Listener) int { return cmp.Compare(a.Port, b.Port) })
	return s
}

// chooseGuard says what filters: nothing but the nodes' groups, the user's own
// security groups, or one that is made for the load balancer.
func chooseGuard(t *rapid.T, label string, s *lb.Stack) {
	if s.LoadBalancer.NoSecurityGroups = rapid.IntRange(0, 3).Draw(t, label+"-no-groups") == 0; s.LoadBalancer.NoSecurityGroups {
		s.Backend, s.LoadBalancer.PrivateLinkUnfiltered = false, false
		for _, port := range rapid.SliceOfNDistinct(rapid.Int32Range(1, 3), 0, 3, rapid.ID).Draw(t, label+"-node-ports") {
			source := rapid.SampledFrom([]string{"0.0.0.0/0", "203.0.113.0/24"}).Draw(t, label+"-node-source")
			s.NodeRules = append(s.NodeRules, lb.Rule{Protocol: "tcp", FromPort: port, ToPort: port, Source: netip.MustParsePrefix(source)})
		}
	} else if rapid.Bool().Draw(t, label+"-own-groups") {
		s.LoadBalancer.SecurityGroups = []string{"sg-user"}
	} else {
		s.Frontend = &lb.SecurityGroup{Name: "front", Tags: s.LoadBalancer.Tags}
	}
}

// crowd adds rules until some groups are full.
func crowd(t *rapid.T, label string, s *lb.Stack) {
	if s.Frontend == nil {
		return
	}
	from := rapid.SampledFrom([]int{0, 30, 100}).Draw(t, label+"-crowd-from")
	n := rapid.SampledFrom([]int{0, 0, 57, 100, 230}).Draw(t, label+"-crowd")
	for i := range n {
		source := netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, byte((from + i) / 250), byte((from + i) % 250)}), 32)
		s.Frontend.Ingress = append(s.Frontend.Ingress, lb.Rule{Protocol: "tcp", FromPort: 1, ToPort: 1, Source: source})
	}
}

// chooseAddresses gives all subnets addresses, or none.
func chooseAddresses(t *rapid.T, label string, b *lb.LoadBalancer) {
	if b.Scheme != lb.InternetFacing || rapid.Bool().Draw(t, label+"-any-address") {
		return
	}
	taken := rapid.Permutation([]string{"eip-1", "eip-2", "eip-3"}).Draw(t, label+"-eips")
	six := b.IPAddressType == lb.DualStack && rapid.Bool().Draw(t, label+"-six")
	if b.IPAddressType == lb.DualStack {
		b.IPv6SourceNAT = rapid.SampledFrom([]string{"", lb.On, lb.Off}).Draw(t, label+"-nat")
	}
	for i, id := range b.Subnets {
		m := lb.SubnetMapping{SubnetID: id, AllocationID: taken[i]}
		if six {
			m.IPv6Address = rapid.SampledFrom([]netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")}).Draw(t, fmt.Sprint(label, "-six-", id))
		}
		b.SubnetMappings = append(b.SubnetMappings, m)
	}
}

func addPort(t *rapid.T, label string, s *lb.Stack, port uint16) {
	label = fmt.Sprintf("%s-%d", label, port)
	protocol := rapid.SampledFrom([]lb.Protocol{lb.TCP, lb.TCP, lb.TCPUDP, lb.TLS}).Draw(t, label+"-protocol")
	listener := lb.Listener{Port: port, Protocol: protocol}
	if protocol == lb.TLS {
		listener.Security = lb.Security{
			Certificates: rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"x", "y", "z"}), 1, 3, rapid.ID).Draw(t, label+"-certificates"),
			SSLPolicy:    rapid.SampledFrom([]string{"old", "new"}).Draw(t, label+"-policy"), ALPNPolicy: lb.NoALPN,
		}
		protocol = rapid.SampledFrom([]lb.Protocol{lb.TCP, lb.TLS}).Draw(t, label+"-backend")
	}
	kind := rapid.SampledFrom([]lb.TargetType{lb.InstanceTarget, lb.IPTarget}).Draw(t, label+"-kind")
	key := rapid.SampledFrom([]string{fmt.Sprint(port), "named"}).Draw(t, label+"-key")
	name := fmt.Sprintf("%s-%s-%s-%s", s.LoadBalancer.Name, key, protocol, kind)
	if !slices.ContainsFunc(s.TargetGroups, func(g lb.TargetGroup) bool { return g.Name == name }) {
		targets := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"1", "2", "3"}), 0, 3, rapid.ID).Draw(t, label+"-targets")
		g := lb.TargetGroup{
			Key: key, Name: name, Protocol: protocol, TargetType: kind, IPAddressType: lb.IPv4,
			HealthCheck: lb.HealthCheck{HealthyThreshold: rapid.IntRange(2, 3).Draw(t, label+"-threshold")},
		}
		if rapid.Bool().Draw(t, label+"-sticky") {
			g.Attributes = map[string]string{lb.AttrStickinessEnabled: "true"}
		}
		for _, id := range slices.Sorted(slices.Values(targets)) {
			g.Targets = append(g.Targets, lb.Target{ID: id, Port: 30000})
		}
		s.TargetGroups = append(s.TargetGroups, g)
	}
	listener.TargetGroup = name
	s.Listeners = append(s.Listeners, listener)
	if s.Frontend != nil {
		s.Frontend.Ingress = append(s.Frontend.Ingress, lb.Rule{Protocol: "tcp", FromPort: int32(port), ToPort: int32(port), Source: netip.MustParsePrefix("0.0.0.0/0")})
	}
}

// weigh shares a listener's connections among several groups, or does not.
func weigh(t *rapid.T, label string, s *lb.Stack, l *lb.Listener) {
	backends := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"x", "y", "z", foreign}), 0, 4, rapid.ID).Draw(t, label+"-backends")
	if len(backends) == 0 {
		return
	}
	weight := rapid.SampledFrom([]int{0, 10, 90})
	own := s.TargetGroups[slices.IndexFunc(s.TargetGroups, func(g lb.TargetGroup) bool { return g.Name == l.TargetGroup })]
	l.Forward = []lb.Forward{{TargetGroup: own.Name, Weight: weight.Draw(t, label+"-own")}}
	l.Stickiness = l.Protocol != lb.TLS && rapid.Bool().Draw(t, label+"-client-sticky")
	for _, key := range backends {
		f := lb.Forward{TargetGroup: key, Weight: weight.Draw(t, label+key), Foreign: key == foreign}
		if !f.Foreign {
			f.TargetGroup = own.Name + "-" + key
			if !slices.ContainsFunc(s.TargetGroups, func(g lb.TargetGroup) bool { return g.Name == f.TargetGroup }) {
				g := own
				g.Key, g.Name = own.Key+"/"+key, f.TargetGroup
				s.TargetGroups = append(s.TargetGroups, g)
			}
		}
		l.Forward = append(l.Forward, f)
	}
}

// classicStacks draws what a Service may want of a Classic Load Balancer.
func classicStacks(t *rapid.T, label string, scheme lb.Scheme) lb.Stack {
	text := rapid.SampledFrom([]string{"a", "b"})
	s := lb.Stack{
		LoadBalancer: lb.LoadBalancer{
			Name: rapid.SampledFrom([]string{"chosen", "classic-" + string(scheme)}).Draw(t, label+"-name"), Type: lb.Classic, Scheme: scheme, IPAddressType: lb.IPv4,
			Subnets: rapid.SampledFrom([][]string{{"subnet-b"}, {"subnet-a", "subnet-b"}, {"subnet-a2", "subnet-b"}, {"subnet-a2", "subnet-b2"}, {"subnet-c"}}).Draw(t, label+"-subnets"),
			Tags:    rapid.MapOfN(text, text, 0, 2).Draw(t, label+"-tags"),
		},
		Backend:  rapid.Bool().Draw(t, label+"-backend"),
		Frontend: &lb.SecurityGroup{Name: "front"},
		Classic:  &lb.ClassicParts{HealthCheck: lb.HealthCheck{Protocol: lb.TCP, HealthyThreshold: rapid.IntRange(2, 3).Draw(t, label+"-threshold")}},
	}
	if rapid.Bool().Draw(t, label+"-draining") {
		s.LoadBalancer.Attributes = map[string]string{lb.ClassicDraining: "true"}
	}
	s.Classic.Instances = slices.Sorted(slices.Values(rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"i-1", "i-2", "i-3"}), 0, 3, rapid.ID).Draw(t, label+"-instances")))
	for i, port := range slices.Sorted(slices.Values(rapid.SliceOfNDistinct(rapid.SampledFrom([]uint16{80, 81, 443}), 1, 3, rapid.ID).Draw(t, label+"-ports"))) {
		addClassicPort(t, fmt.Sprint(label, "-", port), s.Classic, lb.ClassicListener{Port: port, InstancePort: uint16(30000 + i)})
	}
	slices.SortFunc(s.Classic.Policies, func(a, b lb.ClassicPolicy) int { return strings.Compare(a.Name, b.Name) })
	return s
}

func addClassicPort(t *rapid.T, label string, c *lb.ClassicParts, l lb.ClassicListener) {
	pair := rapid.SampledFrom([][2]lb.Protocol{{lb.TCP, lb.TCP}, {lb.HTTP, lb.HTTP}, {lb.HTTPS, lb.HTTP}, {lb.SSL, lb.SSL}, {lb.SSL, lb.TCP}}).Draw(t, label+"-protocols")
	l.Protocol, l.InstanceProtocol = pair[0], pair[1]
	add := func(name string) {
		if !slices.ContainsFunc(c.Policies, func(p lb.ClassicPolicy) bool { return p.Name == name }) {
			c.Policies = append(c.Policies, lb.ClassicPolicy{Name: name, Type: "T"})
		}
	}
	if l.Protocol.Secure() {
		l.CertificateARN = rapid.SampledFrom([]string{"x", "y"}).Draw(t, label+"-certificate")
		l.Policies = []string{rapid.SampledFrom([]string{lb.DefaultSSLPolicy, "fairlead-new"}).Draw(t, label+"-policy")}
		add(l.Policies[0])
	}
	if !l.InstanceProtocol.Web() && rapid.Bool().Draw(t, label+"-proxy") {
		c.Backends = append(c.Backends, lb.ClassicBackend{InstancePort: l.InstancePort, Policies: []string{"fairlead-proxy-protocol"}})
		add("fairlead-proxy-protocol")
	}
	c.Listeners = append(c.Listeners, l)
}
