package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// target is one line of `aws elbv2 describe-target-health`.
type target struct {
	id, state, reason, description string
}

func (t target) String() string {
	if t.reason == "" {
		return t.id + " " + t.state
	}
	return fmt.Sprintf("%s %s (%s: %s)", t.id, t.state, t.reason, t.description)
}

// sayTargets finds the only target group, and prints the command that targets
// runs for it.
func (w *walk) sayTargets(ctx context.Context) ([]string, error) {
	out, err := w.quiet(ctx, "", "aws", "elbv2", "describe-target-groups", "--query", "TargetGroups[0].TargetGroupArn", "--output", "text")
	if err != nil {
		return nil, err
	}
	argv := []string{"aws", "elbv2", "describe-target-health", "--target-group-arn", strings.TrimSpace(out)}
	w.say(argv)
	return argv, nil
}

// targets asks the API for the health of a target group's targets.
func (w *walk) targets(ctx context.Context, argv []string) ([]target, error) {
	out, err := w.quiet(ctx, "", slices.Concat(argv, []string{"--output", "json"})...)
	if err != nil {
		return nil, err
	}
	return parseTargets([]byte(out))
}

func parseTargets(data []byte) ([]target, error) {
	var reply struct {
		TargetHealthDescriptions []struct {
			Target struct {
				ID string `json:"Id"`
			}
			TargetHealth struct{ State, Reason, Description string }
		}
	}
	if err := json.Unmarshal(data, &reply); err != nil {
		return nil, fmt.Errorf("read describe-target-health: %w", err)
	}
	var all []target
	for _, d := range reply.TargetHealthDescriptions {
		all = append(all, target{d.Target.ID, d.TargetHealth.State, d.TargetHealth.Reason, d.TargetHealth.Description})
	}
	slices.SortFunc(all, func(a, b target) int { return strings.Compare(a.state+a.id, b.state+b.id) })
	return all, nil
}

// states lists the states of targets, in order.
func states(all []target) []string {
	s := make([]string, len(all))
	for i, t := range all {
		s[i] = t.state
	}
	return s
}

// show prints the targets as the console of the post would.
func (w *walk) show(all []target) {
	for _, t := range all {
		fmt.Fprintf(w.out, "     %s\n", t)
	}
}

// answer is what the demo's web server says about a request.
type answer struct {
	Pod  string         `json:"pod"`
	Node string         `json:"node"`
	Peer netip.AddrPort `json:"peer"` // the other end of the connection, as the pod sees it

	Proxied      netip.AddrPort `json:"proxied"`       // the client, when a PROXY header tells
	ForwardedFor string         `json:"xForwardedFor"` // the header X-Forwarded-For
}

// curlArgs is a request from a client outside the VPC.
func (w *walk) curlArgs(client string) []string {
	return []string{"fairlead-lab", "exec", client, "--", "curl", "-sS", "--max-time", "3", "http://" + w.host + "/?format=json"}
}

// get asks the load balancer once, without printing.
func (w *walk) get(ctx context.Context, client string) (answer, error) {
	out, err := w.quiet(ctx, "", w.curlArgs(client)...)
	if err != nil {
		return answer{}, err
	}
	var a answer
	if err := json.Unmarshal([]byte(out), &a); err != nil {
		return answer{}, fmt.Errorf("read the answer %q: %w", out, err)
	}
	return a, nil
}
