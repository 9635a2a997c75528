package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fairlead-lb/fairlead/examples"
)

// Addresses of the lab's first client, outside the VPC.
const (
	client        = "client"
	clientAddress = "203.0.113.10"
)

// steps is the story of the post, in its order.
func steps() []step { return slices.Concat(classicSteps(), networkSteps()) }

// networkSteps are the post's second chapter.
func networkSteps() []step {
	return []step{
		{"Apply the post's Service with the annotation: a Network Load Balancer", applyPost},
		{"Read the hostname from the Service's status", readHostname},
		{"Look at the targets: one healthy, one unhealthy", oneHealthy},
		{"Ask from outside: the pod sees the client's own address", seesClient},
		{"externalTrafficPolicy Cluster: both healthy, the pod sees a node", policyCluster},
		{"A DaemonSet under Local: both healthy, both pods answer", daemonSet},
		{"Hold one connection open while controller and engine restart and the other target leaves", holdOn},
		{"Delete the Service: nothing is left", deleteService},
	}
}

// apply sends one of the examples through kubectl.
func (w *walk) apply(ctx context.Context, file string) error {
	data, err := examples.FS.ReadFile(file)
	if err != nil {
		return err
	}
	w.say([]string{"kubectl", "apply", "-f", "examples/" + file})
	_, err = w.quiet(ctx, string(data), "kubectl", "apply", "-f", "-")
	return err
}

// deploy runs one pod, so that one of the two nodes has none.
func (w *walk) deploy(ctx context.Context) error {
	if err := w.apply(ctx, "nginx-deployment.yaml"); err != nil {
		return err
	}
	_, err := w.run(ctx, "kubectl", "rollout", "status", "deployment/nginx", "--timeout=60s")
	return err
}

func applyPost(ctx context.Context, w *walk) (string, error) {
	w.applied = time.Now()
	if err := w.apply(ctx, "nginx-nlb.yaml"); err != nil {
		return "", err
	}
	return "Service default/nginx with aws-load-balancer-type: nlb", nil
}

func readHostname(ctx context.Context, w *walk) (string, error) {
	w.host = ""
	get := []string{"kubectl", "get", "service", "nginx", "-o", "jsonpath={.status.loadBalancer.ingress[0].hostname}"}
	w.say(get)
	want := Failure{Expected: "a hostname in status.loadBalancer.ingress", Look: "kubectl describe service nginx; fairlead-lab logs controller"}
	err := w.await(ctx, 30*time.Second, want, func(ctx context.Context) (string, bool) {
		out, err := w.quiet(ctx, "", get...)
		if err != nil {
			return err.Error(), false
		}
		w.host = strings.TrimSpace(out)
		return "an empty status", w.host != ""
	})
	if err != nil {
		return "", err
	}
	want = Failure{Expected: "an answer through the load balancer", Look: "fairlead-lab logs edge-us-west-2a"}
	err = w.await(ctx, 30*time.Second, want, w.answers)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s, first answer %.1f s after apply", w.host, time.Since(w.applied).Seconds()), nil
}

// answers reports whether a request from outside is answered.
func (w *walk) answers(ctx context.Context) (string, bool) {
	a, err := w.get(ctx, client)
	if err != nil {
		return err.Error(), false
	}
	return "an answer by pod " + a.Pod, a.Pod != ""
}

func oneHealthy(ctx context.Context, w *walk) (string, error) {
	all, err := w.awaitStates(ctx, "healthy", "unhealthy")
	if err != nil {
		return "", err
	}
	out, err := w.run(ctx, "kubectl", "get", "service", "nginx", "-o", "jsonpath={.spec.healthCheckNodePort}")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("1 healthy, 1 unhealthy: %s; kube-proxy answers health checks on port %s", all[1].reason, strings.TrimSpace(out)), nil
}

// awaitStates waits until the targets have exactly these states, and shows them.
func (w *walk) awaitStates(ctx context.Context, want ...string) ([]target, error) {
	argv, err := w.sayTargets(ctx)
	if err != nil {
		return nil, err
	}
	var all []target
	f := Failure{Expected: "targets " + strings.Join(want, ", "), Look: "kubectl describe service nginx; fairlead-lab logs edge-us-west-2a"}
	err = w.await(ctx, 60*time.Second, f, func(ctx context.Context) (string, bool) {
		var err error
		if all, err = w.targets(ctx, argv); err != nil {
			return err.Error(), false
		}
		return fmt.Sprint(all), slices.Equal(states(all), want)
	})
	if err == nil {
		w.show(all)
	}
	return all, err
}

func seesClient(ctx context.Context, w *walk) (string, error) {
	w.say(w.curlArgs(client))
	a, err := w.get(ctx, client)
	if err != nil {
		return "", &Failure{Expected: "an answer through the load balancer", Seen: err.Error(), Look: "fairlead-lab logs edge-us-west-2a"}
	}
	w.tell(a)
	if a.Peer.Addr().String() != clientAddress {
		return "", &Failure{Expected: "the pod to see " + clientAddress, Seen: a.Peer.Addr().String(), Look: "fairlead-lab logs node-1"}
	}
	return fmt.Sprintf("pod %s on %s saw %s", a.Pod, a.Node, a.Peer.Addr().String()), nil
}

// patchPolicy changes the Service's traffic policy in place.
func (w *walk) patchPolicy(ctx context.Context, policy string) error {
	_, err := w.run(ctx, "kubectl", "patch", "service", "nginx", "-p", `{"spec":{"externalTrafficPolicy":"`+policy+`"}}`)
	return err
}

func policyCluster(ctx context.Context, w *walk) (string, error) {
	if err := w.patchPolicy(ctx, "Cluster"); err != nil {
		return "", err
	}
	if _, err := w.awaitStates(ctx, "healthy", "healthy"); err != nil {
		return "", err
	}
	out, err := w.run(ctx, "kubectl", "get", "nodes", "-o", `jsonpath={.items[*].status.addresses[?(@.type=="InternalIP")].address}`)
	if err != nil {
		return "", err
	}
	nodes := strings.Fields(out)
	w.say(w.curlArgs(client))
	a, err := w.get(ctx, client)
	if err != nil {
		return "", err
	}
	w.tell(a)
	if !slices.Contains(nodes, a.Peer.Addr().String()) {
		return "", &Failure{Expected: "the pod to see a node's address, one of " + strings.Join(nodes, " "), Seen: a.Peer.Addr().String(), Look: "fairlead-lab logs kube-proxy-node-1"}
	}
	return fmt.Sprintf("pod %s saw %s, a node", a.Pod, a.Peer.Addr().String()), nil
}

func daemonSet(ctx context.Context, w *walk) (string, error) {
	if err := w.patchPolicy(ctx, "Local"); err != nil {
		return "", err
	}
	if _, err := w.run(ctx, "kubectl", "delete", "deployment", "nginx"); err != nil {
		return "", err
	}
	if err := w.apply(ctx, "nginx-daemonset.yaml"); err != nil {
		return "", err
	}
	if _, err := w.run(ctx, "kubectl", "rollout", "status", "daemonset/nginx", "--timeout=60s"); err != nil {
		return "", err
	}
	if _, err := w.awaitStates(ctx, "healthy", "healthy"); err != nil {
		return "", err
	}
	return w.spread(ctx)
}

// spread asks many times and wants every pod to have answered.
func (w *walk) spread(ctx context.Context) (string, error) {
	const requests = 20
	w.say(w.curlArgs(client), fmt.Sprintf(" # %d times", requests))
	pods := map[string]int{}
	for range requests {
		a, err := w.get(ctx, client)
		if err != nil {
			return "", &Failure{Expected: fmt.Sprintf("%d answers", requests), Seen: err.Error(), Look: "fairlead-lab logs edge-us-west-2a"}
		}
		pods[a.Pod+" on "+a.Node]++
	}
	if len(pods) != 2 {
		return "", &Failure{Expected: "answers from both pods", Seen: fmt.Sprint(pods), Look: "aws elbv2 describe-target-health"}
	}
	var parts []string
	for pod, n := range pods {
		parts = append(parts, fmt.Sprintf("%s: %d", pod, n))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", "), nil
}
