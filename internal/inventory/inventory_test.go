package inventory

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const good = `
vpcs:
- {vpcId: vpc-1, cidrBlock: 198.18.0.0/16, ipv6CidrBlock: "2001:db8::/32"}
subnets:
- {subnetId: subnet-a, vpcId: vpc-1, availabilityZone: us-west-2a, availabilityZoneId: usw2-az1, cidrBlock: 198.18.16.0/20, ipv6CidrBlock: "2001:db8:0:1::/64"}
- {subnetId: subnet-b, vpcId: vpc-1, availabilityZone: us-west-2b, availabilityZoneId: usw2-az2, cidrBlock: 198.18.32.0/20}
securityGroups:
- {groupId: sg-1, groupName: nodes, vpcId: vpc-1}
instances:
- instanceId: i-1
  networkInterfaces:
  - {subnetId: subnet-a, addresses: [198.18.16.16, "2001:db8:0:1::10"], prefixes: [198.18.17.0/24], securityGroups: [sg-1]}
- instanceId: i-2
  state: stopped
  networkInterfaces:
  - {subnetId: subnet-b, addresses: [198.18.32.16]}
edges:
- {availabilityZone: us-west-2a, addresses: [198.18.16.4]}
`

func TestIndexAnswers(t *testing.T) {
	f, err := Parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	x := NewIndex(f)
	if got := x.Zones(); !cmp.Equal(got, []string{"us-west-2a", "us-west-2b"}) {
		t.Errorf("Zones() = %q", got)
	}
	holders := map[string]string{
		"198.18.16.16": "198.18.16.16/32 i-1 true", "198.18.17.99": "198.18.17.0/24 i-1 true", "198.18.16.4": "198.18.16.4/32  true",
		"198.18.16.5": "invalid Prefix  false", "2001:db8:0:1::10": "2001:db8:0:1::10/128 i-1 true", "::1": "invalid Prefix  false",
	}
	for addr, want := range holders {
		p, id, ok := x.Holder(netip.MustParseAddr(addr))
		if got := strings.Join([]string{p.String(), id, map[bool]string{true: "true", false: "false"}[ok]}, " "); got != want {
			t.Errorf("Holder(%s) = %s, want %s", addr, got, want)
		}
	}
	one, _ := x.Instance("i-1")
	two, _ := x.Instance("i-2")
	if !one.Running() || two.Running() {
		t.Errorf("Running() = %t, %t, want true, false", one.Running(), two.Running())
	}
	if got := x.ZoneOf(two); got != "us-west-2b" {
		t.Errorf("ZoneOf(i-2) = %q", got)
	}
	if got := one.PrimaryAddress(true).String(); got != "2001:db8:0:1::10" {
		t.Errorf("PrimaryAddress(IPv6) = %s", got)
	}
	if two.PrimaryAddress(true).IsValid() {
		t.Error("i-2 has an IPv6 address from nowhere")
	}
	if s, ok := x.SubnetAt("vpc-1", netip.MustParseAddr("198.18.33.1")); !ok || s.SubnetID != "subnet-b" {
		t.Errorf("SubnetAt = %v, %t", s, ok)
	}
	if i, ok := x.InstanceAt(netip.MustParseAddr("198.18.17.3")); !ok || i.InstanceID != "i-1" {
		t.Errorf("InstanceAt(pod) = %v, %t", i.InstanceID, ok)
	}
}

func TestParseRefuses(t *testing.T) {
	replace := func(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(good) }
	tests := map[string]struct {
		file string
		want []string
	}{
		"an unknown field":           {replace("subnets:", "subnet:"), []string{`unknown field "subnet"`}},
		"a duplicate key":            {good + "\nvpcs: []\n", []string{"vpcs"}},
		"what is no YAML":            {"{", []string{"parse the inventory"}},
		"an address out of subnet":   {replace("[198.18.32.16]", "[198.18.1.1]"), []string{"instances[1] (i-2) networkInterfaces[0]: address 198.18.1.1 is not inside subnet-b (198.18.32.0/20)"}},
		"an address twice":           {replace("[198.18.16.16, ", "[198.18.16.16, 198.18.16.16, "), []string{"address 198.18.16.16 belongs to instances[0] (i-1)"}},
		"an unknown subnet":          {replace("subnetId: subnet-b, addresses", "subnetId: subnet-x, addresses"), []string{`subnetId "subnet-x" is not in subnets`}},
		"an unknown group":           {replace("securityGroups: [sg-1]", "securityGroups: [sg-2]"), []string{`"sg-2" is not in securityGroups`}},
		"an unknown state":           {replace("stopped", "asleep"), []string{`state "asleep" is none of pending, running`}},
		"overlapping subnets":        {replace("198.18.32.0/20", "198.18.24.0/21", "198.18.32.16", "198.18.24.1"), []string{"overlaps that of subnets[0] (subnet-a), 198.18.16.0/20"}},
		"a subnet outside its VPC":   {replace("198.18.32.0/20", "198.19.0.0/20", "198.18.32.16", "198.19.0.1"), []string{"cidrBlock 198.19.0.0/20 is not inside its VPC's 198.18.0.0/16"}},
		"host bits":                  {replace("198.18.0.0/16", "198.18.1.0/16"), []string{"host bits set; write 198.18.0.0/16"}},
		"an edge of no zone":         {replace("{availabilityZone: us-west-2a, addresses", "{availabilityZone: us-west-2c, addresses"), []string{`"us-west-2c" has no subnet`}},
		"a wrong identifier":         {replace("vpcId: vpc-1", "vpcId: net-1"), []string{`vpcId "net-1" does not begin with vpc-`}},
		"an identifier twice":        {replace("instanceId: i-2", "instanceId: i-1"), []string{`instanceId "i-1" occurs twice`}},
		"a zone in capitals":         {replace("us-west-2b", "us-west-2B"), []string{`availabilityZone "us-west-2B" is not lower-case`}},
		"two IDs for one zone":       {replace("us-west-2b", "us-west-2a"), []string{`availabilityZoneId "usw2-az2" of us-west-2a is "usw2-az1"`}},
		"an instance without a card": {replace("- instanceId: i-2", "- {instanceId: i-3, networkInterfaces: []}\n- instanceId: i-2"), []string{"networkInterfaces is empty"}},
		"several problems at once":   {replace("stopped", "asleep", "[sg-1]", "[sg-2]"), []string{"mistakes in the inventory:\n", `"asleep"`, `"sg-2"`}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(test.file))
			if err == nil {
				t.Fatal("it was accepted")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %v\nwant it to contain %s", err, want)
				}
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(`{"instances":[{"networkInterfaces":[{"addresses":["::ffff:1.2.3.4"],"prefixes":["0.0.0.0/0"]}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse(data)
		if err != nil {
			return
		}
		x := NewIndex(file)
		for _, i := range file.Instances {
			for _, nic := range i.Interfaces {
				for _, a := range nic.Addresses {
					if got, ok := x.InstanceAt(a); !ok || got.InstanceID != i.InstanceID {
						t.Errorf("InstanceAt(%s) = %q, want %q", a, got.InstanceID, i.InstanceID)
					}
				}
			}
		}
	})
}

func TestAnEdgeMayRunOnAnInstance(t *testing.T) {
	f, err := Parse([]byte(strings.Replace(good, "addresses: [198.18.16.4]", "addresses: [198.18.16.16]", 1)))
	if err != nil {
		t.Fatal(err)
	}
	x := NewIndex(f)
	if one, ok := x.InstanceAt(netip.MustParseAddr("198.18.16.16")); !ok || one.InstanceID != "i-1" {
		t.Errorf("the edge's address belongs to %q, want i-1", one.InstanceID)
	}
	if got := x.SecurityGroupsAt(netip.MustParseAddr("198.18.16.16")); !cmp.Equal(got, []string{"sg-1"}) {
		t.Errorf("security groups at the edge's address: %q, want those of the instance", got)
	}
}
