package walk_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/examples"
	"github.com/fairlead-lb/fairlead/internal/lab/labtest"
)

// answer is what the lab's web server says of a request.
type answer struct {
	Node string         `json:"node"`
	Peer netip.AddrPort `json:"peer"`
}

// get asks a load balancer from a place of the lab.
func (h *house) get(t *testing.T, place, host string, flags ...string) (answer, error) {
	argv := append([]string{"fairlead-lab", "exec", place, "--", "curl", "-sS", "--max-time", "2", "http://" + host + "/?format=json"}, flags...)
	out, err := h.Try(t.Context(), "", argv...)
	if err != nil {
		return answer{}, err
	}
	var a answer
	err = json.Unmarshal([]byte(out), &a)
	return a, err
}

// targetStates lists the states of all targets of the named load balancer.
func (h *house) targetStates(t *testing.T, service string) []string {
	t.Helper()
	var states []string
	groups := h.Run(t, "aws", "elbv2", "describe-target-groups", "--query", "TargetGroups[?contains(TargetGroupName, '-"+service+"-')].TargetGroupArn", "--output", "text")
	for arn := range strings.FieldsSeq(groups) {
		out := h.Run(t, "aws", "elbv2", "describe-target-health", "--target-group-arn", arn, "--query", "TargetHealthDescriptions[].TargetHealth.State", "--output", "text")
		states = append(states, strings.Fields(out)...)
	}
	slices.Sort(states)
	return states
}

// places are all kinds of clients: outside the VPC, on its segment, on nodes
// that are targets, and in a pod that may be its own target.
func (h *house) places(t *testing.T) []string {
	t.Helper()
	places := []string{"client", "client-2", "control"}
	for node := range strings.FieldsSeq(h.Run(t, "kubectl", "get", "nodes", "-o", "jsonpath={.items[*].metadata.name}")) {
		places = append(places, "node/"+node)
	}
	for pod := range strings.FieldsSeq(h.Run(t, "kubectl", "get", "pods", "-o", "jsonpath={.items[*].metadata.name}")) {
		places = append(places, "pod/default/"+pod)
	}
	return places
}

const requestsEach = 6 // enough to reach both targets from each place

func (h *house) everyClient(t *testing.T) {
	h.applyExample(t, "nginx-daemonset.yaml")
	h.applyExample(t, "nginx-nlb.yaml")
	h.Run(t, "kubectl", "rollout", "status", "daemonset/nginx", "--timeout=60s")
	host := h.Hostname(t, "nginx")
	for _, policy := range []string{"Local", "Cluster"} {
		h.Run(t, "kubectl", "patch", "service", "nginx", "-p", `{"spec":{"externalTrafficPolicy":"`+policy+`"}}`)
		labtest.Until(t, "two healthy targets under "+policy, func() (string, bool) {
			s := h.targetStates(t, "nginx")
			return fmt.Sprint(s), slices.Equal(s, []string{"healthy", "healthy"})
		})
		for _, place := range h.places(t) {
			h.asksBoth(t, place, host, policy)
		}
	}
	h.Run(t, "kubectl", "delete", "service/nginx", "--timeout=60s")
}

// asksBoth asks several times from one place; every request must be answered,
// and outside clients keep their address under policy Local.
func (h *house) asksBoth(t *testing.T, place, host, policy string) {
	t.Helper()
	outside := map[string]string{"client": "203.0.113.10", "client-2": "192.0.2.10"}
	for range requestsEach {
		a, err := h.get(t, place, host)
		if err != nil {
			t.Errorf("from %s under %s: %v", place, policy, err)
			return
		}
		if want := outside[place]; policy == "Local" && want != "" && a.Peer.Addr().String() != want {
			t.Errorf("from %s under %s the pod saw %s, want %s", place, policy, a.Peer.Addr(), want)
		}
	}
}

func (h *house) applyExample(t *testing.T, name string) {
	t.Helper()
	data, err := examples.FS.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	h.Apply(t, string(data))
}

func (h *house) ipv6(t *testing.T) {
	h.Apply(t, ipv6Service)
	host := h.Hostname(t, "nginx6")
	labtest.Until(t, "an answer over IPv6 to client-2", func() (string, bool) {
		a, err := h.get(t, "client-2", host, "-6")
		return fmt.Sprint(a, err), err == nil && a.Peer.Addr() == netip.MustParseAddr("3fff:0:0:2::10")
	})
	for _, place := range h.places(t) {
		if place == "client" {
			continue // it has no IPv6
		}
		if _, err := h.get(t, place, host, "-6"); err != nil {
			t.Errorf("over IPv6 from %s: %v", place, err)
		}
	}
	h.Run(t, "kubectl", "delete", "service/nginx6", "--timeout=60s")
}

const ipv6Service = `
apiVersion: v1
kind: Service
metadata:
  name: nginx6
  annotations:
    service.beta.kubernetes.io/aws-load-balancer-type: nlb
    service.beta.kubernetes.io/aws-load-balancer-ip-address-type: dualstack
spec:
  type: LoadBalancer
  externalTrafficPolicy: Local
  ipFamilies: [IPv6]
  ports: [{name: http, port: 80, targetPort: 80}]
  selector: {app: nginx}
`
