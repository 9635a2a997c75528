package plan

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// Text is the plan for people: a line a step and, below it, what changes.
func (p Plan) Text() string {
	var b strings.Builder
	if p.Empty() {
		b.WriteString("Nothing to do.\n")
	}
	for i, s := range p.Steps {
		fmt.Fprintf(&b, "%3d. %s\n", i+1, s)
		writeChange(&b, s)
	}
	for _, s := range p.Blocked {
		fmt.Fprintf(&b, "waits for consent: %s\n", s)
		writeChange(&b, s)
	}
	return b.String()
}

func (s Step) String() string {
	name := s.Resource.Name
	if s.Resource.Port != 0 {
		name = fmt.Sprintf("%s:%d", name, s.Resource.Port)
	}
	line := fmt.Sprintf("%s %s: %s", s.Action, name, s.Why)
	if s.Disruption != None {
		line += fmt.Sprintf(" (disrupts: %s)", s.Disruption)
	}
	return line
}

func writeChange(b *strings.Builder, s Step) {
	for _, line := range s.Before.lines() {
		fmt.Fprintf(b, "       - %s\n", line)
	}
	for _, line := range s.After.lines() {
		fmt.Fprintf(b, "       + %s\n", line)
	}
}

func (v Value) lines() []string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if v.LoadBalancer != nil {
		out = append(out, balancerLines(*v.LoadBalancer)...)
	}
	if x := v.TargetGroup; x != nil {
		add("%s %d, %s targets by %s", x.Protocol, x.Port, x.IPAddressType, x.TargetType)
		add("%s", healthText(x.HealthCheck))
	}
	if x := v.HealthCheck; x != nil {
		add("%s", healthText(*x))
	}
	if x := v.Listener; x != nil {
		add("%s %d forwards to %s", x.Protocol, x.Port, forwardText(x.Forward))
		if x.Stickiness {
			add("a client stays with the target group that it got first")
		}
		if x.Protocol == lb.TLS {
			add("certificates %s, policy %s, ALPN %s", strings.Join(x.Security.Certificates, " "), x.Security.SSLPolicy, x.Security.ALPNPolicy)
		}
	}
	for _, l := range v.ClassicListeners {
		add("%s", classicListenerText(l))
	}
	if v.Policy != nil {
		add("%s", policyText(*v.Policy))
	}
	for _, t := range v.Targets {
		add("%s", targetText(t))
	}
	for _, r := range v.Rules {
		add("%s", ruleText(r))
	}
	for _, k := range slices.Sorted(maps.Keys(v.Map)) {
		add("%s=%s", k, v.Map[k])
	}
	if len(v.List) > 0 {
		add("%s", strings.Join(v.List, " "))
	}
	for _, m := range v.Mappings {
		add("%s", mappingText(m))
	}
	if v.IPAddressType != "" {
		add("%s", v.IPAddressType)
	}
	if v.IPv6SourceNAT != "" {
		add("source NAT of IPv6 %s", v.IPv6SourceNAT)
	}
	if v.CapacityUnits > 0 {
		add("%d capacity units", v.CapacityUnits)
	}
	if v.PrivateLinkUnfiltered {
		add("PrivateLink traffic is not filtered")
	}
	if v.Text != "" {
		add("%s", v.Text)
	}
	return out
}

func balancerLines(b lb.LoadBalancer) []string {
	out := []string{fmt.Sprintf("%s %s %s, subnets %s, security groups %s", b.Scheme, b.Type, b.IPAddressType, strings.Join(b.Subnets, " "), strings.Join(b.SecurityGroups, " "))}
	if b.NoSecurityGroups {
		out = append(out, "without security groups, for good")
	}
	for _, m := range b.SubnetMappings {
		out = append(out, mappingText(m))
	}
	return out
}

func mappingText(m lb.SubnetMapping) string {
	text := []string{"in", m.SubnetID}
	for _, chosen := range []string{m.AllocationID, addressText(m.PrivateIPv4Address), addressText(m.IPv6Address), m.SourceNATIPv6Prefix} {
		if chosen != "" {
			text = append(text, chosen)
		}
	}
	return strings.Join(text, " ")
}

func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func healthText(h lb.HealthCheck) string {
	return fmt.Sprintf("health check %s %s%s every %s, timeout %s, thresholds %d/%d", h.Protocol, h.Port, h.Path, h.Interval, h.Timeout, h.HealthyThreshold, h.UnhealthyThreshold)
}

func ruleText(r lb.Rule) string {
	from := r.Source.String()
	if r.Source == (netip.Prefix{}) {
		from = r.SourceGroup + r.SourceList
	}
	if strings.HasPrefix(r.Protocol, "icmp") {
		return fmt.Sprintf("%s type %d code %d from %s", r.Protocol, r.FromPort, r.ToPort, from)
	}
	return fmt.Sprintf("%s %d from %s", r.Protocol, r.FromPort, from)
}

// JSON is the plan for programs.
func (p Plan) JSON() ([]byte, error) { return json.MarshalIndent(p, "", "  ") }
