package attributes

import (
	"maps"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

var balancers = table[state.LoadBalancer]{
	noun: "Load balancer",
	attributes: []attribute[state.LoadBalancer]{
		{key: lb.AttrAccessLogsEnabled, fallback: constant[state.LoadBalancer]("false"), check: boolean[state.LoadBalancer]},
		{key: lb.AttrAccessLogsBucket, fallback: constant[state.LoadBalancer](""), check: bucket},
		{key: lb.AttrAccessLogsPrefix, fallback: constant[state.LoadBalancer](""), check: prefix},
		{key: lb.AttrDeletionProtection, fallback: constant[state.LoadBalancer]("false"), check: boolean[state.LoadBalancer]},
		{key: lb.AttrCrossZone, fallback: constant[state.LoadBalancer]("false"), check: boolean[state.LoadBalancer]},
		{key: lb.AttrClientRoutingPolicy, fallback: constant[state.LoadBalancer]("any_availability_zone"), check: oneOf[state.LoadBalancer]("availability_zone_affinity", "partial_availability_zone_affinity", "any_availability_zone")},
		{key: lb.AttrDenyAllIGWTraffic, fallback: deniesIGW, check: boolean[state.LoadBalancer]},
		{key: lb.AttrZonalShift, fallback: constant[state.LoadBalancer]("false"), check: boolean[state.LoadBalancer]},
		{key: lb.AttrSecondaryIPs, fallback: constant[state.LoadBalancer]("0"), check: noSecondaryIPs},
	},
	told:      []string{lb.AttrDataPath, lb.AttrDataPathCost},
	elsewhere: []string{"idle_timeout.timeout_seconds", "client_keep_alive.seconds", "routing.", "connection_logs.", "health_check_logs.", "waf."},
	own:       func(b state.LoadBalancer) map[string]string { return b.Attributes },
	unfit: func(_ state.LoadBalancer, key string) string {
		return "Load balancer attribute key '" + key + "' is not supported on load balancers with type 'network'"
	},
	together: hasBucket,
}

func deniesIGW(b state.LoadBalancer) string {
	if b.Scheme == lb.Internal {
		return "true"
	}
	return "false"
}

func noSecondaryIPs(b state.LoadBalancer, key, value string) error {
	if err := between[state.LoadBalancer](0, 7)(b, key, value); err != nil {
		return err
	}
	if value != "0" {
		return unsupported("Secondary addresses are not offered by this endpoint; '%s' must be '0'", key)
	}
	return nil
}

// OfLoadBalancer returns every attribute with the value in force, and what there
// is to tell of its zones' edges; dataPath may be nil.
func OfLoadBalancer(b state.LoadBalancer, dataPath func(zone string) lb.DataPath) map[string]string {
	all := balancers.all(b)
	if dataPath != nil {
		maps.Copy(all, dataPaths(b, dataPath))
	}
	return all
}

// dataPaths tells of edges that take packets by less than native XDP.
func dataPaths(b state.LoadBalancer, of func(zone string) lb.DataPath) map[string]string {
	var paths, costs []string
	for _, z := range b.Zones {
		path := of(z.Zone)
		if cost := path.Cost(); cost != "" {
			paths, costs = append(paths, z.Zone+"="+string(path)), append(costs, z.Zone+": "+cost)
		}
	}
	if len(paths) == 0 {
		return nil
	}
	return map[string]string{lb.AttrDataPath: strings.Join(paths, ","), lb.AttrDataPathCost: strings.Join(costs, "; ")}
}

// MergeLoadBalancer returns b's own attributes after changes.
func MergeLoadBalancer(b state.LoadBalancer, changes map[string]string) (map[string]string, error) {
	return balancers.merge(b, changes)
}

// DeletionProtection reports whether the load balancer must not be deleted.
func DeletionProtection(b state.LoadBalancer) bool {
	return balancers.get(b, lb.AttrDeletionProtection) == "true"
}

// CrossZone reports whether edges use a group's targets in other zones: the
// group's own setting, or else the load balancer's.
func CrossZone(b state.LoadBalancer, g state.TargetGroup) bool {
	setting := groups.get(g, lb.AttrCrossZone)
	if setting == lb.CrossZoneFromLoadBalancer {
		setting = balancers.get(b, lb.AttrCrossZone)
	}
	return setting == "true"
}
