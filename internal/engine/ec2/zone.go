package ec2

import (
	"context"
	"slices"
	"strconv"
	"strings"
)

type describeAvailabilityZonesInput struct {
	DryRun
	Filters  []Filter `ec2:"Filter"`
	Names    []string `ec2:"ZoneName"`
	IDs      []string `ec2:"ZoneId"`
	AllZones bool     `ec2:"AllAvailabilityZones"`
}

type describeAvailabilityZonesOutput struct {
	Zones []AvailabilityZone `ec2:"AvailabilityZoneInfo"`
}

// AvailabilityZone is a zone in responses.
type AvailabilityZone struct {
	ZoneName           string   `ec2:"ZoneName"`
	ZoneID             string   `ec2:"ZoneId"`
	ZoneState          string   `ec2:"ZoneState"`
	ZoneType           string   `ec2:"ZoneType"`
	RegionName         string   `ec2:"RegionName"`
	GroupName          string   `ec2:"GroupName"`
	NetworkBorderGroup string   `ec2:"NetworkBorderGroup"`
	OptInStatus        string   `ec2:"OptInStatus"`
	Messages           []string `ec2:"MessageSet"`
}

// zones are those that have a subnet in the inventory file, in order of names;
// the first three of the region when the file has none.
func (s *Service) zones(n *network) []AvailabilityZone {
	var zones []AvailabilityZone
	for _, v := range n.Subnets {
		if !v.Made {
			zones = append(zones, s.zone(v.AvailabilityZone, v.AvailabilityZoneID))
		}
	}
	if len(zones) == 0 {
		for i, letter := range []string{"a", "b", "c"} {
			zones = append(zones, s.zone(s.Region+letter, shortRegion(s.Region)+"-az"+strconv.Itoa(i+1)))
		}
	}
	slices.SortFunc(zones, func(a, b AvailabilityZone) int { return strings.Compare(a.ZoneName, b.ZoneName) })
	return slices.CompactFunc(zones, func(a, b AvailabilityZone) bool { return a.ZoneName == b.ZoneName })
}

func (s *Service) zone(name, id string) AvailabilityZone {
	return AvailabilityZone{
		ZoneName: name, ZoneID: id, ZoneState: "available", ZoneType: "availability-zone",
		RegionName: s.Region, GroupName: s.Region, NetworkBorderGroup: s.Region,
		OptInStatus: "opt-in-not-required", Messages: []string{},
	}
}

// directions are how zone IDs write the parts of region names.
var directions = strings.NewReplacer("northeast", "ne", "northwest", "nw", "southeast", "se", "southwest", "sw",
	"north", "n", "south", "s", "east", "e", "west", "w", "central", "c", "-", "")

// shortRegion is how zone IDs write a region: usw2 for us-west-2.
func shortRegion(region string) string { return directions.Replace(region) }

var zoneKind = kind[AvailabilityZone]{
	id: func(z AvailabilityZone) string { return z.ZoneName },
	absent: func(names []string) error {
		return invalidValue("Invalid availability zone: [%s]", strings.Join(names, ", "))
	},
	attributes: attributes[AvailabilityZone]{
		"zone-name":     func(z AvailabilityZone) []string { return []string{z.ZoneName} },
		"zone-id":       func(z AvailabilityZone) []string { return []string{z.ZoneID} },
		"zone-type":     func(z AvailabilityZone) []string { return []string{z.ZoneType} },
		"region-name":   func(z AvailabilityZone) []string { return []string{z.RegionName} },
		"group-name":    func(z AvailabilityZone) []string { return []string{z.GroupName} },
		"state":         func(z AvailabilityZone) []string { return []string{z.ZoneState} },
		"opt-in-status": func(z AvailabilityZone) []string { return []string{z.OptInStatus} },
	},
}

func (s *Service) describeAvailabilityZones(ctx context.Context, in *describeAvailabilityZonesInput) (*describeAvailabilityZonesOutput, error) {
	if err := s.allowRead(ctx, "DescribeAvailabilityZones", in.DryRun); err != nil {
		return nil, err
	}
	zones := s.zones(s.network())
	byName := func(name string) (AvailabilityZone, bool) {
		i := slices.IndexFunc(zones, func(z AvailabilityZone) bool { return z.ZoneName == name || z.ZoneID == name })
		if i < 0 {
			return AvailabilityZone{}, false
		}
		return zones[i], true
	}
	found, _, err := zoneKind.find(source[AvailabilityZone]{byName, slices.Values(zones)}, slices.Concat(in.Names, in.IDs), Query{Filters: in.Filters})
	if err != nil {
		return nil, err
	}
	return &describeAvailabilityZonesOutput{found}, nil
}

type describeRegionsInput struct {
	DryRun
	Filters    []Filter `ec2:"Filter"`
	Names      []string `ec2:"RegionName"`
	AllRegions bool     `ec2:"AllRegions"`
}

type describeRegionsOutput struct {
	Regions []Region `ec2:"RegionInfo"`
}

// Region is a region in responses: there is one, the engine's.
type Region struct {
	RegionName  string `ec2:"RegionName"`
	Endpoint    string `ec2:"RegionEndpoint"`
	OptInStatus string `ec2:"OptInStatus"`
}

var regionKind = kind[Region]{
	id: func(r Region) string { return r.RegionName },
	absent: func(names []string) error {
		return invalidValue("Invalid region(s) specified: [%s]", strings.Join(names, ", "))
	},
	attributes: attributes[Region]{
		"region-name":   func(r Region) []string { return []string{r.RegionName} },
		"endpoint":      func(r Region) []string { return []string{r.Endpoint} },
		"opt-in-status": func(r Region) []string { return []string{r.OptInStatus} },
	},
}

func (s *Service) describeRegions(ctx context.Context, in *describeRegionsInput) (*describeRegionsOutput, error) {
	if err := s.allowRead(ctx, "DescribeRegions", in.DryRun); err != nil {
		return nil, err
	}
	own := Region{s.Region, "ec2." + s.Region + ".amazonaws.com", "opt-in-not-required"}
	regions := source[Region]{
		func(name string) (Region, bool) { return own, name == own.RegionName },
		slices.Values([]Region{own}),
	}
	found, _, err := regionKind.find(regions, in.Names, Query{Filters: in.Filters})
	if err != nil {
		return nil, err
	}
	return &describeRegionsOutput{found}, nil
}
