package main

import (
	"errors"
	"time"

	"github.com/spf13/pflag"

	"github.com/fairlead-lb/fairlead/internal/cli"
	"github.com/fairlead-lb/fairlead/internal/engine/trouble"
)

// troubleFlags ask for the trouble that there is from the start.
type troubleFlags struct {
	provisioning, registration, deregistration, readLag time.Duration
	throttle                                            bool
	faults                                              []string
}

func (f *troubleFlags) register(flags *pflag.FlagSet) {
	flags.DurationVar(&f.provisioning, "provisioning-delay", 0, "how long a new load balancer stays in the state provisioning; AWS takes minutes")
	flags.DurationVar(&f.registration, "registration-delay", 0, "how long a new target stays initial before health checks begin")
	flags.DurationVar(&f.deregistration, "deregistration-delay", 0, "how much longer a target drains than its target group says")
	flags.DurationVar(&f.readLag, "read-lag", 0, "how far reads lag behind writes: rehearse eventual consistency")
	flags.BoolVar(&f.throttle, "throttle", false, "throttle calls by the rates that AWS publishes")
	flags.StringArrayVar(&f.faults, "fault", nil, `trouble for calls of an action, such as "CreateLoadBalancer error-after count=2" or "ec2:Describe* throttle probability=0.1" or "RegisterTargets script=pass,timeout-after"; kinds: throttle, error-before, error-after, timeout-before, timeout-after; repeatable`)
}

// settings are what the flags ask for, or every problem with them.
func (f *troubleFlags) settings() (trouble.Settings, error) {
	s := trouble.Settings{
		Provisioning: trouble.Duration(f.provisioning), Registration: trouble.Duration(f.registration),
		Deregistration: trouble.Duration(f.deregistration), ReadLag: trouble.Duration(f.readLag), Throttle: f.throttle,
	}
	var problems []error
	for _, text := range f.faults {
		fault, err := trouble.ParseFault(text)
		problems = append(problems, err)
		s.Faults = append(s.Faults, fault)
	}
	if err := errors.Join(problems...); err != nil {
		return s, cli.Usagef("%w", err)
	}
	if err := s.Validate(); err != nil {
		return s, cli.Usagef("%w", err)
	}
	return s, nil
}
