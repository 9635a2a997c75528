package walk_test

import (
	"bufio"
	"fmt"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/lab/labtest"
)

// weights: two Deployments share the connections of one Service by weights, and
// other weights take nothing from connections that are open.
func (h *house) weights(t *testing.T) {
	h.applyExample(t, "nginx-canary.yaml")
	for _, name := range []string{"nginx-stable", "nginx-canary"} {
		h.Run(t, "kubectl", "rollout", "status", "deployment/"+name, "--timeout=60s")
	}
	host := h.Hostname(t, "nginx-weighted")
	for _, weights := range [][2]int{{90, 10}, {50, 50}} {
		h.weigh(t, weights)
		h.sharesAre(t, host, weights)
	}
	var open []*held
	for range 6 {
		open = append(open, h.hold(t, host))
	}
	for _, weights := range [][2]int{{1, 99}, {99, 1}} {
		h.weigh(t, weights)
		h.sharesAre(t, host, weights)
	}
	for _, c := range open {
		c.goesOn(t)
	}
	h.Run(t, "kubectl", "delete", "service/nginx-weighted", "service/nginx-canary", "deployment/nginx-stable", "deployment/nginx-canary", "--timeout=60s")
}

// weigh sets the weights of the stable pods and of the canary.
func (h *house) weigh(t *testing.T, weights [2]int) {
	t.Helper()
	action := fmt.Sprintf(`{"type":"forward","forwardConfig":{"baseServiceWeight":%d,"targetGroups":[{"serviceName":"nginx-canary","servicePort":"http","weight":%d}]}}`, weights[0], weights[1])
	h.Run(t, "kubectl", "annotate", "--overwrite", "service", "nginx-weighted", "service.beta.kubernetes.io/actions.TCP-80="+action)
	arn := strings.TrimSpace(h.Run(t, "aws", "elbv2", "describe-load-balancers", "--query", "LoadBalancers[?contains(LoadBalancerName, 'nginx-weig')].LoadBalancerArn", "--output", "text"))
	labtest.Until(t, fmt.Sprintf("a listener with weights %v", weights), func() (string, bool) {
		seen := strings.Fields(h.Run(t, "aws", "elbv2", "describe-listeners", "--load-balancer-arn", arn, "--query", "Listeners[].DefaultActions[].ForwardConfig.TargetGroups[].Weight", "--output", "text"))
		return fmt.Sprint(seen), fmt.Sprint(seen) == fmt.Sprint(weights)
	})
}

const asked = 100

// sharesAre asks until the canary's share of the answers is about what its weight
// says: edges hear of weights a moment after the API does.
func (h *house) sharesAre(t *testing.T, host string, weights [2]int) {
	t.Helper()
	want := float64(asked*weights[1]) / float64(weights[0]+weights[1])
	labtest.Until(t, fmt.Sprintf("about %.0f of %d answers from the canary", want, asked), func() (string, bool) {
		// One process asks for all, over a new connection each time.
		out, err := h.Try(t.Context(), "", "fairlead-lab", "exec", "client", "--",
			"curl", "-sS", "--fail-early", "--max-time", "10", "-H", "Connection: close", fmt.Sprintf("http://%s/?format=json&n=[1-%d]", host, asked))
		got := float64(strings.Count(out, `"pod":"nginx-canary`))
		answers := strings.Count(out, `"pod":"`)
		return fmt.Sprintf("%.0f of %d, %v", got, answers, err), err == nil && answers == asked && got > want-20 && got < want+20
	})
}

// held is a connection that the client keeps open.
type held struct {
	cmd   *exec.Cmd
	beats atomic.Int64 // lines that came over it
	ended chan error
}

func (h *house) hold(t *testing.T, host string) *held {
	t.Helper()
	c := &held{cmd: h.Command(t.Context(), "fairlead-lab", "exec", "client", "--", "curl", "-sSN", "http://"+host+"/hold?interval=200ms"), ended: make(chan error, 1)}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			c.beats.Add(1)
		}
		c.ended <- c.cmd.Wait()
	}()
	c.goesOn(t)
	return c
}

// goesOn wants more to come over the connection.
func (c *held) goesOn(t *testing.T) {
	t.Helper()
	before := c.beats.Load()
	labtest.Until(t, "more over an open connection", func() (string, bool) {
		select {
		case err := <-c.ended:
			t.Fatalf("the connection ended after %d lines: %v", c.beats.Load(), err)
		default:
		}
		return fmt.Sprint(c.beats.Load()), c.beats.Load() > before
	})
}
