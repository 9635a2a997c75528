package controller

import (
	"net/http"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-lb/fairlead/internal/intent"
)

// tagless is a network in which the tagging API cannot be reached a number of
// times.
type tagless struct {
	next  http.RoundTripper
	times int
}

func (n *tagless) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Header.Get("X-Amz-Target") != "" && n.times > 0 {
		n.times--
		return nil, errInjected
	}
	return n.next.RoundTrip(req)
}

// forgets makes a Service lose its record, what else is told, and the process
// what it knew; the tagging API then fails a number of times.
func (w *world) forgets(times int, also ...string) {
	w.t.Helper()
	w.create(annotated(post("nginx"), "name", "shop"))
	w.settle("nginx")
	w.update("nginx", func(s *corev1.Service) {
		for _, key := range append(also, intent.KeyRecord) {
			delete(s.Annotations, key)
		}
	})
	w.aws.next = &tagless{next: w.aws.next, times: times}
	w.restart()
}

func TestALostRecordIsFoundOutBeforeAnythingIsDeleted(t *testing.T) {
	w := newWorld(t)
	w.forgets(recoverTries-1, prefix+"name")
	w.leavesNothing("nginx")
}

func TestAServiceWhoseRecordStaysLostCanBeDeleted(t *testing.T) {
	w := newWorld(t)
	w.forgets(1 << 20)
	w.remove("nginx")
	w.settle("nginx")
	if !w.gone("nginx") {
		t.Errorf("the Service stays: %v", w.notes.list())
	}
}
