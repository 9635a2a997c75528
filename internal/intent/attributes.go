package intent

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// check says what is wrong with an attribute's value, "" when nothing is.
type check func(value string) string

func isBool(v string) string {
	if v == "true" || v == "false" {
		return ""
	}
	return "must be true or false"
}

func within(low, high int, words ...string) check {
	return func(v string) string {
		if slices.Contains(words, v) {
			return ""
		}
		if n, err := strconv.Atoi(v); err == nil && n >= low && n <= high {
			return ""
		}
		return "must be " + oneOf(append(words, fmt.Sprintf("%d to %d", low, high)))
	}
}

func words(valid ...string) check {
	return func(v string) string {
		if slices.Contains(valid, v) {
			return ""
		}
		return "must be " + oneOf(valid)
	}
}

func anything(string) string { return "" }

func loadBalancerAttributes() map[string]check {
	return map[string]check{
		lb.AttrDeletionProtection: isBool, lb.AttrCrossZone: isBool, lb.AttrAccessLogsEnabled: isBool,
		lb.AttrAccessLogsBucket: anything, lb.AttrAccessLogsPrefix: anything,
		lb.AttrDenyAllIGWTraffic: isBool, lb.AttrZonalShift: isBool,
		lb.AttrClientRoutingPolicy: words("any_availability_zone", "availability_zone_affinity", "partial_availability_zone_affinity"),
		lb.AttrSecondaryIPs:        within(0, 7),
	}
}

func targetGroupAttributes() map[string]check {
	return map[string]check{
		lb.AttrDeregistrationDelay: within(0, 3600), lb.AttrDeregistrationTermination: isBool,
		lb.AttrPreserveClientIP: isBool, lb.AttrProxyProtocolV2: isBool,
		lb.AttrStickinessEnabled: isBool, lb.AttrStickinessType: words("source_ip"),
		lb.AttrCrossZone:                  words("true", "false", lb.CrossZoneFromLoadBalancer),
		lb.AttrDNSFailoverCount:           within(1, 1000, "off"),
		lb.AttrDNSFailoverPercentage:      within(1, 100, "off"),
		lb.AttrUnhealthyRoutingCount:      within(1, 1000),
		lb.AttrUnhealthyRoutingPercentage: within(1, 100, "off"),
		lb.AttrUnhealthyTermination:       isBool,
		lb.AttrUnhealthyDrainingInterval:  within(0, 360000),
	}
}

func listenerAttributes() map[string]check {
	return map[string]check{lb.AttrTCPIdleTimeout: within(60, 6000)}
}

// attributes checks a map against the attributes that are known and merges it
// into the settings. A key that looks like none of them is passed on with a
// warning: AWS may know it before we do.
func attributes(known func() map[string]check, into func(*settings, string) map[string]string) func(parser, *settings, map[string]string) {
	return func(p parser, s *settings, m map[string]string) {
		checks := known()
		names := slices.Sorted(maps.Keys(checks))
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if c, ok := checks[k]; !ok {
				if hint := didYouMean(k, names); hint != "" {
					p.bad("there is no attribute "+k, hint)
				} else {
					p.note("the attribute "+k+" is not known here and passed on as it is", "")
				}
			} else if why := c(m[k]); why != "" {
				p.bad(fmt.Sprintf("%s=%s: %s", k, m[k], why), "")
			}
			// The annotation for one attribute goes before the map.
			if dst := into(s, p.suffix); dst != nil {
				if _, given := dst[k]; !given {
					dst[k] = m[k]
				}
			}
		}
	}
}

func groupOf(s *settings, port string) map[string]string {
	if port == "" {
		if s.groupAttributes == nil {
			s.groupAttributes = map[string]string{}
		}
		return s.groupAttributes
	}
	return inner(s.portAttributes, port)
}

func listenerOf(s *settings, port string) map[string]string {
	return inner(s.listenerAttributes, strings.ToUpper(port))
}

func inner(m map[string]map[string]string, key string) map[string]string {
	if m[key] == nil {
		m[key] = map[string]string{}
	}
	return m[key]
}

var codesForm = regexp.MustCompile(`^[2-5][0-9]{2}(-[2-5][0-9]{2})?(,[2-5][0-9]{2}(-[2-5][0-9]{2})?)*$`)

func readCodes(p parser, s *settings) {
	if !codesForm.MatchString(p.value) {
		p.bad("must be HTTP codes from 200 to 599, such as 200-399 or 200,204", "")
		return
	}
	s.health.codes = p.value
}
