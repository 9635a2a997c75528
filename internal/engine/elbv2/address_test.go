package elbv2

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/apitest"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/inventory"
)

func TestReservedRangesAreNotGivenOut(t *testing.T) {
	reserved := strings.Replace(network, "cidrBlock: 198.18.16.0/20,", "cidrBlock: 198.18.16.0/20, cidrReservations: [198.18.16.4/30, 198.18.16.8/29],", 1)
	f, err := inventory.Parse([]byte(reserved))
	if err != nil {
		t.Fatal(err)
	}
	h := newHarness(t, func(c *Config) { c.Network = func() *inventory.Index { return inventory.NewIndex(f) } })
	h.balancer("web")
	// .4 to .15 are reserved and .16 is an instance's.
	first := netip.MustParseAddr("198.18.16.17")
	if _, taken := state.ZonalAddresses.Get(h.db.Current(), state.ZonalAddressKey("subnet-a", first)); !taken {
		t.Errorf("the load balancer did not get %s, the first address outside the reservations", first)
	}
}

// addresses are the zonal addresses that a load balancer holds, which must be
// the ones that are marked taken.
func (h *harness) addresses(b types.LoadBalancer) []string {
	h.t.Helper()
	r := h.db.Current()
	record, _ := state.LoadBalancers.Get(r, *b.LoadBalancerArn)
	var held, taken []string
	for _, z := range record.Zones {
		for _, a := range []netip.Addr{z.IPv4, z.IPv6} {
			if a.IsValid() {
				held = append(held, a.String())
			}
		}
	}
	for a := range state.ZonalAddresses.All(r) {
		if a.Holder == record.ARN {
			taken = append(taken, a.Address.String())
		}
	}
	slices.Sort(taken)
	if sorted := slices.Sorted(slices.Values(held)); !slices.Equal(sorted, taken) {
		h.t.Errorf("%s holds %q, but %q are marked taken", record.Name, sorted, taken)
	}
	return held
}

func TestAddressesGoRoundAndAvoidWhatIsTaken(t *testing.T) {
	h := newHarness(t)
	inA := func(in *elb.CreateLoadBalancerInput) { in.Subnets = []string{"subnet-a"} }
	var got []string
	for i := range 13 {
		got = append(got, h.addresses(h.balancer(fmt.Sprint("b", i), inA))...)
	}
	// .4 is an edge's, .16 an instance's.
	var want []string
	for i := 5; len(want) < 13; i++ {
		if i != 16 {
			want = append(want, fmt.Sprintf("198.18.16.%d", i))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("addresses in order of creation (-want +got):\n%s", diff)
	}
	first := apitest.Must(h.DescribeLoadBalancers(h.ctx(), &elb.DescribeLoadBalancersInput{Names: []string{"b0"}}))(t).LoadBalancers[0]
	apitest.Must(h.DeleteLoadBalancer(h.ctx(), &elb.DeleteLoadBalancerInput{LoadBalancerArn: first.LoadBalancerArn}))(t)
	if got := h.addresses(h.balancer("next", inA)); got[0] != "198.18.16.19" {
		t.Errorf("the next address is %s: one that became free should rest", got[0])
	}
	tiny := func(in *elb.CreateLoadBalancerInput) { in.Subnets = []string{"subnet-tiny"} }
	h.balancer("tiny1", tiny)
	two := h.balancer("tiny2", tiny) // .4 and .5; .6 is an instance's
	_, err := h.CreateLoadBalancer(h.ctx(), &elb.CreateLoadBalancerInput{Name: aws.String("tiny3"), Type: types.LoadBalancerTypeEnumNetwork, Subnets: []string{"subnet-tiny"}})
	if apitest.Code(err) != "InvalidSubnet" || !strings.Contains(messageOf(err), "Not enough IP space available in subnet-tiny") {
		t.Errorf("a third one in a subnet for two: %v", err)
	}
	apitest.Must(h.DeleteLoadBalancer(h.ctx(), &elb.DeleteLoadBalancerInput{LoadBalancerArn: two.LoadBalancerArn}))(t)
	if got := h.addresses(h.balancer("tiny3", tiny)); got[0] != "198.18.64.5" {
		t.Errorf("after one left: %s, want the only free one", got[0])
	}
}

func TestChosenAddressesAreKeptAndShown(t *testing.T) {
	h := newHarness(t)
	b := h.balancer("web", func(in *elb.CreateLoadBalancerInput) {
		in.Scheme, in.IpAddressType, in.Subnets = types.LoadBalancerSchemeEnumInternal, types.IpAddressTypeDualstack, nil
		in.SubnetMappings = []types.SubnetMapping{{SubnetId: aws.String("subnet-a"), PrivateIPv4Address: aws.String("198.18.16.77"), IPv6Address: aws.String("2001:db8:0:1::77")}}
	})
	shown := b.AvailabilityZones[0].LoadBalancerAddresses
	if len(shown) != 1 || *shown[0].PrivateIPv4Address != "198.18.16.77" || *shown[0].IPv6Address != "2001:db8:0:1::77" {
		t.Errorf("addresses shown: %+v", shown)
	}
	if diff := cmp.Diff([]string{"198.18.16.77", "2001:db8:0:1::77"}, h.addresses(b)); diff != "" {
		t.Errorf("addresses held (-want +got):\n%s", diff)
	}
}

func TestSubnetsAndAddressTypeChangeInPlace(t *testing.T) {
	h := newHarness(t)
	b := h.balancer("web", func(in *elb.CreateLoadBalancerInput) { in.Subnets = []string{"subnet-a"} })
	expect := func(when string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, h.addresses(b)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	out := apitest.Must(h.SetSubnets(h.ctx(), &elb.SetSubnetsInput{LoadBalancerArn: b.LoadBalancerArn, Subnets: []string{"subnet-b", "subnet-a"}}))(t)
	if len(out.AvailabilityZones) != 2 || *out.AvailabilityZones[0].ZoneName != "us-west-2a" {
		t.Errorf("zones = %+v", out.AvailabilityZones)
	}
	expect("with a second subnet", "198.18.16.5", "198.18.32.5")
	apitest.Must(h.SetIpAddressType(h.ctx(), &elb.SetIpAddressTypeInput{LoadBalancerArn: b.LoadBalancerArn, IpAddressType: types.IpAddressTypeDualstack}))(t)
	expect("with dualstack", "198.18.16.5", "2001:db8:0:1::4", "198.18.32.5", "2001:db8:0:2::4")
	g := h.group("v6", func(in *elb.CreateTargetGroupInput) { in.IpAddressType = types.TargetGroupIpAddressTypeEnumIpv6 })
	l := h.listener(b, g, 80)
	_, err := h.SetIpAddressType(h.ctx(), &elb.SetIpAddressTypeInput{LoadBalancerArn: b.LoadBalancerArn, IpAddressType: types.IpAddressTypeIpv4})
	if apitest.Code(err) != "InvalidConfigurationRequest" {
		t.Errorf("IPv4 under an IPv6 group: %v", err)
	}
	apitest.Must(h.DeleteListener(h.ctx(), &elb.DeleteListenerInput{ListenerArn: l.ListenerArn}))(t)
	apitest.Must(h.SetIpAddressType(h.ctx(), &elb.SetIpAddressTypeInput{LoadBalancerArn: b.LoadBalancerArn, IpAddressType: types.IpAddressTypeIpv4}))(t)
	expect("with IPv4 again", "198.18.16.5", "198.18.32.5")
	apitest.Must(h.SetSubnets(h.ctx(), &elb.SetSubnetsInput{LoadBalancerArn: b.LoadBalancerArn, Subnets: []string{"subnet-b"}}))(t)
	expect("with one subnet", "198.18.32.5")
	apitest.Must(h.DeleteLoadBalancer(h.ctx(), &elb.DeleteLoadBalancerInput{LoadBalancerArn: b.LoadBalancerArn}))(t)
	expect("deleted")
}
