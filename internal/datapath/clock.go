package datapath

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"
)

const (
	clockPause = 100 * time.Millisecond // enough to tell rates apart when nothing comes between
	clockLooks = 50                     // until the likeliest rate has to do
)

// sight is the kernel's clock as it was read between two moments.
type sight struct {
	jiffies       uint64
	before, after time.Time
}

// measureHz finds the rate of the kernel's clock, which no file tells reliably. On
// a busy machine this process may be kept waiting beside a look at the clock, so it
// looks until one rate alone fits.
func measureHz(clock *ebpf.Program) (uint32, error) {
	first, err := look(clock)
	if err != nil {
		return 0, err
	}
	likeliest := uint32(0)
	for range clockLooks {
		time.Sleep(clockPause)
		last, err := look(clock)
		if err != nil {
			return 0, err
		}
		hz, sure := rateOf(last.jiffies-first.jiffies, last.before.Sub(first.after), last.after.Sub(first.before))
		if sure {
			return hz, nil
		}
		likeliest = hz
	}
	return likeliest, nil
}

func look(clock *ebpf.Program) (s sight, err error) {
	s.before = time.Now()
	s.jiffies, err = readJiffies64(clock)
	s.after = time.Now()
	return s, err
}

// rateOf is the rate that is nearest to a number of ticks in a time of which bounds
// are known. It is sure when no other rate can have made them.
func rateOf(ticks uint64, least, most time.Duration) (hz uint32, sure bool) {
	const slack = 2 // a tick is counted when it is handled
	n, middle := float64(ticks), (least+most).Seconds()/2
	fit := 0
	for _, rate := range []uint32{100, 250, 300, 1000} {
		if hz == 0 || abs(float64(rate)*middle-n) < abs(float64(hz)*middle-n) {
			hz = rate
		}
		if float64(rate)*least.Seconds()-slack <= n && n <= float64(rate)*most.Seconds()+slack {
			fit++
		}
	}
	return hz, fit == 1
}

func abs(x float64) float64 { return max(x, -x) }

// readJiffies64 reads the clock that flow records are stamped with.
func readJiffies64(clock *ebpf.Program) (uint64, error) {
	out := make([]byte, 64)
	ret, err := clock.Run(&ebpf.RunOptions{Data: make([]byte, 64), DataOut: out})
	if err != nil {
		return 0, fmt.Errorf("read the kernel's clock: %w", err)
	}
	if ret != 1 {
		return 0, errors.New("read the kernel's clock: the program has no room for an answer")
	}
	return binary.NativeEndian.Uint64(out), nil
}
