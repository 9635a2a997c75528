package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLooksOfLaterAreCallsToo(t *testing.T) {
	const calls, seconds, looks = "controller.first.calls", "controller.first.seconds", "controller.first.looks"
	for _, tt := range []struct {
		effort effort
		want   map[string]float64
	}{
		{effort{calls: make([]call, 3), seconds: 2}, map[string]float64{calls: 3, seconds: 2}},
		{effort{calls: make([]call, 3), seconds: 2, looks: make([]call, 4)}, map[string]float64{calls: 7, seconds: 2, looks: 4}},
	} {
		got := map[string]float64{}
		for _, r := range (situation{name: "first"}).rows(tt.effort) {
			got[r.Name] = r.Value
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("rows of %d calls and %d looks (-want +got):\n%s", len(tt.effort.calls), len(tt.effort.looks), diff)
		}
	}
}
