package rollout_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/lab/labtest"
)

// maxRefused is how many connections of a run nodes may refuse, all together.
//
// kube-proxy replaces the rules of a Service in one transaction of nf_tables. A
// packet that is judged by the old rules while that ends finds the maps of the
// old rules empty, is translated to no pod, and is answered by the node itself,
// where nobody listens. On Linux 6.18 that befell 5 of 323,297 connections during
// 1,531 replacements of one rule, without any load balancer. It cannot befall
// pods that are targets themselves.
const maxRefused = 3

// resets is how many connections the nodes themselves have reset or refused, not
// their pods.
func resets(t *testing.T, l *labtest.Lab) int {
	t.Helper()
	sum := 0
	for _, n := range l.Layout().Nodes {
		sum += sentResets(t, l.Run(t, "fairlead-lab", "exec", "node/"+n.Name, "--", "cat", "/proc/net/snmp"))
	}
	return sum
}

// sentResets is tcpOutRsts (RFC 4022) of a network: two lines of Tcp, the names
// and the values.
func sentResets(t *testing.T, snmp string) int {
	t.Helper()
	var names []string
	for line := range strings.Lines(snmp) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "Tcp:" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		for i, name := range names {
			if name == "OutRsts" && i < len(fields) {
				n, err := strconv.Atoi(fields[i])
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
		}
	}
	t.Fatalf("no OutRsts in\n%s", snmp)
	return 0
}

// checkRefused: what was refused was refused by nodes, and by chance only.
func checkRefused(t *testing.T, updates []*update, byNodes int) {
	refused := 0
	for _, u := range updates {
		if u.podTargets && u.got.Refused > 0 {
			t.Errorf("%s: %d connections refused, and no node was on the way", u.name, u.got.Refused)
		}
		refused += u.got.Refused
	}
	if refused > min(byNodes, maxRefused) {
		t.Errorf("%d connections refused, want at most %d, and no more than the nodes' own %d", refused, maxRefused, byNodes)
	}
}
