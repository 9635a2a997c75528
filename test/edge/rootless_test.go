package edge_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pires/go-proxyproto"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// nobody runs what needs no rights.
const nobody = 65534

// somebody has no rights but some capabilities.
func somebody(capabilities ...uintptr) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, AmbientCaps: capabilities}
}

// give lets nobody read and write what is in a directory, and pass to it.
func give(t *testing.T, dir string) {
	t.Helper()
	for up := filepath.Dir(dir); up != "/" && strings.HasPrefix(up, os.TempDir()+"/"); up = filepath.Dir(up) {
		if err := os.Chmod(up, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, nobody, nobody)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// newBenchOfNobody is a bench whose target1 serves what rootlessSnapshot says,
// with a state directory and an identity that nobody may use.
func newBenchOfNobody(t *testing.T) (b *bench, state string) {
	t.Helper()
	b = newBench(t)
	b.serve(t, "target1")
	go greet(&proxyproto.Listener{Listener: b.listen(t, "target1", 30081), ConnPolicy: lenient}, "target1")
	state = filepath.Join(b.dir, "nobody")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	give(t, state)
	give(t, filepath.Join(b.dir, "identity"))
	return b, state
}

func TestEdgeWithoutRootServesTCP(t *testing.T) {
	b, state := newBenchOfNobody(t)
	b.startAs(t, "edge", somebody(), "edge", "--zone", zone, "--engine", "198.18.0.10:7441",
		"--identity", filepath.Join(b.dir, "identity"), "--state-dir", state, "--metrics-listen", "198.18.16.4:7451",
		"--data-path", "userspace", "--userspace-address", "198.18.16.4")
	b.engine.publish(rootlessSnapshot())
	b.engine.wait(t, 1, 2, 0)

	if c := b.greeting(t, "client", "198.18.16.4:8080"); !strings.HasPrefix(c.peer, "198.18.16.4:") {
		t.Errorf("the target sees %s, want the edge's machine", c.peer)
	}
	if c := b.greeting(t, "client", "198.18.16.4:8081"); c.peer != c.LocalAddr().String() {
		t.Errorf("the PROXY header tells of %s, want %s", c.peer, c.LocalAddr())
	}
	_, body := b.get(t, "control", "http://198.18.16.4:7451/state")
	var said struct {
		DataPath string   `json:"dataPath"`
		Unserved []string `json:"unserved"`
	}
	if err := json.Unmarshal([]byte(body), &said); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"listener l53: UDP is not served in user space"}, said.Unserved); diff != "" || said.DataPath != "userspace" {
		t.Errorf("the edge says that its data path is %q and of what is not served (-want +got):\n%s", said.DataPath, diff)
	}
}

// rootlessSnapshot has a plain listener, one with PROXY headers and one of UDP,
// in front of target1.
func rootlessSnapshot() lb.ZoneSnapshot {
	check := lb.HealthCheck{Protocol: lb.TCP, Port: lb.TrafficPort, Interval: 5 * time.Second, Timeout: 2 * time.Second, HealthyThreshold: 2, UnhealthyThreshold: 2}
	target := func(port uint16) []lb.ZonalTarget {
		return []lb.ZonalTarget{{ID: "i-1", Port: port, Zone: zone, Addr: netip.MustParseAddr("198.18.16.16")}}
	}
	listener := func(protocol lb.Protocol, port uint16, group string) lb.ZonalListener {
		return lb.ZonalListener{ARN: fmt.Sprintf("l%d", port), Protocol: protocol, Port: port, IdleTimeout: 350 * time.Second, Forward: []lb.WeightedGroup{{TargetGroupARN: group}}}
	}
	return lb.ZoneSnapshot{Revision: 1, Zone: zone,
		TargetGroups: []lb.ZonalGroup{
			{ARN: "plain", Name: "plain", Protocol: lb.TCP, HealthCheck: check, PreserveClientIP: true, Targets: target(30080)},
			{ARN: "told", Name: "told", Protocol: lb.TCP, HealthCheck: check, ProxyProtocolV2: true, Targets: target(30081)},
		},
		LoadBalancers: []lb.ZonalBalancer{{ARN: "web", Name: "web", IPv4: netip.MustParseAddr("198.18.16.200"), Listeners: []lb.ZonalListener{
			listener(lb.UDP, 53, "plain"), listener(lb.TCP, 8080, "plain"), listener(lb.TCP, 8081, "told"),
		}}},
	}
}
