package elbv2

import (
	"regexp"
	"strings"
)

const maxNameLength = 32

var namePattern = regexp.MustCompile(`^[A-Za-z0-9-]+$`)

// checkName applies the rules that load balancer and target group names share.
func checkName(what, name string) error {
	switch {
	case name == "":
		return invalid("%s name cannot be empty", what)
	case len(name) > maxNameLength:
		return invalid("%s name '%s' cannot be longer than '%d' characters", what, name, maxNameLength)
	case !namePattern.MatchString(name):
		return invalid("%s name '%s' can only contain characters that are alphanumeric characters or hyphens(-)", what, name)
	case strings.HasPrefix(name, "-") || strings.HasSuffix(name, "-"):
		return invalid("%s name '%s' cannot begin or end with '-'", what, name)
	}
	return nil
}

func checkBalancerName(name string) error {
	if err := checkName("Load balancer", name); err != nil {
		return err
	}
	if strings.HasPrefix(name, "internal-") {
		return invalid("Load balancer name '%s' cannot begin with 'internal-'", name)
	}
	return nil
}
