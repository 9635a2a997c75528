package ec2

import (
	"context"
	"slices"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/store"
)

// The inventory file says of a subnet whether its default route is an internet
// gateway. As EC2 would tell it, a VPC with such subnets has a gateway and a
// route table of its own for them; the others use the main route table. What was
// made through the API has the tables that it was given.

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
	IPv4       string `ec2:"DestinationCidrBlock,omitempty"`
	IPv6       string `ec2:"DestinationIpv6CidrBlock,omitempty"`
	GatewayID  string `ec2:"GatewayId,omitempty"`
	InstanceID string `ec2:"InstanceId,omitempty"`
	State      string `ec2:"State"`
	Origin     string `ec2:"Origin"`
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
	if v, _ := n.VPC(vpcID); v.InternetGatewayID != "" {
		return v.InternetGatewayID
	}
	if !slices.ContainsFunc(n.Subnets, func(v inventory.Subnet) bool { return v.VPCID == vpcID && v.Public }) {
		return ""
	}
	return derivedID("igw", vpcID)
}

// routeTables are the tables of all VPCs.
func (s *Service) routeTables(r store.Reader, n *network) []RouteTable {
	var all []RouteTable
	for t := range state.RouteTables.All(r) {
		all = append(all, s.madeTable(r, n, t))
	}
	for _, v := range n.VPCs {
		if v.Made {
			continue
		}
		main := s.routeTable(v, derivedID("rtb", v.VPCID, "main"))
		main.Associations = []routeAssociation{association(main.ID, "")}
		all = append(all, main)
		igw := n.gatewayID(v.VPCID)
		if !hasPublicSubnet(n, v.VPCID) {
			continue
		}
		public := s.routeTable(v, derivedID("rtb", v.VPCID, "public"))
		public.Routes = append(public.Routes, Route{IPv4: "0.0.0.0/0", GatewayID: igw, State: "active", Origin: "CreateRoute"})
		if v.IPv6CIDRBlock.IsValid() {
			public.Routes = append(public.Routes, Route{IPv6: "::/0", GatewayID: igw, State: "active", Origin: "CreateRoute"})
		}
		for _, subnet := range n.Subnets {
			if subnet.VPCID == v.VPCID && subnet.Public && !subnet.Made {
				public.Associations = append(public.Associations, association(public.ID, subnet.SubnetID))
			}
		}
		all = append(all, public)
	}
	return all
}

// hasPublicSubnet reports whether the file has a public subnet of a VPC.
func hasPublicSubnet(n *network, vpcID string) bool {
	return slices.ContainsFunc(n.Subnets, func(v inventory.Subnet) bool { return v.VPCID == vpcID && v.Public && !v.Made })
}

// madeTable is a table of the state in responses.
func (s *Service) madeTable(r store.Reader, n *network, t state.RouteTable) RouteTable {
	v, _ := n.VPC(t.VPCID)
	out := s.routeTable(v, t.RouteTableID)
	out.Associations, out.Tags = []routeAssociation{}, tagSet(state.Tags(r, t.RouteTableID))
	for _, route := range t.Routes {
		shown := Route{GatewayID: route.GatewayID, InstanceID: route.InstanceID, State: "blackhole", Origin: "CreateRoute"}
		if instance, _ := n.Instance(route.InstanceID); route.GatewayID != "" && n.gatewayID(t.VPCID) == route.GatewayID || n.VPCOf(instance) == t.VPCID {
			shown.State = "active"
		}
		if route.Destination.Addr().Is4() {
			shown.IPv4 = route.Destination.String()
		} else {
			shown.IPv6 = route.Destination.String()
		}
		out.Routes = append(out.Routes, shown)
	}
	if t.Main {
		out.Associations = append(out.Associations, association(t.RouteTableID, ""))
	}
	for subnet := range state.SubnetsByRouteTable.All(r, t.RouteTableID) {
		out.Associations = append(out.Associations, association(t.RouteTableID, subnet.SubnetID))
	}
	return out
}

// routeTable is a table with the routes that every one has.
func (s *Service) routeTable(v inventory.VPC, id string) RouteTable {
	t := RouteTable{
		ID: id, VpcID: v.VPCID, OwnerID: s.AccountID, Gateways: []string{},
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
	r := s.DB.Current()
	k := routeTableKind(r)
	found, next, err := k.find(listed(s.routeTables(r, s.network()), k.id), in.IDs, in.Query)
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

// gateway is a gateway in responses, attached to a VPC or to none.
func (s *Service) gateway(id, vpcID string, tags map[string]string) InternetGateway {
	g := InternetGateway{id, s.AccountID, []gatewayAttachment{}, tagSet(tags)}
	if vpcID != "" {
		g.Attachments = append(g.Attachments, gatewayAttachment{vpcID, "available"})
	}
	return g
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
	for g := range state.InternetGateways.All(r) {
		all = append(all, s.gateway(g.GatewayID, g.VPCID, state.Tags(r, g.GatewayID)))
	}
	for _, v := range n.VPCs {
		id := n.gatewayID(v.VPCID)
		if _, made := state.InternetGateways.Get(r, id); id != "" && !made {
			all = append(all, s.gateway(id, v.VPCID, state.Tags(r, id)))
		}
	}
	k := kind[InternetGateway]{
		id: func(g InternetGateway) string { return g.ID }, idFilter: "internet-gateway-id",
		absent: notFound("InvalidInternetGatewayID.NotFound", "internetGateway"),
		tags:   func(g InternetGateway) map[string]string { return state.Tags(r, g.ID) },
		attributes: attributes[InternetGateway]{
			"internet-gateway-id": func(g InternetGateway) []string { return []string{g.ID} },
			"owner-id":            func(g InternetGateway) []string { return []string{g.OwnerID} },
			"attachment.vpc-id": func(g InternetGateway) []string {
				return convert(g.Attachments, func(a gatewayAttachment) string { return a.VpcID })
			},
			"attachment.state": func(g InternetGateway) []string {
				return convert(g.Attachments, func(a gatewayAttachment) string { return a.State })
			},
		},
	}
	found, next, err := k.find(listed(all, k.id), in.IDs, in.Query)
	if err != nil {
		return nil, err
	}
	return &describeInternetGatewaysOutput{found, token(next)}, nil
}
