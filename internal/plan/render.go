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

// String is the step in one line: what it does to what, why, and what it disrupts.
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

// lines says every part of a value on its own: the whole of what is made or
// taken away first, then the settings that a step writes alone.
func (v Value) lines() []string { return append(v.resourceLines(), v.settingLines()...) }

func (v Value) resourceLines() (out []string) {
	if v.LoadBalancer != nil {
		out = append(out, balancerLines(*v.LoadBalancer)...)
	}
	if x := v.TargetGroup; x != nil {
		out = append(out, fmt.Sprintf("%s %d, %s targets by %s", x.Protocol, x.Port, x.IPAddressType, x.TargetType), healthText(x.HealthCheck))
	}
	if v.HealthCheck != nil {
		out = append(out, healthText(*v.HealthCheck))
	}
	if v.Listener != nil {
		out = append(out, listenerLines(*v.Listener)...)
	}
	for _, l := range v.ClassicListeners {
		out = append(out, classicListenerText(l))
	}
	if v.Policy != nil {
		out = append(out, policyText(*v.Policy))
	}
	for _, t := range v.Targets {
		out = append(out, targetText(t))
	}
	for _, r := range v.Rules {
		out = append(out, ruleText(r))
	}
	return out
}

func (v Value) settingLines() (out []string) {
	for _, k := range slices.Sorted(maps.Keys(v.Map)) {
		out = append(out, k+"="+v.Map[k])
	}
	if len(v.List) > 0 {
		out = append(out, strings.Join(v.List, " "))
	}
	for _, m := range v.Mappings {
		out = append(out, mappingText(m))
	}
	if v.IPAddressType != "" {
		out = append(out, string(v.IPAddressType))
	}
	if v.IPv6SourceNAT != "" {
		out = append(out, "source NAT of IPv6 "+v.IPv6SourceNAT)
	}
	if v.CapacityUnits > 0 {
		out = append(out, fmt.Sprintf("%d capacity units", v.CapacityUnits))
	}
	if v.PrivateLinkUnfiltered {
		out = append(out, "PrivateLink traffic is not filtered")
	}
	if v.Text != "" {
		out = append(out, v.Text)
	}
	return out
}

func listenerLines(l Listener) []string {
	out := []string{fmt.Sprintf("%s %d forwards to %s", l.Protocol, l.Port, forwardText(l.Forward))}
	if l.Stickiness {
		out = append(out, "a client stays with the target group that it got first")
	}
	if l.Protocol == lb.TLS {
		out = append(out, fmt.Sprintf("certificates %s, policy %s, ALPN %s", strings.Join(l.Security.Certificates, " "), l.Security.SSLPolicy, l.Security.ALPNPolicy))
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
