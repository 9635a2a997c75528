package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// MaxRules is EC2's default quota of inbound rules per security group and
// address family. Rules about groups and prefix lists count in both families.
const MaxRules = 60

// MaxFrontends is how many groups the rules of one Service may spread over. A
// load balancer has at most five groups, and one of them may be the backend's.
const MaxFrontends = 4

// FrontendNames are the names that the groups of a Service may have: the first
// is the frontend group's, the others take what it has no room for.
func FrontendNames(first string) []string {
	names := []string{first}
	for i := 2; i <= MaxFrontends; i++ {
		names = append(names, fmt.Sprintf("%s-%d", first, i))
	}
	return names
}

// FrontendRef stands in plans for the ID of a Service's group.
func FrontendRef(first, name string) string { return RefFrontend + strings.TrimPrefix(name, first) }

// share is the part of the rules that one group holds.
type share struct {
	name                string
	have                *SecurityGroup // nil: does not exist
	keep, join, surplus []lb.Rule
	crowded             bool // surplus has to go before join comes
}

// room counts rules by address family.
type room struct{ v4, v6 int }

func (r *room) take(rules ...lb.Rule) {
	for _, rule := range rules {
		if !rule.Source.IsValid() || rule.Source.Addr().Is4() {
			r.v4++
		}
		if !rule.Source.IsValid() || rule.Source.Addr().Is6() {
			r.v6++
		}
	}
}

func (r room) fits(rule lb.Rule) bool {
	r.take(rule)
	return r.v4 <= MaxRules && r.v6 <= MaxRules
}

// used is what counts against a group's quota, with or without what is to go.
func (s *share) used(surplus bool) room {
	var r room
	r.take(s.keep...)
	r.take(s.join...)
	if surplus {
		r.take(s.surplus...)
	}
	if s.have != nil {
		r.take(s.have.Foreign...)
	}
	return r
}

// spread divides rules among groups. A rule stays where it is; a new one goes
// where there is room, else into a new group. Only when there may be no more
// groups does something go first.
func spread(first string, want []lb.Rule, have []SecurityGroup) []share {
	shares := []share{{name: first}}
	for i := range have {
		if have[i].Name == first {
			shares[0].have = &have[i]
		} else {
			shares = append(shares, share{name: have[i].Name, have: &have[i]})
		}
	}
	missing := slices.Clone(want)
	for i := range shares {
		if s := &shares[i]; s.have != nil {
			s.surplus = minus(s.have.Ingress, missing)
			s.keep = minus(s.have.Ingress, s.surplus)
			missing = minus(missing, s.keep)
		}
	}
	for _, rule := range missing {
		shares = place(shares, rule)
	}
	return shares
}

func place(shares []share, rule lb.Rule) []share {
	for i := range shares {
		if shares[i].used(!shares[i].crowded).fits(rule) {
			shares[i].join = append(shares[i].join, rule)
			return shares
		}
	}
	for _, name := range FrontendNames(shares[0].name) {
		if !slices.ContainsFunc(shares, func(s share) bool { return s.name == name }) {
			return append(shares, share{name: name, join: []lb.Rule{rule}})
		}
	}
	for i := range shares {
		if shares[i].used(false).fits(rule) {
			shares[i].crowded = true
			shares[i].join = append(shares[i].join, rule)
			return shares
		}
	}
	last := &shares[len(shares)-1] // rules of others fill the groups: AWS will say so
	last.join = append(last.join, rule)
	return shares
}

// frontends makes the groups hold what they are to hold. It gives back their
// references.
func (d *differ) frontends() []string {
	want := d.want.Frontend
	if want == nil {
		for _, have := range d.have.Frontends {
			d.dropFrontend(have.Name)
		}
		return nil
	}
	var refs []string
	for i, s := range spread(want.Name, want.Ingress, d.have.Frontends) {
		if i > 0 && len(s.keep)+len(s.join) == 0 {
			d.dropFrontend(s.name)
			continue
		}
		d.frontend(s)
		refs = append(refs, FrontendRef(want.Name, s.name))
	}
	return refs
}

// nodeRules makes the nodes' groups let in what they are to let in. Rules for
// ports that are no longer used stay until nothing can need them; a source that
// may no longer connect is shut out sooner.
func (d *differ) nodeRules() {
	r := Resource{Kind: KindSecurityGroup, Name: RefNodes}
	if missing := minus(d.want.NodeRules, d.have.NodeRules); len(missing) > 0 {
		d.add(stageAdmit, Step{Action: AuthorizeIngress, Resource: r, After: Value{Rules: missing}, Why: count(len(missing), "rule") + " to add: the load balancer has no security group that nodes could let in"})
	}
	revoke := map[stage][]lb.Rule{}
	for _, rule := range minus(d.have.NodeRules, d.want.NodeRules) {
		at := stageDropAdmission
		if slices.ContainsFunc(d.want.NodeRules, func(w lb.Rule) bool { return w.Protocol == rule.Protocol && w.FromPort == rule.FromPort }) {
			at = stageRevoke
		}
		revoke[at] = append(revoke[at], rule)
	}
	for at, rules := range revoke {
		d.add(at, Step{Action: RevokeIngress, Resource: r, Before: Value{Rules: rules}, Why: count(len(rules), "rule") + " no longer wanted", Disruption: Connections})
	}
}

func (d *differ) dropFrontend(name string) {
	d.add(stageDropAdmission, Step{Action: DeleteSecurityGroup, Resource: Resource{Kind: KindSecurityGroup, Name: name}, Why: "no longer wanted"})
}

func (d *differ) frontend(s share) {
	r := Resource{Kind: KindSecurityGroup, Name: s.name}
	tags := d.want.Frontend.Tags
	if s.have == nil {
		group := *d.want.Frontend
		group.Name, group.Ingress = s.name, slices.Concat(s.keep, s.join)
		why := "says who may connect"
		if s.name != d.want.Frontend.Name {
			why = fmt.Sprintf("says who else may connect: a group holds %d rules", MaxRules)
		}
		d.add(stageAdmit, Step{Action: CreateSecurityGroup, Resource: r, After: Value{SecurityGroup: &group}, Why: why})
	} else {
		tags = s.have.Tags
	}
	revoke := stageRevoke
	if s.crowded {
		revoke = stageMakeRoom
	}
	if len(s.join) > 0 {
		d.add(stageAdmit, Step{Action: AuthorizeIngress, Resource: r, After: Value{Rules: s.join}, Why: count(len(s.join), "rule") + " to add"})
	}
	if len(s.surplus) > 0 {
		d.add(revoke, Step{Action: RevokeIngress, Resource: r, Before: Value{Rules: s.surplus}, Why: count(len(s.surplus), "rule") + " no longer wanted", Disruption: Connections})
	}
	d.tags(stageAdmit, r, d.want.Frontend.Tags, tags)
}
