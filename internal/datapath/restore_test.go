package datapath

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
)

// asBefore puts a table in the place of a pinned one as an earlier version kept it:
// buckets of eight records, other fields in front of each.
func asBefore(t *testing.T, pin string) {
	t.Helper()
	now, err := ebpf.LoadPinnedMap(pin, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer now.Close()
	spec := &ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 512, MaxEntries: 2 * now.MaxEntries(), Flags: mapMmapable}
	before, err := ebpf.NewMap(spec)
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	memory, err := before.Memory()
	if err != nil {
		t.Fatal(err)
	}
	at := int64(0)
	err = walkFlows(now, func(f *edgeFlow) {
		record := *(*[recordBytes]byte)(unsafe.Pointer(f))
		copy(record[4:7], record[5:8])
		record[2], record[3], record[7] = 0, 0, 1
		if _, err := memory.WriteAt(record[:], at); err != nil {
			t.Fatal(err)
		}
		at += 3 * recordBytes
	})
	if err := errors.Join(err, os.Remove(pin), before.Pin(pin)); err != nil {
		t.Fatal(err)
	}
}

// fewerCounters puts counters of fewer reasons in the place of the pinned ones.
func fewerCounters(t *testing.T, pin string, n uint32) {
	t.Helper()
	now, err := ebpf.LoadPinnedMap(pin, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer now.Close()
	before, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: 8, MaxEntries: n})
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	if err := errors.Join(copyCounts(before, now), os.Remove(pin), before.Pin(pin)); err != nil {
		t.Fatal(err)
	}
}

const mapMmapable = 1 << 10 // BPF_F_MMAPABLE

func TestFlowsOfAnEarlierLayoutGoOn(t *testing.T) {
	s, d, stop := servingSite(t)
	snap := snapshot()
	snap.TargetGroups[1].PreserveClientIP = false // its flows have two records
	apply(t, d, snap, healthy(snap))
	var conns []*conn
	var served []string
	for range 10 {
		for _, address := range []string{vip4 + ":80", "[" + vip6 + "]:80"} {
			c := s.dial(t, "client", address)
			conns, served = append(conns, c), append(served, c.ask(t, "before")[0])
		}
	}
	sent, err := d.bpf.reasons()
	if err != nil {
		t.Fatal(err)
	}
	stop()
	for _, name := range []string{edgeMapFlows, edgeMapHalfOpen} {
		asBefore(t, filepath.Join(s.pins, name))
	}
	fewerCounters(t, filepath.Join(s.pins, edgeMapReasons), 30)
	d, stop = s.open(t)
	defer stop()
	for i, c := range conns {
		if got := c.ask(t, "after")[0]; got != served[i] {
			t.Errorf("connection %d answered by %s, was %s", i, got, served[i])
		}
	}
	now, err := d.bpf.reasons()
	if err != nil {
		t.Fatal(err)
	}
	if now["sent_to_target"] < sent["sent_to_target"] {
		t.Errorf("%d packets were sent to targets, %d before", now["sent_to_target"], sent["sent_to_target"])
	}
	if now["reset_unknown"] != 0 {
		t.Errorf("%d resets", now["reset_unknown"])
	}
	settings, err := d.bpf.settings()
	if err != nil || settings.Flags&settingRestoring != 0 {
		t.Errorf("flags %x after all was restored, error %v", settings.Flags, err)
	}
	for _, name := range []string{edgeMapFlows, edgeMapHalfOpen, edgeMapReasons} {
		if _, err := os.Stat(filepath.Join(s.pins, name+asideSuffix)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the old map %s is still there: %v", name, err)
		}
	}
}

// A process that died in the midst of it is followed by one that finishes it.
func TestAnUpgradeThatWasCutShortIsFinished(t *testing.T) {
	s, d, stop := servingSite(t)
	snap := snapshot()
	apply(t, d, snap, healthy(snap))
	c := s.dial(t, "client", vip4+":80")
	served := c.ask(t, "before")[0]
	stop()
	pin := filepath.Join(s.pins, edgeMapFlows)
	asBefore(t, pin)
	if err := os.Rename(pin, pin+asideSuffix); err != nil { // and no new table yet
		t.Fatal(err)
	}
	_, stop = s.open(t)
	defer stop()
	if got := c.ask(t, "after")[0]; got != served {
		t.Errorf("answered by %s, was %s", got, served)
	}
}
