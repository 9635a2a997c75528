package elb

import (
	"math/rand/v2"
	"strconv"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// arn is that of a Classic Load Balancer: its name is unique in the account and
// region, and it has no other ID.
func (s *Service) arn(name string) string {
	return "arn:aws:elasticloadbalancing:" + s.Region + ":" + s.AccountID + ":loadbalancer/" + name
}

// dnsName makes the name of a new load balancer, NAME-DIGITS.REGION.elb.…
// Clients tell a classic from a network load balancer by this form.
func (s *Service) dnsName(name string, scheme lb.Scheme) string {
	prefix := ""
	if scheme == lb.Internal {
		prefix = "internal-"
	}
	digits := strconv.FormatUint(uint64(rand.Uint32()), 10) // not secret: it keeps a new load balancer from the name of an old one
	return prefix + name + "-" + digits + "." + s.Region + ".elb.amazonaws.com"
}

// hostedZones are AWS's hosted zones for Classic Load Balancers (AWS General
// Reference, Elastic Load Balancing endpoints).
var hostedZones = map[string]string{
	"us-east-1": "Z35SXDOTRQ7X7K", "us-east-2": "Z3AADJGX6KTTL2", "us-west-1": "Z368ELLRRE2KJ0", "us-west-2": "Z1H1FL5HABSF5",
	"eu-west-1": "Z32O12XQLNTSW2", "eu-west-2": "ZHURV8PSTC4K8", "eu-west-3": "Z3Q77PNBQS71R4", "eu-central-1": "Z215JYRZR1TBD5",
	"eu-north-1": "Z23TAZ6LKFMNIO", "ap-northeast-1": "Z14GRHDCWA56QT", "ap-southeast-1": "Z1LMS91P8CMLE5", "ap-southeast-2": "Z1GM3OXH4ZPM65",
	"ap-south-1": "ZP97RAFLXTNZK", "ca-central-1": "ZQSVJUPU6J1EY", "sa-east-1": "Z2P70J7HTTTPLU",
}
