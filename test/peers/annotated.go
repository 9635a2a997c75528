package main

import (
	"context"
	"fmt"
	"strings"
)

// annotatedService uses the peer's annotations that change what it sends. It is
// internal: no outside client reaches it on AWS; here the VPC is routed.
const annotatedService = `
apiVersion: v1
kind: Service
metadata:
  name: annotated
  annotations:
    service.beta.kubernetes.io/aws-load-balancer-type: nlb
    service.beta.kubernetes.io/aws-load-balancer-internal: "true"
    service.beta.kubernetes.io/aws-load-balancer-cross-zone-load-balancing-enabled: "true"
    service.beta.kubernetes.io/aws-load-balancer-additional-resource-tags: team=web,stage=test
    service.beta.kubernetes.io/aws-load-balancer-healthcheck-protocol: http
    service.beta.kubernetes.io/aws-load-balancer-healthcheck-path: /healthz
    service.beta.kubernetes.io/aws-load-balancer-healthcheck-interval: "10"
    service.beta.kubernetes.io/aws-load-balancer-target-group-attributes: preserve_client_ip.enabled=false
spec:
  type: LoadBalancer
  ports: [{name: http, port: 80, targetPort: 80}]
  selector: {app: nginx}
`

// annotatedLife is a Service with as many annotations as the peer understands.
func (h *house) annotatedLife() []check {
	return []check{
		{"NLB with annotations: create; attributes and tags are as asked", func(ctx context.Context) error {
			if _, err := h.input(ctx, annotatedService, "kubectl", "apply", "-f", "-"); err != nil {
				return err
			}
			if err := h.healthy(ctx, "annotated", 80, 2); err != nil {
				return err
			}
			return h.until(ctx, func() error { return h.asAnnotated(ctx, "true", "false") })
		}},
		{"NLB with annotations: attributes change in place", func(ctx context.Context) error {
			prefix := "service.beta.kubernetes.io/aws-load-balancer-"
			_, err := h.run(ctx, "kubectl", "annotate", "service", "annotated", "--overwrite",
				prefix+"cross-zone-load-balancing-enabled=false", prefix+"target-group-attributes=preserve_client_ip.enabled=true")
			if err != nil {
				return err
			}
			return h.until(ctx, func() error { return h.asAnnotated(ctx, "false", "true") })
		}},
		{"NLB with annotations: delete leaves nothing", func(ctx context.Context) error { return h.remove(ctx, "annotated") }},
	}
}

// asAnnotated compares what the engine holds with what the annotations say.
func (h *house) asAnnotated(ctx context.Context, crossZone, preserve string) error {
	host, err := h.host(ctx, "annotated")
	if err != nil {
		return err
	}
	arn, err := h.balancerARN(ctx, host)
	if err != nil {
		return err
	}
	for _, q := range []struct {
		want string
		args []string
	}{
		{"internal", []string{"describe-load-balancers", "--load-balancer-arns", arn, "--query", "LoadBalancers[0].Scheme"}},
		{crossZone, []string{"describe-load-balancer-attributes", "--load-balancer-arn", arn, "--query", "Attributes[?Key=='load_balancing.cross_zone.enabled'].Value | [0]"}},
		{"web", []string{"describe-tags", "--resource-arns", arn, "--query", "TagDescriptions[0].Tags[?Key=='team'].Value | [0]"}},
		{"/healthz", []string{"describe-target-groups", "--load-balancer-arn", arn, "--query", "TargetGroups[0].HealthCheckPath"}},
	} {
		var got string
		if err := h.aws(ctx, &got, append([]string{"elbv2"}, q.args...)...); err != nil {
			return err
		}
		if got != q.want {
			return fmt.Errorf("%s says %q, want %q: %s", strings.Join(q.args, " "), got, q.want, h.events(ctx, "annotated"))
		}
	}
	return h.preserves(ctx, arn, preserve)
}

// preserves compares the attribute of the only target group.
func (h *house) preserves(ctx context.Context, balancer, want string) error {
	var group, got string
	if err := h.aws(ctx, &group, "elbv2", "describe-target-groups", "--load-balancer-arn", balancer, "--query", "TargetGroups[0].TargetGroupArn"); err != nil {
		return err
	}
	err := h.aws(ctx, &got, "elbv2", "describe-target-group-attributes", "--target-group-arn", group, "--query", "Attributes[?Key=='preserve_client_ip.enabled'].Value | [0]")
	if err == nil && got != want {
		err = fmt.Errorf("preserve_client_ip.enabled is %s, want %s: %s", got, want, h.events(ctx, "annotated"))
	}
	return err
}
