// Package vpc is the network as it is: what stands in the inventory file and
// what was made through the API, in one inventory.
//
// Invariants: Merge is pure; a View answers for the newest revision of its
// state, so that what a call was told exists is there for the next one; it works
// anew only when something of the network changed.
package vpc

import (
	"iter"
	"net/netip"
	"slices"
	"sync"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/store/tree"
)

// View is the network over one view of the state. It is safe for use from many
// goroutines.
type View struct {
	file func() *inventory.Index
	db   state.DB

	mu       sync.Mutex
	from     *inventory.Index // what merged was made of
	revision *store.Revision
	merged   *inventory.Index
}

// NewView returns the network of a file, as it is in force, and a state.
func NewView(file func() *inventory.Index, db state.DB) *View { return &View{file: file, db: db} }

// Current is the network of this moment. It returns the same index for as long
// as nothing changed.
func (v *View) Current() *inventory.Index {
	file, r := v.file(), v.db.Current()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.from != file || v.merged == nil || changed(v.revision, r) {
		v.merged = Merge(file, r)
	}
	v.from, v.revision = file, r
	return v.merged
}

// changed reports whether two revisions differ in what Merge reads.
func changed(a, b *store.Revision) bool {
	return a != b && (differ(state.VPCs.Diff(a, b)) || differ(state.Subnets.Diff(a, b)) || differ(state.Instances.Diff(a, b)) ||
		differ(state.InternetGateways.Diff(a, b)) || differ(state.RouteTables.Diff(a, b)))
}

func differ[V any](deltas iter.Seq[tree.Delta[V]]) bool {
	for range deltas {
		return true
	}
	return false
}

// Merge adds what was made through the API to a file.
func Merge(file *inventory.Index, r store.Reader) *inventory.Index {
	if state.VPCs.Len(r)+state.Subnets.Len(r)+state.Instances.Len(r)+state.InternetGateways.Len(r) == 0 {
		return file
	}
	f := file.File
	f.VPCs, f.Subnets, f.Instances = slices.Clone(f.VPCs), slices.Clone(f.Subnets), slices.Clone(f.Instances)
	for v := range state.VPCs.All(r) {
		f.VPCs = append(f.VPCs, inventory.VPC{VPCID: v.VPCID, CIDRBlock: v.CIDRBlock, IPv6CIDRBlock: v.IPv6CIDRBlock, Made: true})
	}
	for i, v := range f.VPCs {
		if g, ok := state.InternetGatewaysByVPC.First(r, v.VPCID); ok && v.InternetGatewayID == "" {
			f.VPCs[i].InternetGatewayID = g.GatewayID
		}
	}
	for s := range state.Subnets.All(r) {
		f.Subnets = append(f.Subnets, inventory.Subnet{
			SubnetID: s.SubnetID, VPCID: s.VPCID, AvailabilityZone: s.AvailabilityZone, AvailabilityZoneID: s.AvailabilityZoneID,
			CIDRBlock: s.CIDRBlock, IPv6CIDRBlock: s.IPv6CIDRBlock, Public: public(r, s), Made: true,
		})
	}
	for i := range state.Instances.All(r) {
		f.Instances = append(f.Instances, instance(i))
	}
	return inventory.NewIndex(f)
}

// public reports whether a subnet's default route is an internet gateway.
func public(r store.Reader, s state.Subnet) bool {
	table, ok := state.RouteTables.Get(r, s.RouteTableID)
	if !ok {
		table, _ = state.MainRouteTable(r, s.VPCID)
	}
	gateway, attached := state.InternetGatewaysByVPC.First(r, s.VPCID)
	_, made := state.VPCs.Get(r, s.VPCID)
	return slices.ContainsFunc(table.Routes, func(route state.Route) bool {
		leadsOut := attached && route.GatewayID == gateway.GatewayID || !attached && !made && route.GatewayID != "" // a gateway of the file
		return leadsOut && route.Destination == netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	})
}

// instance is an instance in the inventory's words. A terminated one has no
// interface any more.
func instance(i state.Instance) inventory.Instance {
	out := inventory.Instance{InstanceID: i.InstanceID, PrivateDNSName: i.PrivateDNSName, State: i.State}
	if i.State == "terminated" {
		return out
	}
	nic := inventory.NetworkInterface{
		NetworkInterfaceID: i.InterfaceID, SubnetID: i.SubnetID, MACAddress: i.MACAddress,
		Addresses: []netip.Addr{i.IPv4}, SecurityGroups: i.SecurityGroups,
	}
	if i.IPv6.IsValid() {
		nic.Addresses = append(nic.Addresses, i.IPv6)
	}
	out.Interfaces = []inventory.NetworkInterface{nic}
	return out
}
