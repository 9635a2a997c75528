package elbv2

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/fairlead-lb/fairlead/internal/engine/balancing"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// refusedAction is an action that this endpoint does not offer.
type refusedAction[I any] struct {
	action   string
	because  string // for the reference of the API
	resource func(*I) string
	err      func(*I) error
}

// refuse is an action that is authorised like any other and then fails.
func refuse[I, O any](s *Service, r refusedAction[I]) wire.Action {
	return wire.Query(r.action, func(ctx context.Context, in *I) (*O, error) {
		if err := s.AllowOn(ctx, r.action, r.resource(in)); err != nil {
			return nil, err
		}
		return nil, r.err(in)
	}).Refused(r.because)
}

// Why actions are refused.
const (
	trustStoresElsewhere = "trust stores serve application load balancers"
	rulesElsewhere       = "a network load balancer's listener has its default rule alone"
	poolsElsewhere       = "IPAM pools serve application load balancers"
	noPolicies           = "no resource here is shared between accounts, so none has a policy"
)

// refused are the actions for what this endpoint does not have: rules beside
// the default one, trust stores, resource policies and IPAM pools, all of them
// application load balancers' on AWS too.
func (s *Service) refused() []wire.Action {
	return append(s.refusedRules(),
		refuse[elb.CreateTrustStoreInput, elb.CreateTrustStoreOutput](s, refusedAction[elb.CreateTrustStoreInput]{"CreateTrustStore", trustStoresElsewhere, func(*elb.CreateTrustStoreInput) string { return balancing.AnyResource }, func(*elb.CreateTrustStoreInput) error {
			return notOffered("Trust stores are not offered by this endpoint; they serve application load balancers only")
		}}),
		refuseTrustStore[elb.ModifyTrustStoreInput, elb.ModifyTrustStoreOutput](s, "ModifyTrustStore", func(in *elb.ModifyTrustStoreInput) *string { return in.TrustStoreArn }),
		refuseTrustStore[elb.DeleteTrustStoreInput, elb.DeleteTrustStoreOutput](s, "DeleteTrustStore", func(in *elb.DeleteTrustStoreInput) *string { return in.TrustStoreArn }),
		refuseTrustStore[elb.AddTrustStoreRevocationsInput, elb.AddTrustStoreRevocationsOutput](s, "AddTrustStoreRevocations", func(in *elb.AddTrustStoreRevocationsInput) *string { return in.TrustStoreArn }),
		refuseTrustStore[elb.RemoveTrustStoreRevocationsInput, elb.RemoveTrustStoreRevocationsOutput](s, "RemoveTrustStoreRevocations", func(in *elb.RemoveTrustStoreRevocationsInput) *string { return in.TrustStoreArn }),
		refuseTrustStore[elb.DescribeTrustStoreRevocationsInput, elb.DescribeTrustStoreRevocationsOutput](s, "DescribeTrustStoreRevocations", func(in *elb.DescribeTrustStoreRevocationsInput) *string { return in.TrustStoreArn }),
		refuseTrustStore[elb.DescribeTrustStoreAssociationsInput, elb.DescribeTrustStoreAssociationsOutput](s, "DescribeTrustStoreAssociations", func(in *elb.DescribeTrustStoreAssociationsInput) *string { return in.TrustStoreArn }),
		refuseTrustStore[elb.DeleteSharedTrustStoreAssociationInput, elb.DeleteSharedTrustStoreAssociationOutput](s, "DeleteSharedTrustStoreAssociation", func(in *elb.DeleteSharedTrustStoreAssociationInput) *string { return in.TrustStoreArn }),
		refuseTrustStore[elb.GetTrustStoreCaCertificatesBundleInput, elb.GetTrustStoreCaCertificatesBundleOutput](s, "GetTrustStoreCaCertificatesBundle", func(in *elb.GetTrustStoreCaCertificatesBundleInput) *string { return in.TrustStoreArn }),
		refuseTrustStore[elb.GetTrustStoreRevocationContentInput, elb.GetTrustStoreRevocationContentOutput](s, "GetTrustStoreRevocationContent", func(in *elb.GetTrustStoreRevocationContentInput) *string { return in.TrustStoreArn }),
		wire.Query("DescribeTrustStores", s.describeTrustStores),
		refuse[elb.GetResourcePolicyInput, elb.GetResourcePolicyOutput](s, refusedAction[elb.GetResourcePolicyInput]{"GetResourcePolicy", noPolicies, func(in *elb.GetResourcePolicyInput) string { return *in.ResourceArn }, func(in *elb.GetResourcePolicyInput) error {
			return wire.Errorf("ResourceNotFound", "The resource '%s' has no resource policy", *in.ResourceArn)
		}}),
		refuse[elb.ModifyIpPoolsInput, elb.ModifyIpPoolsOutput](s, refusedAction[elb.ModifyIpPoolsInput]{"ModifyIpPools", poolsElsewhere, func(in *elb.ModifyIpPoolsInput) string { return *in.LoadBalancerArn }, func(in *elb.ModifyIpPoolsInput) error {
			if _, err := balancer(s.DB.Current(), in.LoadBalancerArn); err != nil {
				return err
			}
			return unfit("IPAM pools are not supported on load balancers with type 'network'")
		}}),
	)
}

// refuseTrustStore is an action on a trust store: there is none.
func refuseTrustStore[I, O any](s *Service, name string, arn func(*I) *string) wire.Action {
	return refuse[I, O](s, refusedAction[I]{name, trustStoresElsewhere, func(in *I) string { return *arn(in) }, func(in *I) error {
		return notFound(trustStoreNoun, *arn(in))
	}})
}

func (s *Service) describeTrustStores(ctx context.Context, in *elb.DescribeTrustStoresInput) (*elb.DescribeTrustStoresOutput, error) {
	if err := s.AllowAll(ctx, "DescribeTrustStores"); err != nil {
		return nil, err
	}
	for _, asked := range append(in.TrustStoreArns, in.Names...) {
		return nil, notFound(trustStoreNoun, asked)
	}
	return &elb.DescribeTrustStoresOutput{TrustStores: []types.TrustStore{}}, nil
}

func (s *Service) refusedRules() []wire.Action {
	onlyDefault := func(r store.Reader, arn string) error {
		if err := checkARN(ruleNoun, arn); err != nil {
			return err
		}
		if _, ok := listenerOfRule(r, arn); !ok {
			return notFound(ruleNoun, arn)
		}
		return wire.Errorf("OperationNotPermitted", "Rule '%s' is the default rule of a listener of a load balancer with type 'network'; it is changed with ModifyListener and cannot be deleted", arn)
	}
	return []wire.Action{
		refuse[elb.CreateRuleInput, elb.CreateRuleOutput](s, refusedAction[elb.CreateRuleInput]{"CreateRule", rulesElsewhere, func(in *elb.CreateRuleInput) string { return *in.ListenerArn }, func(in *elb.CreateRuleInput) error {
			if _, err := listener(s.DB.Current(), in.ListenerArn); err != nil {
				return err
			}
			return unfit("Rules are not supported for listeners of load balancers with type 'network'")
		}}),
		refuse[elb.ModifyRuleInput, elb.ModifyRuleOutput](s, refusedAction[elb.ModifyRuleInput]{"ModifyRule", rulesElsewhere, func(in *elb.ModifyRuleInput) string { return *in.RuleArn }, func(in *elb.ModifyRuleInput) error {
			return onlyDefault(s.DB.Current(), *in.RuleArn)
		}}),
		refuse[elb.DeleteRuleInput, elb.DeleteRuleOutput](s, refusedAction[elb.DeleteRuleInput]{"DeleteRule", rulesElsewhere, func(in *elb.DeleteRuleInput) string { return *in.RuleArn }, func(in *elb.DeleteRuleInput) error {
			return onlyDefault(s.DB.Current(), *in.RuleArn)
		}}),
		refuse[elb.SetRulePrioritiesInput, elb.SetRulePrioritiesOutput](s, refusedAction[elb.SetRulePrioritiesInput]{"SetRulePriorities", rulesElsewhere, firstRule, func(in *elb.SetRulePrioritiesInput) error {
			return onlyDefault(s.DB.Current(), firstRule(in))
		}}),
	}
}

// firstRule is the first rule that a request names; AWS would refuse each of
// them alike.
func firstRule(in *elb.SetRulePrioritiesInput) string {
	if len(in.RulePriorities) == 0 {
		return balancing.AnyResource
	}
	return aws.ToString(in.RulePriorities[0].RuleArn)
}
