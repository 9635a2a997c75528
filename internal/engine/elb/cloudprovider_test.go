package elb_test

import (
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing/types"
	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/apitest"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

// The calls that cloud-provider-aws makes for a Service without a load balancer
// type, in its order.

const service = "a0123456789abcdef0123456789abcde" // its names are "a" and the Service's UID

func cloudProviderBalancer(in *sdk.CreateLoadBalancerInput) {
	in.Listeners = []types.Listener{listens("TCP", 80, "TCP", 30080)}
	in.Tags = []types.Tag{{Key: aws.String("kubernetes.io/cluster/fairlead"), Value: aws.String("owned")}, {Key: aws.String("kubernetes.io/service-name"), Value: aws.String("default/web")}}
}

func TestCloudProviderCreates(t *testing.T) {
	r := newRig(t)
	ctx, name := t.Context(), aws.String(service)
	_, err := r.DescribeLoadBalancers(ctx, &sdk.DescribeLoadBalancersInput{LoadBalancerNames: []string{service}})
	if _, typed := errors.AsType[*types.AccessPointNotFoundException](err); !typed {
		t.Fatalf("describe before create: %v", err)
	}
	r.create(service, cloudProviderBalancer)

	// The annotation for the PROXY protocol.
	apitest.Must(r.CreateLoadBalancerPolicy(ctx, &sdk.CreateLoadBalancerPolicyInput{
		LoadBalancerName: name, PolicyName: aws.String("k8s-proxyprotocol-enabled"), PolicyTypeName: aws.String("ProxyProtocolPolicyType"),
		PolicyAttributes: []types.PolicyAttribute{{AttributeName: aws.String("ProxyProtocol"), AttributeValue: aws.String("true")}},
	}))(t)
	apitest.Must(r.SetLoadBalancerPoliciesForBackendServer(ctx, &sdk.SetLoadBalancerPoliciesForBackendServerInput{LoadBalancerName: name, InstancePort: aws.Int32(30080), PolicyNames: []string{"k8s-proxyprotocol-enabled"}}))(t)

	attributes := apitest.Must(r.DescribeLoadBalancerAttributes(ctx, &sdk.DescribeLoadBalancerAttributesInput{LoadBalancerName: name}))(t).LoadBalancerAttributes
	want := &types.LoadBalancerAttributes{
		AccessLog: &types.AccessLog{}, ConnectionDraining: &types.ConnectionDraining{Timeout: aws.Int32(300)}, ConnectionSettings: &types.ConnectionSettings{IdleTimeout: aws.Int32(60)},
		CrossZoneLoadBalancing: &types.CrossZoneLoadBalancing{},
		AdditionalAttributes:   []types.AdditionalAttribute{{Key: aws.String("elb.http.desyncmitigationmode"), Value: aws.String("defensive")}},
	}
	if diff := cmp.Diff(want, attributes, ignoreInternals); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
	apitest.Must(r.ModifyLoadBalancerAttributes(ctx, &sdk.ModifyLoadBalancerAttributesInput{LoadBalancerName: name, LoadBalancerAttributes: &types.LoadBalancerAttributes{
		AccessLog: &types.AccessLog{}, ConnectionDraining: &types.ConnectionDraining{}, ConnectionSettings: &types.ConnectionSettings{IdleTimeout: aws.Int32(60)},
		CrossZoneLoadBalancing: &types.CrossZoneLoadBalancing{},
	}}))(t)
	r.describe(service)
	apitest.Must(r.ConfigureHealthCheck(ctx, &sdk.ConfigureHealthCheckInput{LoadBalancerName: name, HealthCheck: check("TCP:30080")}))(t)
	r.register(service, "i-a", "i-b")

	got := r.describe(service)
	backends := []types.BackendServerDescription{{InstancePort: aws.Int32(30080), PolicyNames: []string{"k8s-proxyprotocol-enabled"}}}
	if diff := cmp.Diff(backends, got.BackendServerDescriptions, ignoreInternals); diff != "" {
		t.Errorf("backends (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(check("TCP:30080"), got.HealthCheck, ignoreInternals); diff != "" {
		t.Errorf("health check (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(instances("i-a", "i-b"), got.Instances, ignoreInternals); diff != "" {
		t.Errorf("instances (-want +got):\n%s", diff)
	}
}

func TestCloudProviderSetsTheTLSPolicy(t *testing.T) {
	r := newRig(t)
	ctx, name, policy := t.Context(), aws.String(service), "k8s-SSLNegotiationPolicy-ELBSecurityPolicy-TLS-1-2-2017-01"
	certificate := r.certificate()
	r.create(service, func(in *sdk.CreateLoadBalancerInput) {
		l := listens("SSL", 443, "TCP", 30443)
		l.SSLCertificateId = &certificate
		in.Listeners = []types.Listener{l}
	})
	if diff := cmp.Diff([]string{"ELBSecurityPolicy-2016-08"}, r.describe(service).ListenerDescriptions[0].PolicyNames); diff != "" {
		t.Errorf("policies of a new listener with a certificate (-want +got):\n%s", diff)
	}
	_, err := r.DescribeLoadBalancerPolicies(ctx, &sdk.DescribeLoadBalancerPoliciesInput{LoadBalancerName: name, PolicyNames: []string{policy}})
	if _, typed := errors.AsType[*types.PolicyNotFoundException](err); !typed {
		t.Fatalf("describe a policy that is not there: %v", err)
	}
	apitest.Must(r.CreateLoadBalancerPolicy(ctx, &sdk.CreateLoadBalancerPolicyInput{
		LoadBalancerName: name, PolicyName: &policy, PolicyTypeName: aws.String("SSLNegotiationPolicyType"),
		PolicyAttributes: []types.PolicyAttribute{{AttributeName: aws.String("Reference-Security-Policy"), AttributeValue: aws.String("ELBSecurityPolicy-TLS-1-2-2017-01")}},
	}))(t)
	apitest.Must(r.SetLoadBalancerPoliciesOfListener(ctx, &sdk.SetLoadBalancerPoliciesOfListenerInput{LoadBalancerName: name, LoadBalancerPort: 443, PolicyNames: []string{policy}}))(t)
	if diff := cmp.Diff([]string{policy}, r.describe(service).ListenerDescriptions[0].PolicyNames); diff != "" {
		t.Errorf("policies of the listener (-want +got):\n%s", diff)
	}
	described := apitest.Must(r.DescribeLoadBalancerPolicies(ctx, &sdk.DescribeLoadBalancerPoliciesInput{LoadBalancerName: name, PolicyNames: []string{policy}}))(t)
	values := map[string]string{}
	for _, a := range described.PolicyDescriptions[0].PolicyAttributeDescriptions {
		values[*a.AttributeName] = *a.AttributeValue
	}
	for attribute, want := range map[string]string{
		"Reference-Security-Policy": "ELBSecurityPolicy-TLS-1-2-2017-01", "Protocol-TLSv1.2": "true", "Protocol-TLSv1.1": "false",
		"ECDHE-RSA-AES128-GCM-SHA256": "true", "AES128-SHA": "false",
	} {
		if values[attribute] != want {
			t.Errorf("%s = %q in a policy that refers to TLS 1.2, want %q", attribute, values[attribute], want)
		}
	}
}

func TestCloudProviderUpdates(t *testing.T) {
	r := newRig(t)
	ctx, name := t.Context(), aws.String(service)
	r.create(service, cloudProviderBalancer)
	r.register(service, "i-a", "i-b")

	apitest.Must(r.AttachLoadBalancerToSubnets(ctx, &sdk.AttachLoadBalancerToSubnetsInput{LoadBalancerName: name, Subnets: []string{"subnet-c"}}))(t)
	apitest.Must(r.DetachLoadBalancerFromSubnets(ctx, &sdk.DetachLoadBalancerFromSubnetsInput{LoadBalancerName: name, Subnets: []string{"subnet-b"}}))(t)
	groups := apitest.Must(r.ApplySecurityGroupsToLoadBalancer(ctx, &sdk.ApplySecurityGroupsToLoadBalancerInput{LoadBalancerName: name, SecurityGroups: []string{"sg-default", "sg-front"}}))(t)
	if diff := cmp.Diff([]string{"sg-default", "sg-front"}, groups.SecurityGroups); diff != "" {
		t.Errorf("security groups (-want +got):\n%s", diff)
	}
	// A changed listener is dropped and made anew.
	apitest.Must(r.DeleteLoadBalancerListeners(ctx, &sdk.DeleteLoadBalancerListenersInput{LoadBalancerName: name, LoadBalancerPorts: []int32{80, 8080}}))(t)
	apitest.Must(r.CreateLoadBalancerListeners(ctx, &sdk.CreateLoadBalancerListenersInput{LoadBalancerName: name, Listeners: []types.Listener{listens("TCP", 80, "TCP", 30081)}}))(t)
	apitest.Must(r.AddTags(ctx, &sdk.AddTagsInput{LoadBalancerNames: []string{service}, Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("b")}}}))(t)
	// Without the annotation, also for ports that no listener uses any more.
	apitest.Must(r.SetLoadBalancerPoliciesForBackendServer(ctx, &sdk.SetLoadBalancerPoliciesForBackendServerInput{LoadBalancerName: name, InstancePort: aws.Int32(30080), PolicyNames: []string{}}))(t)
	apitest.Must(r.ConfigureHealthCheck(ctx, &sdk.ConfigureHealthCheckInput{LoadBalancerName: name, HealthCheck: check("HTTP:31000/healthz")}))(t)
	r.register(service, "i-c")
	apitest.Must(r.DeregisterInstancesFromLoadBalancer(ctx, &sdk.DeregisterInstancesFromLoadBalancerInput{LoadBalancerName: name, Instances: instances("i-b")}))(t)
	r.report("us-west-2c", service, "i-c", 31000, lb.Healthy)

	got := r.describe(service)
	if diff := cmp.Diff([]string{"subnet-a", "subnet-c"}, got.Subnets); diff != "" {
		t.Errorf("subnets (-want +got):\n%s", diff)
	}
	if l := got.ListenerDescriptions; len(l) != 1 || *l[0].Listener.InstancePort != 30081 {
		t.Errorf("listeners %+v", l)
	}
	states := []string{"i-a OutOfService ELB: Instance registration is still in progress.", "i-c InService N/A: N/A"}
	if diff := cmp.Diff(states, r.health(service)); diff != "" {
		t.Errorf("health (-want +got):\n%s", diff)
	}
	tags := apitest.Must(r.DescribeTags(ctx, &sdk.DescribeTagsInput{LoadBalancerNames: []string{service}}))(t).TagDescriptions
	if len(tags) != 1 || *tags[0].LoadBalancerName != service || len(tags[0].Tags) != 3 || *tags[0].Tags[2].Key != "team" {
		t.Errorf("tags %+v", tags)
	}
}

func TestCloudProviderDeletes(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	group := r.aws("ec2", "create-security-group", "--group-name", "k8s-elb-"+service, "--description", "frontend", "--vpc-id", "vpc-1", "--query", "GroupId")
	r.create(service, cloudProviderBalancer, func(in *sdk.CreateLoadBalancerInput) { in.SecurityGroups = []string{group} })
	r.register(service, "i-a")
	r.describe(service)
	if got := *r.describe(service).SourceSecurityGroup.GroupName; got != "k8s-elb-"+service {
		t.Errorf("source security group %s", got)
	}
	apitest.Must(r.DeleteLoadBalancer(ctx, &sdk.DeleteLoadBalancerInput{LoadBalancerName: aws.String(service)}))(t)
	r.aws("ec2", "delete-security-group", "--group-id", group) // in use until then
	if got := r.aws("resourcegroupstaggingapi", "get-resources", "--query", "length(ResourceTagMappingList)"); got != "0" {
		t.Errorf("%s tagged resources are left", got)
	}
	r.create(service, cloudProviderBalancer)
	if got := r.describe(service).Instances; len(got) != 0 {
		t.Errorf("a new load balancer of an old name has the instances %+v", got)
	}
}
