package controller

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	ec2sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-lb/fairlead/internal/cloud/plainbody"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

// ec2 is a client of the account's owner.
func (w *world) ec2() *ec2sdk.Client {
	key, _ := w.engine.RootKey()
	return ec2sdk.New(ec2sdk.Options{
		Region: "us-west-2", BaseEndpoint: &w.aws.url, HTTPClient: plainbody.Client(nil),
		Credentials: credentials.NewStaticCredentialsProvider(key.AccessKeyID, key.SecretAccessKey, ""),
	})
}

// elastic allocates n Elastic IP addresses.
func (w *world) elastic(n int) (ids []string) {
	w.t.Helper()
	c := w.ec2()
	for range n {
		out, err := c.AllocateAddress(w.t.Context(), &ec2sdk.AllocateAddressInput{})
		if err != nil {
			w.t.Fatal(err)
		}
		ids = append(ids, aws.ToString(out.AllocationId))
	}
	return ids
}

// prefixList makes a prefix list of one entry.
func (w *world) prefixList() string {
	w.t.Helper()
	out, err := w.ec2().CreateManagedPrefixList(w.t.Context(), &ec2sdk.CreateManagedPrefixListInput{
		PrefixListName: aws.String("office"), AddressFamily: aws.String("IPv4"), MaxEntries: aws.Int32(5),
		Entries: []ec2types.AddPrefixListEntry{{Cidr: aws.String("203.0.113.0/24")}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return aws.ToString(out.PrefixList.PrefixListId)
}

func annotated(svc *corev1.Service, pairs ...string) *corev1.Service {
	for i := 0; i < len(pairs); i += 2 {
		svc.Annotations[prefix+pairs[i]] = pairs[i+1]
	}
	return svc
}

// mappings are the addresses chosen on the only load balancer.
func (w *world) mappings() []lb.SubnetMapping {
	w.t.Helper()
	found, err := w.api.DescribeLoadBalancers(w.t.Context(), w.all().balancers)
	if err != nil || len(found) != 1 {
		w.t.Fatalf("%d load balancers, error %v", len(found), err)
	}
	all := slices.Clone(found[0].SubnetMappings)
	slices.SortFunc(all, func(a, b lb.SubnetMapping) int { return strings.Compare(a.SubnetID, b.SubnetID) })
	return all
}

func agree(s *corev1.Service) { s.Annotations["fairlead.io/allow-replacement"] = "true" }

func TestElasticAddressesChangeWithTheUsersConsent(t *testing.T) {
	tests := map[string]struct {
		subnets  string   // before; all of them when empty
		from, to []int    // of four Elastic IP addresses, by zone
		calls    []string // after consent
		renamed  bool     // the DNS name changes
	}{
		"in one zone, the other serves": {from: []int{0, 1}, to: []int{0, 2}, calls: []string{"SetSubnets", "SetSubnets"}},
		"in both zones, one serves at a time": {
			from: []int{0, 1}, to: []int{2, 3}, calls: []string{"SetSubnets", "SetSubnets", "SetSubnets", "SetSubnets"},
		},
		"where AWS chose before": {from: nil, to: []int{0, 1}, calls: []string{"SetSubnets", "SetSubnets", "SetSubnets", "SetSubnets"}},
		"swapped, so that neither can wait for the other": {
			from: []int{0, 1}, to: []int{1, 0}, calls: []string{"DeleteLoadBalancer", "CreateLoadBalancer", "CreateListener"}, renamed: true,
		},
		"in the only zone": {
			subnets: "subnet-a", from: []int{0}, to: []int{1}, calls: []string{"DeleteLoadBalancer", "CreateLoadBalancer", "CreateListener"}, renamed: true,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ids := w.elastic(4)
			list := func(of []int) string {
				var out []string
				for _, i := range of {
					out = append(out, ids[i])
				}
				return strings.Join(out, ",")
			}
			svc := post("nginx")
			if tt.from != nil {
				annotated(svc, "eip-allocations", list(tt.from))
			}
			if tt.subnets != "" {
				annotated(svc, "subnets", tt.subnets)
			}
			w.create(svc)
			w.settle("nginx")
			host, before := w.get("nginx").Status.LoadBalancer.Ingress[0].Hostname, w.mappings()
			w.aws.take()

			w.update("nginx", func(s *corev1.Service) { annotated(s, "eip-allocations", list(tt.to)) })
			w.settle("nginx")
			if calls := writing(w.aws.take()); len(calls) > 0 {
				t.Errorf("without consent it calls %v", calls)
			}
			if diff := cmp.Diff(before, w.mappings(), cmp.Comparer(sameMapping)); diff != "" {
				t.Errorf("without consent addresses change (-before +after):\n%s", diff)
			}
			if c := w.condition("nginx", condReplacement); c.Status != metav1.ConditionTrue || !strings.Contains(c.Message, "addresses") {
				t.Errorf("condition ReplacementRequired is %+v", c)
			}

			w.update("nginx", agree)
			w.settle("nginx")
			if diff := cmp.Diff(tt.calls, writing(w.aws.take())); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
			var want []lb.SubnetMapping
			for i, e := range tt.to {
				want = append(want, lb.SubnetMapping{SubnetID: []string{"subnet-a", "subnet-b"}[i], AllocationID: ids[e]})
			}
			if diff := cmp.Diff(want, w.mappings(), cmp.Comparer(sameMapping)); diff != "" {
				t.Errorf("addresses (-want +got):\n%s", diff)
			}
			if got := w.get("nginx").Status.LoadBalancer.Ingress[0].Hostname; (got != host) != tt.renamed {
				t.Errorf("hostname was %s and is %s", host, got)
			}
			w.checkConverged(name)
		})
	}
}

func sameMapping(a, b lb.SubnetMapping) bool { return a == b }

func TestChosenAddressesInPlace(t *testing.T) {
	a, b := "198.18.16.200", "198.18.32.200"
	tests := map[string]struct {
		before, after []string
		calls         []string
		want          []lb.SubnetMapping
	}{
		"another subnet joins with its address": {
			[]string{"subnets", "subnet-a", "private-ipv4-addresses", a}, []string{"subnets", "subnet-a,subnet-b", "private-ipv4-addresses", a + "," + b},
			[]string{"SetSubnets"}, []lb.SubnetMapping{{SubnetID: "subnet-a", PrivateIPv4Address: addr(a)}, {SubnetID: "subnet-b", PrivateIPv4Address: addr(b)}},
		},
		"the same in another order": {
			[]string{"private-ipv4-addresses", a + "," + b}, []string{"private-ipv4-addresses", b + "," + a},
			nil, []lb.SubnetMapping{{SubnetID: "subnet-a", PrivateIPv4Address: addr(a)}, {SubnetID: "subnet-b", PrivateIPv4Address: addr(b)}},
		},
		"IPv6 addresses come with dualstack": {
			nil, []string{"ip-address-type", "dualstack", "ipv6-addresses", "2001:db8:0:1::200,2001:db8:0:2::200"},
			[]string{"AuthorizeSecurityGroupIngress", "SetSubnets"}, []lb.SubnetMapping{{SubnetID: "subnet-a", IPv6Address: addr("2001:db8:0:1::200")}, {SubnetID: "subnet-b", IPv6Address: addr("2001:db8:0:2::200")}},
		},
		"prefixes for source NAT": {
			[]string{"ip-address-type", "dualstack"}, []string{"enable-prefix-for-ipv6-source-nat", "on"}, []string{"SetSubnets"}, nil,
		},
		"reserved capacity": {nil, []string{"minimum-load-balancer-capacity", "CapacityUnits=2750"}, []string{"ModifyCapacityReservation"}, nil},
		"reserved capacity is given back": {
			[]string{"minimum-load-balancer-capacity", "CapacityUnits=2750"}, []string{"minimum-load-balancer-capacity", "CapacityUnits=0"}, []string{"ModifyCapacityReservation"}, nil,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.create(annotated(annotated(post("nginx"), "scheme", "internal"), tt.before...))
			w.settle("nginx")
			w.aws.take()
			w.update("nginx", func(s *corev1.Service) { annotated(s, tt.after...) })
			w.settle("nginx")
			if diff := cmp.Diff(tt.calls, writing(w.aws.take())); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.want, w.mappings(), cmp.Comparer(sameMapping)); diff != "" {
				t.Errorf("addresses (-want +got):\n%s", diff)
			}
			w.checkConverged(name)
			// Without its annotation an address may stay, and capacity goes.
			w.update("nginx", func(s *corev1.Service) {
				for _, key := range []string{"private-ipv4-addresses", "ipv6-addresses", "minimum-load-balancer-capacity", "enable-prefix-for-ipv6-source-nat"} {
					delete(s.Annotations, prefix+key)
				}
			})
			w.settle("nginx")
			if calls := writing(w.aws.take()); len(calls) > 0 && calls[0] != "ModifyCapacityReservation" {
				t.Errorf("without the annotations it calls %v", calls)
			}
			w.checkConverged(name + ", taken back")
		})
	}
}

func TestWrongAddressesAreSaidAtOnceAndNothingIsMade(t *testing.T) {
	w := newWorld(t)
	w.create(annotated(post("nginx"), "eip-allocations", "eipalloc-1", "private-ipv4-addresses", "192.0.2.1,198.18.32.9"))
	w.settle("nginx")
	c := w.condition("nginx", condAccepted)
	for _, want := range []string{"3 problems", "it has 1", "192.0.2.1", "only the private addresses"} {
		if c.Status != metav1.ConditionFalse || !strings.Contains(c.Message, want) {
			t.Errorf("condition Accepted does not say %q: %+v", want, c)
		}
	}
	if left := w.all(); !left.empty() {
		t.Errorf("made: %s", left)
	}
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func prefixOf(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// authorizeAsSomeoneElse adds rules without our description.
func (w *world) authorizeAsSomeoneElse(group string, rules []lb.Rule) {
	w.t.Helper()
	in := &ec2sdk.AuthorizeSecurityGroupIngressInput{GroupId: &group}
	for _, r := range rules {
		in.IpPermissions = append(in.IpPermissions, ec2types.IpPermission{
			IpProtocol: &r.Protocol, FromPort: &r.FromPort, ToPort: &r.ToPort, IpRanges: []ec2types.IpRange{{CidrIp: aws.String(r.Source.String())}},
		})
	}
	if _, err := w.ec2().AuthorizeSecurityGroupIngress(w.t.Context(), in); err != nil {
		w.t.Fatal(err)
	}
}
