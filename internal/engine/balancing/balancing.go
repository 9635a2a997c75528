// Package balancing is what both versions of the Elastic Load Balancing API
// have in common: the addresses of load balancers, subnets and security groups
// they may have, names, tags, pages and permissions.
//
// Invariants: what reads or writes the state does so in the caller's
// transaction; the rest is pure. Errors are AWS's and go to clients as they are.
package balancing

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

const maxNameLength = 32

var namePattern = regexp.MustCompile(`^[A-Za-z0-9-]+$`)

// CheckName applies the rules that names of load balancers and target groups
// share. What begins the message, such as "Load balancer".
func CheckName(what, name string) error {
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

// certificatePattern is an ACM certificate or an IAM server certificate.
var certificatePattern = regexp.MustCompile(`^arn:aws[a-z-]*:(acm:[a-z0-9-]+:[0-9]{12}:certificate/[A-Za-z0-9-]+|iam::[0-9]{12}:server-certificate/[A-Za-z0-9+=,.@_/-]+)$`)

// IsCertificateARN reports whether an ARN can be that of a certificate.
func IsCertificateARN(arn string) bool { return certificatePattern.MatchString(arn) }

// HostedZone is the one of a region. Regions that AWS does not have get one that
// is none: clients only pass it on.
func HostedZone(zones map[string]string, region string) string {
	return cmp.Or(zones[region], "Z00000000000000000000")
}

// ReachesInternet reports whether the VPC has a subnet whose default route is
// an internet gateway.
func ReachesInternet(network *inventory.Index, vpc string) bool {
	if v, _ := network.VPC(vpc); v.InternetGatewayID != "" {
		return true
	}
	return slices.ContainsFunc(network.Subnets, func(s inventory.Subnet) bool { return s.VPCID == vpc && s.Public })
}

// CheckSecurityGroups wants every group to exist in a VPC.
func CheckSecurityGroups(r store.Reader, network *inventory.Index, vpcID string, ids []string) error {
	for _, id := range ids {
		vpc, ok := "", false
		if g, found := state.SecurityGroups.Get(r, id); found {
			vpc, ok = g.VPCID, true
		} else if g, found := network.SecurityGroup(id); found {
			vpc, ok = g.VPCID, true
		}
		switch {
		case !ok:
			return wire.Errorf("InvalidSecurityGroup", "One or more security groups are invalid: '%s' does not exist", id)
		case vpc != vpcID:
			return wire.Errorf("InvalidSecurityGroup", "One or more security groups are invalid: '%s' does not belong to VPC '%s'", id, vpcID)
		}
	}
	return nil
}

// TooMany is the error for a quota: code is AWS's, what is counted in plural.
func TooMany(code, what string, limit int) error {
	return wire.Errorf(code, "The maximum number of %s has been reached: %d", what, limit)
}

// CheckRange accepts an absent number and one within its bounds.
func CheckRange(member string, value *int32, low, high int32) error {
	switch {
	case value == nil || *value >= low && *value <= high:
		return nil
	case *value < low:
		return invalid("1 validation error detected: Value '%d' at '%s' failed to satisfy constraint: Member must have value greater than or equal to %d", *value, member, low)
	default:
		return invalid("1 validation error detected: Value '%d' at '%s' failed to satisfy constraint: Member must have value less than or equal to %d", *value, member, high)
	}
}

func invalid(format string, args ...any) error { return wire.ValidationErrorf(format, args...) }
