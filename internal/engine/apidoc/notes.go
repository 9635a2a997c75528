package main

const networkIntro = "Load balancers of type `network` with TCP, TLS, UDP and TCP_UDP listeners and target groups of type `instance` and `ip`. " +
	"Application and gateway load balancers, QUIC, and target groups of type `alb` and `lambda` are refused wherever a request names them. " +
	"Edges serve TLS listeners, and target groups that want PROXY protocol, in user space; the rest they forward by packets."

const classicIntro = "Classic Load Balancers in a VPC. Edges probe registered instances, and health is what they found. " +
	"Edges serve TCP, SSL, HTTP and HTTPS listeners in user space ([what they do](classic.md))."

// networkNotes say what a reader would not expect from AWS's own reference.
var networkNotes = map[string]string{
	"CreateLoadBalancer":             "type `network` only; the same settings again succeed",
	"SetSubnets":                     "zones can be added and removed; a subnet that stays keeps its addresses",
	"SetSecurityGroups":              "only if the load balancer was created with groups, as on AWS",
	"CreateListener":                 "forward actions to up to five weighted target groups",
	"CreateTargetGroup":              "types `instance` and `ip`, IPv4 and IPv6",
	"RegisterTargets":                "instances of the inventory, addresses of the VPC, and private addresses outside it with the zone `all`",
	"DeregisterTargets":              "an absent target is fine",
	"DescribeTargetHealth":           "what the edges of the target's zones found; healthy when any of them can reach it",
	"DeleteLoadBalancer":             "an absent one is fine; deletion protection is honoured",
	"DescribeRules":                  "the default rule of every listener",
	"DescribeTrustStores":            "always an empty list",
	"DescribeTags":                   "at most 20 resources a call",
	"DescribeSSLPolicies":            "the policies of Network Load Balancers without post-quantum and FIPS ones",
	"DescribeAccountLimits":          "the quotas that are enforced",
	"ModifyCapacityReservation":      "kept and shown as provisioned; edges have the capacity of their machine",
	"DescribeCapacityReservation":    "as reserved",
	"DescribeLoadBalancerAttributes": "`fairlead.data_path` and `fairlead.data_path.cost` beside AWS's own while an edge takes packets by less than native XDP",
	"ModifyLoadBalancerAttributes":   "every attribute of Network Load Balancers; edges deliver the access logs of TLS listeners, whether a bucket exists is not checked",
	"AddListenerCertificates":        "certificates of the ACM that the engine serves",
	"DescribeListenerCertificates":   "the default certificate first",
	"RemoveListenerCertificates":     "the default certificate stays",
	"ModifyTargetGroup":              "the health check, in place",
	"DeleteTargetGroup":              "ResourceInUse while a listener forwards to it",
	"SetIpAddressType":               "`ipv4` and `dualstack`",
}

var classicNotes = map[string]string{
	"CreateLoadBalancer":                      "the same settings again succeed; zones stand for subnets of the default VPC",
	"DescribeLoadBalancers":                   "by name it fails whole when one is absent",
	"DeleteLoadBalancer":                      "an absent one is fine",
	"AttachLoadBalancerToSubnets":             "one subnet in each zone",
	"EnableAvailabilityZonesForLoadBalancer":  "in the default VPC only, as on AWS",
	"DisableAvailabilityZonesForLoadBalancer": "one zone has to stay",
	"DetachLoadBalancerFromSubnets":           "one subnet has to stay",
	"CreateLoadBalancerListeners":             "HTTP, HTTPS, TCP and SSL; a listener that is there already must be the same",
	"DeleteLoadBalancerListeners":             "absent ones are fine; policies of instance ports that no listener uses go with them",
	"CreateLoadBalancerPolicy":                "all six policy types",
	"DeleteLoadBalancerPolicy":                "not while anything uses it",
	"DescribeLoadBalancerPolicies":            "without a load balancer: the predefined security policies from 2015-02 on",
	"ConfigureHealthCheck":                    "probed by edges; HTTP and HTTPS pass with 200 alone",
	"DescribeInstanceHealth":                  "what edges found; OutOfService until one has",
	"DeregisterInstancesFromLoadBalancer":     "with connection draining the instance stays until its time is over",
	"ModifyLoadBalancerAttributes":            "every attribute; edges deliver access logs, whether a bucket exists is not checked",
	"DescribeTags":                            "at most 20 load balancers a call",
	"DescribeAccountLimits":                   "the quotas that are enforced",
}
