package datapath

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/fairlead-lb/fairlead/internal/datapath/model"
)

// A flood of first packets from clients that do not exist displaces half-open
// flows only: established ones stay, all of them, and so do their targets.
func TestFloodOfSYNsEvictsNoEstablishedFlow(t *testing.T) {
	r := newRig(t)
	w := simple(false)
	r.install(t, w)
	var data [][]byte
	for port := range rigBuckets * slotsPerBucket / 2 {
		client := fmt.Sprintf("203.0.113.10:%d", 1000+port)
		for _, f := range handshake(client, vipTCP4, targetA4) {
			r.send(t, f)
		}
		data = append(data, tcp(client, vipTCP4, fACK, 101, 501, 10))
	}
	before := r.read(t)
	rng := rand.New(rand.NewPCG(7, 8))
	out := make([]byte, 4096)
	const flood = 20000
	for range flood {
		f := tcp("10.0.0.1:1", vipTCP4, fSYN, rng.Uint32(), 0, 0)
		binary.BigEndian.PutUint32(f[26:], 10<<24|rng.Uint32()>>8)
		binary.BigEndian.PutUint16(f[34:], uint16(1+rng.IntN(65535)))
		if ret, err := r.objs.Edge.Run(&ebpf.RunOptions{Data: f, DataOut: out}); err != nil || model.Action(ret) != model.TX {
			t.Fatalf("a SYN of the flood: action %d, error %v", ret, err)
		}
	}
	after := r.read(t)
	if n := after.events["half_open_evicted"] - before.events["half_open_evicted"]; n < flood/2 {
		t.Errorf("the flood displaced %d half-open flows only: it proves nothing", n)
	}
	for i, f := range data {
		if ret, err := r.objs.Edge.Run(&ebpf.RunOptions{Data: f, DataOut: out}); err != nil || model.Action(ret) != model.TX {
			t.Errorf("flow %d after the flood: action %d, error %v", i, ret, err)
		}
	}
	end := r.read(t)
	if got := end.reasons["sent_to_target"] - after.reasons["sent_to_target"]; got != uint64(len(data)) {
		t.Errorf("%d of %d established flows go on after the flood", got, len(data))
	}
}
