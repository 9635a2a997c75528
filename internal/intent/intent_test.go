package intent_test

import (
	"bytes"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/yaml"

	"github.com/fairlead-lb/fairlead/internal/intent"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestDesired takes every directory of testdata: in.yaml holds a Service and
// what else it depends on, the goldens what Desired makes of it.
func TestDesired(t *testing.T) {
	dirs, err := filepath.Glob("testdata/*/in.yaml")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no cases in testdata: %v", err)
	}
	for _, in := range dirs {
		dir := filepath.Dir(in)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			stack, problems := intent.Desired(read(t, in))
			text, err := yaml.Marshal(stack)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join(dir, "stack.golden"), string(text))
			golden(t, filepath.Join(dir, "problems.golden"), render(problems))
		})
	}
}

func render(problems []intent.Problem) string {
	var b strings.Builder
	for _, p := range problems {
		fmt.Fprintf(&b, "%s: %s\n", p.Severity, p)
	}
	return b.String()
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// read takes the documents of a case; what it does not give is the network and
// the nodes of the post: two zones, a node each. Services after the first are
// those behind it.
func read(t *testing.T, path string) intent.Input {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	in := intent.Input{
		Cluster: "fairlead", Subnets: subnets(),
		Defaults: intent.Defaults{
			Scheme: lb.InternetFacing, TargetType: lb.InstanceTarget,
			HealthInterval: 10 * time.Second, HealthyThreshold: 3, UnhealthyThreshold: 3,
		},
	}
	for doc := range bytes.SplitSeq(data, []byte("\n---\n")) {
		var head struct{ Kind string }
		if err := yaml.Unmarshal(doc, &head); err != nil {
			t.Fatal(err)
		}
		switch head.Kind {
		case "Service":
			svc := decode[corev1.Service](t, doc)
			if in.Service == nil {
				in.Service, in.Backends = svc, map[string]intent.Backend{}
			} else {
				in.Backends[svc.Name] = intent.Backend{Service: svc}
			}
		case "Node":
			in.Nodes = append(in.Nodes, decode[corev1.Node](t, doc))
		case "EndpointSlice":
			slice := decode[discoveryv1.EndpointSlice](t, doc)
			if name := slice.Labels[discoveryv1.LabelServiceName]; name == "" || name == in.Service.Name {
				in.Slices = append(in.Slices, slice)
			} else {
				in.Backends[name] = intent.Backend{Service: in.Backends[name].Service, Slices: append(in.Backends[name].Slices, slice)}
			}
		case "Input":
			extra := decode[struct {
				Type        lb.LoadBalancerType
				NameTakenBy string
				Subnets     []intent.Subnet
				Pinned      intent.Pinned
			}](t, doc)
			in.Type, in.NameTakenBy, in.Pinned = extra.Type, extra.NameTakenBy, extra.Pinned
			if extra.Subnets != nil {
				in.Subnets = extra.Subnets
			}
		default:
			t.Fatalf("%s: kind %q is not one that a case may hold", path, head.Kind)
		}
	}
	if in.Nodes == nil {
		in.Nodes = []*corev1.Node{node("node-1", "us-west-2a", "i-00000000000000001"), node("node-2", "us-west-2b", "i-00000000000000002")}
	}
	return in
}

func decode[T any](t *testing.T, doc []byte) *T {
	t.Helper()
	v := new(T)
	if err := yaml.UnmarshalStrict(doc, v); err != nil && !strings.Contains(err.Error(), `unknown field "kind"`) {
		t.Fatal(err)
	}
	return v
}

func node(name, zone, instance string) *corev1.Node {
	n := &corev1.Node{}
	n.Name = name
	n.Spec.ProviderID = "aws:///" + zone + "/" + instance
	return n
}

func subnets() []intent.Subnet {
	tags := map[string]string{"kubernetes.io/role/elb": "1", "kubernetes.io/role/internal-elb": "1", "kubernetes.io/cluster/fairlead": "shared"}
	return []intent.Subnet{
		{ID: "subnet-a", Zone: "us-west-2a", CIDR: netip.MustParsePrefix("198.18.16.0/20"), IPv6CIDR: netip.MustParsePrefix("2001:db8:0:1::/64"), FreeAddresses: 4000, Tags: tags},
		{ID: "subnet-b", Zone: "us-west-2b", CIDR: netip.MustParsePrefix("198.18.32.0/20"), IPv6CIDR: netip.MustParsePrefix("2001:db8:0:2::/64"), FreeAddresses: 4000, Tags: tags},
	}
}
