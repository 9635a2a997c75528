package vpc

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/engine/state/statetest"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/store"
)

// fits is an inventory that goes with what madeThere makes.
const fits = `
vpcs:
- {vpcId: vpc-1, cidrBlock: 198.18.0.0/16, ipv6CidrBlock: "2001:db8::/32"}
subnets:
- {subnetId: subnet-a, vpcId: vpc-1, availabilityZone: us-west-2a, availabilityZoneId: usw2-az1, cidrBlock: 198.18.16.0/20, ipv6CidrBlock: "2001:db8:0:1::/64"}
instances:
- instanceId: i-a
  networkInterfaces: [{subnetId: subnet-a, addresses: [198.18.16.16]}]
`

// madeThere is a state with a subnet beside the file's, an instance in it and
// load balancers in the file's subnet.
func madeThere(t *testing.T) *store.Revision {
	t.Helper()
	db := statetest.New(t)
	err := db.Update(func(tx *store.Tx) error {
		state.Subnets.Put(tx, state.Subnet{SubnetID: "subnet-made", VPCID: "vpc-1", CIDRBlock: netip.MustParsePrefix("198.18.64.0/20"), IPv6CIDRBlock: netip.MustParsePrefix("2001:db8:0:4::/64")})
		state.Instances.Put(tx, state.Instance{InstanceID: "i-made", State: "running", SubnetID: "subnet-made", IPv4: netip.MustParseAddr("198.18.64.7")})
		state.Instances.Put(tx, state.Instance{InstanceID: "i-gone", State: "terminated", SubnetID: "subnet-made", IPv4: netip.MustParseAddr("198.18.64.8")})
		state.LoadBalancers.Put(tx, state.LoadBalancer{ARN: "b", Name: "web", Zones: []state.ZoneMapping{
			{Zone: "us-west-2a", SubnetID: "subnet-a", IPv4: netip.MustParseAddr("198.18.16.99"), IPv6: netip.MustParseAddr("2001:db8:0:1::99")},
			{Zone: "us-west-2c", SubnetID: "subnet-made", IPv4: netip.MustParseAddr("203.0.113.9"), AllocationID: "eipalloc-1"},
		}})
		state.ClassicLoadBalancers.Put(tx, state.ClassicLoadBalancer{ARN: "c", Name: "old", Zones: []state.ZoneMapping{
			{Zone: "us-west-2a", SubnetID: "subnet-a", IPv4: netip.MustParseAddr("198.18.16.98")},
		}})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return db.Current()
}

func TestAnInventoryHasToGoWithWhatWasMade(t *testing.T) {
	r := madeThere(t)
	for name, test := range map[string]struct {
		edit []string // old, new, …
		want []string // nothing: it fits
	}{
		"as it was":                          {nil, nil},
		"another instance":                   {[]string{"198.18.16.16]", "198.18.16.17]"}, nil},
		"a load balancer's address":          {[]string{"198.18.16.16]", "198.18.16.99]"}, []string{"198.18.16.99/32 of instance i-a takes the address 198.18.16.99 of the load balancer web"}},
		"a load balancer's IPv6 address":     {[]string{"198.18.16.16]", "198.18.16.16, \"2001:db8:0:1::99\"]"}, []string{"takes the address 2001:db8:0:1::99 of the load balancer web"}},
		"a prefix with several of them":      {[]string{"addresses: [198.18.16.16]", "addresses: [198.18.16.16], prefixes: [198.18.16.96/28]"}, []string{"of the load balancer web", "of the Classic Load Balancer old"}},
		"an edge at a Classic one's address": {[]string{"instances:", "edges: [{availabilityZone: us-west-2a, addresses: [198.18.16.98]}]\ninstances:"}, []string{"of an edge takes the address 198.18.16.98 of the Classic Load Balancer old"}},
		"a subnet over one that was made":    {[]string{"instances:", "- {subnetId: subnet-b, vpcId: vpc-1, availabilityZone: us-west-2b, availabilityZoneId: usw2-az2, cidrBlock: 198.18.64.0/21}\ninstances:"}, []string{"the subnet subnet-b (198.18.64.0/21) overlaps the subnet subnet-made (198.18.64.0/20, 2001:db8:0:4::/64)"}},
		"an IPv6 block over one":             {[]string{"instances:", "- {subnetId: subnet-b, vpcId: vpc-1, availabilityZone: us-west-2b, availabilityZoneId: usw2-az2, cidrBlock: 198.18.32.0/20, ipv6CidrBlock: \"2001:db8:0:4::/64\"}\ninstances:"}, []string{"the subnet subnet-b"}},
		"a subnet that is used is missing":   {[]string{"subnet-a", "subnet-b"}, []string{"the subnet subnet-a is missing: the load balancer web is in it", "the Classic Load Balancer old is in it"}},
		"a VPC that is used is missing":      {[]string{"vpc-1", "vpc-2"}, []string{"the VPC vpc-1 is missing: the subnet subnet-made was made in it"}},
		"a subnet without what it held":      {[]string{"198.18.16.0/20", "198.18.16.0/26"}, []string{"the subnet subnet-a (198.18.16.0/26, 2001:db8:0:1::/64) no longer holds the address 198.18.16.99 of the load balancer web"}},
		"a subnet with another IPv6 block":   {[]string{"2001:db8:0:1::/64", "2001:db8:0:2::/64"}, []string{"no longer holds the address 2001:db8:0:1::99"}},
	} {
		t.Run(name, func(t *testing.T) {
			text := fits
			if len(test.edit) > 0 {
				text = strings.ReplaceAll(fits, test.edit[0], test.edit[1])
			}
			file, err := inventory.Parse([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			err = Check(inventory.NewIndex(file), r)
			if (err == nil) != (len(test.want) == 0) {
				t.Fatalf("Check() = %v, want %q", err, test.want)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Check() = %v, want …%s…", err, want)
				}
			}
		})
	}
}
