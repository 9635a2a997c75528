package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lab"
)

// holdOn opens one connection and takes away, one after the other, everything
// that it must not depend on.
func holdOn(ctx context.Context, w *walk) (string, error) {
	var err error
	if w.held, err = w.hold(ctx); err != nil {
		return "", &Failure{Expected: "a long answer to begin", Seen: err.Error(), Look: "fairlead-lab logs edge-us-west-2a"}
	}
	fmt.Fprintf(w.out, "     held by pod %s on %s, which sees %s\n", w.held.first.pod, w.held.first.node, w.held.first.peer)
	other, err := w.otherNode(ctx, w.held.first.node)
	if err != nil {
		return "", err
	}
	for _, disturb := range [][]string{
		{"fairlead-lab", "restart", "controller"},
		{"fairlead-lab", "restart", "engine", "--kill"},
		{"fairlead-lab", "node", "remove", other},
	} {
		if _, err := w.run(ctx, disturb...); err != nil {
			return "", err
		}
		if _, err := w.held.alive(ctx, w); err != nil {
			return "", err
		}
	}
	if _, err := w.awaitOneTarget(ctx); err != nil {
		return "", err
	}
	lines, err := w.held.alive(ctx, w)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("one connection from %s, %d lines, none missing", w.held.first.peer, lines), nil
}

// otherNode names the node that does not serve the held connection.
func (w *walk) otherNode(ctx context.Context, node string) (string, error) {
	out, err := w.quiet(ctx, "", "kubectl", "get", "nodes", "-o", "jsonpath={.items[*].metadata.name}")
	if err != nil {
		return "", err
	}
	for n := range strings.FieldsSeq(out) {
		if n != node {
			return n, nil
		}
	}
	return "", &Failure{Expected: "a second node", Seen: out, Look: "kubectl get nodes"}
}

// awaitOneTarget waits until the departed node serves no more: one target is
// healthy and the other is draining or gone.
func (w *walk) awaitOneTarget(ctx context.Context) ([]target, error) {
	argv, err := w.sayTargets(ctx)
	if err != nil {
		return nil, err
	}
	var all []target
	f := Failure{Expected: "one healthy target, the other draining or gone", Look: "fairlead-lab logs controller"}
	err = w.await(ctx, 30*time.Second, f, func(ctx context.Context) (string, bool) {
		var err error
		if all, err = w.targets(ctx, argv); err != nil {
			return err.Error(), false
		}
		s := states(all)
		return fmt.Sprint(all), slices.Equal(s, []string{"healthy"}) || slices.Equal(s, []string{"draining", "healthy"})
	})
	if err == nil {
		w.show(all)
	}
	return all, err
}

func deleteService(ctx context.Context, w *walk) (string, error) {
	pods, err := w.podNamespaces(ctx)
	if err != nil {
		return "", err
	}
	w.close()
	if _, err := w.run(ctx, "kubectl", "delete", "service/nginx", "daemonset/nginx", "--timeout=60s"); err != nil {
		return "", &Failure{Expected: "the Service to go", Seen: err.Error(), Look: "kubectl describe service nginx; fairlead-lab logs controller"}
	}
	if err := w.nothingIn(ctx, leftovers...); err != nil {
		return "", err
	}
	if err := w.nothingInMaps(ctx); err != nil {
		return "", err
	}
	if err := w.gone(ctx, pods); err != nil {
		return "", err
	}
	return "no load balancer, target group, security group, map entry or pod namespace", nil
}

var classicLeftovers = []string{"aws", "elb", "describe-load-balancers", "--query", "LoadBalancerDescriptions[].LoadBalancerName"}

// leftovers are what the API must have none of, with the query that lists them.
var leftovers = [][]string{
	{"aws", "elbv2", "describe-load-balancers", "--query", "LoadBalancers[].LoadBalancerName"},
	classicLeftovers,
	{"aws", "elbv2", "describe-target-groups", "--query", "TargetGroups[].TargetGroupName"},
	{"aws", "ec2", "describe-security-groups", "--filters", "Name=tag-key,Values=fairlead.io/cluster", "--query", "SecurityGroups[].GroupName"},
}

// nothingIn waits until every list is empty.
func (w *walk) nothingIn(ctx context.Context, lists ...[]string) error {
	for _, argv := range lists {
		w.say(argv)
		want := Failure{Expected: "an empty list from " + lab.CommandLine(argv), Look: "fairlead-lab logs controller"}
		err := w.await(ctx, 30*time.Second, want, func(ctx context.Context) (string, bool) {
			out, err := w.quiet(ctx, "", append(argv, "--output", "json")...)
			if err != nil {
				return err.Error(), false
			}
			var names []string
			err = json.Unmarshal([]byte(out), &names)
			return strings.Join(strings.Fields(out), " "), err == nil && len(names) == 0
		})
		if err != nil {
			return err
		}
	}
	return nil
}
