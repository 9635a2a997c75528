// Package state is what the engine remembers: its records, the tables that
// hold them, and the indexes that keep calls from reading everything.
//
// Read with a store.Reader, either the current revision or a transaction:
//
//	rev := db.Current()
//	balancer, ok := state.LoadBalancers.Get(rev, arn)
//	for l := range state.ListenersByLoadBalancer.All(rev, arn) { … }
//
// and write in a transaction:
//
//	err := db.Update(func(tx *store.Tx) error {
//		state.LoadBalancers.Put(tx, balancer)
//		return nil
//	})
//
// Invariants: a record is immutable once put; to change one, take its copy,
// replace maps and slices rather than editing them, and put it. What follows
// from other records (a group's load balancers, a target's health) is derived,
// never stored. Attributes hold what a client set; defaults are added on reading,
// because some depend on other fields. Records are kept on disk as JSON: another
// table, or another meaning of a field, needs one more migration (migrations.go).
package state

import (
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/store"
)

var schema = store.NewSchema(migrations...)

// Tables. Keys stand in the comments.
var (
	LoadBalancers      = store.NewTable(schema, "loadBalancers", func(b LoadBalancer) string { return b.ARN })
	Listeners          = store.NewTable(schema, "listeners", func(l Listener) string { return l.ARN })
	TargetGroups       = store.NewTable(schema, "targetGroups", func(g TargetGroup) string { return g.ARN })
	Targets            = store.NewTable(schema, "targets", func(t Target) string { return TargetKey(t.TargetGroupARN, t.ID, t.Port) })
	ZonalAddresses     = store.NewTable(schema, "zonalAddresses", func(a ZonalAddress) string { return ZonalAddressKey(a.SubnetID, a.Address) })
	AddressCursors     = store.NewTable(schema, "addressCursors", func(c AddressCursor) string { return c.SubnetID })
	ElasticAddresses   = store.NewTable(schema, "elasticAddresses", func(a ElasticAddress) string { return a.AllocationID })
	SecurityGroups     = store.NewTable(schema, "securityGroups", func(g SecurityGroup) string { return g.GroupID })
	SecurityGroupRules = store.NewTable(schema, "securityGroupRules", func(r SecurityGroupRule) string { return r.RuleID })
	TagSets            = store.NewTable(schema, "tags", func(t TagSet) string { return t.Resource }) // an ARN, or an EC2 resource ID
)

// Indexes. What they are looked up by stands in their names.
var (
	TagSetsByTag                 = store.NewIndex(schema, TagSets, tagKeys) // by TagKey
	LoadBalancersByName          = store.NewIndex(schema, LoadBalancers, func(b LoadBalancer) []string { return []string{b.Name} })
	LoadBalancersByDNSName       = store.NewIndex(schema, LoadBalancers, func(b LoadBalancer) []string { return []string{strings.ToLower(b.DNSName)} }) // lower case
	LoadBalancersBySecurityGroup = store.NewIndex(schema, LoadBalancers, func(b LoadBalancer) []string { return b.SecurityGroups })
	LoadBalancersByInterface     = store.NewIndex(schema, LoadBalancers, func(b LoadBalancer) []string { return interfaceIDs(b.ARN, b.Zones) })
	ListenersByLoadBalancer      = store.NewIndex(schema, Listeners, func(l Listener) []string { return []string{l.LoadBalancerARN} })
	ListenersByTargetGroup       = store.NewIndex(schema, Listeners, Listener.TargetGroupARNs)
	ListenersByRule              = store.NewIndex(schema, Listeners, func(l Listener) []string { return []string{l.RuleARN} })
	TargetGroupsByName           = store.NewIndex(schema, TargetGroups, func(g TargetGroup) []string { return []string{g.Name} })
	PendingTargets               = store.NewIndex(schema, Targets, pendingKeys)  // by AllPending
	DrainingTargets              = store.NewIndex(schema, Targets, drainingKeys) // by AllDraining
	SecurityGroupsByVPC          = store.NewIndex(schema, SecurityGroups, func(g SecurityGroup) []string { return []string{g.VPCID} })
	SecurityGroupsByName         = store.NewIndex(schema, SecurityGroups, func(g SecurityGroup) []string { return []string{g.VPCID + "/" + g.GroupName} })
	RulesByGroup                 = store.NewIndex(schema, SecurityGroupRules, func(r SecurityGroupRule) []string { return []string{r.GroupID} })
	RulesByPrefixList            = store.NewIndex(schema, SecurityGroupRules, func(r SecurityGroupRule) []string { return optional(r.PrefixListID) })
	RulesByReferencedGroup       = store.NewIndex(schema, SecurityGroupRules, func(r SecurityGroupRule) []string { return optional(r.ReferencedGroupID) })
)

// AllDraining is the key under which DrainingTargets holds every target that
// is being deregistered.
const AllDraining = "draining"

// AllPending is the key under which PendingTargets holds every target whose
// registration has not taken effect yet.
const AllPending = "pending"

func pendingKeys(t Target) []string {
	if t.PendingUntil.IsZero() {
		return nil
	}
	return []string{AllPending}
}

func drainingKeys(t Target) []string {
	if t.DrainUntil.IsZero() {
		return nil
	}
	return []string{AllDraining}
}

// TagKey is the key under which TagSetsByTag holds what has a tag with a value.
// Without a value it is the beginning of the keys of all values.
func TagKey(key, value string) string { return key + "\x01" + value }

func tagKeys(t TagSet) []string {
	keys := make([]string, 0, len(t.Values))
	for k, v := range t.Values {
		keys = append(keys, TagKey(k, v))
	}
	return keys
}

func optional(key string) []string {
	if key == "" {
		return nil
	}
	return []string{key}
}

// DB is the state with its present and its transactions: a *store.Store.
type DB interface {
	Current() *store.Revision
	Update(fn func(*store.Tx) error) error
}

// Update runs a transaction and returns what it makes.
func Update[V any](db DB, fn func(*store.Tx) (V, error)) (V, error) {
	var made V
	err := db.Update(func(tx *store.Tx) (err error) {
		made, err = fn(tx)
		return err
	})
	return made, err
}

// Edit replaces the record that find finds by what edit makes of it, in one
// transaction.
func Edit[V any](db DB, table *store.Table[V], find func(*store.Tx) (V, error), edit func(*store.Tx, *V) error) (V, error) {
	return Update(db, func(tx *store.Tx) (V, error) {
		v, err := find(tx)
		if err != nil {
			return v, err
		}
		if err := edit(tx, &v); err != nil {
			return v, err
		}
		table.Put(tx, v)
		return v, nil
	})
}

// Open loads the state from a disk, which it owns from then on.
func Open(disk store.Disk) (*store.Store, error) { return store.Open(schema, disk) }

// TargetKey is the key of a target.
func TargetKey(groupARN, id string, port uint16) string {
	return fmt.Sprintf("%s|%s|%05d", groupARN, id, port)
}

// ZonalAddressKey is the key of an address taken in a subnet.
func ZonalAddressKey(subnetID string, addr netip.Addr) string { return subnetID + "/" + addr.String() }

// TargetsOfGroup yields the targets of a group by ID and port, draining ones too.
func TargetsOfGroup(r store.Reader, groupARN string) iter.Seq[Target] {
	return Targets.Prefix(r, groupARN+"|")
}

// Tags returns a copy of a resource's tags, never nil.
func Tags(r store.Reader, resource string) map[string]string {
	set, _ := TagSets.Get(r, resource)
	if set.Values == nil {
		return map[string]string{}
	}
	return maps.Clone(set.Values)
}

// PutTags replaces all tags of a resource; without any the record goes.
func PutTags(tx *store.Tx, resource string, tags map[string]string) {
	if len(tags) == 0 {
		TagSets.Delete(tx, resource)
		return
	}
	TagSets.Put(tx, TagSet{Resource: resource, Values: tags})
}

// LoadBalancersOfGroup returns the ARNs of the load balancers whose listeners
// forward to a target group, sorted.
func LoadBalancersOfGroup(r store.Reader, groupARN string) []string {
	var arns []string
	for l := range ListenersByTargetGroup.All(r, groupARN) {
		arns = append(arns, l.LoadBalancerARN)
	}
	slices.Sort(arns)
	return slices.Compact(arns)
}

// GroupsOfLoadBalancer returns the ARNs of the target groups that a load
// balancer's listeners forward to, sorted.
func GroupsOfLoadBalancer(r store.Reader, balancerARN string) []string {
	var arns []string
	for l := range ListenersByLoadBalancer.All(r, balancerARN) {
		arns = append(arns, l.TargetGroupARNs()...)
	}
	slices.Sort(arns)
	return slices.Compact(arns)
}
