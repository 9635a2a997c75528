package controller

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-lb/fairlead/internal/intent"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/plan"
)

// record is what the Service remembers for us, in an annotation.
//
// Fingerprints say what was applied; they are taken away before the first write
// of a plan and come back after the last, so that a crash in between is seen.
// Names are written before what they name is created, so that a crash between
// a create and the next record loses nothing. Lost or wrong, the record costs
// calls and never correctness: nothing is deleted on its word alone.
type record struct {
	Version   int           `json:"v"`
	Stack     string        `json:"stack,omitempty"` // fingerprint without targets; empty while a plan is under way
	Subnets   intent.Pinned `json:"subnets,omitzero"`
	Balancers []recorded    `json:"lb,omitempty"`
	Classic   []recorded    `json:"clb,omitempty"`
	Groups    []recorded    `json:"tg,omitempty"`
	Frontends []recorded    `json:"sgs,omitempty"`
	// NodeRules are the rules in the nodes' groups that the Service needs, or did
	// when the plan that is under way began.
	NodeRules []lb.Rule `json:"nodes,omitempty"`
	// Keys are the attributes and tags that the user asked for: when one is no
	// longer asked for, it goes back to its default.
	Keys []string `json:"keys,omitempty"`
}

// recorded is one resource. ID is empty until the create has answered.
type recorded struct {
	Name    string `json:"n"`
	ID      string `json:"id,omitempty"`      // ARN, security group ID, or the name of a Classic Load Balancer
	DNS     string `json:"dns,omitempty"`     // of a load balancer
	Bare    bool   `json:"bare,omitempty"`    // a load balancer without security groups
	Targets string `json:"targets,omitempty"` // fingerprint of a target group's targets, a Classic Load Balancer's instances
	// Own are the marks of the targets that this Service registered, or is about
	// to register, in a group that others register targets in too.
	Own string `json:"own,omitempty"`
}

const recordVersion = 1

// readRecord is the Service's record; false when there is none that can be read.
func readRecord(svc *corev1.Service) (record, bool) {
	var r record
	text, ok := svc.Annotations[intent.KeyRecord]
	if !ok || json.Unmarshal([]byte(text), &r) != nil || r.Version != recordVersion {
		return record{Version: recordVersion}, false
	}
	return r, true
}

func (r record) text() string {
	text, err := json.Marshal(r)
	if err != nil {
		panic(err) // strings only
	}
	return string(text)
}

// fingerprint is short and says whether two values are equal.
func fingerprint(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // values of our own types
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

func stackFingerprint(s lb.Stack) string {
	s.TargetGroups = slices.Clone(s.TargetGroups)
	for i := range s.TargetGroups {
		s.TargetGroups[i].Targets = nil
	}
	if s.Classic != nil {
		parts := *s.Classic
		parts.Instances = nil
		s.Classic = &parts
	}
	return fingerprint(s)
}

// done says that the record tells of exactly this stack, targets included.
func (r record) done(want lb.Stack, stack string) bool {
	if r.Stack != stack {
		return false
	}
	for _, g := range want.TargetGroups {
		if e := find(r.Groups, g.Name); e == nil || e.Targets != fingerprint(g.Targets) {
			return false
		}
	}
	if want.Classic != nil {
		e := find(r.Classic, want.LoadBalancer.Name)
		return e != nil && e.Targets == fingerprint(want.Classic.Instances)
	}
	return true
}

// complete says that every resource in the record is known by its ID.
func (r record) complete() bool {
	return !slices.ContainsFunc(slices.Concat(r.Balancers, r.Classic, r.Groups, r.Frontends), func(e recorded) bool { return e.ID == "" })
}

// empty says that the record names nothing.
func (r record) empty() bool {
	return len(r.Balancers)+len(r.Classic)+len(r.Groups)+len(r.Frontends)+len(r.NodeRules) == 0
}

// balancer says whether a load balancer of a name is on record.
func (r record) balancer(name string) bool {
	return find(r.Balancers, name) != nil || find(r.Classic, name) != nil
}

func find(entries []recorded, name string) *recorded {
	i := slices.IndexFunc(entries, func(e recorded) bool { return e.Name == name })
	if i < 0 {
		return nil
	}
	return &entries[i]
}

// begin is the record to write before a plan: fingerprints of what the plan
// touches are gone, names of what it creates are there.
func (r record) begin(p plan.Plan) record {
	r.Balancers, r.Classic = slices.Clone(r.Balancers), slices.Clone(r.Classic)
	r.Groups, r.Frontends = slices.Clone(r.Groups), slices.Clone(r.Frontends)
	for _, s := range p.Steps {
		name := s.Resource.Name
		switch s.Action {
		case plan.RegisterTargets, plan.DeregisterTargets:
			if e := find(r.Groups, name); e != nil {
				e.Targets = ""
			}
			continue
		case plan.RegisterInstances, plan.DeregisterInstances:
			if e := find(r.Classic, name); e != nil {
				e.Targets = ""
			}
			continue
		case plan.CreateLoadBalancer:
			if s.Resource.Kind == plan.KindClassic {
				r.Classic = withName(r.Classic, name)
			} else {
				r.Balancers = withName(r.Balancers, name)
			}
		case plan.CreateTargetGroup:
			r.Groups = withName(r.Groups, name)
		case plan.CreateSecurityGroup:
			r.Frontends = withName(r.Frontends, name)
		case plan.AuthorizeIngress:
			if name == plan.RefNodes {
				r.NodeRules = withRules(r.NodeRules, s.After.Rules)
			}
		}
		r.Stack = ""
	}
	return r
}

func withRules(rules, more []lb.Rule) []lb.Rule {
	out := slices.Clone(rules)
	for _, r := range more {
		if !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	return out
}

func withName(entries []recorded, name string) []recorded {
	if find(entries, name) == nil {
		entries = append(entries, recorded{Name: name})
	}
	return entries
}

// now is the record of what is there. Names without an ID stay: a create that
// failed may have taken effect all the same.
func (r record) now(have plan.Observed) record {
	balancers, classic, groups, frontends := pending(r.Balancers), pending(r.Classic), pending(r.Groups), pending(r.Frontends)
	for _, b := range have.LoadBalancers {
		balancers = append(without(balancers, b.Name), recorded{Name: b.Name, ID: b.ARN, DNS: b.DNSName, Bare: b.NoSecurityGroups})
	}
	for _, b := range have.Classic {
		classic = append(without(classic, b.Name), recorded{Name: b.Name, ID: b.Name, DNS: b.DNSName})
	}
	for _, g := range have.TargetGroups {
		e := recorded{Name: g.Name, ID: g.ARN}
		if old := find(r.Groups, g.Name); old != nil {
			e.Own = old.Own
		}
		groups = append(without(groups, g.Name), e)
	}
	for _, g := range have.Frontends {
		frontends = append(without(frontends, g.Name), recorded{Name: g.Name, ID: g.ID})
	}
	r.Balancers, r.Classic, r.Groups, r.Frontends = balancers, classic, groups, frontends
	return r
}

func pending(entries []recorded) []recorded {
	return slices.DeleteFunc(slices.Clone(entries), func(e recorded) bool { return e.ID != "" })
}

func without(entries []recorded, name string) []recorded {
	return slices.DeleteFunc(entries, func(e recorded) bool { return e.Name == name })
}

// end is the record of a wish that has come true.
func (r record) end(w wish, have plan.Observed) record {
	r.Balancers, r.Classic, r.Groups, r.Frontends = nil, nil, nil, nil
	r = r.now(have)
	r.Stack = w.stack
	r.Keys = askedKeys(w.want)
	r.NodeRules = have.NodeRules
	for i := range r.Groups {
		if g := have.Group(r.Groups[i].Name); g != nil {
			r.Groups[i].Targets = fingerprint(wantedTargets(w.want, g.Name))
			if g.Shared {
				r.Groups[i].Own = ownMarks(g.Targets...)
			}
		}
	}
	if e := find(r.Classic, classicName(w.want)); e != nil {
		e.Targets = fingerprint(w.want.Classic.Instances)
	}
	return r
}

func wantedTargets(want lb.Stack, group string) []lb.Target {
	if g := want.Group(group); g != nil {
		return g.Targets
	}
	return nil
}

// keyCapacity stands in Keys when capacity was reserved. No attribute of AWS has
// this name.
const keyCapacity = "capacity"

// askedKeys are the attributes and tags of a stack that are not of our making.
func askedKeys(want lb.Stack) []string {
	keys := map[string]bool{}
	add := func(ms ...map[string]string) {
		for _, m := range ms {
			for k := range m {
				if !strings.HasPrefix(k, "fairlead.io/") && !strings.HasPrefix(k, "kubernetes.io/cluster/") {
					keys[k] = true
				}
			}
		}
	}
	add(want.LoadBalancer.Attributes, want.LoadBalancer.Tags)
	if want.LoadBalancer.CapacityUnits > 0 {
		keys[keyCapacity] = true
	}
	for _, g := range want.TargetGroups {
		add(g.Attributes)
	}
	for _, l := range want.Listeners {
		add(l.Attributes)
	}
	return slices.Sorted(maps.Keys(keys))
}

// recall is what there must be when the record tells of this stack, but for
// targets. It is false when the record names other things than the stack.
func (r record) recall(want lb.Stack) (plan.Observed, bool) {
	if len(r.Balancers)+len(r.Classic) != 1 || len(r.Groups) != len(want.TargetGroups) {
		return plan.Observed{}, false
	}
	have := plan.Built(want)
	if b := find(r.Classic, classicName(want)); b != nil {
		have.Classic[0].DNSName = b.DNS
	} else if b := find(r.Balancers, networkName(want)); b != nil && names(b.ID, b.Name) {
		have.LoadBalancers[0].ARN, have.LoadBalancers[0].DNSName = b.ID, b.DNS
	} else {
		return plan.Observed{}, false
	}
	for i := range have.TargetGroups {
		g := &have.TargetGroups[i]
		e := find(r.Groups, g.Name)
		if e == nil || !names(e.ID, g.Name) {
			return plan.Observed{}, false
		}
		g.ARN = e.ID
	}
	// How rules are spread over several groups depends on what was before.
	if len(have.Frontends) != len(r.Frontends) || len(r.Frontends) > 1 {
		return plan.Observed{}, false
	}
	for i := range have.Frontends {
		if have.Frontends[i].ID = r.Frontends[i].ID; r.Frontends[i].ID == "" {
			return plan.Observed{}, false
		}
	}
	return have, true
}

// names says that an ARN is of a resource of this name. Whoever may edit the
// Service may edit the record: names of ours hold the Service's own hash, so a
// foreign ARN does not pass.
func names(arn, name string) bool { return strings.Contains(arn, "/"+name+"/") }
