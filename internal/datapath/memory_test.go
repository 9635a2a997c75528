package datapath

import (
	"os"
	"regexp"
	"strconv"
	"testing"

	"github.com/cilium/ebpf"
)

// resident is what the kernel counts as this process's mapped files, in bytes: maps
// among them.
func resident(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, found := range regexp.MustCompile(`(?m)^Rss(?:File|Shmem):\s+(\d+) kB`).FindAllSubmatch(status, -1) {
		n, err := strconv.Atoi(string(found[1]))
		if err != nil {
			t.Fatal(err)
		}
		total += n << 10
	}
	return total
}

func TestReadingATableDoesNotHoldItInMemory(t *testing.T) {
	const size = 64 << 20
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 1024, MaxEntries: size / 1024, Flags: mapMmapable})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	before := resident(t)
	if err := walkFlows(m, func(*edgeFlow) { t.Error("an empty table has a flow") }); err != nil {
		t.Fatal(err)
	}
	if grown := resident(t) - before; grown > size/8 {
		t.Errorf("%d KiB of a table of %d KiB stay in memory", grown>>10, size>>10)
	}
}
