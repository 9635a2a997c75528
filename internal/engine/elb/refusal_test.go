package elb_test

import (
	"context"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing/types"

	"github.com/fairlead-lb/fairlead/internal/apitest"
)

func TestRefusedCreates(t *testing.T) {
	r := newRig(t)
	one := func(l types.Listener) func(*sdk.CreateLoadBalancerInput) {
		return func(in *sdk.CreateLoadBalancerInput) { in.Listeners = []types.Listener{l} }
	}
	certified := func(l types.Listener, arn string) types.Listener {
		l.SSLCertificateId = &arn
		return l
	}
	const absent = "arn:aws:acm:us-west-2:000000000000:certificate/00000000-0000-0000-0000-000000000000"
	for name, c := range map[string]struct {
		edit func(*sdk.CreateLoadBalancerInput)
		want string
	}{
		"an empty name":                   {func(in *sdk.CreateLoadBalancerInput) { in.LoadBalancerName = aws.String("") }, "ValidationError 400"},
		"a name of 33 characters":         {func(in *sdk.CreateLoadBalancerInput) { in.LoadBalancerName = aws.String(strings.Repeat("a", 33)) }, "ValidationError 400"},
		"a name with an underscore":       {func(in *sdk.CreateLoadBalancerInput) { in.LoadBalancerName = aws.String("a_b") }, "ValidationError 400"},
		"a name that ends in a hyphen":    {func(in *sdk.CreateLoadBalancerInput) { in.LoadBalancerName = aws.String("a-") }, "ValidationError 400"},
		"no listener":                     {func(in *sdk.CreateLoadBalancerInput) { in.Listeners = []types.Listener{} }, "ValidationError 400"},
		"an unknown scheme":               {func(in *sdk.CreateLoadBalancerInput) { in.Scheme = aws.String("public") }, "InvalidScheme 400"},
		"no subnet and no zone":           {func(in *sdk.CreateLoadBalancerInput) { in.Subnets = nil }, "ValidationError 400"},
		"subnets and zones":               {func(in *sdk.CreateLoadBalancerInput) { in.AvailabilityZones = []string{"us-west-2a"} }, "ValidationError 400"},
		"a zone without a default subnet": {func(in *sdk.CreateLoadBalancerInput) { in.Subnets, in.AvailabilityZones = nil, []string{"us-west-2c"} }, "ValidationError 400"},
		"an unknown subnet":               {func(in *sdk.CreateLoadBalancerInput) { in.Subnets = []string{"subnet-x"} }, "SubnetNotFound 400"},
		"two subnets in a zone":           {func(in *sdk.CreateLoadBalancerInput) { in.Subnets = []string{"subnet-a", "subnet-a2"} }, "InvalidConfigurationRequest 409"},
		"subnets of two VPCs":             {func(in *sdk.CreateLoadBalancerInput) { in.Subnets = []string{"subnet-a", "subnet-default-b"} }, "InvalidSubnet 400"},
		"public without a gateway": {func(in *sdk.CreateLoadBalancerInput) {
			in.Subnets, in.SecurityGroups = []string{"subnet-default-a"}, nil
		}, "InvalidSubnet 400"},
		"an unknown security group": {func(in *sdk.CreateLoadBalancerInput) { in.SecurityGroups = []string{"sg-x"} }, "InvalidSecurityGroup 400"},
		"a group of another VPC":    {func(in *sdk.CreateLoadBalancerInput) { in.SecurityGroups = []string{"sg-other"} }, "InvalidSecurityGroup 400"},
		"six security groups":       {func(in *sdk.CreateLoadBalancerInput) { in.SecurityGroups = strings.Split("abcdef", "") }, "InvalidConfigurationRequest 409"},
		"a tag twice": {func(in *sdk.CreateLoadBalancerInput) {
			in.Tags = []types.Tag{{Key: aws.String("a")}, {Key: aws.String("a")}}
		}, "DuplicateTagKeys 400"},
		"a reserved tag":                  {func(in *sdk.CreateLoadBalancerInput) { in.Tags = []types.Tag{{Key: aws.String("aws:a")}} }, "ValidationError 400"},
		"UDP":                             {one(listens("UDP", 53, "UDP", 53)), "UnsupportedProtocol 400"},
		"an unknown instance protocol":    {one(listens("TCP", 80, "QUIC", 80)), "UnsupportedProtocol 400"},
		"port 0":                          {one(listens("TCP", 0, "", 80)), "ValidationError 400"},
		"instance port 65536":             {one(listens("TCP", 80, "", 65536)), "ValidationError 400"},
		"HTTP in front of TCP":            {one(listens("HTTP", 80, "TCP", 80)), "InvalidConfigurationRequest 409"},
		"HTTPS without a certificate":     {one(listens("HTTPS", 443, "", 80)), "ValidationError 400"},
		"a certificate that is none":      {one(certified(listens("SSL", 443, "", 80), "x")), "CertificateNotFound 400"},
		"a certificate that is not there": {one(certified(listens("SSL", 443, "", 80), absent)), "CertificateNotFound 400"},
		"a certificate for TCP":           {one(certified(listens("TCP", 443, "", 80), absent)), "ValidationError 400"},
		"one port twice": {func(in *sdk.CreateLoadBalancerInput) {
			in.Listeners = []types.Listener{listens("TCP", 80, "", 80), listens("TCP", 80, "", 81)}
		}, "DuplicateListener 400"},
		"an instance port both with TLS and without": {func(in *sdk.CreateLoadBalancerInput) {
			in.Listeners = []types.Listener{listens("TCP", 80, "TCP", 80), listens("TCP", 81, "SSL", 80)}
		}, "InvalidConfigurationRequest 409"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.CreateLoadBalancer(t.Context(), input("web", c.edit))
			if got := failure(err); got != c.want {
				t.Errorf("%s (%v), want %s", got, err, c.want)
			}
		})
	}
	if got := apitest.Must(r.DescribeLoadBalancers(t.Context(), &sdk.DescribeLoadBalancersInput{}))(t); len(got.LoadBalancerDescriptions) != 0 {
		t.Errorf("refused creates left %d load balancers", len(got.LoadBalancerDescriptions))
	}
}

// refused is a request and how it fails.
type refused struct {
	call func(context.Context, *sdk.Client) error
	want string
}

func fails[I, O any](call func(*sdk.Client, context.Context, I, ...func(*sdk.Options)) (O, error), in I, want string) refused {
	return refused{func(ctx context.Context, c *sdk.Client) error { _, err := call(c, ctx, in); return err }, want}
}

func TestRefusedChanges(t *testing.T) {
	r := newRig(t)
	r.create("web", func(in *sdk.CreateLoadBalancerInput) {
		in.Listeners = []types.Listener{listens("TCP", 80, "TCP", 30080), listens("HTTP", 8080, "HTTP", 30081)}
	})
	web, other := aws.String("web"), aws.String("other")
	const conflict, invalid, absent = "InvalidConfigurationRequest 409", "ValidationError 400", "LoadBalancerNotFound 400"
	attributes := func(a types.LoadBalancerAttributes) *sdk.ModifyLoadBalancerAttributesInput {
		return &sdk.ModifyLoadBalancerAttributesInput{LoadBalancerName: web, LoadBalancerAttributes: &a}
	}
	instance := func(name *string, id string) *sdk.RegisterInstancesWithLoadBalancerInput {
		return &sdk.RegisterInstancesWithLoadBalancerInput{LoadBalancerName: name, Instances: instances(id)}
	}
	for name, c := range map[string]refused{
		"describe an absent one with others":    fails((*sdk.Client).DescribeLoadBalancers, &sdk.DescribeLoadBalancersInput{LoadBalancerNames: []string{"web", "other"}}, absent),
		"a page of 401":                         fails((*sdk.Client).DescribeLoadBalancers, &sdk.DescribeLoadBalancersInput{PageSize: aws.Int32(401)}, invalid),
		"a marker that is none":                 fails((*sdk.Client).DescribeLoadBalancers, &sdk.DescribeLoadBalancersInput{Marker: aws.String("?")}, invalid),
		"attach an absent subnet":               fails((*sdk.Client).AttachLoadBalancerToSubnets, &sdk.AttachLoadBalancerToSubnetsInput{LoadBalancerName: web, Subnets: []string{"subnet-x"}}, "SubnetNotFound 400"),
		"attach no subnet":                      fails((*sdk.Client).AttachLoadBalancerToSubnets, &sdk.AttachLoadBalancerToSubnetsInput{LoadBalancerName: web, Subnets: []string{}}, invalid),
		"attach a second subnet of a zone":      fails((*sdk.Client).AttachLoadBalancerToSubnets, &sdk.AttachLoadBalancerToSubnetsInput{LoadBalancerName: web, Subnets: []string{"subnet-a2"}}, conflict),
		"attach a subnet of another VPC":        fails((*sdk.Client).AttachLoadBalancerToSubnets, &sdk.AttachLoadBalancerToSubnetsInput{LoadBalancerName: web, Subnets: []string{"subnet-default-a"}}, "InvalidSubnet 400"),
		"attach to an absent one":               fails((*sdk.Client).AttachLoadBalancerToSubnets, &sdk.AttachLoadBalancerToSubnetsInput{LoadBalancerName: other, Subnets: []string{"subnet-a"}}, absent),
		"detach the last subnets":               fails((*sdk.Client).DetachLoadBalancerFromSubnets, &sdk.DetachLoadBalancerFromSubnetsInput{LoadBalancerName: web, Subnets: []string{"subnet-a", "subnet-b"}}, conflict),
		"disable the last zones":                fails((*sdk.Client).DisableAvailabilityZonesForLoadBalancer, &sdk.DisableAvailabilityZonesForLoadBalancerInput{LoadBalancerName: web, AvailabilityZones: []string{"us-west-2a", "us-west-2b"}}, conflict),
		"enable a zone outside the default VPC": fails((*sdk.Client).EnableAvailabilityZonesForLoadBalancer, &sdk.EnableAvailabilityZonesForLoadBalancerInput{LoadBalancerName: web, AvailabilityZones: []string{"us-west-2c"}}, invalid),
		"no security group":                     fails((*sdk.Client).ApplySecurityGroupsToLoadBalancer, &sdk.ApplySecurityGroupsToLoadBalancerInput{LoadBalancerName: web, SecurityGroups: []string{}}, conflict),
		"an absent security group":              fails((*sdk.Client).ApplySecurityGroupsToLoadBalancer, &sdk.ApplySecurityGroupsToLoadBalancerInput{LoadBalancerName: web, SecurityGroups: []string{"sg-x"}}, "InvalidSecurityGroup 400"),
		"a listener on a port in use":           fails((*sdk.Client).CreateLoadBalancerListeners, &sdk.CreateLoadBalancerListenersInput{LoadBalancerName: web, Listeners: []types.Listener{listens("TCP", 80, "TCP", 1)}}, "DuplicateListener 400"),
		"no new listener":                       fails((*sdk.Client).CreateLoadBalancerListeners, &sdk.CreateLoadBalancerListenersInput{LoadBalancerName: web, Listeners: []types.Listener{}}, invalid),
		"listeners of an absent one":            fails((*sdk.Client).DeleteLoadBalancerListeners, &sdk.DeleteLoadBalancerListenersInput{LoadBalancerName: other, LoadBalancerPorts: []int32{80}}, absent),
		"a certificate for a plain listener":    fails((*sdk.Client).SetLoadBalancerListenerSSLCertificate, &sdk.SetLoadBalancerListenerSSLCertificateInput{LoadBalancerName: web, LoadBalancerPort: 80, SSLCertificateId: aws.String("x")}, conflict),
		"a certificate for no listener":         fails((*sdk.Client).SetLoadBalancerListenerSSLCertificate, &sdk.SetLoadBalancerListenerSSLCertificateInput{LoadBalancerName: web, LoadBalancerPort: 443, SSLCertificateId: aws.String("x")}, "ListenerNotFound 400"),
		"a policy of an unknown type":           fails((*sdk.Client).CreateLoadBalancerPolicy, policy("p", "Nonsense"), "PolicyTypeNotFound 400"),
		"a policy with an unknown attribute":    fails((*sdk.Client).CreateLoadBalancerPolicy, policy("p", "ProxyProtocolPolicyType", "Nonsense", "true"), conflict),
		"a policy without its attribute":        fails((*sdk.Client).CreateLoadBalancerPolicy, policy("p", "ProxyProtocolPolicyType"), conflict),
		"a policy with an attribute twice":      fails((*sdk.Client).CreateLoadBalancerPolicy, policy("p", "PublicKeyPolicyType", "PublicKey", "a", "PublicKey", "b"), conflict),
		"a boolean that is none":                fails((*sdk.Client).CreateLoadBalancerPolicy, policy("p", "ProxyProtocolPolicyType", "ProxyProtocol", "yes"), conflict),
		"a policy name with a slash":            fails((*sdk.Client).CreateLoadBalancerPolicy, policy("p/q", "ProxyProtocolPolicyType", "ProxyProtocol", "true"), invalid),
		"an unknown reference policy":           fails((*sdk.Client).CreateLoadBalancerPolicy, policy("p", "SSLNegotiationPolicyType", "Reference-Security-Policy", "x"), conflict),
		"a reference and a cipher":              fails((*sdk.Client).CreateLoadBalancerPolicy, policy("p", "SSLNegotiationPolicyType", "Reference-Security-Policy", "ELBSecurityPolicy-2016-08", "AES128-SHA", "true"), conflict),
		"an absent public key":                  fails((*sdk.Client).CreateLoadBalancerPolicy, policy("p", "BackendServerAuthenticationPolicyType", "PublicKeyPolicyName", "x"), "PolicyNotFound 400"),
		"a cookie without a name":               fails((*sdk.Client).CreateAppCookieStickinessPolicy, &sdk.CreateAppCookieStickinessPolicyInput{LoadBalancerName: web, PolicyName: aws.String("p"), CookieName: aws.String("")}, conflict),
		"a cookie that expires at once":         fails((*sdk.Client).CreateLBCookieStickinessPolicy, &sdk.CreateLBCookieStickinessPolicyInput{LoadBalancerName: web, PolicyName: aws.String("p"), CookieExpirationPeriod: aws.Int64(0)}, conflict),
		"types that do not exist":               fails((*sdk.Client).DescribeLoadBalancerPolicyTypes, &sdk.DescribeLoadBalancerPolicyTypesInput{PolicyTypeNames: []string{"x"}}, "PolicyTypeNotFound 400"),
		"a sample that does not exist":          fails((*sdk.Client).DescribeLoadBalancerPolicies, &sdk.DescribeLoadBalancerPoliciesInput{PolicyNames: []string{"x"}}, "PolicyNotFound 400"),
		"policies of an absent one":             fails((*sdk.Client).DescribeLoadBalancerPolicies, &sdk.DescribeLoadBalancerPoliciesInput{LoadBalancerName: other}, absent),
		"an absent policy for a listener":       fails((*sdk.Client).SetLoadBalancerPoliciesOfListener, &sdk.SetLoadBalancerPoliciesOfListenerInput{LoadBalancerName: web, LoadBalancerPort: 80, PolicyNames: []string{"x"}}, "PolicyNotFound 400"),
		"policies for no listener":              fails((*sdk.Client).SetLoadBalancerPoliciesOfListener, &sdk.SetLoadBalancerPoliciesOfListenerInput{LoadBalancerName: web, LoadBalancerPort: 81, PolicyNames: []string{}}, "ListenerNotFound 400"),
		"an absent policy for instances":        fails((*sdk.Client).SetLoadBalancerPoliciesForBackendServer, &sdk.SetLoadBalancerPoliciesForBackendServerInput{LoadBalancerName: web, InstancePort: aws.Int32(30080), PolicyNames: []string{"x"}}, "PolicyNotFound 400"),
		"register an absent instance":           fails((*sdk.Client).RegisterInstancesWithLoadBalancer, instance(web, "i-x"), "InvalidInstance 400"),
		"register an instance of another VPC":   fails((*sdk.Client).RegisterInstancesWithLoadBalancer, instance(web, "i-elsewhere"), "InvalidInstance 400"),
		"register with an absent one":           fails((*sdk.Client).RegisterInstancesWithLoadBalancer, instance(other, "i-a"), absent),
		"deregister an absent instance":         fails((*sdk.Client).DeregisterInstancesFromLoadBalancer, &sdk.DeregisterInstancesFromLoadBalancerInput{LoadBalancerName: web, Instances: instances("i-x")}, "InvalidInstance 400"),
		"health of an absent instance":          fails((*sdk.Client).DescribeInstanceHealth, &sdk.DescribeInstanceHealthInput{LoadBalancerName: web, Instances: instances("i-x")}, "InvalidInstance 400"),
		"health of an absent one":               fails((*sdk.Client).DescribeInstanceHealth, &sdk.DescribeInstanceHealthInput{LoadBalancerName: other}, absent),
		"an idle timeout of 0":                  fails((*sdk.Client).ModifyLoadBalancerAttributes, attributes(types.LoadBalancerAttributes{ConnectionSettings: &types.ConnectionSettings{IdleTimeout: aws.Int32(0)}}), invalid),
		"an idle timeout of 4001":               fails((*sdk.Client).ModifyLoadBalancerAttributes, attributes(types.LoadBalancerAttributes{ConnectionSettings: &types.ConnectionSettings{IdleTimeout: aws.Int32(4001)}}), invalid),
		"draining for 3601 seconds":             fails((*sdk.Client).ModifyLoadBalancerAttributes, attributes(types.LoadBalancerAttributes{ConnectionDraining: &types.ConnectionDraining{Enabled: true, Timeout: aws.Int32(3601)}}), invalid),
		"access logs without a bucket":          fails((*sdk.Client).ModifyLoadBalancerAttributes, attributes(types.LoadBalancerAttributes{AccessLog: &types.AccessLog{Enabled: true}}), conflict),
		"access logs every 7 minutes":           fails((*sdk.Client).ModifyLoadBalancerAttributes, attributes(types.LoadBalancerAttributes{AccessLog: &types.AccessLog{EmitInterval: aws.Int32(7)}}), invalid),
		"an unknown attribute":                  fails((*sdk.Client).ModifyLoadBalancerAttributes, attributes(types.LoadBalancerAttributes{AdditionalAttributes: []types.AdditionalAttribute{{Key: aws.String("x")}}}), "LoadBalancerAttributeNotFound 400"),
		"an unknown desync mode":                fails((*sdk.Client).ModifyLoadBalancerAttributes, attributes(types.LoadBalancerAttributes{AdditionalAttributes: []types.AdditionalAttribute{{Key: aws.String("elb.http.desyncmitigationmode"), Value: aws.String("x")}}}), invalid),
		"attributes of an absent one":           fails((*sdk.Client).DescribeLoadBalancerAttributes, &sdk.DescribeLoadBalancerAttributesInput{LoadBalancerName: other}, absent),
		"tags for two":                          fails((*sdk.Client).AddTags, &sdk.AddTagsInput{LoadBalancerNames: []string{"web", "web"}, Tags: []types.Tag{{Key: aws.String("a")}}}, invalid),
		"no tag":                                fails((*sdk.Client).AddTags, &sdk.AddTagsInput{LoadBalancerNames: []string{"web"}, Tags: []types.Tag{}}, invalid),
		"tags of an absent one":                 fails((*sdk.Client).DescribeTags, &sdk.DescribeTagsInput{LoadBalancerNames: []string{"web", "other"}}, absent),
		"tags of 21":                            fails((*sdk.Client).DescribeTags, &sdk.DescribeTagsInput{LoadBalancerNames: strings.Split("abcdefghijklmnopqrstu", "")}, invalid),
		"remove tags of an absent one":          fails((*sdk.Client).RemoveTags, &sdk.RemoveTagsInput{LoadBalancerNames: []string{"other"}, Tags: []types.TagKeyOnly{{Key: aws.String("a")}}}, absent),
	} {
		t.Run(name, func(t *testing.T) {
			err := c.call(t.Context(), r.Client)
			if got := failure(err); got != c.want {
				t.Errorf("%s (%v), want %s", got, err, c.want)
			}
		})
	}
}

// policy is a request for a policy of the load balancer web; attributes are
// names and values by turns.
func policy(name, policyType string, attributes ...string) *sdk.CreateLoadBalancerPolicyInput {
	in := &sdk.CreateLoadBalancerPolicyInput{LoadBalancerName: aws.String("web"), PolicyName: &name, PolicyTypeName: &policyType}
	for i := 0; i < len(attributes); i += 2 {
		in.PolicyAttributes = append(in.PolicyAttributes, types.PolicyAttribute{AttributeName: &attributes[i], AttributeValue: &attributes[i+1]})
	}
	return in
}

func TestHealthCheckTargets(t *testing.T) {
	r := newRig(t)
	r.create("web")
	long := strings.Repeat("a", 1024-len("HTTP:80/"))
	for target, ok := range map[string]bool{
		"TCP:80": true, "ssl:443": true, "HTTP:80/": true, "HTTPS:65535/ping/this/path?deep=1": true, "HTTP:80/" + long: true,
		"": false, "TCP": false, "TCP:": false, "TCP:0": false, "TCP:65536": false, "TCP:80/": false, "SSL:443/x": false,
		"HTTP:80": false, "HTTP:/": false, "HTTP:x/": false, "HTTP:-1/": false, "HTTP:80/a b": false, "UDP:53": false, "80": false,
		"HTTP:80/" + long + "a": false, "HTTP:80/a\nb": false,
	} {
		in := check(target)
		_, err := r.ConfigureHealthCheck(t.Context(), &sdk.ConfigureHealthCheckInput{LoadBalancerName: aws.String("web"), HealthCheck: in})
		switch {
		case ok && err != nil:
			t.Errorf("target %q: %v", target, err)
		case ok && *r.describe("web").HealthCheck.Target != target:
			t.Errorf("target %q is shown as %q", target, *r.describe("web").HealthCheck.Target)
		case !ok && failure(err) != "ValidationError 400":
			t.Errorf("target %q: %v, want a ValidationError", target, err)
		}
	}
}

func TestHealthCheckNumbers(t *testing.T) {
	r := newRig(t)
	r.create("web")
	for name, edit := range map[string]func(*types.HealthCheck){
		"an interval of 4":              func(h *types.HealthCheck) { h.Interval = aws.Int32(4) },
		"an interval of 301":            func(h *types.HealthCheck) { h.Interval = aws.Int32(301) },
		"a timeout of 1":                func(h *types.HealthCheck) { h.Timeout = aws.Int32(1) },
		"a timeout of 61":               func(h *types.HealthCheck) { h.Timeout, h.Interval = aws.Int32(61), aws.Int32(100) },
		"a timeout as long as the rest": func(h *types.HealthCheck) { h.Timeout = h.Interval },
		"an unhealthy threshold of 11":  func(h *types.HealthCheck) { h.UnhealthyThreshold = aws.Int32(11) },
		"a healthy threshold of 1":      func(h *types.HealthCheck) { h.HealthyThreshold = aws.Int32(1) },
	} {
		t.Run(name, func(t *testing.T) {
			in := check("TCP:80")
			edit(in)
			_, err := r.ConfigureHealthCheck(t.Context(), &sdk.ConfigureHealthCheckInput{LoadBalancerName: aws.String("web"), HealthCheck: in})
			if failure(err) != "ValidationError 400" {
				t.Errorf("%v, want a ValidationError", err)
			}
		})
	}
}
