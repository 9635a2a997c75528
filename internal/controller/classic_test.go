package controller

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	elbsdk "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing/types"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-lb/fairlead/internal/intent"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

// plain is the first Service of the blog post: nothing is annotated.
func plain(name string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Annotations: map[string]string{}},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, Selector: map[string]string{"app": "nginx"}, Ports: []corev1.ServicePort{{Name: "http", Port: 80}},
		},
	}
}

// everyClassic asks for something of every group of calls.
func everyClassic(name string) *corev1.Service {
	svc := plain(name)
	for key, value := range map[string]string{"proxy-protocol": "*", "connection-draining-enabled": "true", "additional-resource-tags": "team=shop"} {
		svc.Annotations[prefix+key] = value
	}
	return svc
}

// plainAgain takes away what everyClassic asks for and changes the rest.
func plainAgain(s *corev1.Service) {
	for _, key := range []string{"proxy-protocol", "connection-draining-enabled", "additional-resource-tags"} {
		delete(s.Annotations, prefix+key)
	}
	s.Annotations[prefix+"backend-protocol"] = "http"
	s.Annotations[prefix+"healthcheck-interval"] = "5"
	s.Annotations[prefix+"connection-idle-timeout"] = "600"
	s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: "more", Port: 8080})
	s.Spec.LoadBalancerSourceRanges = []string{"203.0.113.0/24"}
}

// classics are the Classic Load Balancers of the account.
func (w *world) classics() []types.LoadBalancerDescription {
	w.t.Helper()
	out, err := w.classic.DescribeLoadBalancers(w.t.Context(), &elbsdk.DescribeLoadBalancersInput{})
	if err != nil {
		w.t.Fatal(err)
	}
	return out.LoadBalancerDescriptions
}

// classicHealth is a report that every instance is healthy.
func (w *world) classicHealth() (all []lb.TargetHealthReport) {
	w.t.Helper()
	for _, b := range w.classics() {
		_, rest, _ := strings.Cut(*b.HealthCheck.Target, ":")
		text, _, _ := strings.Cut(rest, "/")
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, i := range b.Instances {
			key := lb.TargetKey{TargetGroupARN: "arn:aws:elasticloadbalancing:us-west-2:000000000000:loadbalancer/" + *b.LoadBalancerName, ID: *i.InstanceId, Port: uint16(port)}
			all = append(all, lb.TargetHealthReport{Target: key, Health: lb.TargetHealth{State: lb.Healthy}})
		}
	}
	return all
}

func (w *world) stepped(what string, want []string) {
	w.t.Helper()
	calls := slices.DeleteFunc(withoutPolls(awsCalls(w.aws.take())), func(c string) bool { return c == "DescribeInstanceHealth" })
	if diff := cmp.Diff(want, calls); diff != "" {
		w.t.Errorf("%s: calls (-want +got):\n%s", what, diff)
	}
}

// checkSteady lets new processes look: they find nothing to write.
func (w *world) checkSteady(what string) {
	w.t.Helper()
	w.aws.take()
	w.restart()
	w.settle("nginx")
	w.stepped(what+", new process", nil)
	w.now = w.now.Add(2 * resync)
	w.settle("nginx")
	if calls := writing(w.aws.take()); len(calls) > 0 {
		w.t.Errorf("%s: a resync writes %v", what, calls)
	}
}

func TestTheLifeOfAClassicServiceInCalls(t *testing.T) {
	w := newWorld(t)
	w.create(plain("nginx"))
	w.settle("nginx")
	w.stepped("the first load balancer", []string{
		"DescribeSubnets", "CreateSecurityGroup", "AuthorizeSecurityGroupIngress",
		"CreateSecurityGroup", "DescribeSecurityGroups", "AuthorizeSecurityGroupIngress",
		"CreateLoadBalancer", "ConfigureHealthCheck", "RegisterInstancesWithLoadBalancer",
	})
	svc, made := w.get("nginx"), w.classics()
	if len(made) != 1 || len(svc.Status.LoadBalancer.Ingress) != 1 || svc.Status.LoadBalancer.Ingress[0].Hostname != *made[0].DNSName {
		t.Fatalf("status %+v, Classic Load Balancers %+v", svc.Status.LoadBalancer, made)
	}
	for _, kind := range []string{condAccepted, condProgrammed, condHealthy} {
		if c := w.condition("nginx", kind); c.Status != metav1.ConditionTrue {
			t.Errorf("condition %s is %+v", kind, c)
		}
	}
	if !w.notes.has("EnsuringLoadBalancer") || !w.notes.has("EnsuredLoadBalancer") {
		t.Errorf("got events %v", w.notes.list())
	}
	w.settle("nginx")
	w.stepped("nothing changed", nil)
	w.checkSteady("nothing changed")
	w.removeNode(2)
	w.settle("nginx")
	w.stepped("a node leaves", []string{"DeregisterInstancesFromLoadBalancer"})
	w.restart()
	w.addNode(3)
	w.settle("nginx")
	w.stepped("a node joins, new process", []string{"DescribeLoadBalancers", "RegisterInstancesWithLoadBalancer"})
	w.checkSteady("a node joined")
	w.remove("nginx")
	w.settle("nginx")
	w.stepped("delete", []string{"DeleteLoadBalancer", "DeleteSecurityGroup", "RevokeSecurityGroupIngress", "DeleteSecurityGroup"})
	if left := w.all(); !left.empty() || !w.gone("nginx") {
		t.Errorf("left: %s", left)
	}
}

func TestClassicChangesInPlaceKeepTheLoadBalancer(t *testing.T) {
	annotate := func(pairs ...string) func(*corev1.Service) {
		return func(s *corev1.Service) {
			for i := 0; i < len(pairs); i += 2 {
				s.Annotations[prefix+pairs[i]] = pairs[i+1]
			}
		}
	}
	anew := []string{"DeleteLoadBalancerListeners", "CreateLoadBalancerListeners"}
	tests := map[string]struct {
		change func(*corev1.Service)
		calls  []string
	}{
		"the traffic policy": {func(s *corev1.Service) { s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal }, []string{"ConfigureHealthCheck"}},
		"a port's number": {func(s *corev1.Service) { s.Spec.Ports[0].Port = 8080 },
			slices.Concat([]string{"AuthorizeSecurityGroupIngress"}, anew, []string{"RevokeSecurityGroupIngress"})},
		"another port": {func(s *corev1.Service) {
			s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: "more", Port: 8080})
		},
			[]string{"AuthorizeSecurityGroupIngress", "CreateLoadBalancerListeners"}},
		"HTTP":                {annotate("backend-protocol", "http"), anew},
		"PROXY protocol":      {annotate("proxy-protocol", "*"), []string{"CreateLoadBalancerPolicy", "SetLoadBalancerPoliciesForBackendServer"}},
		"access logs":         {annotate("access-log-enabled", "true", "access-log-s3-bucket-name", "logs", "access-log-s3-bucket-prefix", "shop", "access-log-emit-interval", "5"), []string{"ModifyLoadBalancerAttributes"}},
		"connection draining": {annotate("connection-draining-enabled", "true", "connection-draining-timeout", "60"), []string{"ModifyLoadBalancerAttributes"}},
		"the idle timeout":    {annotate("connection-idle-timeout", "600"), []string{"ModifyLoadBalancerAttributes"}},
		"cross-zone":          {annotate("cross-zone-load-balancing-enabled", "true"), []string{"ModifyLoadBalancerAttributes"}},
		"the health check":    {annotate("healthcheck-protocol", "http", "healthcheck-path", "/ready", "healthcheck-interval", "5"), []string{"ConfigureHealthCheck"}},
		"extra groups":        {annotate("extra-security-groups", "sg-00000000000000001"), []string{"ApplySecurityGroupsToLoadBalancer"}},
		"own groups":          {annotate("security-groups", "sg-00000000000000001"), []string{"ApplySecurityGroupsToLoadBalancer", "DeleteSecurityGroup"}},
		"tags":                {annotate("additional-resource-tags", "team=shop"), []string{"CreateTags", "AddTags"}},
		"chosen nodes":        {annotate("target-node-labels", "pool=edge"), []string{"DeregisterInstancesFromLoadBalancer"}},
		"who may connect":     {func(s *corev1.Service) { s.Spec.LoadBalancerSourceRanges = []string{"203.0.113.0/24"} }, []string{"AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress"}},
		"fewer subnets":       {annotate("subnets", "subnet-a"), nil},
		"fewer, with consent": {func(s *corev1.Service) {
			annotate("subnets", "subnet-a")(s)
			s.Annotations["fairlead.io/allow-replacement"] = "true"
		}, []string{"DescribeSubnets", "DetachLoadBalancerFromSubnets"}},
		"what is said already": {annotate("connection-idle-timeout", "60", "cross-zone-load-balancing-enabled", "false"), nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.create(plain("nginx"))
			w.settle("nginx")
			host := w.get("nginx").Status.LoadBalancer.Ingress[0].Hostname
			w.aws.take()
			w.update("nginx", tt.change)
			w.settle("nginx")
			if calls := writing(w.aws.take()); !slices.Equal(calls, writing(tt.calls)) {
				t.Errorf("writes %v, want %v", calls, tt.calls)
			}
			w.restart()
			w.settle("nginx")
			w.now = w.now.Add(2 * resync)
			w.aws.take()
			w.settle("nginx")
			if calls := awsCalls(w.aws.take()); len(writing(calls)) > 0 || !slices.Contains(calls, "DescribeLoadBalancers") {
				t.Errorf("a resync calls %v", calls)
			}
			w.update("nginx", func(s *corev1.Service) {
				clean := plain("nginx")
				clean.Spec.Ports[0].NodePort = s.Spec.Ports[0].NodePort
				s.Spec.Ports, s.Spec.LoadBalancerSourceRanges = clean.Spec.Ports, nil
				s.Annotations = map[string]string{intent.KeyRecord: s.Annotations[intent.KeyRecord]}
			})
			w.settle("nginx")
			w.checkSteady("all taken back")
			if got := w.get("nginx").Status.LoadBalancer.Ingress[0].Hostname; got != host {
				t.Errorf("hostname became %s", got)
			}
			w.leavesNothing("nginx")
		})
	}
}

// secured is what there is about TLS: listeners with their certificates and
// policies, and the policies of ours.
func (w *world) secured() (out []string) {
	for _, d := range w.classics()[0].ListenerDescriptions {
		l := d.Listener
		line := *l.Protocol + " " + strconv.Itoa(int(l.LoadBalancerPort)) + " to " + *l.InstanceProtocol
		if l.SSLCertificateId != nil {
			line += " " + *l.SSLCertificateId + " " + strings.Join(d.PolicyNames, " ")
		}
		out = append(out, line)
	}
	for _, p := range w.classics()[0].Policies.OtherPolicies {
		if strings.HasPrefix(p, "fairlead-") {
			out = append(out, p)
		}
	}
	return out
}

func TestAClassicListenerEndsTLSAndChangesInPlaceWhatItCan(t *testing.T) {
	w := newWorld(t)
	a, b := w.certificate("a.example"), w.certificate("b.example")
	const old, modern = "ELBSecurityPolicy-2016-08", "fairlead-ELBSecurityPolicy-TLS-1-2-2017-01"
	svc := plain("nginx")
	svc.Spec.Ports = append(svc.Spec.Ports, corev1.ServicePort{Name: "https", Port: 443})
	w.create(svc)
	w.settle("nginx")
	anew := []string{"DeleteLoadBalancerListeners", "CreateLoadBalancerListeners"}
	steps := []struct {
		name        string
		annotations map[string]string
		calls, want []string
	}{
		{"SSL", map[string]string{"ssl-cert": a, "ssl-ports": "https"}, anew, []string{"TCP 80 to TCP", "SSL 443 to TCP " + a + " " + old}},
		{"another certificate", map[string]string{"ssl-cert": b, "ssl-ports": "https"}, []string{"SetLoadBalancerListenerSSLCertificate"}, []string{"TCP 80 to TCP", "SSL 443 to TCP " + b + " " + old}},
		{"a policy", map[string]string{"ssl-cert": b, "ssl-ports": "https", "ssl-negotiation-policy": strings.TrimPrefix(modern, "fairlead-")},
			[]string{"CreateLoadBalancerPolicy", "SetLoadBalancerPoliciesOfListener"}, []string{"TCP 80 to TCP", "SSL 443 to TCP " + b + " " + modern, modern}},
		{"no policy any more", map[string]string{"ssl-cert": b, "ssl-ports": "https"},
			[]string{"SetLoadBalancerPoliciesOfListener", "DeleteLoadBalancerPolicy"}, []string{"TCP 80 to TCP", "SSL 443 to TCP " + b + " " + old}},
		{"HTTPS, HTTP beside it", map[string]string{"ssl-cert": b, "ssl-ports": "https", "backend-protocol": "http"}, anew, []string{"HTTP 80 to HTTP", "HTTPS 443 to HTTP " + b + " " + old}},
		{"SSL to the instances too", map[string]string{"ssl-cert": b, "ssl-ports": "https", "backend-protocol": "ssl"}, anew, []string{"TCP 80 to TCP", "SSL 443 to SSL " + b + " " + old}},
		{"TLS no more", nil, anew, []string{"TCP 80 to TCP", "TCP 443 to TCP"}},
	}
	for _, s := range steps {
		w.aws.take()
		w.update("nginx", func(svc *corev1.Service) {
			svc.Annotations = map[string]string{intent.KeyRecord: svc.Annotations[intent.KeyRecord]}
			for key, value := range s.annotations {
				svc.Annotations[prefix+key] = value
			}
		})
		w.settle("nginx")
		w.stepped(s.name, s.calls)
		if diff := cmp.Diff(s.want, w.secured()); diff != "" {
			t.Errorf("%s: listeners (-want +got):\n%s", s.name, diff)
		}
		w.checkSteady(s.name)
	}
}

func TestAClassicLoadBalancerLeavesAllItsSubnets(t *testing.T) {
	w := newWorld(t)
	svc := plain("nginx")
	svc.Annotations[prefix+"subnets"] = "subnet-a,subnet-b"
	svc.Annotations["fairlead.io/allow-replacement"] = "true"
	w.create(svc)
	w.settle("nginx")
	w.aws.take()
	w.update("nginx", func(s *corev1.Service) { s.Annotations[prefix+"subnets"] = "subnet-a2,subnet-b2" })
	w.settle("nginx")
	if got := w.classics()[0].Subnets; !slices.Equal(got, []string{"subnet-a2", "subnet-b2"}) {
		t.Errorf("subnets %v, events %v", got, w.notes.list())
	}
	want := []string{"DetachLoadBalancerFromSubnets", "AttachLoadBalancerToSubnets", "DetachLoadBalancerFromSubnets", "AttachLoadBalancerToSubnets"}
	if diff := cmp.Diff(want, writing(w.aws.take())); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
	w.checkSteady("other subnets")
}

func TestAClassicDryRunAndDriftPolicy(t *testing.T) {
	w := newWorld(t)
	svc := plain("nginx")
	svc.Annotations["fairlead.io/dry-run"] = "true"
	w.create(svc)
	w.settle("nginx")
	if c := w.condition("nginx", condDryRun); !strings.Contains(c.Message, "TCP 80 to TCP") || !w.all().empty() {
		t.Errorf("condition DryRun is %+v, there is %s", c, w.all())
	}
	w.update("nginx", func(s *corev1.Service) {
		delete(s.Annotations, "fairlead.io/dry-run")
		s.Annotations["fairlead.io/drift-policy"] = "report"
	})
	w.settle("nginx")
	name := w.classics()[0].LoadBalancerName
	drift := types.HealthCheck{Target: new("TCP:1"), Interval: new(int32(30)), Timeout: new(int32(5)), HealthyThreshold: new(int32(2)), UnhealthyThreshold: new(int32(2))}
	if _, err := w.classic.ConfigureHealthCheck(t.Context(), &elbsdk.ConfigureHealthCheckInput{LoadBalancerName: name, HealthCheck: &drift}); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(2 * resync)
	w.settle("nginx")
	if c := w.condition("nginx", condDrifted); !strings.Contains(c.Message, "ConfigureHealthCheck ") || *w.classics()[0].HealthCheck.Target != "TCP:1" {
		t.Errorf("condition Drifted is %+v, the health check %+v", c, w.classics()[0].HealthCheck)
	}
	w.update("nginx", func(s *corev1.Service) { delete(s.Annotations, "fairlead.io/drift-policy") })
	w.now = w.now.Add(2 * resync)
	w.settle("nginx")
	if *w.classics()[0].HealthCheck.Target == "TCP:1" {
		t.Error("the drift is not repaired")
	}
}

func TestAPlainPreviewIsClassic(t *testing.T) {
	w := newWorld(t)
	text := strings.Replace(strings.Replace(manifest, "  annotations:\n    "+prefix+"type: nlb\n", "", 1), "  externalTrafficPolicy: Local\n", "", 1)
	p := w.preview(text)
	if p.Claim != intent.Classic || len(p.Plan.Steps) != 5 || len(p.Problems) != 0 {
		t.Errorf("claim %d, problems %v, plan:\n%s", p.Claim, p.Problems, p.Plan.Text())
	}
	w.create(plain("nginx"))
	w.settle("nginx")
	if p := w.preview(text); !p.Plan.Empty() || p.New {
		t.Errorf("an unchanged Service: new %t, plan %s", p.New, p.Plan.Text())
	}
	if p := w.preview(manifest); !p.Plan.Empty() && len(p.Plan.Blocked) != 1 {
		t.Errorf("another type: %s", p.Plan.Text())
	}
}
