package walk_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/lab/labtest"
)

// classicLife is a Service that says nothing, from every kind of client; then
// with a certificate; then as a Network Load Balancer, when the user agrees.
func (h *house) classicLife(t *testing.T) {
	h.applyExample(t, "nginx-daemonset.yaml")
	h.Run(t, "kubectl", "rollout", "status", "daemonset/nginx", "--timeout=60s")
	h.Apply(t, service("classic", "plain: \"true\"", ""))
	host := h.Hostname(t, "classic")
	labtest.Until(t, "two instances in service", func() (string, bool) {
		out := h.Run(t, "aws", "elb", "describe-instance-health", "--load-balancer-name", h.classicName(t), "--query", "InstanceStates[].State", "--output", "text")
		return out, strings.Join(strings.Fields(out), " ") == "InService InService"
	})
	for _, place := range h.places(t) {
		h.asksBoth(t, place, host, "Cluster")
	}
	h.classicHTTPS(t, host)
	h.classicBecomesNetwork(t, host)
	h.Run(t, "kubectl", "delete", "service/classic", "--timeout=60s")
}

func (h *house) classicName(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(h.Run(t, "aws", "elb", "describe-load-balancers", "--query", "LoadBalancerDescriptions[].LoadBalancerName", "--output", "text"))
}

func (h *house) annotate(t *testing.T, service string, annotations ...string) {
	t.Helper()
	h.Run(t, append([]string{"kubectl", "annotate", "service", service}, annotations...)...)
}

func (h *house) classicHTTPS(t *testing.T, host string) {
	arn := strings.TrimSpace(h.Run(t, "aws", "acm", "request-certificate", "--domain-name", "classic.example", "--query", "CertificateArn", "--output", "text"))
	h.annotate(t, "classic", prefix+"ssl-cert="+arn, prefix+"backend-protocol=http")
	url := "https://classic.example:80/?format=json"
	argv := []string{"fairlead-lab", "exec", "client", "--", "curl", "-sSk", "--max-time", "2", "--connect-to", "classic.example:80:" + host + ":80", url}
	labtest.Until(t, "the client's address in X-Forwarded-For, over HTTPS", func() (string, bool) {
		out, err := h.Try(t.Context(), "", argv...)
		return fmt.Sprint(out, err), err == nil && strings.Contains(out, `"xForwardedFor":"203.0.113.10"`)
	})
	h.annotate(t, "classic", prefix+"ssl-cert-", prefix+"backend-protocol-")
}

func (h *house) classicBecomesNetwork(t *testing.T, host string) {
	name := h.classicName(t)
	h.annotate(t, "classic", prefix+"type=nlb")
	labtest.Until(t, "a condition that asks for consent", func() (string, bool) {
		out := h.Run(t, "kubectl", "get", "service", "classic", "-o", `jsonpath={.status.conditions[?(@.type=="ReplacementRequired")].message}`)
		return out, strings.Contains(out, "the type cannot change from classic to network")
	})
	if got := h.Hostname(t, "classic"); got != host || h.classicName(t) != name {
		t.Errorf("without consent the hostname is %s, it was %s", got, host)
	}
	h.annotate(t, "classic", "fairlead.io/allow-replacement=true")
	labtest.Until(t, "another hostname, and no Classic Load Balancer", func() (string, bool) {
		now, left := h.Hostname(t, "classic"), h.classicName(t)
		return now + " " + left, now != host && left == ""
	})
	h.asksBoth(t, "client", h.Hostname(t, "classic"), "Cluster")
}
