package controller

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/acm"
	elbv2sdk "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

// certificate has the engine's own authority issue one.
func (w *world) certificate(domain string) string {
	w.t.Helper()
	key, _ := w.engine.RootKey()
	client := acm.New(acm.Options{
		Region: "us-west-2", BaseEndpoint: &w.aws.url, Credentials: credentials.NewStaticCredentialsProvider(key.AccessKeyID, key.SecretAccessKey, ""),
	})
	out, err := client.RequestCertificate(w.t.Context(), &acm.RequestCertificateInput{DomainName: &domain})
	if err != nil {
		w.t.Fatal(err)
	}
	return aws.ToString(out.CertificateArn)
}

// tls is what the listener of the only load balancer has: protocol, policy,
// and certificates, the default one first.
func (w *world) tls() (out []string) {
	w.t.Helper()
	balancers, err := w.elb.DescribeLoadBalancers(w.t.Context(), &elbv2sdk.DescribeLoadBalancersInput{})
	if err != nil {
		w.t.Fatal(err)
	}
	found, err := w.elb.DescribeListeners(w.t.Context(), &elbv2sdk.DescribeListenersInput{LoadBalancerArn: balancers.LoadBalancers[0].LoadBalancerArn})
	if err != nil {
		w.t.Fatal(err)
	}
	l := found.Listeners[0]
	all, err := w.elb.DescribeListenerCertificates(w.t.Context(), &elbv2sdk.DescribeListenerCertificatesInput{ListenerArn: l.ListenerArn})
	if err != nil {
		w.t.Fatal(err)
	}
	out = append(out, string(l.Protocol), aws.ToString(l.SslPolicy))
	for _, c := range all.Certificates {
		out = append(out, aws.ToString(c.CertificateArn))
	}
	return out
}

func TestAListenerEndsTLSAndChangesItsCertificatesInPlace(t *testing.T) {
	w := newWorld(t)
	a, b, c := w.certificate("a.example"), w.certificate("b.example"), w.certificate("c.example")
	w.create(post("nginx"))
	w.settle("nginx")
	const old, modern = "ELBSecurityPolicy-2016-08", "ELBSecurityPolicy-TLS13-1-2-2021-06"
	steps := []struct {
		name, certificates, policy string
		calls, want                []string
	}{
		{"TLS", a + "," + b, "", []string{"ModifyListener", "AddListenerCertificates", "AddTags"}, []string{"TLS", old, a, b}},
		{"another default, one less", c, "", []string{"ModifyListener", "RemoveListenerCertificates"}, []string{"TLS", old, c}},
		{"a policy", c, modern, []string{"ModifyListener"}, []string{"TLS", modern, c}},
		{"no policy any more", c, "", []string{"ModifyListener"}, []string{"TLS", old, c}},
		{"one more", c + "," + b, "", []string{"AddListenerCertificates"}, []string{"TLS", old, c, b}},
		{"TLS no more", "", "", []string{"ModifyListener", "AddTags"}, []string{"TCP", ""}},
	}
	for _, s := range steps {
		w.aws.take()
		w.update("nginx", func(svc *corev1.Service) {
			for key, value := range map[string]string{"ssl-cert": s.certificates, "ssl-negotiation-policy": s.policy} {
				delete(svc.Annotations, prefix+key)
				if value != "" {
					svc.Annotations[prefix+key] = value
				}
			}
		})
		w.settle("nginx")
		if diff := cmp.Diff(s.calls, withoutPolls(awsCalls(w.aws.take()))); diff != "" {
			t.Errorf("%s: calls (-want +got):\n%s", s.name, diff)
		}
		if diff := cmp.Diff(s.want, w.tls()); diff != "" {
			t.Errorf("%s: listener (-want +got):\n%s", s.name, diff)
		}
		w.restart()
		w.settle("nginx")
		w.now = w.now.Add(2 * resync)
		w.settle("nginx")
		if calls := awsCalls(w.aws.take()); slices.ContainsFunc(calls, func(c string) bool { return !strings.HasPrefix(c, "Describe") }) {
			t.Errorf("%s: a resync writes: %v", s.name, calls)
		}
	}
	w.leavesNothing("nginx")
}
