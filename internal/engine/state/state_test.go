package state

import (
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/store"
)

func open(t *testing.T, path string) *store.Store {
	t.Helper()
	disk, err := store.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	db, err := Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func TestRecordsSurviveARestartWithTheirIndexes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	moment := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	balancer := LoadBalancer{
		ARN: "arn:b", Name: "web", DNSName: "web-1.elb", Scheme: lb.Internal, IPAddressType: lb.DualStack, VPCID: "vpc-1",
		CreatedTime: moment, ActiveTime: moment, SecurityGroups: []string{"sg-1"}, SourceNATPrefixes: "off",
		Zones: []ZoneMapping{{Zone: "a", SubnetID: "subnet-1", IPv4: netip.MustParseAddr("198.18.0.9"), IPv6: netip.MustParseAddr("2001:db8::9")}},
	}
	group := TargetGroup{ARN: "arn:g", Name: "pods", Protocol: lb.TCP, Port: 80, CreatedTime: moment, HealthCheck: lb.HealthCheck{Interval: time.Minute}}
	listener := Listener{ARN: "arn:l", LoadBalancerARN: "arn:b", Protocol: lb.TCP, Port: 80,
		Forward: []lb.WeightedGroup{{TargetGroupARN: "arn:g", Weight: 1}, {TargetGroupARN: "arn:h", Weight: 0}}}
	target := Target{TargetGroupARN: "arn:g", ID: "i-1", Port: 8080, RegisteredTime: moment, DrainUntil: moment.Add(time.Minute)}
	rule := SecurityGroupRule{RuleID: "sgr-1", GroupID: "sg-1", IPProtocol: "tcp", FromPort: 80, ToPort: 80, ReferencedGroupID: "sg-2"}

	db := open(t, path)
	err := db.Update(func(tx *store.Tx) error {
		LoadBalancers.Put(tx, balancer)
		TargetGroups.Put(tx, group)
		Listeners.Put(tx, listener)
		Targets.Put(tx, target)
		SecurityGroupRules.Put(tx, rule)
		PutTags(tx, "arn:b", map[string]string{"k": "v"})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, path)
	t.Cleanup(func() { _ = db.Close() })
	r := db.Current()

	compare := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	prefixes := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
	check := func(what string, got, want any, ok bool) {
		t.Helper()
		if diff := cmp.Diff(want, got, compare, prefixes); diff != "" || !ok {
			t.Errorf("%s (found %t, -want +got):\n%s", what, ok, diff)
		}
	}
	b, ok := LoadBalancersBySecurityGroup.First(r, "sg-1")
	check("balancer by security group", b, balancer, ok)
	b, ok = LoadBalancersByDNSName.First(r, "web-1.elb")
	check("balancer by DNS name", b, balancer, ok)
	l, ok := ListenersByTargetGroup.First(r, "arn:h")
	check("listener by its second group", l, listener, ok)
	g, ok := TargetGroupsByName.First(r, "pods")
	check("group by name", g, group, ok)
	d, ok := DrainingTargets.First(r, AllDraining)
	check("draining target", d, target, ok)
	s, ok := RulesByReferencedGroup.First(r, "sg-2")
	check("rule by the group it refers to", s, rule, ok)
	check("tags", Tags(r, "arn:b"), map[string]string{"k": "v"}, true)
	check("groups of the balancer", GroupsOfLoadBalancer(r, "arn:b"), []string{"arn:g", "arn:h"}, true)
	check("balancers of a group", LoadBalancersOfGroup(r, "arn:h"), []string{"arn:b"}, true)
}

func TestTargetsOfAGroupAreItsOwnInOrderOfPorts(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "db"))
	t.Cleanup(func() { _ = db.Close() })
	err := db.Update(func(tx *store.Tx) error {
		for _, k := range []lb.TargetKey{{TargetGroupARN: "g", ID: "i-1", Port: 10}, {TargetGroupARN: "g", ID: "i-1", Port: 9}, {TargetGroupARN: "gg", ID: "i-1", Port: 9}} {
			Targets.Put(tx, Target{TargetGroupARN: k.TargetGroupARN, ID: k.ID, Port: k.Port})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []uint16
	for target := range TargetsOfGroup(db.Current(), "g") {
		got = append(got, target.Port)
	}
	if diff := cmp.Diff([]uint16{9, 10}, got); diff != "" {
		t.Errorf("ports (-want +got):\n%s", diff)
	}
}

func TestPuttingNoTagsRemovesTheRecord(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "db"))
	t.Cleanup(func() { _ = db.Close() })
	for _, tags := range []map[string]string{{"a": "b"}, {}} {
		if err := db.Update(func(tx *store.Tx) error { PutTags(tx, "sg-1", tags); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if n := TagSets.Len(db.Current()); n != 0 {
		t.Errorf("%d tag sets remain, want 0", n)
	}
}
