package main

import (
	"context"
	"fmt"
	"slices"
)

const classicService = `
apiVersion: v1
kind: Service
metadata:
  name: classic
spec:
  type: LoadBalancer
  ports: [{name: http, port: 80, targetPort: 80}]
  selector: {app: nginx}
`

// classicLife is a Service without any annotation.
func (h *house) classicLife() []check {
	return []check{
		{"Classic: create; both nodes are registered and an outside client is answered", func(ctx context.Context) error {
			if err := h.applyExamples(ctx, "nginx-daemonset.yaml"); err != nil {
				return err
			}
			if _, err := h.input(ctx, classicService, "kubectl", "apply", "-f", "-"); err != nil {
				return err
			}
			return h.classicServes(ctx, 80)
		}},
		{"Classic: port changes from 80 to 8080", func(ctx context.Context) error {
			patch := `[{"op": "replace", "path": "/spec/ports/0/port", "value": 8080}]`
			if _, err := h.run(ctx, "kubectl", "patch", "service", "classic", "--type=json", "-p", patch); err != nil {
				return err
			}
			return h.classicServes(ctx, 8080)
		}},
		{"Classic: delete leaves nothing", func(ctx context.Context) error {
			if _, err := h.run(ctx, "kubectl", "delete", "service", "classic", "--timeout=60s"); err != nil {
				return fmt.Errorf("%w: %s", err, h.events(ctx, "classic"))
			}
			var left []string
			err := h.aws(ctx, &left, "elb", "describe-load-balancers", "--query", "LoadBalancerDescriptions[].LoadBalancerName")
			if err == nil && len(left) > 0 {
				err = fmt.Errorf("left behind: %v", left)
			}
			return err
		}},
	}
}

func (h *house) classicServes(ctx context.Context, port int) error {
	host, err := h.host(ctx, "classic")
	if err != nil {
		return err
	}
	if err := h.until(ctx, func() error { return h.classicIs(ctx, port, 2) }); err != nil {
		return err
	}
	return h.until(ctx, func() error { return h.serves(ctx, host, port) })
}

// classicIs compares the only Classic Load Balancer with its Service.
func (h *house) classicIs(ctx context.Context, port, instances int) error {
	var got []struct {
		Ports     []int
		Instances []string
	}
	err := h.aws(ctx, &got, "elb", "describe-load-balancers", "--query",
		"LoadBalancerDescriptions[].{Ports: ListenerDescriptions[].Listener.LoadBalancerPort, Instances: Instances[].InstanceId}")
	if err != nil {
		return err
	}
	if len(got) != 1 || !slices.Equal(got[0].Ports, []int{port}) || len(got[0].Instances) != instances {
		return fmt.Errorf("the Classic Load Balancers are %+v, want one with port %d and %d instances: %s", got, port, instances, h.events(ctx, "classic"))
	}
	return nil
}
