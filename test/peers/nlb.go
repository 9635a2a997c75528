package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/examples"
)

// clientAddress is where the lab's client asks from.
const clientAddress = "203.0.113.10"

// networkLife is the blog post's Service from the first apply to its end.
func (h *house) networkLife() []check {
	var joined string
	return []check{
		{"NLB: create; an outside client is answered and keeps its address", h.createNetwork},
		{"NLB: port changes from 80 to 8080", func(ctx context.Context) error {
			return h.movePort(ctx, "nginx", 80, 8080)
		}},
		{"NLB: a second port", h.secondPort},
		{"NLB: policy changes from Local to Cluster", func(ctx context.Context) error {
			if err := h.patch(ctx, "nginx", `{"spec":{"externalTrafficPolicy":"Cluster"}}`); err != nil {
				return err
			}
			return h.healthy(ctx, "nginx", 8080, 2)
		}},
		{"NLB: policy changes back to Local", func(ctx context.Context) error {
			if err := h.patch(ctx, "nginx", `{"spec":{"externalTrafficPolicy":"Local"}}`); err != nil {
				return err
			}
			return errors.Join(h.healthy(ctx, "nginx", 8080, 2), h.keepsAddress(ctx, "nginx", 8080))
		}},
		{"NLB: source ranges narrow the nodes' rules", h.narrow},
		{"NLB: a node joins", func(ctx context.Context) error {
			out, err := h.run(ctx, "fairlead-lab", "node", "add")
			if joined = strings.TrimSpace(out); err != nil {
				return err
			}
			return h.healthy(ctx, "nginx", 8080, 3)
		}},
		{"NLB: a node leaves", func(ctx context.Context) error {
			if _, err := h.run(ctx, "fairlead-lab", "node", "remove", joined); err != nil {
				return err
			}
			return h.healthy(ctx, "nginx", 8080, 2)
		}},
		{"NLB: delete leaves no load balancer, target group or client rule", func(ctx context.Context) error {
			return h.remove(ctx, "nginx")
		}},
	}
}

func (h *house) createNetwork(ctx context.Context) error {
	if err := h.applyExamples(ctx, "nginx-daemonset.yaml", "nginx-nlb.yaml"); err != nil {
		return err
	}
	return errors.Join(h.healthy(ctx, "nginx", 80, 2), h.keepsAddress(ctx, "nginx", 80))
}

func (h *house) applyExamples(ctx context.Context, names ...string) error {
	for _, name := range names {
		data, err := examples.FS.ReadFile(name)
		if err != nil {
			return err
		}
		if _, err := h.input(ctx, string(data), "kubectl", "apply", "-f", "-"); err != nil {
			return err
		}
	}
	return nil
}

func (h *house) patch(ctx context.Context, service, patch string) error {
	_, err := h.run(ctx, "kubectl", "patch", "service", service, "-p", patch)
	return err
}

// host waits for the Service's name.
func (h *house) host(ctx context.Context, service string) (string, error) {
	var host string
	err := h.until(ctx, func() error {
		out, err := h.run(ctx, "kubectl", "get", "service", service, "-o", "jsonpath={.status.loadBalancer.ingress[0].hostname}")
		if host = out; err == nil && host == "" {
			err = fmt.Errorf("the Service %s has no hostname: %s", service, h.events(ctx, service))
		}
		return err
	})
	return host, err
}

// events are what the peer says of a Service.
func (h *house) events(ctx context.Context, service string) string {
	out, err := h.run(ctx, "kubectl", "get", "events", "--field-selector", "involvedObject.name="+service, "-o", "jsonpath={.items[*].message}")
	if err != nil {
		return err.Error()
	}
	return out
}

// healthy waits until a Service's load balancer has n targets for a port, all
// healthy, and serves there.
func (h *house) healthy(ctx context.Context, service string, port, n int) error {
	host, err := h.host(ctx, service)
	if err != nil {
		return err
	}
	return h.until(ctx, func() error {
		states, err := h.targetStates(ctx, host, port)
		if err != nil {
			return err
		}
		if len(states) != n || slices.ContainsFunc(states, func(s string) bool { return s != "healthy" }) {
			return fmt.Errorf("targets are %v, want %d healthy: %s", states, n, h.events(ctx, service))
		}
		return h.serves(ctx, host, port)
	})
}

func (h *house) keepsAddress(ctx context.Context, service string, port int) error {
	host, err := h.host(ctx, service)
	if err != nil {
		return err
	}
	a, err := h.get(ctx, host, port)
	if err == nil && a.Peer.Addr().String() != clientAddress {
		err = fmt.Errorf("the pod saw %s, want the client's %s", a.Peer.Addr(), clientAddress)
	}
	return err
}

// aws asks the engine and decodes what the query selects.
func (h *house) aws(ctx context.Context, into any, args ...string) error {
	out, err := h.run(ctx, append([]string{"aws", "--output", "json"}, args...)...)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(out), into)
}

// balancerARN finds a load balancer by its DNS name.
func (h *house) balancerARN(ctx context.Context, host string) (string, error) {
	var arn string
	err := h.aws(ctx, &arn, "elbv2", "describe-load-balancers", "--query", "LoadBalancers[?DNSName=='"+host+"'].LoadBalancerArn | [0]")
	return arn, err
}

// targetStates are those of the group that a listener forwards to.
func (h *house) targetStates(ctx context.Context, host string, port int) ([]string, error) {
	arn, err := h.balancerARN(ctx, host)
	if err != nil {
		return nil, err
	}
	var group *string
	query := fmt.Sprintf("Listeners[?Port==`%d`].DefaultActions[0].TargetGroupArn | [0]", port)
	if err := h.aws(ctx, &group, "elbv2", "describe-listeners", "--load-balancer-arn", arn, "--query", query); err != nil {
		return nil, err
	}
	if group == nil {
		return nil, fmt.Errorf("no listener on port %d", port)
	}
	var states []string
	err = h.aws(ctx, &states, "elbv2", "describe-target-health", "--target-group-arn", *group, "--query", "TargetHealthDescriptions[].TargetHealth.State")
	return slices.DeleteFunc(states, func(s string) bool { return s == "draining" }), err
}

// movePort changes a Service's only port and waits until the new one serves and
// the old one does not.
func (h *house) movePort(ctx context.Context, service string, from, to int) error {
	host, err := h.host(ctx, service)
	if err != nil {
		return err
	}
	patch := fmt.Sprintf(`[{"op": "replace", "path": "/spec/ports/0/port", "value": %d}]`, to)
	if _, err := h.run(ctx, "kubectl", "patch", "service", service, "--type=json", "-p", patch); err != nil {
		return err
	}
	return h.until(ctx, func() error {
		if err := h.serves(ctx, host, to); err != nil {
			return err
		}
		if _, err := h.get(ctx, host, from); err == nil {
			return fmt.Errorf("port %d still answers", from)
		}
		return nil
	})
}

func (h *house) secondPort(ctx context.Context) error {
	patch := `[{"op": "add", "path": "/spec/ports/-", "value": {"name": "more", "port": 8081, "targetPort": 80}}]`
	if _, err := h.run(ctx, "kubectl", "patch", "service", "nginx", "--type=json", "-p", patch); err != nil {
		return err
	}
	return errors.Join(h.healthy(ctx, "nginx", 8081, 2), h.healthy(ctx, "nginx", 8080, 2))
}

// clientRules are the source ranges of the peer's rules for clients on the
// nodes' group.
func (h *house) clientRules(ctx context.Context) ([]string, error) {
	var sources []string
	err := h.aws(ctx, &sources, "ec2", "describe-security-groups", "--query",
		"SecurityGroups[].IpPermissions[].IpRanges[?contains(Description||'', 'rule/nlb/client')][].CidrIp")
	slices.Sort(sources)
	return slices.Compact(sources), err
}

func (h *house) narrow(ctx context.Context) error {
	if err := h.patch(ctx, "nginx", `{"spec":{"loadBalancerSourceRanges":["`+clientAddress+`/32"]}}`); err != nil {
		return err
	}
	return h.until(ctx, func() error {
		rules, err := h.clientRules(ctx)
		if err != nil {
			return err
		}
		if want := []string{clientAddress + "/32"}; !slices.Equal(rules, want) {
			return fmt.Errorf("clients' rules are for %v, want %v: %s", rules, want, h.events(ctx, "nginx"))
		}
		return h.healthy(ctx, "nginx", 8080, 2)
	})
}

// remove deletes a Service and looks for what is left of it. The peer leaves
// its rule for path MTU messages behind, on AWS as well.
func (h *house) remove(ctx context.Context, service string) error {
	if _, err := h.run(ctx, "kubectl", "delete", "service", service, "--timeout=60s"); err != nil {
		return fmt.Errorf("%w: %s", err, h.events(ctx, service))
	}
	var left []string
	for _, query := range [][]string{
		{"describe-load-balancers", "--query", "LoadBalancers[].LoadBalancerName"},
		{"describe-target-groups", "--query", "TargetGroups[].TargetGroupName"},
	} {
		var names []string
		if err := h.aws(ctx, &names, append([]string{"elbv2"}, query...)...); err != nil {
			return err
		}
		left = append(left, names...)
	}
	rules, err := h.clientRules(ctx)
	if left = append(left, rules...); err == nil && len(left) > 0 {
		err = fmt.Errorf("left behind: %v", left)
	}
	return err
}
