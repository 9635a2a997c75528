// Package elb is the use cases of the Elastic Load Balancing API, version
// 2012-06-01, which is Classic Load Balancers: one file per noun.
//
// Every action has the same shape: authorise the caller, check the request,
// change the state in one transaction, answer with AWS's structs. Codes,
// messages, defaults and limits are those of the 2012-06-01 API reference and
// the user guide for Classic Load Balancers. Resources are named, not numbered:
// the name is the key in every request.
//
// Invariants: no action answers success before its effect is durable; creates
// are idempotent, deletes of absent things succeed where AWS's do; a describe by
// names fails whole when one is absent; an instance is InService only because
// an edge has probed it.
package elb

import (
	"time"

	"github.com/fairlead-lb/fairlead/internal/engine/balancing"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/engine/targethealth"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// Config is what a Service stands on. All fields but Certificate are required.
type Config struct {
	Region    string
	AccountID string
	Quotas    Quotas
	// Certificate reports whether a certificate exists; nil: any of its form does.
	Certificate func(r store.Reader, arn string) bool

	DB         state.DB
	Network    func() *inventory.Index // the inventory in force
	Health     targethealth.Reports
	Authorizer balancing.Authorizer
	Now        func() time.Time
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
		Version:   "2012-06-01",
		Namespace: "http://elasticloadbalancing.amazonaws.com/doc/2012-06-01/",
		Actions:   s.actions(),
	}
}

func (s *Service) actions() []wire.Action {
	return []wire.Action{
		wire.Query("CreateLoadBalancer", s.createLoadBalancer),
		wire.Query("DescribeLoadBalancers", s.describeLoadBalancers),
		wire.Query("DeleteLoadBalancer", s.deleteLoadBalancer),
		wire.Query("AttachLoadBalancerToSubnets", s.attachSubnets),
		wire.Query("DetachLoadBalancerFromSubnets", s.detachSubnets),
		wire.Query("EnableAvailabilityZonesForLoadBalancer", s.enableZones),
		wire.Query("DisableAvailabilityZonesForLoadBalancer", s.disableZones),
		wire.Query("ApplySecurityGroupsToLoadBalancer", s.applySecurityGroups),
		wire.Query("CreateLoadBalancerListeners", s.createListeners),
		wire.Query("DeleteLoadBalancerListeners", s.deleteListeners),
		wire.Query("SetLoadBalancerListenerSSLCertificate", s.setCertificate),
		wire.Query("CreateLoadBalancerPolicy", s.createPolicy),
		wire.Query("CreateAppCookieStickinessPolicy", s.createAppCookiePolicy),
		wire.Query("CreateLBCookieStickinessPolicy", s.createLBCookiePolicy),
		wire.Query("DeleteLoadBalancerPolicy", s.deletePolicy),
		wire.Query("DescribeLoadBalancerPolicies", s.describePolicies),
		wire.Query("DescribeLoadBalancerPolicyTypes", s.describePolicyTypes),
		wire.Query("SetLoadBalancerPoliciesOfListener", s.setListenerPolicies),
		wire.Query("SetLoadBalancerPoliciesForBackendServer", s.setBackendPolicies),
		wire.Query("ConfigureHealthCheck", s.configureHealthCheck),
		wire.Query("RegisterInstancesWithLoadBalancer", s.registerInstances),
		wire.Query("DeregisterInstancesFromLoadBalancer", s.deregisterInstances),
		wire.Query("DescribeInstanceHealth", s.describeInstanceHealth),
		wire.Query("DescribeLoadBalancerAttributes", s.describeAttributes),
		wire.Query("ModifyLoadBalancerAttributes", s.modifyAttributes),
		wire.Query("AddTags", s.addTags),
		wire.Query("RemoveTags", s.removeTags),
		wire.Query("DescribeTags", s.describeTags),
		wire.Query("DescribeAccountLimits", s.describeAccountLimits),
	}
}
