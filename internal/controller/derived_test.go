package controller

import (
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-lb/fairlead/internal/intent"
)

// TestARecordThatNamesWhatOthersHaveDeletesNothing: whoever may edit a Service
// may write into its record.
func TestARecordThatNamesWhatOthersHaveDeletesNothing(t *testing.T) {
	tests := map[string]func(own, others recorded) recorded{
		"name and ARN": func(_, others recorded) recorded { return others },
		"the ARN":      func(own, others recorded) recorded { return recorded{Name: own.Name, ID: others.ID} },
		"the name":     func(own, others recorded) recorded { return recorded{Name: others.Name, ID: own.ID} },
		"the ARN, hidden": func(own, others recorded) recorded {
			return recorded{Name: own.Name, ID: others.ID + "/" + own.Name + "/1"}
		},
		"nothing that is":  func(own, _ recorded) recorded { return recorded{Name: own.Name, ID: own.ID + "0"} },
		"no ARN":           func(own, _ recorded) recorded { return recorded{Name: own.Name, ID: own.Name} },
		"what it has, too": func(own, _ recorded) recorded { return own },
	}
	for name, forge := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.create(post("victim"))
			w.create(post("nginx"))
			w.settle("victim", "nginx")
			others, _ := readRecord(w.get("victim"))
			w.update("nginx", func(s *corev1.Service) {
				own, _ := readRecord(s)
				own.Balancers[0] = forge(own.Balancers[0], others.Balancers[0])
				own.Groups[0] = forge(own.Groups[0], others.Groups[0])
				own.Frontends = others.Frontends
				text, err := json.Marshal(own)
				if err != nil {
					t.Fatal(err)
				}
				s.Annotations[intent.KeyRecord] = string(text)
			})
			w.restart()
			w.remove("nginx")
			w.settleFor("nginx", 5)
			w.settle("victim")
			w.now = w.now.Add(2 * resync)
			w.aws.take()
			w.settle("victim")
			for _, call := range awsCalls(w.aws.take()) {
				if !strings.HasPrefix(call, "Describe") {
					t.Errorf("something of the other Service was gone: %s", call)
				}
			}
		})
	}
}

// TestWhatWasDeletedByHandHoldsUpNothing: AWS denies the deletion of what is
// gone, as the controller may only delete what has its tags.
func TestWhatWasDeletedByHandHoldsUpNothing(t *testing.T) {
	for name, restarted := range map[string]bool{"a process that made it": false, "a process that did not": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.create(post("nginx"))
			w.settle("nginx")
			rec, _ := readRecord(w.get("nginx"))
			if err := w.api.DeleteLoadBalancer(t.Context(), rec.Balancers[0].ID); err != nil {
				t.Fatal(err)
			}
			if restarted {
				w.restart()
			}
			w.remove("nginx")
			w.settleFor("nginx", 3)
			if left := w.all(); !left.empty() || !w.gone("nginx") {
				t.Errorf("left: %s; events %v", left, w.notes.list())
			}
		})
	}
}
