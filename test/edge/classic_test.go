package edge_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pires/go-proxyproto"

	"github.com/fairlead-lb/fairlead/internal/netlab"
)

// website answers with what a proxy tells it; the health check with a status that
// can be changed.
func website(ln net.Listener, name string, health *atomic.Int32) {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(health.Load())) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s for=%s proto=%s port=%s", name, r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Forwarded-Proto"), r.Header.Get("X-Forwarded-Port"))
	})
	http.Serve(ln, mux) // ends with the listener
}

// targets runs on both targets: greetings on 30080, greetings behind a PROXY
// header on 30081, a website on 30082.
func (b *bench) targets(t *testing.T) (health map[string]*atomic.Int32) {
	t.Helper()
	health = map[string]*atomic.Int32{}
	for _, ns := range []string{"target1", "target2"} {
		health[ns] = &atomic.Int32{}
		health[ns].Store(http.StatusOK)
		go greet(b.listen(t, ns, 30080), ns)
		go greet(&proxyproto.Listener{Listener: b.listen(t, ns, 30081), ConnPolicy: func(proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) { return proxyproto.REQUIRE, nil }}, ns)
		go website(b.listen(t, ns, 30082), ns, health[ns])
	}
	return health
}

func TestClassicLoadBalancerThroughTheEngine(t *testing.T) {
	a := newAccount(t)
	b := a.bench
	health := b.targets(t)
	health["target2"].Store(http.StatusNoContent) // a success is 200 and nothing else
	b.edge(t)
	certificate := a.certificate("www.example.com")
	group := a.aws("ec2", "create-security-group", "--group-name", "web", "--description", "clients of web", "--vpc-id", "vpc-1", "--query", "GroupId")
	a.aws("ec2", "authorize-security-group-ingress", "--group-id", group, "--protocol", "tcp", "--port", "0-65535", "--cidr", "203.0.113.0/24")
	a.aws("elb", "create-load-balancer", "--load-balancer-name", "web", "--subnets", "subnet-a", "--security-groups", group, "--listeners",
		"Protocol=TCP,LoadBalancerPort=80,InstanceProtocol=TCP,InstancePort=30080",
		"Protocol=TCP,LoadBalancerPort=81,InstanceProtocol=TCP,InstancePort=30081",
		"Protocol=HTTP,LoadBalancerPort=8080,InstanceProtocol=HTTP,InstancePort=30082",
		"Protocol=HTTPS,LoadBalancerPort=8443,InstanceProtocol=HTTP,InstancePort=30082,SSLCertificateId="+certificate,
		"Protocol=SSL,LoadBalancerPort=443,InstanceProtocol=TCP,InstancePort=30080,SSLCertificateId="+certificate)
	a.aws("elb", "configure-health-check", "--load-balancer-name", "web", "--health-check", "Target=HTTP:30082/healthz,Interval=5,Timeout=2,UnhealthyThreshold=2,HealthyThreshold=2")
	a.aws("elb", "create-load-balancer-policy", "--load-balancer-name", "web", "--policy-name", "proxy", "--policy-type-name", "ProxyProtocolPolicyType", "--policy-attributes", "AttributeName=ProxyProtocol,AttributeValue=true")
	a.aws("elb", "set-load-balancer-policies-for-backend-server", "--load-balancer-name", "web", "--instance-port", "30081", "--policy-names", "proxy")
	a.aws("elb", "register-instances-with-load-balancer", "--load-balancer-name", "web", "--instances", "i-1", "i-2")
	vip := a.addressOf("web")
	a.waitInstances("i-1 InService", "i-2 OutOfService")
	at := func(port uint16) string { return netip.AddrPortFrom(vip, port).String() }

	if c := b.greeting(t, "client", at(80)); c.target != "target1" || !strings.HasPrefix(c.peer, vip.String()+":") {
		t.Errorf("TCP: %s sees %s, want target1 to see the load balancer %s", c.target, c.peer, vip)
	}
	if c := b.greeting(t, "client", at(81)); c.target != "target1" || c.peer != c.LocalAddr().String() {
		t.Errorf("TCP with PROXY protocol: %s is told of %s, want target1 told of %s", c.target, c.peer, c.LocalAddr())
	}
	for url, want := range map[string]string{
		"http://" + at(8080) + "/":  "target1 for=203.0.113.10 proto=http port=8080",
		"https://" + at(8443) + "/": "target1 for=203.0.113.10 proto=https port=8443",
	} {
		status, body := b.get(t, "client", url)
		if diff := cmp.Diff(want, body); diff != "" || status != http.StatusOK {
			t.Errorf("%s: status %d (-want +got):\n%s", url, status, diff)
		}
	}
	secure := b.secure(t, "client", at(443), "www.example.com", nil)
	if secure.target != "target1" {
		t.Errorf("SSL: %s answers, want target1", secure.target)
	}
	secure.say(t, strings.Repeat("bulk ", 100_000))
	b.refused(t, "near", at(80))

	health["target2"].Store(http.StatusOK)
	a.waitInstances("i-1 InService", "i-2 InService")
	seen := map[string]bool{}
	for range 4 { // round robin
		seen[b.greeting(t, "client", at(80)).target] = true
	}
	if diff := cmp.Diff(map[string]bool{"target1": true, "target2": true}, seen); diff != "" {
		t.Errorf("instances of four connections (-want +got):\n%s", diff)
	}
}

// greeting connects and reads a target's greeting.
func (b *bench) greeting(t *testing.T, ns, addr string) connection {
	t.Helper()
	c, err := b.dial(ns, addr, patience)
	if err != nil {
		t.Fatalf("%s to %s: %v", ns, addr, err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// refused wants a connection to get no answer at all: security groups drop.
func (b *bench) refused(t *testing.T, ns, addr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	conn, err := netlab.Dial(ctx, b.prefix+ns, "tcp", addr)
	if err == nil {
		conn.Close()
		t.Errorf("%s connects to %s past the security groups", ns, addr)
	} else if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
		t.Errorf("%s to %s: %v; want silence", ns, addr, err)
	}
}

// waitInstances waits until the Classic Load Balancer web says so of its
// instances.
func (a *account) waitInstances(want ...string) {
	a.t.Helper()
	text := strings.Join(want, "\n")
	wait(a.t, "the instances are "+text, func() bool {
		states := a.aws("elb", "describe-instance-health", "--load-balancer-name", "web", "--query", "InstanceStates[].[InstanceId,State]")
		return strings.ReplaceAll(states, "\t", " ") == text
	})
}
