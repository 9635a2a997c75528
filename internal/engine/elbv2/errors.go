package elbv2

import (
	"errors"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/engine/attributes"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// invalid is a request that can never be right: ValidationError.
func invalid(format string, args ...any) error { return wire.ValidationErrorf(format, args...) }

// unfit is a request that does not fit the resource: InvalidConfigurationRequest.
func unfit(format string, args ...any) error {
	return wire.Errorf("InvalidConfigurationRequest", format, args...)
}

// notOffered is a feature of AWS's that this endpoint does not have.
func notOffered(format string, args ...any) error {
	return wire.Errorf("OperationNotPermitted", format, args...)
}

// attributeError gives a refusal of the attributes package AWS's code.
func attributeError(err error) error {
	switch {
	case errors.Is(err, attributes.ErrUnsupported):
		return unfit("%s", err)
	case errors.Is(err, attributes.ErrInvalid):
		return invalid("%s", err)
	default:
		return err
	}
}

func balancersNotFound(names ...string) error {
	return wire.Errorf("LoadBalancerNotFound", "Load balancers '[%s]' not found", strings.Join(names, ", "))
}

// notFound is the error for an absent resource, by noun.
func notFound(n noun, arn string) error {
	switch n {
	case balancerNoun:
		return balancersNotFound(arn)
	case groupNoun:
		return wire.Errorf("TargetGroupNotFound", "Target groups '%s' not found", arn)
	case listenerNoun:
		return wire.Errorf("ListenerNotFound", "Listener '%s' not found", arn)
	case ruleNoun:
		return wire.Errorf("RuleNotFound", "Rule '%s' not found", arn)
	case trustStoreNoun:
		return wire.Errorf("TrustStoreNotFound", "Trust store '%s' not found", arn)
	default:
		return invalid("'%s' is not a valid ARN of this service", arn)
	}
}
