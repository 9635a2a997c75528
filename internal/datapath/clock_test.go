package datapath

import (
	"testing"
	"time"
)

func TestTheClocksRateIsTheOneThatFits(t *testing.T) {
	const ms = time.Millisecond
	for name, test := range map[string]struct {
		ticks       uint64
		least, most time.Duration
		hz          uint32
		sure        bool
	}{
		"100":                             {10, 100 * ms, 101 * ms, 100, true},
		"250":                             {25, 100 * ms, 101 * ms, 250, true},
		"300":                             {30, 100 * ms, 101 * ms, 300, true},
		"1000":                            {100, 100 * ms, 101 * ms, 1000, true},
		"a tick that is counted late":     {24, 100 * ms, 101 * ms, 250, true},
		"kept waiting, so two would do":   {25, 80 * ms, 120 * ms, 250, false},
		"kept waiting, but looked longer": {250, 980 * ms, 1020 * ms, 250, true},
		"a rate of which nobody heard":    {64, 100 * ms, 101 * ms, 300, false},
	} {
		t.Run(name, func(t *testing.T) {
			if hz, sure := rateOf(test.ticks, test.least, test.most); hz != test.hz || sure != test.sure {
				t.Errorf("rateOf = %d, %v; want %d, %v", hz, sure, test.hz, test.sure)
			}
		})
	}
}
