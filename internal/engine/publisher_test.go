package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/engine/targethealth"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/store"
)

// anyNetwork is an inventory of two zones and three instances, some of which
// may be missing, stopped or elsewhere.
func anyNetwork(t *rapid.T) *inventory.Index {
	f := inventory.File{}
	for i, z := range []string{"a", "b"} {
		f.Subnets = append(f.Subnets, inventory.Subnet{SubnetID: "subnet-" + z, AvailabilityZone: z, CIDRBlock: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i), 0}), 24)})
	}
	for i := range byte(3) {
		zone := rapid.SampledFrom([]string{"a", "b", ""}).Draw(t, "zone")
		if zone == "" {
			continue
		}
		f.Instances = append(f.Instances, inventory.Instance{
			InstanceID: fmt.Sprint("i-", i), State: rapid.SampledFrom([]string{"", "stopped"}).Draw(t, "state"),
			Interfaces: []inventory.NetworkInterface{{
				SubnetID: "subnet-" + zone, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 9, i})}, SecurityGroups: anyGroups(t),
			}},
		})
	}
	return inventory.NewIndex(f)
}

func anyGroups(t *rapid.T) []string {
	return rapid.SampledFrom([][]string{nil, {"sg-0"}, {"sg-1"}, {"sg-0", "sg-1"}}).Draw(t, "securityGroups")
}

// anyRule has few values, so that rules meet load balancers and targets.
func anyRule(t *rapid.T) state.SecurityGroupRule {
	bit := rapid.IntRange(0, 1)
	r := state.SecurityGroupRule{
		RuleID: fmt.Sprint("sgr-", rapid.IntRange(0, 3).Draw(t, "rule")), GroupID: fmt.Sprint("sg-", bit.Draw(t, "group")),
		Egress: rapid.Bool().Draw(t, "egress"), IPProtocol: "tcp", FromPort: int32(bit.Draw(t, "from")), ToPort: 80,
	}
	switch rapid.IntRange(0, 2).Draw(t, "peer") {
	case 0:
		r.ReferencedGroupID = fmt.Sprint("sg-", bit.Draw(t, "peer"))
	case 1:
		r.PrefixListID = fmt.Sprint("pl-", bit.Draw(t, "list"))
	default:
		r.CIDRIPv4 = rapid.SampledFrom([]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("10.0.9.0/31")}).Draw(t, "cidr")
	}
	return r
}

// change writes something at random that snapshots may depend on.
func change(t *rapid.T, tx *store.Tx) {
	two := rapid.IntRange(0, 1)
	balancer, group := fmt.Sprint("b", two.Draw(t, "balancer")), fmt.Sprint("g", two.Draw(t, "group"))
	remove := rapid.IntRange(0, 3).Draw(t, "remove") == 0
	switch kind := rapid.IntRange(0, 7).Draw(t, "kind"); {
	case kind == 0 && remove:
		state.LoadBalancers.Delete(tx, balancer)
	case kind == 0:
		b := state.LoadBalancer{
			ARN: balancer, Name: balancer, SecurityGroups: anyGroups(t),
			Zones: []state.ZoneMapping{{Zone: "a", IPv4: netip.AddrFrom4([4]byte{10, 0, 9, 100 + balancer[1] - '0'})}},
		}
		if rapid.Bool().Draw(t, "both") {
			b.Zones = append(b.Zones, state.ZoneMapping{Zone: "b"})
		}
		if rapid.Bool().Draw(t, "crossZone") {
			b.Attributes = map[string]string{lb.AttrCrossZone: "true"}
		}
		state.LoadBalancers.Put(tx, b)
	case kind == 1 && remove:
		state.TargetGroups.Delete(tx, group)
	case kind == 1:
		state.TargetGroups.Put(tx, state.TargetGroup{ARN: group, Protocol: lb.TCP, TargetType: lb.InstanceTarget, HealthCheck: lb.HealthCheck{HealthyThreshold: two.Draw(t, "threshold")}})
	case kind == 2 && remove:
		state.Listeners.Delete(tx, "l-"+balancer)
	case kind == 2:
		// As the API has it, a group serves one load balancer.
		state.Listeners.Put(tx, state.Listener{ARN: "l-" + balancer, LoadBalancerARN: balancer, Protocol: lb.TCP, Port: 80, Forward: []lb.WeightedGroup{{TargetGroupARN: "g" + balancer[1:]}},
			Certificates: rapid.SampledFrom([][]string{nil, {"c0"}, {"c0", "c1"}}).Draw(t, "certificates")})
	case kind == 3 && remove:
		state.Targets.Delete(tx, state.TargetKey(group, "i-0", 1))
	case kind == 3:
		target := state.Target{TargetGroupARN: group, ID: fmt.Sprint("i-", rapid.IntRange(0, 2).Draw(t, "instance")), Port: 1}
		if rapid.Bool().Draw(t, "drain") {
			target.DrainUntil = time.Unix(1, 0).UTC()
		}
		state.Targets.Put(tx, target)
	case kind == 4 && remove:
		state.SecurityGroupRules.Delete(tx, anyRule(t).RuleID)
	case kind == 4:
		state.SecurityGroupRules.Put(tx, anyRule(t))
	case kind == 5 && remove:
		state.Certificates.Delete(tx, "c"+group[1:])
	case kind == 5:
		state.Certificates.Put(tx, state.Certificate{ARN: "c" + group[1:], Body: fmt.Sprint(two.Draw(t, "body"))})
	case kind == 6:
		l := state.PrefixList{PrefixListID: "pl-" + group[1:]}
		for range two.Draw(t, "entries") {
			l.Entries = append(l.Entries, state.PrefixListEntry{CIDR: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 9, 0}), 31-two.Draw(t, "bits"))})
		}
		state.PrefixLists.Put(tx, l)
	default:
		state.PutTags(tx, balancer, map[string]string{"k": fmt.Sprint(two.Draw(t, "tag"))})
	}
}

// publishedAs is a publisher's surroundings: certificates are opened by looking.
func publishedAs(health *targethealth.Registry) publisherConfig {
	return publisherConfig{health: health, log: slog.New(slog.DiscardHandler),
		certificate: func(r store.Reader, arn string) (lb.Certificate, error) {
			c, ok := state.Certificates.Get(r, arn)
			if !ok {
				return lb.Certificate{}, errors.New("no such certificate")
			}
			return lb.Certificate{ARN: arn, Chain: c.Body}, nil
		}}
}

// TestWhatIsPublishedStepByStepEqualsWhatIsCutAtOnce: after any changes, what
// the publisher keeps equals a fresh one's, and an edge was told exactly when
// its snapshot became another.
func TestWhatIsPublishedStepByStepEqualsWhatIsCutAtOnce(t *testing.T) {
	dir := t.TempDir()
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		disk, err := store.OpenFile(filepath.Join(dir, fmt.Sprint(runs)))
		if err != nil {
			t.Fatal(err)
		}
		db, err := state.Open(disk)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		network, health := anyNetwork(t), targethealth.NewRegistry()
		p := newPublisher(publishedAs(health), db.Current(), network)
		snapshots, cancel, err := p.Watch("a")
		if err != nil {
			t.Fatal(err)
		}
		defer cancel()
		last := <-snapshots
		for range rapid.IntRange(1, 15).Draw(t, "steps") {
			if err := db.Update(func(tx *store.Tx) error {
				for range rapid.IntRange(0, 4).Draw(t, "changes") {
					change(t, tx)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if rapid.IntRange(0, 3).Draw(t, "rewire") == 0 {
				network = anyNetwork(t)
			}
			p.advance(db.Current(), network)
			fresh := newPublisher(publishedAs(health), db.Current(), network)
			fresh.cutAll()
			if !reflect.DeepEqual(p.parts, fresh.parts) {
				t.Fatalf("parts are\n%+v\nwant\n%+v", p.parts, fresh.parts)
			}
			if !reflect.DeepEqual(p.depends, fresh.depends) {
				t.Fatalf("dependents are\n%+v\nwant\n%+v", p.depends, fresh.depends)
			}
			want := fresh.snapshot("a")
			got := last
			select {
			case got = <-snapshots:
				if sameContent(got, last) {
					t.Fatalf("the edge was told of revision %d, in which nothing changed for it", got.Revision)
				}
			default:
			}
			if !sameContent(got, want) {
				t.Fatalf("the edge has\n%+v\nwant\n%+v", got, want)
			}
			last = got
		}
	})
}

func sameContent(a, b lb.ZoneSnapshot) bool {
	a.Revision = b.Revision
	return reflect.DeepEqual(a, b)
}

func TestAnEdgeOfAnUnknownZoneIsRefused(t *testing.T) {
	r := newRig(t)
	_, _, err := r.engine.Source().Watch("us-east-1a")
	if want := `zone "us-east-1a" has no subnet in the inventory; it knows us-west-2a, us-west-2b`; err == nil || err.Error() != want {
		t.Errorf("Watch: %v, want %s", err, want)
	}
}
