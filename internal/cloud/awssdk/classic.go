package awssdk

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing/types"

	"github.com/fairlead-lb/fairlead/internal/cloud"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

// CreateClassicLoadBalancer implements cloud.ClassicLoadBalancers. The API has a
// word for the internal scheme only.
func (c *Client) CreateClassicLoadBalancer(ctx context.Context, want lb.LoadBalancer, listeners []lb.ClassicListener) (string, error) {
	in := &elb.CreateLoadBalancerInput{
		LoadBalancerName: &want.Name, Listeners: mapped(listeners, toClassicListener), Subnets: want.Subnets, SecurityGroups: want.SecurityGroups, Tags: classicTags(want.Tags),
	}
	if want.Scheme == lb.Internal {
		in.Scheme = (*string)(&want.Scheme)
	}
	out, err := call(ctx, c, "create Classic Load Balancer "+want.Name, c.classic.CreateLoadBalancer, in)
	if err != nil {
		return "", err
	}
	return aws.ToString(out.DNSName), nil
}

// DescribeClassicLoadBalancers implements cloud.ClassicLoadBalancers.
func (c *Client) DescribeClassicLoadBalancers(ctx context.Context, names []string) ([]cloud.ClassicLoadBalancer, error) {
	return cloud.Existing(ctx, names, func(ctx context.Context, names []string) ([]cloud.ClassicLoadBalancer, error) {
		out, err := call(ctx, c, "describe Classic Load Balancers "+strings.Join(names, ", "), c.classic.DescribeLoadBalancers, &elb.DescribeLoadBalancersInput{LoadBalancerNames: names})
		if err != nil {
			return nil, err
		}
		return mapped(out.LoadBalancerDescriptions, fromClassic), nil
	})
}

func fromClassic(d types.LoadBalancerDescription) cloud.ClassicLoadBalancer {
	out := cloud.ClassicLoadBalancer{DNSName: aws.ToString(d.DNSName)}
	out.Name, out.Type, out.Scheme = aws.ToString(d.LoadBalancerName), lb.Classic, lb.Scheme(aws.ToString(d.Scheme))
	out.IPAddressType, out.Subnets, out.SecurityGroups = lb.IPv4, slices.Sorted(slices.Values(d.Subnets)), d.SecurityGroups
	if d.HealthCheck != nil {
		out.HealthCheck = fromClassicHealthCheck(d.HealthCheck)
	}
	for _, i := range d.Instances {
		out.Instances = append(out.Instances, aws.ToString(i.InstanceId))
	}
	slices.Sort(out.Instances)
	var sticky []string
	if p := d.Policies; p != nil {
		for _, s := range p.AppCookieStickinessPolicies {
			sticky = append(sticky, aws.ToString(s.PolicyName))
		}
		for _, s := range p.LBCookieStickinessPolicies {
			sticky = append(sticky, aws.ToString(s.PolicyName))
		}
		for _, name := range slices.Sorted(slices.Values(p.OtherPolicies)) {
			out.Policies = append(out.Policies, lb.ClassicPolicy{Name: name})
		}
	}
	for _, l := range d.ListenerDescriptions {
		out.Listeners = append(out.Listeners, fromClassicListener(l, sticky))
	}
	slices.SortFunc(out.Listeners, func(a, b lb.ClassicListener) int { return int(a.Port) - int(b.Port) })
	for _, b := range d.BackendServerDescriptions {
		out.Backends = append(out.Backends, lb.ClassicBackend{InstancePort: uint16(aws.ToInt32(b.InstancePort)), Policies: b.PolicyNames})
	}
	slices.SortFunc(out.Backends, func(a, b lb.ClassicBackend) int { return int(a.InstancePort) - int(b.InstancePort) })
	return out
}

func fromClassicListener(d types.ListenerDescription, sticky []string) lb.ClassicListener {
	l := lb.ClassicListener{Policies: slices.DeleteFunc(slices.Clone(d.PolicyNames), func(p string) bool { return slices.Contains(sticky, p) })}
	if in := d.Listener; in != nil {
		l.Port, l.InstancePort = uint16(in.LoadBalancerPort), uint16(aws.ToInt32(in.InstancePort))
		l.Protocol, l.InstanceProtocol = lb.Protocol(aws.ToString(in.Protocol)), lb.Protocol(aws.ToString(in.InstanceProtocol))
		l.CertificateARN = aws.ToString(in.SSLCertificateId)
	}
	return l
}

func toClassicListener(l lb.ClassicListener) types.Listener {
	out := types.Listener{
		LoadBalancerPort: int32(l.Port), Protocol: aws.String(string(l.Protocol)),
		InstancePort: aws.Int32(int32(l.InstancePort)), InstanceProtocol: aws.String(string(l.InstanceProtocol)),
	}
	if l.CertificateARN != "" {
		out.SSLCertificateId = &l.CertificateARN
	}
	return out
}

// DeleteClassicLoadBalancer implements cloud.ClassicLoadBalancers. Deleting what
// is not there succeeds.
func (c *Client) DeleteClassicLoadBalancer(ctx context.Context, name string) error {
	return ignore(cloud.NotFound, run(ctx, c, "delete Classic Load Balancer "+name, c.classic.DeleteLoadBalancer, &elb.DeleteLoadBalancerInput{LoadBalancerName: &name}))
}

// AttachSubnets implements cloud.ClassicLoadBalancers.
func (c *Client) AttachSubnets(ctx context.Context, name string, subnets []string) error {
	return run(ctx, c, "attach subnets to "+name, c.classic.AttachLoadBalancerToSubnets, &elb.AttachLoadBalancerToSubnetsInput{LoadBalancerName: &name, Subnets: subnets})
}

// DetachSubnets implements cloud.ClassicLoadBalancers.
func (c *Client) DetachSubnets(ctx context.Context, name string, subnets []string) error {
	return run(ctx, c, "detach subnets from "+name, c.classic.DetachLoadBalancerFromSubnets, &elb.DetachLoadBalancerFromSubnetsInput{LoadBalancerName: &name, Subnets: subnets})
}

// ApplySecurityGroups implements cloud.ClassicLoadBalancers.
func (c *Client) ApplySecurityGroups(ctx context.Context, name string, groups []string) error {
	return run(ctx, c, "apply security groups to "+name, c.classic.ApplySecurityGroupsToLoadBalancer, &elb.ApplySecurityGroupsToLoadBalancerInput{LoadBalancerName: &name, SecurityGroups: groups})
}

// ConfigureHealthCheck implements cloud.ClassicLoadBalancers.
func (c *Client) ConfigureHealthCheck(ctx context.Context, name string, h lb.HealthCheck) error {
	target := string(h.Protocol) + ":" + h.Port + h.Path
	return run(ctx, c, "configure the health check of "+name, c.classic.ConfigureHealthCheck, &elb.ConfigureHealthCheckInput{LoadBalancerName: &name, HealthCheck: &types.HealthCheck{
		Target: &target, Interval: seconds(h.Interval), Timeout: seconds(h.Timeout),
		HealthyThreshold: aws.Int32(int32(h.HealthyThreshold)), UnhealthyThreshold: aws.Int32(int32(h.UnhealthyThreshold)),
	}})
}

// fromClassicHealthCheck takes a target such as HTTP:80/path or TCP:80 apart.
func fromClassicHealthCheck(h *types.HealthCheck) lb.HealthCheck {
	protocol, rest, _ := strings.Cut(aws.ToString(h.Target), ":")
	out := lb.HealthCheck{
		Protocol: lb.Protocol(protocol), Port: rest,
		Interval: time.Duration(aws.ToInt32(h.Interval)) * time.Second, Timeout: time.Duration(aws.ToInt32(h.Timeout)) * time.Second,
		HealthyThreshold: int(aws.ToInt32(h.HealthyThreshold)), UnhealthyThreshold: int(aws.ToInt32(h.UnhealthyThreshold)),
	}
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		out.Port, out.Path = rest[:i], rest[i:]
	}
	return out
}

// CreateListeners implements cloud.ClassicListeners.
func (c *Client) CreateListeners(ctx context.Context, name string, listeners []lb.ClassicListener) error {
	return run(ctx, c, "create listeners of "+name, c.classic.CreateLoadBalancerListeners, &elb.CreateLoadBalancerListenersInput{LoadBalancerName: &name, Listeners: mapped(listeners, toClassicListener)})
}

// DeleteListeners implements cloud.ClassicListeners.
func (c *Client) DeleteListeners(ctx context.Context, name string, ports []uint16) error {
	numbers := mapped(ports, func(p uint16) int32 { return int32(p) })
	return run(ctx, c, "delete listeners of "+name, c.classic.DeleteLoadBalancerListeners, &elb.DeleteLoadBalancerListenersInput{LoadBalancerName: &name, LoadBalancerPorts: numbers})
}

// SetListenerCertificate implements cloud.ClassicListeners.
func (c *Client) SetListenerCertificate(ctx context.Context, name string, port uint16, arn string) error {
	return run(ctx, c, "set the certificate of "+name, c.classic.SetLoadBalancerListenerSSLCertificate, &elb.SetLoadBalancerListenerSSLCertificateInput{LoadBalancerName: &name, LoadBalancerPort: int32(port), SSLCertificateId: &arn})
}

// CreatePolicy implements cloud.ClassicListeners.
func (c *Client) CreatePolicy(ctx context.Context, name string, p lb.ClassicPolicy) error {
	return run(ctx, c, "create policy "+p.Name+" of "+name, c.classic.CreateLoadBalancerPolicy, &elb.CreateLoadBalancerPolicyInput{
		LoadBalancerName: &name, PolicyName: &p.Name, PolicyTypeName: &p.Type,
		PolicyAttributes: mapped(p.Attributes, func(a lb.ClassicAttribute) types.PolicyAttribute {
			return types.PolicyAttribute{AttributeName: &a.Name, AttributeValue: &a.Value}
		}),
	})
}

// DeletePolicy implements cloud.ClassicListeners.
func (c *Client) DeletePolicy(ctx context.Context, name, policy string) error {
	return run(ctx, c, "delete policy "+policy+" of "+name, c.classic.DeleteLoadBalancerPolicy, &elb.DeleteLoadBalancerPolicyInput{LoadBalancerName: &name, PolicyName: &policy})
}

// SetListenerPolicies implements cloud.ClassicListeners.
func (c *Client) SetListenerPolicies(ctx context.Context, name string, port uint16, policies []string) error {
	return run(ctx, c, "set listener policies of "+name, c.classic.SetLoadBalancerPoliciesOfListener, &elb.SetLoadBalancerPoliciesOfListenerInput{LoadBalancerName: &name, LoadBalancerPort: int32(port), PolicyNames: given(policies)})
}

// SetBackendPolicies implements cloud.ClassicListeners.
func (c *Client) SetBackendPolicies(ctx context.Context, name string, instancePort uint16, policies []string) error {
	return run(ctx, c, "set backend policies of "+name, c.classic.SetLoadBalancerPoliciesForBackendServer, &elb.SetLoadBalancerPoliciesForBackendServerInput{LoadBalancerName: &name, InstancePort: aws.Int32(int32(instancePort)), PolicyNames: given(policies)})
}

// given is a list that the SDK sends also when it is empty: none is a wish too.
func given(policies []string) []string { return append([]string{}, policies...) }

// RegisterInstances implements cloud.ClassicInstances.
func (c *Client) RegisterInstances(ctx context.Context, name string, ids []string) error {
	return run(ctx, c, "register instances with "+name, c.classic.RegisterInstancesWithLoadBalancer, &elb.RegisterInstancesWithLoadBalancerInput{LoadBalancerName: &name, Instances: mapped(ids, toInstance)})
}

// DeregisterInstances implements cloud.ClassicInstances.
func (c *Client) DeregisterInstances(ctx context.Context, name string, ids []string) error {
	return run(ctx, c, "deregister instances from "+name, c.classic.DeregisterInstancesFromLoadBalancer, &elb.DeregisterInstancesFromLoadBalancerInput{LoadBalancerName: &name, Instances: mapped(ids, toInstance)})
}

func toInstance(id string) types.Instance { return types.Instance{InstanceId: &id} }

// DescribeInstanceHealth implements cloud.ClassicInstances.
func (c *Client) DescribeInstanceHealth(ctx context.Context, name string) ([]cloud.TargetHealth, error) {
	out, err := call(ctx, c, "describe instance health of "+name, c.classic.DescribeInstanceHealth, &elb.DescribeInstanceHealthInput{LoadBalancerName: &name})
	if err != nil {
		return nil, err
	}
	return mapped(out.InstanceStates, fromInstanceState), nil
}

// fromInstanceState reads the words of InstanceState in the API reference: the
// reason code says who has to move, the load balancer or the instance.
func fromInstanceState(s types.InstanceState) cloud.TargetHealth {
	out := cloud.TargetHealth{Target: lb.Target{ID: aws.ToString(s.InstanceId)}}
	out.State, out.Reason, out.Description = lb.Unhealthy, lb.Reason(aws.ToString(s.ReasonCode)), aws.ToString(s.Description)
	switch {
	case aws.ToString(s.State) == "InService":
		out.TargetHealth = lb.TargetHealth{State: lb.Healthy}
	case out.Reason == "ELB":
		out.State = lb.Initial
	}
	return out
}

// AddClassicTags implements cloud.ClassicTags.
func (c *Client) AddClassicTags(ctx context.Context, name string, tags map[string]string) error {
	return run(ctx, c, "tag "+name, c.classic.AddTags, &elb.AddTagsInput{LoadBalancerNames: []string{name}, Tags: classicTags(tags)})
}

// RemoveClassicTags implements cloud.ClassicTags.
func (c *Client) RemoveClassicTags(ctx context.Context, name string, keys []string) error {
	only := mapped(keys, func(k string) types.TagKeyOnly { return types.TagKeyOnly{Key: &k} })
	return run(ctx, c, "untag "+name, c.classic.RemoveTags, &elb.RemoveTagsInput{LoadBalancerNames: []string{name}, Tags: only})
}

// DescribeClassicTags implements cloud.ClassicTags.
func (c *Client) DescribeClassicTags(ctx context.Context, names []string) (map[string]map[string]string, error) {
	all := map[string]map[string]string{}
	for batch := range slices.Chunk(names, cloud.BatchSize) {
		out, err := call(ctx, c, "describe tags of "+strings.Join(batch, ", "), c.classic.DescribeTags, &elb.DescribeTagsInput{LoadBalancerNames: batch})
		if err != nil {
			return nil, err
		}
		for _, d := range out.TagDescriptions {
			tags := map[string]string{}
			for _, t := range d.Tags {
				tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
			}
			all[aws.ToString(d.LoadBalancerName)] = tags
		}
	}
	return all, nil
}

func classicTags(tags map[string]string) []types.Tag {
	var out []types.Tag
	for _, kv := range pairs(tags) {
		out = append(out, types.Tag{Key: &kv[0], Value: &kv[1]})
	}
	return out
}

// DescribeClassicAttributes implements cloud.ClassicLoadBalancers. What the API
// leaves out has its default.
func (c *Client) DescribeClassicAttributes(ctx context.Context, name string) (map[string]string, error) {
	out, err := call(ctx, c, "describe attributes of "+name, c.classic.DescribeLoadBalancerAttributes, &elb.DescribeLoadBalancerAttributesInput{LoadBalancerName: &name})
	if err != nil || out.LoadBalancerAttributes == nil {
		return nil, err
	}
	attrs, a := lb.DefaultClassicAttributes(), out.LoadBalancerAttributes
	number := func(key string, n *int32) {
		if n != nil {
			attrs[key] = strconv.Itoa(int(*n))
		}
	}
	if x := a.CrossZoneLoadBalancing; x != nil {
		attrs[lb.ClassicCrossZone] = strconv.FormatBool(x.Enabled)
	}
	if x := a.ConnectionSettings; x != nil {
		number(lb.ClassicIdleTimeout, x.IdleTimeout)
	}
	if x := a.ConnectionDraining; x != nil {
		attrs[lb.ClassicDraining] = strconv.FormatBool(x.Enabled)
		number(lb.ClassicDrainingTimeout, x.Timeout)
	}
	if x := a.AccessLog; x != nil {
		attrs[lb.ClassicAccessLogs] = strconv.FormatBool(x.Enabled)
		attrs[lb.ClassicAccessLogBucket], attrs[lb.ClassicAccessLogPrefix] = aws.ToString(x.S3BucketName), aws.ToString(x.S3BucketPrefix)
		number(lb.ClassicAccessLogInterval, x.EmitInterval)
	}
	return attrs, nil
}

// ModifyClassicAttributes implements cloud.ClassicLoadBalancers.
func (c *Client) ModifyClassicAttributes(ctx context.Context, name string, attrs map[string]string) error {
	a := &types.LoadBalancerAttributes{}
	if v, ok := attrs[lb.ClassicCrossZone]; ok {
		a.CrossZoneLoadBalancing = &types.CrossZoneLoadBalancing{Enabled: v == "true"}
	}
	if v, ok := attrs[lb.ClassicIdleTimeout]; ok {
		a.ConnectionSettings = &types.ConnectionSettings{IdleTimeout: numeral(v)}
	}
	if v, ok := attrs[lb.ClassicDraining]; ok {
		a.ConnectionDraining = &types.ConnectionDraining{Enabled: v == "true", Timeout: numeral(attrs[lb.ClassicDrainingTimeout])}
	}
	if v, ok := attrs[lb.ClassicAccessLogs]; ok {
		a.AccessLog = &types.AccessLog{Enabled: v == "true"}
		if bucket, prefix := attrs[lb.ClassicAccessLogBucket], attrs[lb.ClassicAccessLogPrefix]; a.AccessLog.Enabled {
			a.AccessLog.S3BucketName, a.AccessLog.S3BucketPrefix, a.AccessLog.EmitInterval = &bucket, &prefix, numeral(attrs[lb.ClassicAccessLogInterval])
		}
	}
	return run(ctx, c, "modify attributes of "+name, c.classic.ModifyLoadBalancerAttributes, &elb.ModifyLoadBalancerAttributesInput{LoadBalancerName: &name, LoadBalancerAttributes: a})
}

// numeral is a decimal number, nil when it is none: intent lets only numbers by.
func numeral(s string) *int32 {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		return nil
	}
	return aws.Int32(int32(n))
}
