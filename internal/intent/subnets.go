package intent

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/owner"
)

// Subnet is a subnet of the VPC, as EC2 describes it.
type Subnet struct {
	ID            string            `json:"id"`
	Zone          string            `json:"zone"`
	CIDR          netip.Prefix      `json:"cidr"`
	IPv6CIDR      netip.Prefix      `json:"ipv6Cidr,omitzero"`
	FreeAddresses int               `json:"freeAddresses"`
	Tags          map[string]string `json:"tags,omitempty"`
}

// Pinned is a choice of subnets made before. It stands as long as the Service
// asks the same question, so that nothing has to be read from EC2 again.
type Pinned struct {
	Query    string             `json:"q,omitempty"`
	Subnets  []string           `json:"ids,omitempty"`
	Mappings []lb.SubnetMapping `json:"m,omitempty"`
	Nearby   Nearby             `json:"near,omitzero"`
}

// Tags that tell a subnet's role, as the cloud providers for AWS know them.
const (
	tagRolePublic   = "kubernetes.io/role/elb"
	tagRoleInternal = "kubernetes.io/role/internal-elb"
)

// minFreeAddresses is ELBv2's own condition: eight free addresses per subnet.
const minFreeAddresses = 8

// NeedsSubnets says whether Desired has to look at Subnets: a choice made
// before does not answer what the Service asks now.
func NeedsSubnets(in Input) bool {
	b := newBuilder(in)
	return len(in.Pinned.Subnets) == 0 || in.Pinned.Query != b.subnetQuery()
}

// Pin is the choice to keep from a stack that Desired made of in.
func Pin(in Input, stack lb.Stack) Pinned {
	b := newBuilder(in)
	return Pinned{
		Query: b.subnetQuery(), Subnets: stack.LoadBalancer.Subnets, Mappings: stack.LoadBalancer.SubnetMappings,
		Nearby: b.nearby(stack.LoadBalancer.Subnets),
	}
}

// subnetQuery is all that the choice of subnets and addresses depends on.
func (b *builder) subnetQuery() string {
	query := string(b.set.ipAddressType) + " " + string(b.set.scheme)
	if len(b.set.subnets) > 0 {
		query = string(b.set.ipAddressType) + " " + strings.Join(b.set.subnets, ",")
	}
	if b.set.noGroups {
		query += " " + groupless
	}
	for _, key := range []string{keyAllocations, keyPrivate, keyIPv6, keyPrefixes} {
		if v, given := b.svc.Annotations[key]; given {
			query += " " + strings.TrimPrefix(key, prefixAWS) + "=" + v
		}
	}
	return query
}

// placement is the subnets, and the addresses that are chosen in them.
func (b *builder) placement() ([]string, []lb.SubnetMapping) {
	b.checkAddresses()
	if !NeedsSubnets(b.in) {
		return b.in.Pinned.Subnets, b.in.Pinned.Mappings
	}
	chosen := b.namedSubnets()
	if len(b.set.subnets) == 0 {
		chosen = b.discoveredSubnets()
	}
	ids := make([]string, len(chosen))
	for i, s := range chosen {
		ids[i] = s.ID
	}
	slices.Sort(ids)
	return ids, b.mappings(chosen)
}

// namedSubnets are those of the annotation: by ID or by Name tag, one per zone.
func (b *builder) namedSubnets() []Subnet {
	const key = prefixAWS + "subnets"
	zones := map[string]string{}
	var out []Subnet
	for _, want := range b.set.subnets {
		i := slices.IndexFunc(b.in.Subnets, func(s Subnet) bool { return s.ID == want || s.Tags["Name"] == want })
		if i < 0 {
			b.fail(key, want, "there is no subnet of this ID or name in the VPC", didYouMean(want, subnetNames(b.in.Subnets)))
			continue
		}
		s := b.in.Subnets[i]
		if other, taken := zones[s.Zone]; taken {
			b.fail(key, want, fmt.Sprintf("zone %s already has %s; a load balancer takes one subnet per zone", s.Zone, other), "")
			continue
		}
		if why := b.unusable(s); why != "" {
			b.fail(key, want, why, "")
			continue
		}
		zones[s.Zone] = s.ID
		out = append(out, s)
	}
	return out
}

func subnetNames(subnets []Subnet) []string {
	var out []string
	for _, s := range subnets {
		out = append(out, s.ID)
		if name := s.Tags["Name"]; name != "" {
			out = append(out, name)
		}
	}
	return out
}

// discoveredSubnets are those with the role's tag, one per zone: the cluster's
// own before others, then the lowest ID.
func (b *builder) discoveredSubnets() []Subnet {
	role := tagRolePublic
	if b.set.scheme == lb.Internal {
		role = tagRoleInternal
	}
	best := map[string]Subnet{}
	var rejected []string
	for _, s := range b.in.Subnets {
		if why := b.unsuitable(s, role); why != "" {
			rejected = append(rejected, s.ID+" ("+why+")")
			continue
		}
		if old, ok := best[s.Zone]; !ok || b.better(s, old) {
			best[s.Zone] = s
		}
	}
	if len(best) == 0 {
		slices.Sort(rejected)
		why := fmt.Sprintf("no subnet suits a load balancer that is %s", b.set.scheme)
		if len(rejected) > 0 {
			why += ": " + strings.Join(rejected, ", ")
		}
		b.fail(prefixAWS+"subnets", "", why, fmt.Sprintf("tag one subnet per zone with %s=1, or name subnets by this annotation", role))
	}
	var out []Subnet
	for _, s := range best {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b Subnet) int { return strings.Compare(a.Zone, b.Zone) })
	return out
}

func (b *builder) unsuitable(s Subnet, role string) string {
	if v, ok := s.Tags[role]; !ok || (v != "1" && v != "") {
		return "no tag " + role
	}
	if other := foreignCluster(s.Tags, b.in.Cluster); other != "" {
		return "belongs to cluster " + other
	}
	return b.unusable(s)
}

func (b *builder) unusable(s Subnet) string {
	if s.FreeAddresses < minFreeAddresses {
		return fmt.Sprintf("%d free addresses, a load balancer needs %d", s.FreeAddresses, minFreeAddresses)
	}
	if b.set.ipAddressType == lb.DualStack && !s.IPv6CIDR.IsValid() {
		return "no IPv6 block, dualstack needs one"
	}
	return ""
}

// foreignCluster is the cluster that a subnet is tagged for when it is tagged
// for others only.
func foreignCluster(tags map[string]string, cluster string) string {
	if _, ours := tags[owner.TagKubernetesCluster+cluster]; ours {
		return ""
	}
	other := ""
	for k := range tags {
		if name, ok := strings.CutPrefix(k, owner.TagKubernetesCluster); ok && (other == "" || name < other) {
			other = name
		}
	}
	return other
}

func (b *builder) better(s, old Subnet) bool {
	tag := owner.TagKubernetesCluster + b.in.Cluster
	_, mine := s.Tags[tag]
	_, its := old.Tags[tag]
	if mine != its {
		return mine
	}
	return s.ID < old.ID
}
