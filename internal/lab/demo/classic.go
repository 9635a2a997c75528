package demo

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// classicSteps are the post's first chapter: the load balancer that a Service
// gets when it says nothing, and what becomes of the client's address.
func classicSteps() []step {
	return []step{
		{"Apply the post's first Service, which says nothing: a Classic Load Balancer", applyPlain},
		{"Ask from outside: the client's address is lost", losesClient},
		{"PROXY protocol brings it back", proxyProtocol},
		{"So does X-Forwarded-For, on an HTTP listener", forwardedFor},
		{"Delete the Service: the Classic Load Balancer is gone", deleteClassic},
	}
}

func applyPlain(ctx context.Context, w *walk) (string, error) {
	if err := w.deploy(ctx); err != nil {
		return "", err
	}
	w.applied = time.Now()
	if err := w.apply(ctx, "nginx-classic.yaml"); err != nil {
		return "", err
	}
	evidence, err := readHostname(ctx, w)
	if err != nil {
		return "", err
	}
	list := []string{"aws", "elb", "describe-load-balancers", "--query", "LoadBalancerDescriptions[].DNSName", "--output", "text"}
	out, err := w.run(ctx, list...)
	if err != nil {
		return "", err
	}
	if got := strings.TrimSpace(out); got != w.host {
		return "", &Failure{Expected: "the Classic Load Balancer " + w.host, Seen: got, Look: "fairlead-lab logs controller"}
	}
	return evidence, nil
}

// losesClient looks under both policies: kube-proxy puts a node's address in
// place of the load balancer's when it may send to other nodes.
func losesClient(ctx context.Context, w *walk) (string, error) {
	w.say(w.curlArgs(client))
	first, err := w.get(ctx, client)
	if err != nil {
		return "", &Failure{Expected: "an answer through the load balancer", Seen: err.Error(), Look: "fairlead-lab logs edge-us-west-2a"}
	}
	w.tell(first)
	if first.Peer.Addr().String() == clientAddress {
		return "", &Failure{Expected: "the pod not to see " + clientAddress, Seen: clientAddress, Look: "aws elb describe-load-balancers"}
	}
	if err := w.patchPolicy(ctx, "Local"); err != nil {
		return "", err
	}
	own, err := w.addresses(ctx)
	if err != nil {
		return "", err
	}
	f := Failure{Expected: fmt.Sprintf("the pod to see the load balancer, one of %v", own), Look: "fairlead-lab logs edge-us-west-2a"}
	a, err := w.until(ctx, f, func(a answer) bool { return slices.Contains(own, a.Peer.Addr()) })
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("the pod saw a node, %s, and under policy Local the load balancer, %s; the client is %s", first.Peer.Addr(), a.Peer.Addr(), clientAddress), nil
}

// addresses are those of the load balancer's name, as a client resolves it.
func (w *walk) addresses(ctx context.Context) ([]netip.Addr, error) {
	out, err := w.run(ctx, "fairlead-lab", "exec", client, "--", "getent", "ahostsv4", w.host)
	if err != nil {
		return nil, err
	}
	var all []netip.Addr
	for line := range strings.Lines(out) {
		if fields := strings.Fields(line); len(fields) > 0 {
			addr, err := netip.ParseAddr(fields[0])
			if err != nil {
				return nil, fmt.Errorf("read the address of %s: %w", w.host, err)
			}
			all = append(all, addr)
		}
	}
	return all, nil
}

// until asks again and again until an answer is as it should be.
func (w *walk) until(ctx context.Context, f Failure, good func(answer) bool) (answer, error) {
	w.say(w.curlArgs(client))
	var a answer
	err := w.await(ctx, 30*time.Second, f, func(ctx context.Context) (string, bool) {
		var err error
		if a, err = w.get(ctx, client); err != nil {
			return err.Error(), false
		}
		return a.told(), good(a)
	})
	if err == nil {
		w.tell(a)
	}
	return a, err
}

// tell prints what a pod answered about its client.
func (w *walk) tell(a answer) {
	fmt.Fprintf(w.out, "     pod %s on %s: %s\n", a.Pod, a.Node, a.told())
}

// told is whom the pod was told of, and by what.
func (a answer) told() string {
	text := "peer " + a.Peer.String()
	if a.Proxied.IsValid() {
		text += ", by PROXY protocol " + a.Proxied.String()
	}
	if a.ForwardedFor != "" {
		text += ", X-Forwarded-For: " + a.ForwardedFor
	}
	return text
}

const annotationPrefix = "service.beta.kubernetes.io/aws-load-balancer-"

func (w *walk) annotate(ctx context.Context, annotations ...string) error {
	argv := []string{"kubectl", "annotate", "service", "nginx"}
	for _, a := range annotations {
		argv = append(argv, annotationPrefix+a)
	}
	_, err := w.run(ctx, argv...)
	return err
}

func proxyProtocol(ctx context.Context, w *walk) (string, error) {
	if err := w.annotate(ctx, "proxy-protocol=*"); err != nil {
		return "", err
	}
	f := Failure{Expected: "a PROXY header with " + clientAddress, Look: "aws elb describe-load-balancers; fairlead-lab logs edge-us-west-2a"}
	a, err := w.until(ctx, f, func(a answer) bool { return a.Proxied.IsValid() && a.Proxied.Addr().String() == clientAddress })
	return fmt.Sprintf("the pod saw the load balancer, %s, and was told of %s", a.Peer.Addr(), a.Proxied.Addr()), err
}

func forwardedFor(ctx context.Context, w *walk) (string, error) {
	if err := w.annotate(ctx, "proxy-protocol-", "backend-protocol=http"); err != nil {
		return "", err
	}
	f := Failure{Expected: "X-Forwarded-For: " + clientAddress, Look: "aws elb describe-load-balancers; fairlead-lab logs edge-us-west-2a"}
	a, err := w.until(ctx, f, func(a answer) bool { return a.ForwardedFor == clientAddress && !a.Proxied.IsValid() })
	return fmt.Sprintf("the pod saw the load balancer, %s, and was told of %s", a.Peer.Addr(), a.ForwardedFor), err
}

func deleteClassic(ctx context.Context, w *walk) (string, error) {
	if _, err := w.run(ctx, "kubectl", "delete", "service", "nginx", "--timeout=60s"); err != nil {
		return "", &Failure{Expected: "the Service to go", Seen: err.Error(), Look: "kubectl describe service nginx; fairlead-lab logs controller"}
	}
	if err := w.nothingIn(ctx, classicLeftovers); err != nil {
		return "", err
	}
	return "no Classic Load Balancer", nil
}
