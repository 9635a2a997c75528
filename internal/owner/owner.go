// Package owner makes the names and tags that say whose a resource is.
//
// Invariants: the package is pure and its results never change for the same
// arguments. Names are part of what is stored in AWS and in records on
// Services, so changing how they are made renames every load balancer.
package owner

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"
)

// Tag keys on everything that the controller creates.
const (
	TagCluster  = "fairlead.io/cluster"     // the cluster's name
	TagService  = "fairlead.io/service"     // namespace/name
	TagUID      = "fairlead.io/service-uid" // tells a Service from a later one of its name
	TagResource = "fairlead.io/resource"    // what it is for its owner, such as target-group/http
	TagPrefix   = "fairlead.io/"

	// TagKubernetesCluster plus the cluster's name marks what belongs to a
	// cluster; its value is owned or shared. Subnets and the nodes' security
	// groups carry it.
	TagKubernetesCluster = "kubernetes.io/cluster/"
)

// PolicyPrefix begins the names of the policies that we make on Classic Load
// Balancers. What such a policy says never changes under its name.
const PolicyPrefix = "fairlead-"

// maxName is the limit of load balancer and target group names in ELBv2.
const maxName = 32

// Service is the owner of a load balancer.
type Service struct {
	Cluster   string
	Namespace string
	Name      string
	UID       string
}

// Tags are the tags of one of the Service's resources.
func (s Service) Tags(resource string) map[string]string {
	return map[string]string{
		TagCluster:                       s.Cluster,
		TagService:                       s.Namespace + "/" + s.Name,
		TagUID:                           s.UID,
		TagResource:                      resource,
		TagKubernetesCluster + s.Cluster: "owned",
	}
}

// Owns says whether a resource with these tags is the Service's.
func (s Service) Owns(tags map[string]string) bool {
	return tags[TagCluster] == s.Cluster && tags[TagUID] == s.UID
}

// LoadBalancerName is the name of a load balancer that the user gave no name.
// What cannot change in place belongs into variant: a load balancer that
// replaces another stands beside it for a while and needs a name of its own.
func (s Service) LoadBalancerName(variant ...string) string {
	return s.name("", variant)
}

// TargetGroupName is the name of a target group; for variant see
// LoadBalancerName.
func (s Service) TargetGroupName(key string, variant ...string) string {
	return s.name(key, append([]string{key}, variant...))
}

// FrontendName is the name of the Service's own security group.
func (s Service) FrontendName() string { return s.name("", []string{"frontend"}) }

// name is prefix, readable part and hash. The prefix keeps it from beginning
// with "internal-", which ELBv2 refuses.
func (s Service) name(key string, variant []string) string {
	const prefix = "fl-"
	sum := hash(append([]string{s.Cluster, s.UID}, variant...)...)
	room := maxName - len(prefix) - len(sum) - 1
	parts := []string{s.Namespace, s.Name}
	if key != "" {
		parts = append(parts, key)
	}
	return prefix + readable(parts, room) + "-" + sum
}

// Cluster is the owner of what all Services of a cluster share.
type Cluster string

// BackendName is the name of the cluster's shared backend security group.
func (c Cluster) BackendName() string { return "fl-backend-" + string(c) + "-" + hash(string(c)) }

// BackendTags are the tags of the shared backend security group.
func (c Cluster) BackendTags() map[string]string {
	return map[string]string{
		TagCluster:                       string(c),
		TagResource:                      "backend",
		TagKubernetesCluster + string(c): "owned",
	}
}

// RuleDescription marks the rules that are ours in groups that are not.
func (c Cluster) RuleDescription() string { return "fairlead.io/cluster=" + string(c) }

// OwnsShared says whether a group with these tags is the cluster's backend group.
func (c Cluster) OwnsShared(tags map[string]string) bool {
	return tags[TagCluster] == string(c) && tags[TagResource] == "backend"
}

// hash is 50 bits of SHA-256 in letters that names may have: two of a million
// load balancers collide with a chance of 1 in 2,000.
func hash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return strings.ToLower(base32.HexEncoding.EncodeToString(sum[:]))[:10]
}

// readable joins parts with hyphens in at most room characters. Room is shared
// fairly: short parts leave theirs to long ones.
func readable(parts []string, room int) string {
	room -= len(parts) - 1
	out := make([]string, len(parts))
	for i, p := range parts {
		out[i] = clean(p)
	}
	for over(out) > room {
		longest := 0
		for i := range out {
			if len(out[i]) > len(out[longest]) {
				longest = i
			}
		}
		out[longest] = out[longest][:len(out[longest])-1]
	}
	for i := range out {
		out[i] = strings.Trim(out[i], "-")
	}
	return strings.Trim(strings.Join(out, "-"), "-")
}

func over(parts []string) (n int) {
	for _, p := range parts {
		n += len(p)
	}
	return n
}

// clean leaves letters, digits and hyphens, all that ELBv2 names may have.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r >= 'A' && r <= 'Z':
			return r
		default:
			return '-'
		}
	}, s)
}
