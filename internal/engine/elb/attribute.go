package elb

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing/types"

	"github.com/fairlead-lb/fairlead/internal/engine/balancing"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// desyncKey is the one additional attribute.
const desyncKey = "elb.http.desyncmitigationmode"

var desyncModes = []string{"monitor", "defensive", "strictest"}

// defaultAttributes are those of a new load balancer (user guide for Classic
// Load Balancers).
func defaultAttributes() state.ClassicAttributes {
	return state.ClassicAttributes{IdleTimeoutSeconds: 60, DrainingSeconds: 300, DesyncMode: "defensive"}
}

// Bounds in seconds (user guide for Classic Load Balancers).
const (
	maxIdleTimeout = 4000
	maxDraining    = 3600
)

func (s *Service) describeAttributes(ctx context.Context, in *elb.DescribeLoadBalancerAttributesInput) (*elb.DescribeLoadBalancerAttributesOutput, error) {
	if err := s.AllowAll(ctx, "DescribeLoadBalancerAttributes"); err != nil {
		return nil, err
	}
	b, err := s.balancer(s.DB.Current(), in.LoadBalancerName)
	if err != nil {
		return nil, err
	}
	return &elb.DescribeLoadBalancerAttributesOutput{LoadBalancerAttributes: describeAttributes(b.Attributes)}, nil
}

func describeAttributes(a state.ClassicAttributes) *types.LoadBalancerAttributes {
	log := &types.AccessLog{Enabled: a.AccessLog.Enabled}
	if a.AccessLog.EmitIntervalMinutes != 0 {
		log.EmitInterval = &a.AccessLog.EmitIntervalMinutes
	}
	if a.AccessLog.Bucket != "" {
		log.S3BucketName, log.S3BucketPrefix = &a.AccessLog.Bucket, &a.AccessLog.Prefix
	}
	return &types.LoadBalancerAttributes{
		AccessLog:              log,
		ConnectionDraining:     &types.ConnectionDraining{Enabled: a.Draining, Timeout: &a.DrainingSeconds},
		ConnectionSettings:     &types.ConnectionSettings{IdleTimeout: &a.IdleTimeoutSeconds},
		CrossZoneLoadBalancing: &types.CrossZoneLoadBalancing{Enabled: a.CrossZone},
		AdditionalAttributes:   []types.AdditionalAttribute{{Key: aws.String(desyncKey), Value: &a.DesyncMode}},
	}
}

// modifyAttributes answers with those attributes that the request has.
func (s *Service) modifyAttributes(ctx context.Context, in *elb.ModifyLoadBalancerAttributesInput) (*elb.ModifyLoadBalancerAttributesOutput, error) {
	wanted := in.LoadBalancerAttributes
	b, err := s.edit(ctx, balancing.Action{Name: "ModifyLoadBalancerAttributes"}, in.LoadBalancerName, func(_ *store.Tx, b *state.ClassicLoadBalancer) error {
		for _, set := range []func(*state.ClassicAttributes, *types.LoadBalancerAttributes) error{
			setCrossZone, setIdleTimeout, setDraining, setAccessLog, setAdditional,
		} {
			if err := set(&b.Attributes, wanted); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := describeAttributes(b.Attributes)
	if wanted.CrossZoneLoadBalancing == nil {
		out.CrossZoneLoadBalancing = nil
	}
	if wanted.ConnectionSettings == nil {
		out.ConnectionSettings = nil
	}
	if wanted.ConnectionDraining == nil {
		out.ConnectionDraining = nil
	}
	if wanted.AccessLog == nil {
		out.AccessLog = nil
	}
	if wanted.AdditionalAttributes == nil {
		out.AdditionalAttributes = nil
	}
	return &elb.ModifyLoadBalancerAttributesOutput{LoadBalancerName: &b.Name, LoadBalancerAttributes: out}, nil
}

func setCrossZone(a *state.ClassicAttributes, in *types.LoadBalancerAttributes) error {
	if in.CrossZoneLoadBalancing != nil {
		a.CrossZone = in.CrossZoneLoadBalancing.Enabled
	}
	return nil
}

func setIdleTimeout(a *state.ClassicAttributes, in *types.LoadBalancerAttributes) error {
	if in.ConnectionSettings == nil {
		return nil
	}
	a.IdleTimeoutSeconds = aws.ToInt32(in.ConnectionSettings.IdleTimeout)
	return balancing.CheckRange("loadBalancerAttributes.connectionSettings.idleTimeout", &a.IdleTimeoutSeconds, 1, maxIdleTimeout)
}

// setDraining keeps a timeout that is not mentioned.
func setDraining(a *state.ClassicAttributes, in *types.LoadBalancerAttributes) error {
	if in.ConnectionDraining == nil {
		return nil
	}
	a.Draining = in.ConnectionDraining.Enabled
	if in.ConnectionDraining.Timeout != nil {
		a.DrainingSeconds = *in.ConnectionDraining.Timeout
	}
	return balancing.CheckRange("loadBalancerAttributes.connectionDraining.timeout", &a.DrainingSeconds, 1, maxDraining)
}

func setAccessLog(a *state.ClassicAttributes, in *types.LoadBalancerAttributes) error {
	if in.AccessLog == nil {
		return nil
	}
	log := state.ClassicAccessLog{
		Enabled: in.AccessLog.Enabled, Bucket: aws.ToString(in.AccessLog.S3BucketName), Prefix: aws.ToString(in.AccessLog.S3BucketPrefix),
		EmitIntervalMinutes: aws.ToInt32(in.AccessLog.EmitInterval),
	}
	if log.EmitIntervalMinutes == 0 && log.Enabled {
		log.EmitIntervalMinutes = 60
	}
	switch {
	case log.Enabled && log.Bucket == "":
		return conflict("Access logs cannot be enabled without an S3 bucket name")
	case in.AccessLog.EmitInterval != nil && log.EmitIntervalMinutes != 5 && log.EmitIntervalMinutes != 60:
		return invalid("The access log emit interval must be 5 or 60 minutes, not %d", log.EmitIntervalMinutes)
	}
	a.AccessLog = log
	return nil
}

func setAdditional(a *state.ClassicAttributes, in *types.LoadBalancerAttributes) error {
	for _, extra := range in.AdditionalAttributes {
		key, value := aws.ToString(extra.Key), aws.ToString(extra.Value)
		switch {
		case key != desyncKey:
			return wire.Errorf("LoadBalancerAttributeNotFound", "The load balancer attribute '%s' does not exist; the one additional attribute is '%s'", key, desyncKey)
		case !slices.Contains(desyncModes, value):
			return invalid("The value '%s' of '%s' must be one of %s", value, key, strings.Join(desyncModes, ", "))
		}
		a.DesyncMode = value
	}
	return nil
}
