package datapath

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cilium/ebpf"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Packets of the same few flows on all CPUs at once must leave tables in which
// every flow is at most once and nothing is half written.
func TestPacketsOnAllCPUsLeaveTheTablesWhole(t *testing.T) {
	r := newRig(t)
	w := everything(rand.New(rand.NewPCG(3, 4)))
	w.settings.AnswersBurst = 0
	r.install(t, w)
	var frames [][]byte
	for _, client := range []string{"203.0.113.10:1024", "203.0.113.10:1025", "198.18.1.5:1024", "192.0.2.10:1024", "192.0.2.10:1025"} {
		for _, vip := range []string{"198.18.0.100:80", "198.18.0.101:80"} {
			for _, target := range []string{"198.18.0.21:8080", "198.18.0.22:8080"} {
				frames = append(frames, handshake(client, vip, target)...)
			}
			frames = append(frames, tcp(client, vip, fRST, 1, 0, 0), tcp(client, vip, fFIN|fACK, 1, 501, 0))
		}
		frames = append(frames, udp(client, "198.18.0.101:53", 5))
	}
	const workers, each = 4, 15000
	errs := make(chan error, workers)
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(5, uint64(worker)))
			out := make([]byte, 4096)
			for range each {
				if _, err := r.objs.Edge.Run(&ebpf.RunOptions{Data: frames[rng.IntN(len(frames))], DataOut: out}); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Fatal(err)
	}
	checkTables(t, r)
}

func checkTables(t *testing.T, r *rig) {
	type key struct {
		client   edgeAddr
		port     uint16
		proto    uint8
		listener uint32
	}
	seen := map[key]int{}
	for _, m := range []*ebpf.Map{r.objs.Flows, r.objs.HalfOpen} {
		err := walkFlows(m, func(f *edgeFlow) {
			if f.State != uint8(edgeFlowStateFLOW_NAT) {
				seen[key{f.Client, f.Port, f.Proto, f.Listener}]++
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) < 5 {
		t.Errorf("%d flows, want more to speak of", len(seen))
	}
	for k, n := range seen {
		if n > 1 {
			t.Errorf("flow %v is there %d times", k, n)
		}
	}
	checkAllHomes(t, r.objs)
	half := 0
	for _, m := range []*ebpf.Map{r.objs.Flows, r.objs.HalfOpen} {
		half += countHalfWritten(t, m)
	}
	if half > 0 {
		t.Errorf("%d records are half written", half)
	}
}

func countHalfWritten(t *testing.T, m *ebpf.Map) (n int) {
	var bucket edgeBucket
	for i := range m.MaxEntries() {
		if err := m.Lookup(i, &bucket); err != nil {
			t.Fatal(err)
		}
		for _, f := range bucket.Flow {
			if f.Version&1 != 0 {
				n++
			}
		}
	}
	return n
}
