// Package health decides which targets can serve, as Network Load Balancers do;
// instances of Classic Load Balancers are targets like others to it.
//
// Three layers: Desired says what to ask whom, from a snapshot; Next is the
// state machine of one target; a Checker keeps the time, sends the checks and
// tells of changes. The first two are pure and take the time as an argument.
//
// Invariants: one goroutine owns all states; a check that is running never
// overlaps another of the same target; no more than a fixed number run at once;
// a target that nothing has asked is initial and never healthy.
package health

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// Target is one registered target and how to ask it.
type Target struct {
	Protocol lb.Protocol    // TCP, SSL, HTTP or HTTPS
	Addr     netip.AddrPort // the target's address and its health check port
	Host     string         // HTTP Host header
	Path     string
	Matcher  string // valid
	Interval time.Duration
	Timeout  time.Duration
	Rules    Rules

	// Blocked says that security groups keep the question from the target: it is
	// not sent and counts as never answered.
	Blocked bool
}

// asksLike says whether t asks the same question as o.
func (t Target) asksLike(o Target) bool {
	return t.Protocol == o.Protocol && t.Addr == o.Addr && t.Host == o.Host && t.Path == o.Path && t.Matcher == o.Matcher && t.Blocked == o.Blocked
}

// Defaults of Network Load Balancers (NLB user guide, "Health check settings"),
// for a snapshot that leaves a value out.
const (
	defaultInterval    = 30 * time.Second
	defaultTimeoutTCP  = 10 * time.Second // HTTPS too
	defaultTimeoutHTTP = 6 * time.Second
	defaultHealthy     = 5
	defaultUnhealthy   = 2
)

// Desired returns the checks that a snapshot asks for. Targets that resolve to
// no address have none. Values that are not valid are replaced by AWS's
// defaults and reported, all at once: a wrong group must not stop the others.
func Desired(snapshot lb.ZoneSnapshot) (map[lb.TargetKey]Target, error) {
	hosts := hostHeaders(snapshot)
	targets := map[lb.TargetKey]Target{}
	var problems []error
	for _, group := range snapshot.TargetGroups {
		base, err := groupTarget(group)
		if err != nil {
			problems = append(problems, fmt.Errorf("target group %s: %w", group.ARN, err))
		}
		for _, t := range group.Targets {
			if !t.Addr.IsValid() {
				continue
			}
			target := base
			target.Blocked = t.HealthCheckBlocked
			target.Addr = netip.AddrPortFrom(t.Addr, cmp.Or(base.Addr.Port(), t.Port))
			target.Host = cmp.Or(hosts[hostKey{group.ARN, t.Addr.Is4()}], target.Addr.String())
			targets[lb.TargetKey{TargetGroupARN: group.ARN, ID: t.ID, Port: t.Port}] = target
		}
	}
	return targets, errors.Join(problems...)
}

// groupTarget returns what all targets of a group share; the port is 0 when it
// is each target's own.
func groupTarget(group lb.ZonalGroup) (Target, error) {
	check, problems := group.HealthCheck, []error{}
	t := Target{
		Protocol: cmp.Or(check.Protocol, lb.TCP),
		Interval: cmp.Or(check.Interval, defaultInterval),
		Timeout:  cmp.Or(check.Timeout, defaultTimeoutTCP),
		Rules: Rules{
			HealthyThreshold:   cmp.Or(check.HealthyThreshold, defaultHealthy),
			UnhealthyThreshold: cmp.Or(check.UnhealthyThreshold, defaultUnhealthy),
		},
	}
	if !group.UnhealthyTermination {
		t.Rules.UnhealthyDraining = group.UnhealthyDrainingInterval
	}
	if check.Timeout == 0 && t.Protocol == lb.HTTP {
		t.Timeout = defaultTimeoutHTTP
	}
	if !slices.Contains([]lb.Protocol{lb.TCP, lb.SSL, lb.HTTP, lb.HTTPS}, t.Protocol) {
		problems = append(problems, fmt.Errorf("health check protocol %q is none of TCP, SSL, HTTP, HTTPS", t.Protocol))
		t.Protocol = lb.TCP
	}
	if check.Port != "" && check.Port != lb.TrafficPort {
		port, err := strconv.ParseUint(check.Port, 10, 16)
		if err != nil || port == 0 {
			problems = append(problems, fmt.Errorf("health check port %q is neither %s nor a port", check.Port, lb.TrafficPort))
		}
		t.Addr = netip.AddrPortFrom(netip.Addr{}, uint16(port))
	}
	if t.Protocol == lb.HTTP || t.Protocol == lb.HTTPS {
		t.Path, t.Matcher = cmp.Or(check.Path, "/"), cmp.Or(check.Matcher, DefaultMatcher)
		if _, err := ParseMatcher(t.Matcher); err != nil {
			problems = append(problems, err)
			t.Matcher = DefaultMatcher
		}
	}
	return t, errors.Join(problems...)
}

type hostKey struct {
	groupARN string
	ipv4     bool
}

// hostHeaders returns the Host header of each group's checks: the zonal address
// of a load balancer that forwards to it and that listener's port, not the
// target's own (NLB user guide, "Health check settings").
func hostHeaders(snapshot lb.ZoneSnapshot) map[hostKey]string {
	hosts := map[hostKey]string{}
	for _, balancer := range snapshot.LoadBalancers {
		for _, listener := range balancer.Listeners {
			for _, forward := range listener.Forward {
				for _, addr := range []netip.Addr{balancer.IPv4, balancer.IPv6} {
					key := hostKey{forward.TargetGroupARN, addr.Is4()}
					if addr.IsValid() && hosts[key] == "" {
						hosts[key] = netip.AddrPortFrom(addr, listener.Port).String()
					}
				}
			}
		}
	}
	return hosts
}
