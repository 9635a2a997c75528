package walk_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/lab/labtest"
)

// edgeMetrics is where a lab's edge is asked for its counters, in its namespace.
const edgeMetrics = "http://127.0.0.1:7480/metrics"

// securityGroups: what the rules of the load balancer and of the nodes do not
// allow does not pass, neither packets nor health checks, until they allow it.
func (h *house) securityGroups(t *testing.T) {
	h.applyExample(t, "nginx-daemonset.yaml")
	h.Run(t, "kubectl", "rollout", "status", "daemonset/nginx", "--timeout=60s")
	h.Apply(t, service("rules", nlb, `loadBalancerSourceRanges: ["192.0.2.0/24"]`))
	host := h.Hostname(t, "rules")
	h.wantTargets(t, "healthy healthy", "")
	h.reaches(t, "client-2", host, true)
	before := h.blocked(t)
	h.reaches(t, "client", host, false)
	if got := h.blocked(t); got <= before {
		t.Errorf("%d flows blocked by inbound rules after one more was, %d before", got, before)
	}
	h.Run(t, "kubectl", "patch", "service", "rules", "-p", `{"spec":{"loadBalancerSourceRanges":["192.0.2.0/24","203.0.113.10/32"]}}`)
	labtest.Until(t, "an answer to the other client", func() (string, bool) {
		_, err := h.get(t, "client", host)
		return fmt.Sprint(err), err == nil
	})

	nodes := h.nodesGroup(t)
	backend := strings.TrimSpace(h.Run(t, "aws", "ec2", "describe-security-groups", "--group-ids", nodes,
		"--query", "SecurityGroups[0].IpPermissions[?IpProtocol=='-1'].UserIdGroupPairs[0].GroupId", "--output", "text"))
	permission := "IpProtocol=-1,UserIdGroupPairs=[{GroupId=" + backend + "}]"
	h.Run(t, "aws", "ec2", "revoke-security-group-ingress", "--group-id", nodes, "--ip-permissions", permission)
	h.wantTargets(t, "unhealthy unhealthy", "Target.Timeout Target.Timeout")
	h.Run(t, "aws", "ec2", "authorize-security-group-ingress", "--group-id", nodes, "--ip-permissions", permission)
	h.wantTargets(t, "healthy healthy", "")
	h.reaches(t, "client-2", host, true)
	h.Run(t, "kubectl", "delete", "service/rules", "--timeout=60s")
}

// reaches wants a client to get an answer, or to hear nothing at all.
func (h *house) reaches(t *testing.T, client, host string, want bool) {
	t.Helper()
	_, err := h.get(t, client, host)
	switch {
	case want && err != nil:
		t.Errorf("from %s, which the rules allow: %v", client, err)
	case !want && (err == nil || !strings.Contains(err.Error(), "timed out")):
		t.Errorf("from %s, which the rules do not allow: %v, want it to time out", client, err)
	}
}

// wantTargets waits for the targets of the Service to be in some states,
// for some reasons.
func (h *house) wantTargets(t *testing.T, states, reasons string) {
	t.Helper()
	labtest.Until(t, "targets "+states, func() (string, bool) {
		group := strings.TrimSpace(h.Run(t, "aws", "elbv2", "describe-target-groups", "--query", "TargetGroups[?contains(TargetGroupName, '-rules-')].TargetGroupArn", "--output", "text"))
		list := func(field string) string {
			out := h.Run(t, "aws", "elbv2", "describe-target-health", "--target-group-arn", group, "--query", "TargetHealthDescriptions[].TargetHealth."+field, "--output", "text")
			words := strings.Fields(strings.ReplaceAll(out, "None", ""))
			slices.Sort(words)
			return strings.Join(words, " ")
		}
		seen := list("State")
		return seen, seen == states && list("Reason") == reasons
	})
}

// nodesGroup is the group with the cluster's tag that the controller did not make.
func (h *house) nodesGroup(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(h.Run(t, "aws", "ec2", "describe-security-groups", "--filters", "Name=tag-key,Values=kubernetes.io/cluster/fairlead",
		"--query", "SecurityGroups[?!(Tags[?Key=='fairlead.io/cluster'])].GroupId", "--output", "text"))
}

// blocked is how many TCP flows the edges' inbound rules have refused.
func (h *house) blocked(t *testing.T) (sum int) {
	t.Helper()
	for _, zone := range []string{"us-west-2a", "us-west-2b"} {
		out := h.Run(t, "fairlead-lab", "exec", "edge/"+zone, "--", "curl", "-sS", edgeMetrics)
		for line := range strings.Lines(out) {
			var n float64
			if strings.HasPrefix(line, "fairlead_security_group_blocked_flow_count_inbound_total{") && strings.Contains(line, `protocol="tcp"`) {
				if _, err := fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &n); err != nil {
					t.Fatal(err)
				}
				sum += int(n)
			}
		}
	}
	return sum
}
