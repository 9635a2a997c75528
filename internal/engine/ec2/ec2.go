// Package ec2 is the use cases of the part of the EC2 API, version 2016-11-15,
// that clients of load balancers need: the network as they see it, and security
// groups.
//
// What stands in the inventory file, and what follows from it, is served together
// with what was made through the API, which is state. The file's is read-only,
// but for rules and tags, which the state adds to it.
//
// Every action has the same shape: resolve what the request names, authorise
// the caller, honour DryRun, change the state in one transaction or read one
// revision, answer. Codes, messages and filters are EC2's (API reference,
// "Error codes" and the Filters of each Describe action). Filtering and paging
// are done in filter.go and list.go and nowhere else.
//
// Invariants: a look-up by ID costs what it returns; whatever is derived from
// the inventory is worked out once per inventory; no action answers success
// before its effect is durable.
package ec2

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// Authorizer decides whether the caller in ctx may do something; the error is
// what the client gets.
type Authorizer interface {
	Authorize(ctx context.Context, action, resourceARN string, keys map[string][]string) error
}

// Config is what a Service stands on. All fields but Now are required.
type Config struct {
	Region     string
	AccountID  string
	DB         state.DB
	Network    func() *inventory.Index // the inventory in force
	Authorizer Authorizer
	Now        func() time.Time // nil: time.Now
}

// Service answers the actions.
type Service struct {
	Config
	derived atomic.Pointer[network]
}

// New returns the use cases over what c names.
func New(c Config) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Service{Config: c}
}

// API is the whole service for wire.NewHandler.
func (s *Service) API() wire.API {
	return wire.API{
		Service:   "ec2",
		Version:   "2016-11-15",
		Namespace: "http://ec2.amazonaws.com/doc/2016-11-15/",
		Actions:   slices.Concat(s.reads(), s.writes(), s.groupWrites()),
	}
}

func (s *Service) reads() []wire.Action {
	return []wire.Action{
		wire.EC2("DescribeVpcs", s.describeVpcs),
		wire.EC2("DescribeSubnets", s.describeSubnets),
		wire.EC2("DescribeAvailabilityZones", s.describeAvailabilityZones),
		wire.EC2("DescribeRegions", s.describeRegions),
		wire.EC2("DescribeRouteTables", s.describeRouteTables),
		wire.EC2("DescribeInternetGateways", s.describeInternetGateways),
		wire.EC2("DescribeInstances", s.describeInstances),
		wire.EC2("DescribeNetworkInterfaces", s.describeNetworkInterfaces),
		wire.EC2("DescribeAddresses", s.describeAddresses),
		wire.EC2("DescribeAccountAttributes", s.describeAccountAttributes),
		wire.EC2("DescribeSecurityGroups", s.describeSecurityGroups),
		wire.EC2("DescribeSecurityGroupRules", s.describeSecurityGroupRules),
		wire.EC2("DescribeTags", s.describeTags),
		wire.EC2("DescribeVpcAttribute", s.describeVpcAttribute),
		wire.EC2("DescribeVpcClassicLink", s.describeVpcClassicLink),
		wire.EC2("DescribeVpcClassicLinkDnsSupport", s.describeVpcClassicLinkDNSSupport),
		wire.EC2("DescribeAddressesAttribute", s.describeAddressesAttribute),
		wire.EC2("DescribeNetworkAcls", s.describeNetworkACLs),
		wire.EC2("DescribeManagedPrefixLists", s.describeManagedPrefixLists),
		wire.EC2("GetManagedPrefixListEntries", s.getManagedPrefixListEntries),
		wire.EC2("GetManagedPrefixListAssociations", s.getManagedPrefixListAssociations),
	}
}

func (s *Service) writes() []wire.Action {
	return []wire.Action{
		wire.EC2("CreateVpc", s.createVpc),
		wire.EC2("DeleteVpc", s.deleteVpc),
		wire.EC2("ModifyVpcAttribute", s.modifyVpcAttribute),
		wire.EC2("CreateSubnet", s.createSubnet),
		wire.EC2("DeleteSubnet", s.deleteSubnet),
		wire.EC2("ModifySubnetAttribute", s.modifySubnetAttribute),
		wire.EC2("CreateInternetGateway", s.createInternetGateway),
		wire.EC2("AttachInternetGateway", s.attachInternetGateway),
		wire.EC2("DetachInternetGateway", s.detachInternetGateway),
		wire.EC2("DeleteInternetGateway", s.deleteInternetGateway),
		wire.EC2("CreateRouteTable", s.createRouteTable),
		wire.EC2("DeleteRouteTable", s.deleteRouteTable),
		wire.EC2("AssociateRouteTable", s.associateRouteTable),
		wire.EC2("DisassociateRouteTable", s.disassociateRouteTable),
		wire.EC2("CreateRoute", s.createRoute),
		wire.EC2("ReplaceRoute", s.replaceRoute),
		wire.EC2("DeleteRoute", s.deleteRoute),
		wire.EC2("AllocateAddress", s.allocateAddress),
		wire.EC2("ReleaseAddress", s.releaseAddress),
		wire.EC2("AssociateAddress", s.associateAddress),
		wire.EC2("DisassociateAddress", s.disassociateAddress),
		wire.EC2("RunInstances", s.runInstances),
		wire.EC2("StartInstances", s.startInstances),
		wire.EC2("StopInstances", s.stopInstances),
		wire.EC2("TerminateInstances", s.terminateInstances),
	}
}

func (s *Service) groupWrites() []wire.Action {
	return []wire.Action{
		wire.EC2("CreateSecurityGroup", s.createSecurityGroup),
		wire.EC2("DeleteSecurityGroup", s.deleteSecurityGroup),
		wire.EC2("AuthorizeSecurityGroupIngress", s.authorizeSecurityGroupIngress),
		wire.EC2("AuthorizeSecurityGroupEgress", s.authorizeSecurityGroupEgress),
		wire.EC2("RevokeSecurityGroupIngress", s.revokeSecurityGroupIngress),
		wire.EC2("RevokeSecurityGroupEgress", s.revokeSecurityGroupEgress),
		wire.EC2("CreateManagedPrefixList", s.createManagedPrefixList),
		wire.EC2("ModifyManagedPrefixList", s.modifyManagedPrefixList),
		wire.EC2("DeleteManagedPrefixList", s.deleteManagedPrefixList),
		wire.EC2("CreateTags", s.createTags),
		wire.EC2("DeleteTags", s.deleteTags),
	}
}
