package elb

import (
	"fmt"
	"net/http"

	"github.com/fairlead-lb/fairlead/internal/wire"
)

// invalid is a request that can never be right: ValidationError.
func invalid(format string, args ...any) error { return wire.ValidationErrorf(format, args...) }

// conflict is a request that does not fit the load balancer. Version 2012-06-01
// answers it with another status than 2015-12-01.
func conflict(format string, args ...any) error {
	return &wire.Error{Code: "InvalidConfigurationRequest", Message: fmt.Sprintf(format, args...), Status: http.StatusConflict}
}

func balancerNotFound(name string) error {
	return wire.Errorf("LoadBalancerNotFound", "There is no ACTIVE Load Balancer named '%s'", name)
}

func listenerNotFound(name string, port int32) error {
	return wire.Errorf("ListenerNotFound", "The load balancer '%s' has no listener on port %d", name, port)
}

func policyNotFound(policy, balancer string) error {
	return wire.Errorf("PolicyNotFound", "There is no policy with name '%s' for load balancer '%s'", policy, balancer)
}

func invalidInstance(format string, args ...any) error {
	return wire.Errorf("InvalidInstance", format, args...)
}
