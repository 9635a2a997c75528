package ec2

import (
	"context"
	"slices"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/store"
)

// The inventory says of a subnet whether its default route is an internet
// gateway. As EC2 would tell it, a VPC with such subnets has a gateway and a
// route table of its own for them; the others use the main route table.

// RouteTable is a route table in responses.
type RouteTable struct {
	ID           string             `ec2:"RouteTableId"`
	VpcID        string             `ec2:"VpcId"`
	OwnerID      string             `ec2:"OwnerId"`
	Routes       []Route            `ec2:"RouteSet"`
	Associations []routeAssociation `ec2:"AssociationSet"`
	Gateways     []string           `ec2:"PropagatingVgwSet"`
	Tags         []Tag              `ec2:"TagSet"`
}

// Route is a route in responses; one of the destinations is set.
type Route struct {
	IPv4      string `ec2:"DestinationCidrBlock,omitempty"`
	IPv6      string `ec2:"DestinationIpv6CidrBlock,omitempty"`
	GatewayID string `ec2:"GatewayId"`
	State     string `ec2:"State"`
	Origin    string `ec2:"Origin"`
}

type routeAssociation struct {
	ID           string     `ec2:"RouteTableAssociationId"`
	RouteTableID string     `ec2:"RouteTableId"`
	SubnetID     string     `ec2:"SubnetId,omitempty"`
	Main         bool       `ec2:"Main"`
	State        blockState `ec2:"AssociationState"`
}

// gatewayID is that of a VPC's internet gateway; empty when it has none.
func (n *network) gatewayID(vpcID string) string {
	if !slices.ContainsFunc(n.Subnets, func(v inventory.Subnet) bool { return v.VPCID == vpcID && v.Public }) {
		return ""
	}
	return derivedID("igw", vpcID)
}

// routeTables are the tables of all VPCs.
func (s *Service) routeTables(n *network) []RouteTable {
	var all []RouteTable
	for _, v := range n.VPCs {
		main := s.routeTable(v, "main")
		main.Associations = []routeAssociation{association(main.ID, "")}
		all = append(all, main)
		igw := n.gatewayID(v.VPCID)
		if igw == "" {
			continue
		}
		public := s.routeTable(v, "public")
		public.Routes = append(public.Routes, Route{IPv4: "0.0.0.0/0", GatewayID: igw, State: "active", Origin: "CreateRoute"})
		if v.IPv6CIDRBlock.IsValid() {
			public.Routes = append(public.Routes, Route{IPv6: "::/0", GatewayID: igw, State: "active", Origin: "CreateRoute"})
		}
		for _, subnet := range n.Subnets {
			if subnet.VPCID == v.VPCID && subnet.Public {
				public.Associations = append(public.Associations, association(public.ID, subnet.SubnetID))
			}
		}
		all = append(all, public)
	}
	return all
}

// routeTable is a table with the routes that every one has.
func (s *Service) routeTable(v inventory.VPC, name string) RouteTable {
	t := RouteTable{
		ID: derivedID("rtb", v.VPCID, name), VpcID: v.VPCID, OwnerID: s.AccountID, Gateways: []string{},
		Routes: []Route{{IPv4: v.CIDRBlock.String(), GatewayID: "local", State: "active", Origin: "CreateRouteTable"}},
	}
	if v.IPv6CIDRBlock.IsValid() {
		t.Routes = append(t.Routes, Route{IPv6: v.IPv6CIDRBlock.String(), GatewayID: "local", State: "active", Origin: "CreateRouteTable"})
	}
	return t
}

// association ties a table to a subnet, or to its VPC as the main one.
func association(tableID, subnetID string) routeAssociation {
	return routeAssociation{derivedID("rtbassoc", tableID, subnetID), tableID, subnetID, subnetID == "", blockState{"associated"}}
}

func routeTableKind(r store.Reader) kind[RouteTable] {
	routes := func(f func(Route) string) func(RouteTable) []string {
		return func(t RouteTable) []string {
			var all []string
			for _, route := range t.Routes {
				all = append(all, nonEmpty(f(route))...)
			}
			return all
		}
	}
	associations := func(f func(routeAssociation) string) func(RouteTable) []string {
		return func(t RouteTable) []string {
			var all []string
			for _, a := range t.Associations {
				all = append(all, nonEmpty(f(a))...)
			}
			return all
		}
	}
	return kind[RouteTable]{
		id: func(t RouteTable) string { return t.ID }, idFilter: "route-table-id",
		absent: notFound("InvalidRouteTableID.NotFound", "routeTable"),
		tags:   func(t RouteTable) map[string]string { return state.Tags(r, t.ID) },
		attributes: attributes[RouteTable]{
			"route-table-id":                         func(t RouteTable) []string { return []string{t.ID} },
			"vpc-id":                                 func(t RouteTable) []string { return []string{t.VpcID} },
			"owner-id":                               func(t RouteTable) []string { return []string{t.OwnerID} },
			"association.main":                       associations(func(a routeAssociation) string { return yes(a.Main)[0] }),
			"association.subnet-id":                  associations(func(a routeAssociation) string { return a.SubnetID }),
			"association.route-table-id":             associations(func(a routeAssociation) string { return a.RouteTableID }),
			"association.route-table-association-id": associations(func(a routeAssociation) string { return a.ID }),
			"route.destination-cidr-block":           routes(func(v Route) string { return v.IPv4 }),
			"route.destination-ipv6-cidr-block":      routes(func(v Route) string { return v.IPv6 }),
			"route.gateway-id":                       routes(func(v Route) string { return v.GatewayID }),
			"route.origin":                           routes(func(v Route) string { return v.Origin }),
			"route.state":                            routes(func(v Route) string { return v.State }),
		},
	}
}

type describeRouteTablesInput struct {
	Query
	IDs []string `ec2:"RouteTableId"`
}

type describeRouteTablesOutput struct {
	RouteTables []RouteTable `ec2:"RouteTableSet"`
	NextToken   *string      `ec2:"NextToken"`
}

func (s *Service) describeRouteTables(ctx context.Context, in *describeRouteTablesInput) (*describeRouteTablesOutput, error) {
	if err := s.allowRead(ctx, "DescribeRouteTables", in.DryRun); err != nil {
		return nil, err
	}
	k := routeTableKind(s.DB.Current())
	found, next, err := k.find(listed(s.routeTables(s.network()), k.id), in.IDs, in.Query)
	if err != nil {
		return nil, err
	}
	for i := range found {
		found[i].Tags = tagSet(k.tags(found[i]))
	}
	return &describeRouteTablesOutput{found, token(next)}, nil
}

// listed is a source that is a short list.
func listed[T any](list []T, id func(T) string) source[T] {
	get := func(wanted string) (T, bool) {
		for _, v := range list {
			if id(v) == wanted {
				return v, true
			}
		}
		var none T
		return none, false
	}
	return source[T]{get, slices.Values(list)}
}

// InternetGateway is an internet gateway in responses.
type InternetGateway struct {
	ID          string              `ec2:"InternetGatewayId"`
	OwnerID     string              `ec2:"OwnerId"`
	Attachments []gatewayAttachment `ec2:"AttachmentSet"`
	Tags        []Tag               `ec2:"TagSet"`
}

type gatewayAttachment struct {
	VpcID string `ec2:"VpcId"`
	State string `ec2:"State"`
}

type describeInternetGatewaysInput struct {
	Query
	IDs []string `ec2:"InternetGatewayId"`
}

type describeInternetGatewaysOutput struct {
	Gateways  []InternetGateway `ec2:"InternetGatewaySet"`
	NextToken *string           `ec2:"NextToken"`
}

func (s *Service) describeInternetGateways(ctx context.Context, in *describeInternetGatewaysInput) (*describeInternetGatewaysOutput, error) {
	if err := s.allowRead(ctx, "DescribeInternetGateways", in.DryRun); err != nil {
		return nil, err
	}
	n, r := s.network(), s.DB.Current()
	var all []InternetGateway
	for _, v := range n.VPCs {
		if id := n.gatewayID(v.VPCID); id != "" {
			all = append(all, InternetGateway{id, s.AccountID, []gatewayAttachment{{v.VPCID, "available"}}, tagSet(state.Tags(r, id))})
		}
	}
	k := kind[InternetGateway]{
		id: func(g InternetGateway) string { return g.ID }, idFilter: "internet-gateway-id",
		absent: notFound("InvalidInternetGatewayID.NotFound", "internetGateway"),
		tags:   func(g InternetGateway) map[string]string { return state.Tags(r, g.ID) },
		attributes: attributes[InternetGateway]{
			"internet-gateway-id": func(g InternetGateway) []string { return []string{g.ID} },
			"owner-id":            func(g InternetGateway) []string { return []string{g.OwnerID} },
			"attachment.vpc-id":   func(g InternetGateway) []string { return []string{g.Attachments[0].VpcID} },
			"attachment.state":    func(g InternetGateway) []string { return []string{g.Attachments[0].State} },
		},
	}
	found, next, err := k.find(listed(all, k.id), in.IDs, in.Query)
	if err != nil {
		return nil, err
	}
	return &describeInternetGatewaysOutput{found, token(next)}, nil
}
