package attributes

import (
	"math"
	"time"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

type group = state.TargetGroup

var groups = table[group]{
	noun: "Target group",
	attributes: []attribute[group]{
		{key: lb.AttrDeregistrationDelay, fallback: constant[group]("300"), check: between[group](0, 3600)},
		{key: lb.AttrDeregistrationTermination, fallback: func(g group) string { return trueIf(overUDP(g)) }, check: boolean[group]},
		{key: lb.AttrPreserveClientIP, fallback: preservesByDefault, check: preserve},
		{key: lb.AttrProxyProtocolV2, fallback: constant[group]("false"), check: boolean[group]},
		{key: lb.AttrStickinessEnabled, fallback: constant[group]("false"), check: sticky},
		{key: lb.AttrStickinessType, fallback: constant[group]("source_ip"), check: stickyType},
		{key: lb.AttrCrossZone, fallback: constant[group](lb.CrossZoneFromLoadBalancer), check: oneOf[group]("true", "false", lb.CrossZoneFromLoadBalancer)},
		{key: lb.AttrDNSFailoverCount, fallback: constant[group]("1"), check: between[group](1, math.MaxInt32, off)},
		{key: lb.AttrDNSFailoverPercentage, fallback: constant[group](off), check: between[group](1, 100, off)},
		{key: lb.AttrUnhealthyRoutingCount, fallback: constant[group]("1"), check: between[group](1, math.MaxInt32)},
		{key: lb.AttrUnhealthyRoutingPercentage, fallback: constant[group](off), check: between[group](1, 100, off)},
		{key: lb.AttrUnhealthyTermination, fallback: func(g group) string { return trueIf(!overUDP(g)) }, check: termination},
		{key: lb.AttrUnhealthyDrainingInterval, fallback: constant[group]("0"), check: between[group](0, 360_000)},
	},
	elsewhere: []string{"slow_start.duration_seconds", "lambda.", "load_balancing.algorithm.", "stickiness.lb_cookie.", "stickiness.app_cookie.", "target_failover."},
	own:       func(g group) map[string]string { return g.Attributes },
	unfit: func(g group, key string) string {
		return "Target group attribute key '" + key + "' is not supported for target groups with the " + string(g.Protocol) + " protocol"
	},
	together: together,
}

func trueIf(condition bool) string {
	if condition {
		return "true"
	}
	return "false"
}

func overUDP(g group) bool { return g.Protocol == lb.UDP || g.Protocol == lb.TCPUDP }

// preservesByDefault: only ip targets over TCP and TLS do not see the client.
func preservesByDefault(g group) string {
	return trueIf(g.TargetType == lb.InstanceTarget || overUDP(g))
}

func preserve(g group, key, value string) error {
	if value == "false" && overUDP(g) {
		return unsupported("You cannot disable client IP preservation for target groups with the %s protocol", g.Protocol)
	}
	return boolean(g, key, value)
}

func sticky(g group, key, value string) error {
	if value == "true" && g.Protocol == lb.TLS {
		return unsupported("You cannot enable stickiness on target groups with the TLS protocol")
	}
	return boolean(g, key, value)
}

func stickyType(g group, key, value string) error {
	if value == "lb_cookie" || value == "app_cookie" {
		return unsupported("Stickiness type '%s' is not supported for target groups with the %s protocol", value, g.Protocol)
	}
	return oneOf[group]("source_ip")(g, key, value)
}

func termination(g group, key, value string) error {
	if value == "true" && overUDP(g) {
		return unsupported("You cannot enable connection termination for unhealthy targets on target groups with the %s protocol", g.Protocol)
	}
	return boolean(g, key, value)
}

// together checks rules between attributes.
func together(t table[group], g group, merged map[string]string) error {
	g.Attributes = merged
	if t.get(g, lb.AttrUnhealthyTermination) == "true" && t.get(g, lb.AttrUnhealthyDrainingInterval) != "0" {
		return unsupported("'%s' can only be set when '%s' is 'false'", lb.AttrUnhealthyDrainingInterval, lb.AttrUnhealthyTermination)
	}
	for _, pair := range [][2]string{{lb.AttrDNSFailoverCount, lb.AttrUnhealthyRoutingCount}, {lb.AttrDNSFailoverPercentage, lb.AttrUnhealthyRoutingPercentage}} {
		dns, routing := t.get(g, pair[0]), t.get(g, pair[1])
		if dns != off && routing != off && number(dns) < number(routing) {
			return unsupported("'%s' value '%s' must be greater than or equal to '%s' value '%s'", pair[0], dns, pair[1], routing)
		}
	}
	return nil
}

// OfTargetGroup returns every attribute with the value in force.
func OfTargetGroup(g state.TargetGroup) map[string]string { return groups.all(g) }

// MergeTargetGroup returns g's own attributes after changes.
func MergeTargetGroup(g state.TargetGroup, changes map[string]string) (map[string]string, error) {
	return groups.merge(g, changes)
}

// DeregistrationDelay is how long a target drains.
func DeregistrationDelay(g state.TargetGroup) time.Duration {
	return seconds(groups.get(g, lb.AttrDeregistrationDelay))
}

// Enabled reports whether a boolean attribute of the group is true.
func Enabled(g state.TargetGroup, key string) bool { return groups.get(g, key) == "true" }

// UnhealthyDrainingInterval is how long an unhealthy target keeps its flows.
func UnhealthyDrainingInterval(g state.TargetGroup) time.Duration {
	return seconds(groups.get(g, lb.AttrUnhealthyDrainingInterval))
}

// Threshold is a minimum of healthy targets: a number of them and a percentage
// of all, either of which is 0 when off.
type Threshold struct{ Count, Percentage int }

// Met reports whether so many healthy targets of so many are enough.
func (t Threshold) Met(healthy, total int) bool {
	return healthy >= t.Count && healthy*100 >= t.Percentage*total
}

// DNSFailover is the threshold below which a zone is taken out of DNS.
func DNSFailover(g state.TargetGroup) Threshold {
	return Threshold{number(groups.get(g, lb.AttrDNSFailoverCount)), number(groups.get(g, lb.AttrDNSFailoverPercentage))}
}

// UnhealthyRouting is the threshold below which unhealthy targets get traffic.
func UnhealthyRouting(g state.TargetGroup) Threshold {
	return Threshold{number(groups.get(g, lb.AttrUnhealthyRoutingCount)), number(groups.get(g, lb.AttrUnhealthyRoutingPercentage))}
}
