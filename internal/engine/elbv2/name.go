package elbv2

import (
	"strings"

	"github.com/fairlead-lb/fairlead/internal/engine/balancing"
)

func checkBalancerName(name string) error {
	if err := balancing.CheckName("Load balancer", name); err != nil {
		return err
	}
	if strings.HasPrefix(name, "internal-") {
		return invalid("Load balancer name '%s' cannot begin with 'internal-'", name)
	}
	return nil
}
