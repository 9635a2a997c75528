package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/owner"
)

// classicDiffer collects the steps to a Classic Load Balancer. It does each on
// now as it adds it, so that what follows sees what the API will have done: new
// listeners have policies of AWS's, deleted ones take policies with them.
type classicDiffer struct {
	*differ
	r    Resource
	want *lb.ClassicParts
	now  ClassicLoadBalancer
}

func (d *differ) classic() {
	if d.want.Classic == nil {
		return
	}
	c := &classicDiffer{differ: d, r: Resource{Kind: KindClassic, Name: d.want.LoadBalancer.Name}, want: d.want.Classic}
	want := d.want.LoadBalancer
	want.SecurityGroups = d.groupRefs
	if have := d.currentClassic(); have != nil {
		c.now = *have
		c.place(want)
		c.differ.tags(stageBalancer, c.r, want.Tags, c.now.Tags)
	} else {
		c.create(want)
	}
	c.attributes(want.Attributes)
	c.healthCheck()
	c.listeners()
	c.policies()
	c.targets(c.r, asTargets(c.want.Instances), asTargets(c.now.Instances))
}

// step adds a step about the load balancer, or a port of it, and does it on now.
func (c *classicDiffer) step(at stage, s Step) {
	s.Resource.Kind, s.Resource.Name = c.r.Kind, c.r.Name
	c.add(at, s)
	c.now.apply(s)
}

// healthCheck replaces what AWS gives a new load balancer, or what was wanted
// before.
func (c *classicDiffer) healthCheck() {
	s := Step{Action: ConfigureHealthCheck, After: Value{HealthCheck: &c.want.HealthCheck}, Why: "a new one has AWS's default"}
	if before := c.now.HealthCheck; before == c.want.HealthCheck {
		return
	} else if before != (lb.HealthCheck{}) {
		s.Before.HealthCheck, s.Why = &before, "the health check differs"
	}
	c.step(stageGroup, s)
}

func (c *classicDiffer) create(want lb.LoadBalancer) {
	bare := lb.LoadBalancer{
		Name: want.Name, Type: want.Type, Scheme: want.Scheme, IPAddressType: want.IPAddressType,
		Subnets: want.Subnets, SecurityGroups: want.SecurityGroups, Tags: want.Tags,
	}
	s := Step{Action: CreateLoadBalancer, Resource: c.r, After: Value{LoadBalancer: &bare, ClassicListeners: bareListeners(c.want.Listeners)}, Why: "the Service has none"}
	c.add(stageBalancer, s)
	c.now = createdClassic(s, Result{})
}

// place sets what decides where the load balancer is and who may connect. A zone
// has one subnet at a time, so old ones leave first; but one must always be left.
// When none is to stay, one stays until those of other zones have joined.
func (c *classicDiffer) place(want lb.LoadBalancer) {
	leaving, joining := minus(c.now.Subnets, want.Subnets), minus(want.Subnets, c.now.Subnets)
	if len(leaving) == len(c.now.Subnets) {
		last, others := c.lastToLeave(leaving, joining)
		c.detach(minus(leaving, []string{last}))
		c.attach(others)
		leaving, joining = []string{last}, minus(joining, others)
	}
	c.detach(leaving)
	c.attach(joining)
	if !sameSet(c.now.SecurityGroups, want.SecurityGroups) {
		c.step(stageBalancer, Step{Action: ApplySecurityGroups, Before: Value{List: c.now.SecurityGroups}, After: Value{List: want.SecurityGroups}, Why: "the security groups differ"})
	}
}

// lastToLeave is a subnet that can stay while others join, those of other zones.
// Where there is but one zone AWS has no way, and says so.
func (c *classicDiffer) lastToLeave(leaving, joining []string) (last string, others []string) {
	for _, last := range leaving {
		others := slices.DeleteFunc(slices.Clone(joining), func(id string) bool { return c.have.zone(id) == c.have.zone(last) })
		if len(others) > 0 {
			return last, others
		}
	}
	return leaving[0], joining
}

func (c *classicDiffer) attach(subnets []string) {
	if len(subnets) > 0 {
		c.step(stageBalancer, Step{Action: AttachSubnets, After: Value{List: subnets}, Why: count(len(subnets), "subnet") + " to add"})
	}
}

func (c *classicDiffer) detach(subnets []string) {
	if len(subnets) > 0 {
		c.step(stageBalancer, Step{Action: DetachSubnets, Before: Value{List: subnets}, Why: count(len(subnets), "subnet") + " no longer wanted", Disruption: Address})
	}
}

// attributes sets what differs, together with the rest of its group: the API
// takes a group whole.
func (c *classicDiffer) attributes(want map[string]string) {
	defaults := lb.DefaultClassicAttributes()
	n := len(c.steps)
	c.differ.attributes(c.r, want, c.now.Attributes, defaults)
	if len(c.steps) == n {
		return
	}
	change := c.steps[n].After.Map
	groups := map[string]bool{}
	for key := range change {
		groups[groupOf(key)] = true
	}
	for key, value := range defaults {
		if _, changes := change[key]; groups[groupOf(key)] && !changes {
			if asked, ok := want[key]; ok {
				value = asked
			}
			change[key] = value
		}
	}
}

func groupOf(attribute string) string {
	group, _, _ := strings.Cut(attribute, ".")
	return group
}

// listeners makes new ones of those that differ in more than the certificate:
// there is no call that changes them, and a port takes one listener, so that it
// is closed until the next call. All go in one call and all come in one call.
func (c *classicDiffer) listeners() {
	var gone []lb.ClassicListener
	var why []string
	for _, have := range c.now.Listeners {
		switch want := listenerOn(c.want.Listeners, have.Port); {
		case want == nil:
			gone, why = append(gone, have), append(why, fmt.Sprintf("the Service has no port %d", have.Port))
		case !sameListener(*want, have):
			gone, why = append(gone, have), append(why, fmt.Sprintf("port %d is closed until its listener is made anew, it cannot change in place", have.Port))
		}
	}
	if len(gone) > 0 {
		c.step(stageGroup, Step{Action: DeleteListeners, Before: Value{ClassicListeners: bareListeners(gone)}, Why: strings.Join(why, "; "), Disruption: Connections})
	}
	missing := slices.DeleteFunc(slices.Clone(c.want.Listeners), func(l lb.ClassicListener) bool { return listenerOn(c.now.Listeners, l.Port) != nil })
	if len(missing) > 0 {
		c.step(stageGroup, Step{Action: CreateListeners, After: Value{ClassicListeners: bareListeners(missing)}, Why: count(len(missing), "listener") + " to add"})
	}
	for _, want := range c.want.Listeners {
		if have := listenerOn(c.now.Listeners, want.Port); have.CertificateARN != want.CertificateARN {
			c.step(stageGroup, Step{Action: SetCertificate, Resource: Resource{Port: want.Port}, Before: Value{Text: have.CertificateARN}, After: Value{Text: want.CertificateARN}, Why: "the certificate differs"})
		}
	}
}

// policies puts policies in force and deletes those of ours that are in force
// nowhere any more.
func (c *classicDiffer) policies() {
	for _, p := range c.want.Policies {
		if !c.now.hasPolicy(p.Name) {
			c.step(stageGroup, Step{Action: CreatePolicy, After: Value{Policy: &p}, Why: "there is no policy " + p.Name})
		}
	}
	for _, want := range c.want.Listeners {
		if have := listenerOn(c.now.Listeners, want.Port).Policies; !sameSet(have, want.Policies) {
			c.step(stageGroup, Step{Action: SetListenerPolicies, Resource: Resource{Port: want.Port}, Before: Value{List: have}, After: Value{List: want.Policies}, Why: "the policies of the listener differ"})
		}
	}
	ports := map[uint16]bool{}
	for _, b := range slices.Concat(c.now.Backends, c.want.Backends) {
		ports[b.InstancePort] = true
	}
	for _, port := range sortedPorts(ports) {
		if have, want := backendPolicies(c.now.Backends, port), backendPolicies(c.want.Backends, port); !sameSet(have, want) {
			c.step(stageGroup, Step{Action: SetBackendPolicies, Resource: Resource{Port: port}, Before: Value{List: have}, After: Value{List: want}, Why: "the policies towards the instances differ"})
		}
	}
	for _, p := range c.now.Policies {
		if wanted := slices.ContainsFunc(c.want.Policies, func(w lb.ClassicPolicy) bool { return w.Name == p.Name }); !wanted && strings.HasPrefix(p.Name, owner.PolicyPrefix) {
			c.step(stageUnlisten, Step{Action: DeletePolicy, Before: Value{Policy: &lb.ClassicPolicy{Name: p.Name}}, Why: "no longer wanted"})
		}
	}
}

// currentClassic is the Classic Load Balancer that want means, or nil: one of
// another scheme under the same name has to go first.
func (d *differ) currentClassic() *ClassicLoadBalancer {
	b := d.have.ClassicBalancer(d.want.LoadBalancer.Name)
	if d.want.Classic == nil || b == nil || b.Scheme != d.want.LoadBalancer.Scheme {
		return nil
	}
	return b
}

func listenerOn(all []lb.ClassicListener, port uint16) *lb.ClassicListener {
	i := slices.IndexFunc(all, func(l lb.ClassicListener) bool { return l.Port == port })
	if i < 0 {
		return nil
	}
	return &all[i]
}

// sameListener compares what cannot change in place.
func sameListener(a, b lb.ClassicListener) bool {
	return a.Protocol == b.Protocol && a.InstanceProtocol == b.InstanceProtocol && a.InstancePort == b.InstancePort
}

// bareListeners are listeners as a call can make them: without policies.
func bareListeners(all []lb.ClassicListener) []lb.ClassicListener {
	out := slices.Clone(all)
	for i := range out {
		out[i].Policies = nil
	}
	return out
}

func backendPolicies(all []lb.ClassicBackend, port uint16) []string {
	for _, b := range all {
		if b.InstancePort == port {
			return b.Policies
		}
	}
	return nil
}

func sortedPorts(ports map[uint16]bool) []uint16 {
	out := make([]uint16, 0, len(ports))
	for p := range ports {
		out = append(out, p)
	}
	slices.SortFunc(out, cmp.Compare[uint16])
	return out
}

// asTargets are instances as targets without ports: a Classic Load Balancer has
// its ports in its listeners.
func asTargets(ids []string) []lb.Target {
	out := make([]lb.Target, len(ids))
	for i, id := range ids {
		out[i] = lb.Target{ID: id}
	}
	return out
}

func classicListenerText(l lb.ClassicListener) string {
	text := fmt.Sprintf("%s %d to %s %d", l.Protocol, l.Port, l.InstanceProtocol, l.InstancePort)
	if l.CertificateARN != "" {
		text += ", certificate " + l.CertificateARN
	}
	return text
}

func policyText(p lb.ClassicPolicy) string {
	parts := []string{"policy " + p.Name}
	for _, a := range p.Attributes {
		parts = append(parts, a.Name+"="+a.Value)
	}
	return strings.Join(parts, " ")
}

// targetText leaves out the port of an instance that has none.
func targetText(t lb.Target) string {
	if t.Port == 0 {
		return t.ID
	}
	return t.ID + ":" + strconv.Itoa(int(t.Port))
}
