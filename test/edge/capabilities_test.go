package edge_test

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// pinsOfNobody is a directory on a BPF file system that nobody may write to: to
// mount one would take more capabilities than to run.
func (b *bench) pinsOfNobody(t *testing.T, ns string) string {
	t.Helper()
	dir := b.pins(t, ns)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("bpf", dir, "bpf", 0, "mode=0700"); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	return dir
}

// The capabilities are those that the guide to one's own machines names.
func TestEdgeAndNodeRunUnderCapabilities(t *testing.T) {
	b, state := newBenchOfNobody(t)
	b.startAs(t, "target1", somebody(unix.CAP_BPF, unix.CAP_NET_ADMIN, unix.CAP_PERFMON),
		"node", "--interface", "eth0", "--pin-dir", b.pinsOfNobody(t, "target1"), "--max-flows", "4096")
	b.startAs(t, "edge", somebody(unix.CAP_BPF, unix.CAP_NET_ADMIN, unix.CAP_PERFMON, unix.CAP_NET_RAW, unix.CAP_NET_BIND_SERVICE),
		"edge", "--zone", zone, "--interface", "eth0", "--xdp-mode", "native", "--engine", "198.18.0.10:7441", "--identity", filepath.Join(b.dir, "identity"),
		"--state-dir", state, "--pin-dir", b.pinsOfNobody(t, "edge"), "--flows", "4096")
	snapshot := rootlessSnapshot()
	inUserSpace := &snapshot.LoadBalancers[0].Listeners[2]
	inUserSpace.Port = 81
	b.engine.publish(snapshot)
	b.engine.wait(t, 1, 2, 0)

	for _, address := range []string{"198.18.16.200:8080", "198.18.16.200:81"} {
		c := b.greeting(t, "client", address)
		if c.peer != c.LocalAddr().String() {
			t.Errorf("behind %s the target sees %s, want the client's %s", address, c.peer, c.LocalAddr())
		}
	}
}
