package ec2

import (
	"context"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

type createInternetGatewayInput struct {
	DryRun
	Tags []tagSpecification `ec2:"TagSpecification"`
}

type createInternetGatewayOutput struct {
	Gateway InternetGateway `ec2:"InternetGateway"`
}

func (s *Service) createInternetGateway(ctx context.Context, in *createInternetGatewayInput) (*createInternetGatewayOutput, error) {
	tags, err := specifiedTags(in.Tags, "internet-gateway")
	if err != nil {
		return nil, err
	}
	if err := s.allowMake(ctx, making{"CreateInternetGateway", "internet-gateway", tags}, in.DryRun); err != nil {
		return nil, err
	}
	g := state.InternetGateway{GatewayID: newID("igw")}
	err = s.DB.Update(func(tx *store.Tx) error {
		if err := room(tx, state.InternetGateways, "InternetGatewayLimitExceeded", "internet gateways"); err != nil {
			return err
		}
		state.InternetGateways.Put(tx, g)
		state.PutTags(tx, g.GatewayID, tags)
		return nil
	})
	if err != nil {
		return nil, err
	}
	wire.NoteResource(ctx, s.arn("internet-gateway", g.GatewayID))
	return &createInternetGatewayOutput{s.gateway(g.GatewayID, "", tags)}, nil
}

// GatewayRef names the internet gateway of a request.
type GatewayRef struct {
	DryRun
	GatewayID string `ec2:"InternetGatewayId,required"`
}

type attachmentInput struct {
	GatewayRef
	VpcID string `ec2:"VpcId,required"`
}

func (s *Service) attachInternetGateway(ctx context.Context, in *attachmentInput) (*noOutput, error) {
	if err := s.allowOn(ctx, "AttachInternetGateway", in.DryRun, in.GatewayID, in.VpcID); err != nil {
		return nil, err
	}
	return nil, editOwn(s, state.InternetGateways, in.GatewayID, func(tx *store.Tx, n *network, g *state.InternetGateway) error {
		if err := checkVPCThere(tx, n, in.VpcID); err != nil {
			return err
		}
		_, other := state.InternetGatewaysByVPC.First(tx, in.VpcID)
		switch {
		case g.VPCID != "":
			return wire.Errorf("Resource.AlreadyAssociated", "resource %s is already attached to network %s", g.GatewayID, g.VPCID)
		case other || n.gatewayID(in.VpcID) != "":
			return invalidValue("Network %s already has an internet gateway attached", in.VpcID)
		}
		g.VPCID = in.VpcID
		return nil
	})
}

func (s *Service) detachInternetGateway(ctx context.Context, in *attachmentInput) (*noOutput, error) {
	if err := s.allowOn(ctx, "DetachInternetGateway", in.DryRun, in.GatewayID, in.VpcID); err != nil {
		return nil, err
	}
	return nil, editOwn(s, state.InternetGateways, in.GatewayID, func(tx *store.Tx, n *network, g *state.InternetGateway) error {
		if g.VPCID != in.VpcID {
			return wire.Errorf("Gateway.NotAttached", "resource %s is not attached to network %s", g.GatewayID, in.VpcID)
		}
		for b := range state.LoadBalancers.All(tx) {
			if b.VPCID == in.VpcID && b.Scheme == lb.InternetFacing {
				return dependency("Network %s has some mapped public address(es). Please unmap those public address(es) before detaching the gateway.", in.VpcID)
			}
		}
		g.VPCID = ""
		return nil
	})
}

func (s *Service) deleteInternetGateway(ctx context.Context, in *GatewayRef) (*noOutput, error) {
	if err := s.allowOn(ctx, "DeleteInternetGateway", in.DryRun, in.GatewayID); err != nil {
		return nil, err
	}
	n := s.network()
	return nil, s.DB.Update(func(tx *store.Tx) error {
		g, err := own(tx, n, state.InternetGateways, in.GatewayID)
		if err != nil {
			return err
		}
		if g.VPCID != "" {
			return dependency("The internetGateway '%s' has dependencies and cannot be deleted.", g.GatewayID)
		}
		remove(tx, state.InternetGateways, g.GatewayID)
		return nil
	})
}
