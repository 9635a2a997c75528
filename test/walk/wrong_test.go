package walk_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/lab/labtest"
)

// service renders a Service of type LoadBalancer.
func service(name, annotations, spec string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata:
  name: %s
  annotations:
    %s
spec:
  type: LoadBalancer
  ports: [{name: http, port: 80, targetPort: 80}]
  selector: {app: nginx}
  %s
`, name, annotations, spec)
}

const (
	prefix = "service.beta.kubernetes.io/aws-load-balancer-"
	nlb    = prefix + "type: nlb"
)

// wrongServices applies Services that are wrong, each in its own way, and one
// that is right: each wrong one says what is the matter, in an event and a
// condition, and the right one is served as if they were not there.
func (h *house) wrongServices(t *testing.T) {
	wrong := map[string]struct{ manifest, says string }{
		"typo-type":    {service("typo-type", prefix+"type: nlbb", ""), `did you mean "nlb"?`},
		"bad-interval": {service("bad-interval", nlb+"\n    "+prefix+`healthcheck-interval: "3"`, ""), "a whole number from 5 to 300"},
		"bad-family":   {service("bad-family", nlb+"\n    "+prefix+"ip-address-type: ipv6", ""), "ipv4 or dualstack"},
		"no-node-port": {service("no-node-port", nlb+"\n    "+prefix+"nlb-target-type: instance", "allocateLoadBalancerNodePorts: false"), "node port"},
		"same-name":    {service("same-name", nlb+"\n    "+prefix+"name: taken", ""), "taken"},
	}
	h.Apply(t, service("first-name", nlb+"\n    "+prefix+"name: taken", ""))
	h.Hostname(t, "first-name")
	for _, w := range wrong {
		h.Apply(t, w.manifest)
	}
	for name, w := range wrong {
		labtest.Until(t, name+" says what is wrong", func() (string, bool) {
			events := h.Run(t, "kubectl", "get", "events", "--field-selector", "involvedObject.name="+name, "-o", "jsonpath={.items[*].message}")
			conditions := h.Run(t, "kubectl", "get", "service", name, "-o", `jsonpath={.status.conditions[?(@.status=="False")].message}`)
			return events + " | " + conditions, strings.Contains(events, w.says) && strings.Contains(conditions, w.says)
		})
	}
	host := h.Hostname(t, "first-name")
	labtest.Until(t, "the right Service is served", func() (string, bool) {
		a, err := h.get(t, "client", host)
		return fmt.Sprint(a, err), err == nil
	})
	h.Run(t, "kubectl", "delete", "service", "--timeout=60s", "first-name", "typo-type", "bad-interval", "bad-family", "no-node-port", "same-name")
}

// wrongRequests sends what no client should to the AWS API.
func (h *house) wrongRequests(t *testing.T) {
	for name, r := range map[string]struct {
		body   io.Reader
		auth   string
		status int
		code   string
	}{
		"no signature":        {strings.NewReader("Action=DescribeLoadBalancers&Version=2015-12-01"), "", 403, "MissingAuthenticationToken"},
		"a made-up signature": {strings.NewReader("Action=DescribeLoadBalancers&Version=2015-12-01"), "AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-west-2/elasticloadbalancing/aws4_request, SignedHeaders=host;x-amz-date, Signature=00", 403, "InvalidClientTokenId"},
		"10 MB":               {bytes.NewReader(make([]byte, 10<<20)), "", 413, ""},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.EngineURL()+"/", r.body)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set("X-Amz-Date", "20260101T000000Z")
			if r.auth != "" {
				req.Header.Set("Authorization", r.auth)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != r.status && resp.StatusCode != 403 || !strings.Contains(string(body), r.code) {
				t.Errorf("status %d, body %s; want %d with %q", resp.StatusCode, body, r.status, r.code)
			}
		})
	}
	if _, err := h.Try(t.Context(), "", "aws", "elbv2", "describe-load-balancers"); err != nil {
		t.Errorf("after wrong requests a right one fails: %v", err)
	}
	if _, err := h.Try(t.Context(), "", "aws", "elbv2", "describe-load-balancers", "--names", "absent"); err == nil || !strings.Contains(err.Error(), "LoadBalancerNotFound") {
		t.Errorf("describing an absent load balancer: %v, want LoadBalancerNotFound", err)
	}
}

// waits runs the CLI's own waiters against a load balancer that serves.
func (h *house) waits(t *testing.T) {
	h.applyExample(t, "nginx-nlb.yaml")
	h.Hostname(t, "nginx")
	labtest.Until(t, "two healthy targets", func() (string, bool) {
		s := h.targetStates(t, "nginx")
		return fmt.Sprint(s), len(s) == 2 && s[0] == "healthy" && s[1] == "healthy"
	})
	arn := strings.TrimSpace(h.Run(t, "aws", "elbv2", "describe-load-balancers", "--query", "LoadBalancers[0].LoadBalancerArn", "--output", "text"))
	group := strings.TrimSpace(h.Run(t, "aws", "elbv2", "describe-target-groups", "--load-balancer-arn", arn, "--query", "TargetGroups[0].TargetGroupArn", "--output", "text"))
	h.Run(t, "aws", "elbv2", "wait", "load-balancer-available", "--load-balancer-arns", arn)
	h.Run(t, "aws", "elbv2", "wait", "target-in-service", "--target-group-arn", group)
	h.Run(t, "kubectl", "delete", "service/nginx", "daemonset/nginx", "--timeout=60s")
	h.Run(t, "aws", "elbv2", "wait", "load-balancers-deleted", "--load-balancer-arns", arn)
}
