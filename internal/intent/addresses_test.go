package intent_test

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-lb/fairlead/internal/intent"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

func input(svc *corev1.Service) intent.Input {
	return intent.Input{
		Cluster: "fairlead", Service: svc, Type: lb.Network, Subnets: subnets(),
		Defaults: intent.Defaults{Scheme: lb.InternetFacing, TargetType: lb.InstanceTarget, HealthInterval: 10e9, HealthyThreshold: 3, UnhealthyThreshold: 3},
	}
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestChosenAddressesGoToTheirSubnets(t *testing.T) {
	tests := map[string]struct {
		annotations map[string]string
		want        []lb.SubnetMapping
	}{
		"Elastic IP addresses in the order of the zones": {
			map[string]string{"eip-allocations": "eipalloc-1, eipalloc-2"},
			[]lb.SubnetMapping{{SubnetID: "subnet-a", AllocationID: "eipalloc-1"}, {SubnetID: "subnet-b", AllocationID: "eipalloc-2"}},
		},
		"Elastic IP addresses in the order of the annotation": {
			map[string]string{"eip-allocations": "eipalloc-1,eipalloc-2", "subnets": "subnet-b,subnet-a"},
			[]lb.SubnetMapping{{SubnetID: "subnet-a", AllocationID: "eipalloc-2"}, {SubnetID: "subnet-b", AllocationID: "eipalloc-1"}},
		},
		"private addresses in any order": {
			map[string]string{"private-ipv4-addresses": "198.18.32.9,198.18.16.9", "scheme": "internal"},
			[]lb.SubnetMapping{{SubnetID: "subnet-a", PrivateIPv4Address: addr("198.18.16.9")}, {SubnetID: "subnet-b", PrivateIPv4Address: addr("198.18.32.9")}},
		},
		"both families": {
			map[string]string{"ipv6-addresses": "2001:db8:0:1::9,2001:db8:0:2::9", "ip-address-type": "dualstack", "eip-allocations": "eipalloc-1,eipalloc-2"},
			[]lb.SubnetMapping{
				{SubnetID: "subnet-a", AllocationID: "eipalloc-1", IPv6Address: addr("2001:db8:0:1::9")},
				{SubnetID: "subnet-b", AllocationID: "eipalloc-2", IPv6Address: addr("2001:db8:0:2::9")},
			},
		},
		"prefixes for source NAT": {
			map[string]string{"source-nat-ipv6-prefixes": "2001:db8:0:1:1::/80,auto_assigned", "ip-address-type": "dualstack"},
			[]lb.SubnetMapping{{SubnetID: "subnet-a", SourceNATIPv6Prefix: "2001:db8:0:1:1::/80"}},
		},
		"nothing chosen": {nil, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			in := input(service(prefixed(tt.annotations)))
			stack, problems := intent.Desired(in)
			if len(problems) > 0 {
				t.Fatalf("got problems %v", problems)
			}
			if diff := cmp.Diff(tt.want, stack.LoadBalancer.SubnetMappings, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("mappings (-want +got):\n%s", diff)
			}
			// The choice on record answers the same without looking at subnets,
			// and no other question.
			in.Pinned, in.Subnets = intent.Pin(in, stack), nil
			again, problems := intent.Desired(in)
			if diff := cmp.Diff(tt.want, again.LoadBalancer.SubnetMappings, cmpopts.EquateComparable(netip.Addr{})); diff != "" || len(problems) > 0 || intent.NeedsSubnets(in) {
				t.Errorf("from the record (-want +got):\n%s%v", diff, problems)
			}
			in.Service.Annotations[aws+"eip-allocations"] = "eipalloc-7,eipalloc-8"
			if !intent.NeedsSubnets(in) {
				t.Error("other addresses are answered from the record")
			}
		})
	}
}

func prefixed(annotations map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range annotations {
		out[aws+k] = v
	}
	return out
}

// TestAllThatIsWrongWithAddressesIsSaidAtOnce names a word of each problem.
func TestAllThatIsWrongWithAddressesIsSaidAtOnce(t *testing.T) {
	tests := map[string]struct {
		annotations map[string]string
		want        []string
	}{
		"too few":                        {map[string]string{"eip-allocations": "eipalloc-1"}, []string{"it has 1, the load balancer has 2 subnets"}},
		"too many":                       {map[string]string{"eip-allocations": "eipalloc-1,eipalloc-2", "subnets": "subnet-a"}, []string{"it has 2, the load balancer has 1 subnets"}},
		"twice":                          {map[string]string{"eip-allocations": "eipalloc-1,eipalloc-1"}, []string{"stands there twice"}},
		"no allocations, all of them":    {map[string]string{"eip-allocations": "198.51.100.1,eip-2"}, []string{`"198.51.100.1" is not`, `"eip-2" is not`}},
		"Elastic IP on internal":         {map[string]string{"eip-allocations": "eipalloc-1,eipalloc-2", "scheme": "internal"}, []string{"an internal load balancer has no Elastic IP"}},
		"private on internet-facing":     {map[string]string{"private-ipv4-addresses": "198.18.16.9,198.18.32.9"}, []string{"only the private addresses of an internal"}},
		"outside of the subnets":         {map[string]string{"private-ipv4-addresses": "198.18.16.9,192.0.2.9", "scheme": "internal"}, []string{`"192.0.2.9": it lies in none`}},
		"two in one subnet":              {map[string]string{"private-ipv4-addresses": "198.18.16.9,198.18.16.10", "scheme": "internal"}, []string{"subnet-a has 198.18.16.9 already"}},
		"reserved ones":                  {map[string]string{"private-ipv4-addresses": "198.18.16.3,198.18.47.255", "scheme": "internal"}, []string{`"198.18.16.3": AWS keeps`, `"198.18.47.255": AWS keeps`}},
		"IPv6 among IPv4":                {map[string]string{"private-ipv4-addresses": "198.18.16.9,2001:db8:0:2::9", "scheme": "internal"}, []string{"is not an IPv4 address"}},
		"IPv6 without dualstack":         {map[string]string{"ipv6-addresses": "2001:db8:0:1::9,2001:db8:0:2::9"}, []string{"has no IPv6 addresses"}},
		"source NAT without dualstack":   {map[string]string{"enable-prefix-for-ipv6-source-nat": "on"}, []string{"has no IPv6 addresses"}},
		"prefixes that are switched off": {map[string]string{"source-nat-ipv6-prefixes": "auto_assigned", "enable-prefix-for-ipv6-source-nat": "off", "ip-address-type": "dualstack"}, []string{"switched off"}},
		"a prefix of another subnet":     {map[string]string{"source-nat-ipv6-prefixes": "2001:db8:0:2:1::/80,auto_assigned", "ip-address-type": "dualstack"}, []string{"does not lie in subnet subnet-a"}},
		"everything at once": {
			map[string]string{"eip-allocations": "eipalloc-1", "private-ipv4-addresses": "192.0.2.9,198.18.32.9", "ipv6-addresses": "2001:db8:9::1,2001:db8:0:2::9"},
			[]string{"it has 1, the load balancer", "192.0.2.9", "only the private", "2001:db8:9::1", "has no IPv6"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, problems := intent.Desired(input(service(prefixed(tt.annotations))))
			if len(problems) != len(tt.want) {
				t.Fatalf("got %d problems, want %d: %v", len(problems), len(tt.want), problems)
			}
			for _, want := range tt.want {
				if !slices.ContainsFunc(problems, func(p intent.Problem) bool { return p.Severity == intent.Error && strings.Contains(p.String(), want) }) {
					t.Errorf("no problem says %q: %v", want, problems)
				}
			}
		})
	}
}

func TestUDPOnADualstackLoadBalancerGetsPrefixes(t *testing.T) {
	dual := map[string]string{aws + "ip-address-type": "dualstack"}
	tests := map[string]struct {
		annotations map[string]string
		protocol    corev1.Protocol
		want        string
	}{
		"TCP":                        {dual, corev1.ProtocolTCP, ""},
		"UDP":                        {dual, corev1.ProtocolUDP, lb.On},
		"UDP on ipv4":                {nil, corev1.ProtocolUDP, ""},
		"UDP, switched off all same": {map[string]string{aws + "enable-prefix-for-ipv6-source-nat": "off"}, corev1.ProtocolUDP, lb.Off},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			annotations := maps.Clone(tt.annotations)
			if annotations == nil {
				annotations = map[string]string{}
			}
			svc := service(annotations)
			svc.Spec.Ports[0].Protocol = tt.protocol
			stack, _ := desired(svc)
			if got := stack.LoadBalancer.IPv6SourceNAT; got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
