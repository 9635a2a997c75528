package plan_test

import (
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/plan"
)

var update = flag.Bool("update", false, "write the golden files anew")

// post is the stack of a Service with one port.
func post() lb.Stack {
	return lb.Stack{
		LoadBalancer: lb.LoadBalancer{Name: "fl-default-nginx-1", Type: lb.Network, Scheme: lb.InternetFacing, IPAddressType: lb.IPv4, Subnets: []string{"subnet-a", "subnet-b"}},
		Frontend:     &lb.SecurityGroup{Name: "fl-default-nginx-2", Ingress: []lb.Rule{{Protocol: "icmp", FromPort: 3, ToPort: 4, Source: netip.MustParsePrefix("0.0.0.0/0")}, {Protocol: "tcp", FromPort: 80, ToPort: 80, Source: netip.MustParsePrefix("0.0.0.0/0")}}},
		Backend:      true,
		TargetGroups: []lb.TargetGroup{{
			Key: "http", Name: "fl-default-nginx-http-3", Protocol: lb.TCP, Port: 30080, TargetType: lb.InstanceTarget, IPAddressType: lb.IPv4,
			HealthCheck: lb.HealthCheck{Protocol: lb.HTTP, Port: "31000", Path: "/healthz", Interval: 10 * time.Second, Timeout: 6 * time.Second, HealthyThreshold: 2, UnhealthyThreshold: 2},
			Targets:     []lb.Target{{ID: "i-1", Port: 30080}, {ID: "i-2", Port: 30080}},
		}},
		Listeners: []lb.Listener{{Port: 80, Protocol: lb.TCP, TargetGroup: "fl-default-nginx-http-3"}},
	}
}

// built is what there is after the stack was made.
func built(want lb.Stack) plan.Observed {
	var o plan.Observed
	for _, s := range plan.Diff(want, o, plan.Policy{}).Steps {
		o.Apply(s, plan.Result{})
	}
	return o
}

func TestPlansForPeople(t *testing.T) {
	internal := post()
	internal.LoadBalancer.Scheme, internal.LoadBalancer.Name = lb.Internal, "fl-default-nginx-4"
	pods := post()
	pods.TargetGroups[0].Name, pods.TargetGroups[0].TargetType = "fl-default-nginx-http-5", lb.IPTarget
	pods.TargetGroups[0].Targets = []lb.Target{{ID: "198.18.17.5", Port: 8080}}
	pods.Listeners[0].TargetGroup = "fl-default-nginx-http-5"
	eips := func(ids ...string) lb.Stack {
		s := post()
		for i, id := range ids {
			s.LoadBalancer.SubnetMappings = append(s.LoadBalancer.SubnetMappings, lb.SubnetMapping{SubnetID: s.LoadBalancer.Subnets[i], AllocationID: id})
		}
		return s
	}
	leaves := post()
	leaves.TargetGroups[0].Targets = leaves.TargetGroups[0].Targets[:1]
	tests := map[string]struct {
		want lb.Stack
		have plan.Observed
	}{
		"create":        {post(), plan.Observed{}},
		"unchanged":     {post(), built(post())},
		"node-leaves":   {leaves, built(post())},
		"to-pods":       {pods, built(post())},
		"other-scheme":  {internal, built(post())},
		"other-address": {eips("eipalloc-1", "eipalloc-3"), built(eips("eipalloc-1", "eipalloc-2"))},
		"delete":        {lb.Stack{}, built(post())},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			checkGolden(t, name, plan.Diff(tt.want, tt.have, plan.Policy{}))
		})
	}
}

func checkGolden(t *testing.T, name string, p plan.Plan) {
	t.Helper()
	path := "testdata/" + name + ".golden"
	if *update {
		if err := os.WriteFile(path, []byte(p.Text()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(string(want), p.Text()); diff != "" {
		t.Errorf("text of the plan (-want +got):\n%s", diff)
	}
	if text, err := p.JSON(); err != nil || !json.Valid(text) {
		t.Errorf("the plan as JSON: %v\n%s", err, text)
	}
}
