package ec2

import (
	"net/netip"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/fairlead-lb/fairlead/internal/apitest"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/engine/state/statetest"
	"github.com/fairlead-lb/fairlead/internal/engine/vpc"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/store"
)

const (
	vpcID    = "vpc-0123456789abcdef0"
	otherVPC = "vpc-0fedcba9876543210"
	subnetA  = "subnet-0aaaaaaaaaaaaaaaa"
	subnetB  = "subnet-0bbbbbbbbbbbbbbbb"
	nodeSG   = "sg-0123456789abcdef0"
	node1    = "i-01111111111111111"
	node2    = "i-02222222222222222"
)

const inventoryYAML = `
elasticIpPools: [203.0.113.0/30]
vpcs:
- {vpcId: ` + vpcID + `, cidrBlock: 198.18.0.0/16, ipv6CidrBlock: "2001:db8::/32", isDefault: true, tags: {Name: lab}}
- {vpcId: ` + otherVPC + `, cidrBlock: 10.0.0.0/16}
subnets:
- {subnetId: ` + subnetA + `, vpcId: ` + vpcID + `, availabilityZone: us-west-2a, availabilityZoneId: usw2-az1, cidrBlock: 198.18.16.0/20, ipv6CidrBlock: "2001:db8:0:1::/64", public: true, tags: {kubernetes.io/role/elb: "1"}}
- {subnetId: ` + subnetB + `, vpcId: ` + vpcID + `, availabilityZone: us-west-2b, availabilityZoneId: usw2-az2, cidrBlock: 198.18.32.0/20, ipv6CidrBlock: "2001:db8:0:2::/64"}
securityGroups:
- {groupId: ` + nodeSG + `, groupName: nodes, description: all nodes, vpcId: ` + vpcID + `, tags: {kubernetes.io/cluster/fairlead: owned}}
instances:
- instanceId: ` + node1 + `
  privateDnsName: node-1
  tags: {Name: node-1}
  networkInterfaces:
  - {networkInterfaceId: eni-01111111111111111, subnetId: ` + subnetA + `, macAddress: "02:00:00:00:00:01", addresses: [198.18.16.16, "2001:db8:0:1::10"], prefixes: [198.18.17.0/24], securityGroups: [` + nodeSG + `]}
- instanceId: ` + node2 + `
  privateDnsName: node-2
  state: stopped
  networkInterfaces:
  - {subnetId: ` + subnetB + `, addresses: [198.18.32.16], securityGroups: [` + nodeSG + `]}
edges:
- {availabilityZone: us-west-2a, addresses: [198.18.16.4]}
`

// bench is an EC2 endpoint with a real client.
type bench struct {
	*sdk.Client
	db   *store.Store
	auth *apitest.Judge
}

func newBench(t *testing.T) bench {
	t.Helper()
	file, err := inventory.Parse([]byte(inventoryYAML))
	if err != nil {
		t.Fatal(err)
	}
	db := statetest.New(t)
	index, auth := inventory.NewIndex(file), &apitest.Judge{}
	view := vpc.NewView(func() *inventory.Index { return index }, db)
	service := New(Config{Region: apitest.Region, AccountID: apitest.AccountID, DB: db, Network: view.Current, Authorizer: auth})
	return bench{sdk.NewFromConfig(apitest.Serve(t, service.API())), db, auth}
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	if apitest.Code(err) != code {
		t.Errorf("got %v, want %s", err, code)
	}
}

func filter(name string, values ...string) types.Filter {
	return types.Filter{Name: aws.String(name), Values: values}
}

// putBalancer makes a load balancer with an address in each zone.
func putBalancer(t *testing.T, db *store.Store, groups ...string) {
	t.Helper()
	err := db.Update(func(tx *store.Tx) error {
		state.LoadBalancers.Put(tx, state.LoadBalancer{
			ARN: "arn:aws:elasticloadbalancing:us-west-2:000000000000:loadbalancer/net/web/0123456789abcdef", Name: "web", VPCID: vpcID,
			SecurityGroups: groups,
			Zones: []state.ZoneMapping{
				{Zone: "us-west-2a", SubnetID: subnetA, IPv4: netip.MustParseAddr("198.18.16.9"), IPv6: netip.MustParseAddr("2001:db8:0:1::9"), AllocationID: "eipalloc-1"},
				{Zone: "us-west-2b", SubnetID: subnetB, IPv4: netip.MustParseAddr("198.18.32.9")},
			},
		})
		state.ElasticAddresses.Put(tx, state.ElasticAddress{
			AllocationID: "eipalloc-1", Address: netip.MustParseAddr("203.0.113.200"),
			LoadBalancerARN: "arn:aws:elasticloadbalancing:us-west-2:000000000000:loadbalancer/net/web/0123456789abcdef",
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
