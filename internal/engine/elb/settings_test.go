package elb_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing/types"
	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/apitest"
)

// names lists what a list of policies is called.
func names(list []types.PolicyDescription) []string {
	out := []string{}
	for _, p := range list {
		out = append(out, *p.PolicyName)
	}
	return out
}

func TestPoliciesFitWhatTheyAreSetFor(t *testing.T) {
	r := newRig(t)
	ctx, web, certificate := t.Context(), aws.String("web"), r.certificate()
	r.create("web", func(in *sdk.CreateLoadBalancerInput) {
		https := listens("HTTPS", 443, "HTTPS", 30443)
		https.SSLCertificateId = &certificate
		in.Listeners = []types.Listener{listens("HTTP", 80, "HTTP", 30080), listens("TCP", 81, "TCP", 30081), https}
	})
	apitest.Must(r.CreateLBCookieStickinessPolicy(ctx, &sdk.CreateLBCookieStickinessPolicyInput{LoadBalancerName: web, PolicyName: aws.String("session")}))(t)
	apitest.Must(r.CreateLBCookieStickinessPolicy(ctx, &sdk.CreateLBCookieStickinessPolicyInput{LoadBalancerName: web, PolicyName: aws.String("minute"), CookieExpirationPeriod: aws.Int64(60)}))(t)
	apitest.Must(r.CreateAppCookieStickinessPolicy(ctx, &sdk.CreateAppCookieStickinessPolicyInput{LoadBalancerName: web, PolicyName: aws.String("app"), CookieName: aws.String("SID")}))(t)
	for _, in := range []*sdk.CreateLoadBalancerPolicyInput{
		policy("proxy", "ProxyProtocolPolicyType", "ProxyProtocol", "true"),
		policy("tls", "SSLNegotiationPolicyType", "Protocol-TLSv1.2", "true", "AES128-SHA", "true"),
		policy("key", "PublicKeyPolicyType", "PublicKey", "MIIB"),
		policy("auth", "BackendServerAuthenticationPolicyType", "PublicKeyPolicyName", "key"),
	} {
		apitest.Must(r.CreateLoadBalancerPolicy(ctx, in))(t)
	}
	if _, err := r.CreateLoadBalancerPolicy(ctx, policy("proxy", "ProxyProtocolPolicyType", "ProxyProtocol", "true")); failure(err) != "DuplicatePolicyName 400" {
		t.Errorf("a second policy of a name: %v", err)
	}

	const conflict = "InvalidConfigurationRequest 409"
	for _, c := range []struct {
		port     int32
		policies []string
		want     string
	}{
		{80, []string{"session"}, ""}, {80, []string{"app"}, ""}, {80, nil, ""},
		{80, []string{"session", "app"}, conflict}, {80, []string{"tls"}, conflict}, {80, []string{"proxy"}, conflict},
		{81, []string{"session"}, conflict}, {81, []string{"key"}, conflict},
		{443, []string{"tls", "minute"}, ""}, {443, []string{"tls", "ELBSecurityPolicy-2016-08"}, conflict}, {443, []string{"auth"}, conflict},
	} {
		_, err := r.SetLoadBalancerPoliciesOfListener(ctx, &sdk.SetLoadBalancerPoliciesOfListenerInput{LoadBalancerName: web, LoadBalancerPort: c.port, PolicyNames: append([]string{}, c.policies...)})
		if got := failure(err); err != nil && got != c.want || err == nil && c.want != "" {
			t.Errorf("policies %q for the listener on port %d: %v, want %q", c.policies, c.port, err, c.want)
		}
	}
	for _, c := range []struct {
		port   int32
		policy string
		want   string
	}{
		{30081, "proxy", ""}, {30080, "proxy", conflict}, {30443, "auth", ""}, {30080, "auth", conflict},
		{30081, "session", conflict}, {30081, "key", conflict}, {9999, "proxy", conflict},
	} {
		_, err := r.SetLoadBalancerPoliciesForBackendServer(ctx, &sdk.SetLoadBalancerPoliciesForBackendServerInput{LoadBalancerName: web, InstancePort: &c.port, PolicyNames: []string{c.policy}})
		if got := failure(err); err != nil && got != c.want || err == nil && c.want != "" {
			t.Errorf("policy %s for the instance port %d: %v, want %q", c.policy, c.port, err, c.want)
		}
	}

	for name, want := range map[string]string{"minute": conflict, "proxy": conflict, "key": conflict, "session": "", "never-there": ""} {
		_, err := r.DeleteLoadBalancerPolicy(ctx, &sdk.DeleteLoadBalancerPolicyInput{LoadBalancerName: web, PolicyName: &name})
		if got := failure(err); err != nil && got != want || err == nil && want != "" {
			t.Errorf("delete policy %s: %v, want %q", name, err, want)
		}
	}
	all := apitest.Must(r.DescribeLoadBalancerPolicies(ctx, &sdk.DescribeLoadBalancerPoliciesInput{LoadBalancerName: web}))(t)
	if diff := cmp.Diff([]string{"ELBSecurityPolicy-2016-08", "app", "auth", "key", "minute", "proxy", "tls"}, names(all.PolicyDescriptions)); diff != "" {
		t.Errorf("policies left (-want +got):\n%s", diff)
	}
	want := &types.Policies{
		AppCookieStickinessPolicies: []types.AppCookieStickinessPolicy{{PolicyName: aws.String("app"), CookieName: aws.String("SID")}},
		LBCookieStickinessPolicies:  []types.LBCookieStickinessPolicy{{PolicyName: aws.String("minute"), CookieExpirationPeriod: aws.Int64(60)}},
		OtherPolicies:               []string{"ELBSecurityPolicy-2016-08", "auth", "key", "proxy", "tls"},
	}
	if diff := cmp.Diff(want, r.describe("web").Policies, ignoreInternals); diff != "" {
		t.Errorf("policies of the load balancer (-want +got):\n%s", diff)
	}

	// With the listener goes what was set for its instance port.
	apitest.Must(r.DeleteLoadBalancerListeners(ctx, &sdk.DeleteLoadBalancerListenersInput{LoadBalancerName: web, LoadBalancerPorts: []int32{81}}))(t)
	if got := r.describe("web").BackendServerDescriptions; len(got) != 1 || *got[0].InstancePort != 30443 {
		t.Errorf("backends after their listener went: %+v", got)
	}
	apitest.Must(r.SetLoadBalancerListenerSSLCertificate(ctx, &sdk.SetLoadBalancerListenerSSLCertificateInput{LoadBalancerName: web, LoadBalancerPort: 443, SSLCertificateId: aws.String(r.certificate())}))(t)
	if got := *r.describe("web").ListenerDescriptions[1].Listener.SSLCertificateId; got == certificate {
		t.Error("the listener still has its old certificate")
	}
}

func TestPolicyTypesAndSamples(t *testing.T) {
	r := newRig(t)
	all := apitest.Must(r.DescribeLoadBalancerPolicyTypes(t.Context(), &sdk.DescribeLoadBalancerPolicyTypesInput{}))(t)
	got := map[string][]string{}
	for _, p := range all.PolicyTypeDescriptions {
		for _, a := range p.PolicyAttributeTypeDescriptions {
			got[*p.PolicyTypeName] = append(got[*p.PolicyTypeName], strings.Join([]string{*a.AttributeName, *a.AttributeType, *a.Cardinality}, " "))
		}
	}
	if n := len(got["SSLNegotiationPolicyType"]); n < 20 {
		t.Errorf("SSL negotiation policies have %d attributes: protocols, ciphers and the reference are more", n)
	}
	delete(got, "SSLNegotiationPolicyType")
	want := map[string][]string{
		"ProxyProtocolPolicyType":               {"ProxyProtocol Boolean ONE"},
		"LBCookieStickinessPolicyType":          {"CookieExpirationPeriod Long ZERO_OR_ONE"},
		"AppCookieStickinessPolicyType":         {"CookieName String ONE"},
		"PublicKeyPolicyType":                   {"PublicKey String ONE"},
		"BackendServerAuthenticationPolicyType": {"PublicKeyPolicyName PolicyName ONE_OR_MORE"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("attributes of policy types (-want +got):\n%s", diff)
	}
	samples := apitest.Must(r.DescribeLoadBalancerPolicies(t.Context(), &sdk.DescribeLoadBalancerPoliciesInput{}))(t)
	for _, name := range []string{"ELBSecurityPolicy-2016-08", "ELBSecurityPolicy-TLS-1-1-2017-01", "ELBSecurityPolicy-TLS-1-2-2017-01"} {
		if !slices.Contains(names(samples.PolicyDescriptions), name) {
			t.Errorf("no sample %s in %q", name, names(samples.PolicyDescriptions))
		}
	}
}

func TestAttributesThatAreNotMentionedStay(t *testing.T) {
	r := newRig(t)
	r.create("web")
	modify := func(a types.LoadBalancerAttributes) *types.LoadBalancerAttributes {
		t.Helper()
		return apitest.Must(r.ModifyLoadBalancerAttributes(t.Context(), &sdk.ModifyLoadBalancerAttributesInput{LoadBalancerName: aws.String("web"), LoadBalancerAttributes: &a}))(t).LoadBalancerAttributes
	}
	answer := modify(types.LoadBalancerAttributes{CrossZoneLoadBalancing: &types.CrossZoneLoadBalancing{Enabled: true}})
	want := &types.LoadBalancerAttributes{CrossZoneLoadBalancing: &types.CrossZoneLoadBalancing{Enabled: true}}
	if diff := cmp.Diff(want, answer, ignoreInternals); diff != "" {
		t.Errorf("the answer has what the request had (-want +got):\n%s", diff)
	}
	modify(types.LoadBalancerAttributes{
		AccessLog:            &types.AccessLog{Enabled: true, S3BucketName: aws.String("logs"), S3BucketPrefix: aws.String("web")},
		AdditionalAttributes: []types.AdditionalAttribute{{Key: aws.String("elb.http.desyncmitigationmode"), Value: aws.String("strictest")}},
	})
	modify(types.LoadBalancerAttributes{ConnectionDraining: &types.ConnectionDraining{Enabled: true, Timeout: aws.Int32(10)}})
	modify(types.LoadBalancerAttributes{ConnectionSettings: &types.ConnectionSettings{IdleTimeout: aws.Int32(4000)}})
	got := apitest.Must(r.DescribeLoadBalancerAttributes(t.Context(), &sdk.DescribeLoadBalancerAttributesInput{LoadBalancerName: aws.String("web")}))(t).LoadBalancerAttributes
	want = &types.LoadBalancerAttributes{
		CrossZoneLoadBalancing: &types.CrossZoneLoadBalancing{Enabled: true},
		AccessLog:              &types.AccessLog{Enabled: true, S3BucketName: aws.String("logs"), S3BucketPrefix: aws.String("web"), EmitInterval: aws.Int32(60)},
		ConnectionDraining:     &types.ConnectionDraining{Enabled: true, Timeout: aws.Int32(10)},
		ConnectionSettings:     &types.ConnectionSettings{IdleTimeout: aws.Int32(4000)},
		AdditionalAttributes:   []types.AdditionalAttribute{{Key: aws.String("elb.http.desyncmitigationmode"), Value: aws.String("strictest")}},
	}
	if diff := cmp.Diff(want, got, ignoreInternals); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
}

func TestTagsComeAndGo(t *testing.T) {
	r := newRig(t)
	r.create("web", func(in *sdk.CreateLoadBalancerInput) {
		in.Tags = []types.Tag{{Key: aws.String("a"), Value: aws.String("1")}, {Key: aws.String("b"), Value: aws.String("2")}}
	})
	r.create("plain")
	web := []string{"web"}
	apitest.Must(r.AddTags(t.Context(), &sdk.AddTagsInput{LoadBalancerNames: web, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("3")}, {Key: aws.String("c")}}}))(t)
	apitest.Must(r.RemoveTags(t.Context(), &sdk.RemoveTagsInput{LoadBalancerNames: web, Tags: []types.TagKeyOnly{{Key: aws.String("b")}, {Key: aws.String("z")}}}))(t)
	got := apitest.Must(r.DescribeTags(t.Context(), &sdk.DescribeTagsInput{LoadBalancerNames: []string{"web", "plain"}}))(t).TagDescriptions
	want := []types.TagDescription{
		{LoadBalancerName: aws.String("web"), Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("3")}, {Key: aws.String("c"), Value: aws.String("")}}},
		{LoadBalancerName: aws.String("plain"), Tags: []types.Tag{}},
	}
	if diff := cmp.Diff(want, got, ignoreInternals); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
	many := []types.Tag{}
	for i := range 49 {
		many = append(many, types.Tag{Key: aws.String(fmt.Sprint("t", i))})
	}
	if _, err := r.AddTags(t.Context(), &sdk.AddTagsInput{LoadBalancerNames: web, Tags: many}); failure(err) != "TooManyTags 400" {
		t.Errorf("51 tags: %v", err)
	}
}

func TestPagesHoldEveryLoadBalancerOnce(t *testing.T) {
	r := newRig(t)
	want := []string{"web-0", "web-1", "web-2", "web-3", "web-4"}
	for _, name := range want {
		r.create(name)
	}
	got := []string{}
	pages := sdk.NewDescribeLoadBalancersPaginator(r.Client, &sdk.DescribeLoadBalancersInput{PageSize: aws.Int32(2)})
	n := 0
	for ; pages.HasMorePages(); n++ {
		for _, b := range apitest.Must(pages.NextPage(t.Context()))(t).LoadBalancerDescriptions {
			got = append(got, *b.LoadBalancerName)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || n != 3 {
		t.Errorf("%d pages (-want +got):\n%s", n, diff)
	}
}

func TestQuotasAreShownAndEnforced(t *testing.T) {
	r := newRig(t)
	limits := map[string]string{}
	for _, l := range apitest.Must(r.DescribeAccountLimits(t.Context(), &sdk.DescribeAccountLimitsInput{}))(t).Limits {
		limits[*l.Name] = *l.Max
	}
	if diff := cmp.Diff(map[string]string{"classic-load-balancers": "20000", "classic-listeners": "100", "classic-registered-instances": "1000"}, limits); diff != "" {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
	r.create("web")
	var more []types.Listener
	for port := range int32(100) {
		more = append(more, listens("TCP", 1000+port, "TCP", 30080))
	}
	add := func(listeners []types.Listener) error {
		_, err := r.CreateLoadBalancerListeners(t.Context(), &sdk.CreateLoadBalancerListenersInput{LoadBalancerName: aws.String("web"), Listeners: listeners})
		return err
	}
	if err := add(more); failure(err) != "InvalidConfigurationRequest 409" {
		t.Errorf("101 listeners: %v", err)
	}
	for range 2 { // the same listeners again are fine
		if err := add(more[1:]); err != nil {
			t.Errorf("100 listeners: %v", err)
		}
	}
	if got := len(r.describe("web").ListenerDescriptions); got != 100 {
		t.Errorf("%d listeners, want 100", got)
	}
}
