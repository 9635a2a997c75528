// Package elbv2 is the use cases of the Elastic Load Balancing API, version
// 2015-12-01, for Network Load Balancers: one file per noun.
//
// Every action has the same shape: authorise the caller, check the request,
// change the state in one transaction, answer with AWS's structs. What is
// checked against other records is checked inside the transaction. Codes,
// messages, defaults and limits are those of the API reference and of AWS's
// service; what this endpoint does not offer is refused in AWS's form and says
// so.
//
// Invariants: no action answers success before its effect is durable; creates
// are idempotent, deletes of absent things succeed where AWS's do; a describe
// by names or ARNs fails whole when one is absent.
package elbv2

import (
	"time"

	"github.com/fairlead-lb/fairlead/internal/engine/balancing"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/engine/targethealth"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// Config is what a Service stands on. All fields but Delays, Certificate and
// DataPath are required.
type Config struct {
	Region    string
	AccountID string
	Quotas    Quotas
	// Delays are asked for whenever something begins that takes time; nil: none does.
	Delays func() Delays
	// Certificate reports whether a certificate exists; nil: any of ACM's form does.
	Certificate func(r store.Reader, arn string) bool
	// DataPath is how the edge of a zone takes packets; nil: nobody knows.
	DataPath func(zone string) lb.DataPath

	DB         state.DB
	Network    func() *inventory.Index // the inventory in force
	Health     targethealth.Reports
	Authorizer balancing.Authorizer
	Now        func() time.Time
}

// Delays are how long things take beyond what they have to.
type Delays struct {
	Provisioning   time.Duration // a new load balancer is not active yet
	Registration   time.Duration // a new target is not told to edges yet
	Deregistration time.Duration // a target drains longer than its group says
}

func (s *Service) delays() Delays {
	if s.Delays == nil {
		return Delays{}
	}
	return s.Delays()
}

// Service answers the actions.
type Service struct {
	Config
	balancing.Permits
}

// New returns the use cases over what c names.
func New(c Config) *Service {
	return &Service{c, balancing.NewPermits(c.Authorizer, c.DB.Current)}
}

// API is the whole service for wire.NewHandler.
func (s *Service) API() wire.API {
	return wire.API{
		Service:   "elasticloadbalancing",
		Version:   "2015-12-01",
		Namespace: "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/",
		Actions:   append(s.offered(), s.refused()...),
	}
}

func (s *Service) offered() []wire.Action {
	return []wire.Action{
		wire.Query("CreateLoadBalancer", s.createLoadBalancer),
		wire.Query("DescribeLoadBalancers", s.describeLoadBalancers),
		wire.Query("DeleteLoadBalancer", s.deleteLoadBalancer),
		wire.Query("DescribeLoadBalancerAttributes", s.describeLoadBalancerAttributes),
		wire.Query("ModifyLoadBalancerAttributes", s.modifyLoadBalancerAttributes),
		wire.Query("SetSubnets", s.setSubnets),
		wire.Query("SetSecurityGroups", s.setSecurityGroups),
		wire.Query("SetIpAddressType", s.setIPAddressType),
		wire.Query("DescribeCapacityReservation", s.describeCapacityReservation),
		wire.Query("ModifyCapacityReservation", s.modifyCapacityReservation),
		wire.Query("CreateListener", s.createListener),
		wire.Query("DescribeListeners", s.describeListeners),
		wire.Query("ModifyListener", s.modifyListener),
		wire.Query("DeleteListener", s.deleteListener),
		wire.Query("DescribeListenerAttributes", s.describeListenerAttributes),
		wire.Query("ModifyListenerAttributes", s.modifyListenerAttributes),
		wire.Query("AddListenerCertificates", s.addListenerCertificates),
		wire.Query("DescribeListenerCertificates", s.describeListenerCertificates),
		wire.Query("RemoveListenerCertificates", s.removeListenerCertificates),
		wire.Query("DescribeRules", s.describeRules),
		wire.Query("CreateTargetGroup", s.createTargetGroup),
		wire.Query("DescribeTargetGroups", s.describeTargetGroups),
		wire.Query("ModifyTargetGroup", s.modifyTargetGroup),
		wire.Query("DeleteTargetGroup", s.deleteTargetGroup),
		wire.Query("DescribeTargetGroupAttributes", s.describeTargetGroupAttributes),
		wire.Query("ModifyTargetGroupAttributes", s.modifyTargetGroupAttributes),
		wire.Query("RegisterTargets", s.registerTargets),
		wire.Query("DeregisterTargets", s.deregisterTargets),
		wire.Query("DescribeTargetHealth", s.describeTargetHealth),
		wire.Query("AddTags", s.addTags),
		wire.Query("RemoveTags", s.removeTags),
		wire.Query("DescribeTags", s.describeTags),
		wire.Query("DescribeAccountLimits", s.describeAccountLimits),
		wire.Query("DescribeSSLPolicies", s.describeSSLPolicies),
	}
}
