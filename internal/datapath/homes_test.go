package datapath

import (
	"math/bits"
	"math/rand/v2"
	"testing"

	"github.com/cilium/ebpf"
)

// checkHomes fails when the program takes a slot for no record's home that is one's.
func checkHomes(t fataler, homes *ebpf.Map, index int, b *edgeBucket) {
	t.Helper()
	var entry edgeHomes
	if err := homes.Lookup(uint32(index/homesBuckets), &entry); err != nil {
		t.Fatalf("%v", err)
	}
	for i, f := range b.Flow {
		if f.State != uint8(edgeFlowStateFLOW_FREE) && entry.Taken[index%homesBuckets]>>f.Home&1 == 0 {
			t.Fatalf("flows[%d][%d] has a home, %d, that is taken for nobody's", index, i, f.Home)
		}
	}
}

// checkAllHomes returns how many records the table of flows has.
func checkAllHomes(t fataler, objs *edgeObjects) (records int) {
	t.Helper()
	var bucket edgeBucket
	for i := range objs.Flows.MaxEntries() {
		if err := objs.Flows.Lookup(i, &bucket); err != nil {
			t.Fatalf("%v", err)
		}
		checkHomes(t, objs.Homes, int(i), &bucket)
		for _, f := range bucket.Flow {
			if f.State != uint8(edgeFlowStateFLOW_FREE) {
				records++
			}
		}
	}
	return records
}

func TestFlowsThatAreAdoptedKeepTheirHomes(t *testing.T) {
	s, d, stop := servingSite(t)
	snap := snapshot()
	apply(t, d, snap, healthy(snap))
	c := s.dial(t, "client", vip4+":80")
	c.ask(t, "before")
	if checkAllHomes(t, d.objs) == 0 {
		t.Error("no flow is established")
	}
	stop()
	d, stop = s.open(t)
	defer stop()
	if checkAllHomes(t, d.objs) == 0 {
		t.Error("no flow was adopted")
	}
}

// A home is nobody's from the beginning, one's with its flow, and nobody's again
// after it: a new flow has nothing to look for then.
func TestAHomeIsLeftWithItsFlow(t *testing.T) {
	r := newRig(t)
	w := everything(rand.New(rand.NewPCG(3, 4)))
	r.install(t, w)
	taken := func() (n int) {
		var entry edgeHomes
		for i := range r.objs.Homes.MaxEntries() {
			if err := r.objs.Homes.Lookup(i, &entry); err != nil {
				t.Fatal(err)
			}
			for _, bits16 := range entry.Taken {
				n += bits.OnesCount16(bits16)
			}
		}
		return n
	}
	if n := taken(); n != 0 {
		t.Errorf("%d homes are taken at the beginning", n)
	}
	run := func(frames ...[]byte) {
		for _, frame := range frames {
			if _, err := r.objs.Edge.Run(&ebpf.RunOptions{Data: frame, DataOut: make([]byte, 4096)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	flows := 0
	for _, client := range []string{"203.0.113.10:1024", "203.0.113.10:1025", "192.0.2.10:1024", "192.0.2.10:1025"} {
		for _, vip := range []string{"198.18.0.100:80", "198.18.0.101:80"} {
			before := taken()
			run(handshake(client, vip, "198.18.0.21:8080")...)
			run(handshake(client, vip, "198.18.0.22:8080")...)
			if taken() == before {
				continue // its target is another one
			}
			flows++
			run(tcp(client, vip, fRST, 1, 0, 0), tcp(client, vip, fSYN, 9, 0, 0))
			if after := taken(); after != before {
				t.Errorf("%d homes are taken after the flow from %s was displaced by a new one, were %d before it", after, client, before)
			}
		}
	}
	if flows == 0 {
		t.Error("no flow was established")
	}
}
