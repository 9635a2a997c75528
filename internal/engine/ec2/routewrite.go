package ec2

import (
	"context"
	"net/netip"
	"slices"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

type createRouteTableInput struct {
	VPCRef
	Tags []tagSpecification `ec2:"TagSpecification"`
}

type createRouteTableOutput struct {
	Table RouteTable `ec2:"RouteTable"`
}

func (s *Service) createRouteTable(ctx context.Context, in *createRouteTableInput) (*createRouteTableOutput, error) {
	tags, err := specifiedTags(in.Tags, "route-table")
	if err != nil {
		return nil, err
	}
	if err := s.allowMake(ctx, making{"CreateRouteTable", "route-table", tags}, DryRun{}); err != nil {
		return nil, err
	}
	if err := s.allowOn(ctx, "CreateRouteTable", in.DryRun, in.VpcID); err != nil {
		return nil, err
	}
	n := s.network()
	t := state.RouteTable{RouteTableID: newID("rtb"), VPCID: in.VpcID}
	err = s.DB.Update(func(tx *store.Tx) error {
		if err := room(tx, state.RouteTables, "RouteTableLimitExceeded", "route tables"); err != nil {
			return err
		}
		if err := checkVPCThere(tx, n, in.VpcID); err != nil {
			return err
		}
		state.RouteTables.Put(tx, t)
		state.PutTags(tx, t.RouteTableID, tags)
		return nil
	})
	if err != nil {
		return nil, err
	}
	wire.NoteResource(ctx, s.arn("route-table", t.RouteTableID))
	return &createRouteTableOutput{s.madeTable(s.DB.Current(), n, t)}, nil
}

// TableRef names the route table of a request.
type TableRef struct {
	DryRun
	RouteTableID string `ec2:"RouteTableId,required"`
}

// editTable authorises an action on a route table and replaces its record by
// what edit makes of it.
func (s *Service) editTable(ctx context.Context, action string, ref TableRef, edit func(*store.Tx, *network, *state.RouteTable) error) error {
	if err := s.allowOn(ctx, action, ref.DryRun, ref.RouteTableID); err != nil {
		return err
	}
	return editOwn(s, state.RouteTables, ref.RouteTableID, func(tx *store.Tx, n *network, t *state.RouteTable) error {
		t.Routes = slices.Clone(t.Routes)
		return edit(tx, n, t)
	})
}

func (s *Service) deleteRouteTable(ctx context.Context, in *TableRef) (*noOutput, error) {
	if err := s.allowOn(ctx, "DeleteRouteTable", in.DryRun, in.RouteTableID); err != nil {
		return nil, err
	}
	n := s.network()
	return nil, s.DB.Update(func(tx *store.Tx) error {
		t, err := own(tx, n, state.RouteTables, in.RouteTableID)
		if err != nil {
			return err
		}
		if _, used := state.SubnetsByRouteTable.First(tx, t.RouteTableID); used || t.Main {
			return dependency("The routeTable '%s' has dependencies and cannot be deleted.", t.RouteTableID)
		}
		remove(tx, state.RouteTables, t.RouteTableID)
		return nil
	})
}

type associateRouteTableInput struct {
	TableRef
	SubnetID string `ec2:"SubnetId,required"`
}

type associateRouteTableOutput struct {
	AssociationID string     `ec2:"AssociationId"`
	State         blockState `ec2:"AssociationState"`
}

func (s *Service) associateRouteTable(ctx context.Context, in *associateRouteTableInput) (*associateRouteTableOutput, error) {
	if err := s.allowOn(ctx, "AssociateRouteTable", DryRun{}, in.SubnetID); err != nil {
		return nil, err
	}
	err := s.editTable(ctx, "AssociateRouteTable", in.TableRef, func(tx *store.Tx, n *network, t *state.RouteTable) error {
		subnet, err := own(tx, n, state.Subnets, in.SubnetID)
		switch {
		case err != nil:
			return err
		case subnet.VPCID != t.VPCID:
			return invalidValue("Route table %s and subnet %s belong to different networks", t.RouteTableID, subnet.SubnetID)
		case subnet.RouteTableID != "" && subnet.RouteTableID != t.RouteTableID:
			return wire.Errorf("Resource.AlreadyAssociated", "the specified association for route table %s conflicts with an existing association", t.RouteTableID)
		}
		subnet.RouteTableID = t.RouteTableID
		state.Subnets.Put(tx, subnet)
		return nil
	})
	if err != nil {
		return nil, err
	}
	a := association(in.RouteTableID, in.SubnetID)
	return &associateRouteTableOutput{a.ID, a.State}, nil
}

type disassociateRouteTableInput struct {
	DryRun
	AssociationID string `ec2:"AssociationId,required"`
}

func (s *Service) disassociateRouteTable(ctx context.Context, in *disassociateRouteTableInput) (*noOutput, error) {
	subnet, ok := associated(s.DB.Current(), in.AssociationID)
	if !ok {
		return nil, wire.Errorf("InvalidAssociationID.NotFound", "The association ID '%s' does not exist", in.AssociationID)
	}
	if err := s.allowOn(ctx, "DisassociateRouteTable", in.DryRun, subnet.RouteTableID); err != nil {
		return nil, err
	}
	return nil, s.DB.Update(func(tx *store.Tx) error {
		if subnet, ok := associated(tx, in.AssociationID); ok {
			subnet.RouteTableID = ""
			state.Subnets.Put(tx, subnet)
		}
		return nil
	})
}

// associated finds the subnet of an association with a route table.
func associated(r store.Reader, associationID string) (state.Subnet, bool) {
	for v := range state.Subnets.All(r) {
		if v.RouteTableID != "" && association(v.RouteTableID, v.SubnetID).ID == associationID {
			return v, true
		}
	}
	return state.Subnet{}, false
}

// RouteRef names a route of a table by its destination.
type RouteRef struct {
	TableRef
	IPv4 string `ec2:"DestinationCidrBlock"`
	IPv6 string `ec2:"DestinationIpv6CidrBlock"`
}

func (r RouteRef) destination() (netip.Prefix, error) {
	text := r.IPv4 + r.IPv6
	p, err := netip.ParsePrefix(text)
	switch {
	case text == "" || r.IPv4 != "" && r.IPv6 != "":
		return p, wire.Errorf("MissingParameter", "The request must contain exactly one of the parameters destinationCidrBlock and destinationIpv6CidrBlock")
	case err != nil || p.Addr().Is4() != (r.IPv4 != ""):
		return p, invalidValue("Value (%s) for parameter destinationCidrBlock is invalid. This is not a valid CIDR block.", text)
	}
	return p.Masked(), nil
}

type createRouteInput struct {
	RouteRef
	GatewayID  string `ec2:"GatewayId"`
	InstanceID string `ec2:"InstanceId"`
}

type returnOutput struct {
	Return bool `ec2:"Return"`
}

func (s *Service) createRoute(ctx context.Context, in *createRouteInput) (*returnOutput, error) {
	route, err := in.route()
	if err != nil {
		return nil, err
	}
	destination := route.Destination
	return &returnOutput{true}, s.editTable(ctx, "CreateRoute", in.TableRef, func(tx *store.Tx, n *network, t *state.RouteTable) error {
		if err := checkNextHop(tx, n, in, t.VPCID); err != nil {
			return err
		}
		v, _ := n.VPC(t.VPCID)
		if destination == v.CIDRBlock || destination == v.IPv6CIDRBlock || slices.ContainsFunc(t.Routes, func(r state.Route) bool { return r.Destination == destination }) {
			return wire.Errorf("RouteAlreadyExists", "The route identified by %s already exists.", destination)
		}
		t.Routes = append(t.Routes, route)
		return nil
	})
}

// route is the route that a request asks for.
func (in *createRouteInput) route() (state.Route, error) {
	destination, err := in.destination()
	if err == nil && (in.GatewayID == "") == (in.InstanceID == "") {
		err = wire.Errorf("MissingParameter", "The request must contain exactly one of the parameters gatewayId and instanceId; other targets are not offered by this endpoint")
	}
	return state.Route{Destination: destination, GatewayID: in.GatewayID, InstanceID: in.InstanceID}, err
}

func (s *Service) replaceRoute(ctx context.Context, in *createRouteInput) (*noOutput, error) {
	route, err := in.route()
	if err != nil {
		return nil, err
	}
	return nil, s.editTable(ctx, "ReplaceRoute", in.TableRef, func(tx *store.Tx, n *network, t *state.RouteTable) error {
		if err := checkNextHop(tx, n, in, t.VPCID); err != nil {
			return err
		}
		i := slices.IndexFunc(t.Routes, func(r state.Route) bool { return r.Destination == route.Destination })
		if i < 0 {
			return wire.Errorf("InvalidRoute.NotFound", "There is no route defined for '%s' in the route table. Use CreateRoute instead.", route.Destination)
		}
		t.Routes[i] = route
		return nil
	})
}

// checkNextHop wants a route to lead somewhere in or out of its VPC.
func checkNextHop(tx *store.Tx, n *network, in *createRouteInput, vpcID string) error {
	if in.InstanceID != "" {
		i, ok := n.Instance(in.InstanceID)
		switch {
		case !ok:
			return notFound("InvalidInstanceID.NotFound", "instance")([]string{in.InstanceID})
		case n.VPCOf(i) != vpcID:
			return invalidValue("route table %s and instance %s belong to different networks", in.RouteTableID, in.InstanceID)
		}
		return nil
	}
	g, made := state.InternetGateways.Get(tx, in.GatewayID)
	switch {
	case made && g.VPCID == vpcID || !made && n.gatewayID(vpcID) == in.GatewayID:
		return nil
	case made:
		return invalidValue("route table %s and network gateway %s belong to different networks", in.RouteTableID, in.GatewayID)
	}
	return wire.Errorf("InvalidGatewayID.NotFound", "The gateway ID '%s' does not exist", in.GatewayID)
}

func (s *Service) deleteRoute(ctx context.Context, in *RouteRef) (*noOutput, error) {
	destination, err := in.destination()
	if err != nil {
		return nil, err
	}
	return nil, s.editTable(ctx, "DeleteRoute", in.TableRef, func(_ *store.Tx, _ *network, t *state.RouteTable) error {
		before := len(t.Routes)
		t.Routes = slices.DeleteFunc(t.Routes, func(r state.Route) bool { return r.Destination == destination })
		if len(t.Routes) == before {
			return wire.Errorf("InvalidRoute.NotFound", "no route with destination-cidr-block %s in route table %s", destination, t.RouteTableID)
		}
		return nil
	})
}
