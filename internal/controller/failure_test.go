package controller

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/fairlead-lb/fairlead/internal/intent"
)

var nginx = reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "default", Name: "nginx"}}

// TestAFailureIsNotTriedAgainForHavingBeenTold: the status that tells of it wakes
// the Service, which waits its time all the same.
func TestAFailureIsNotTriedAgainForHavingBeenTold(t *testing.T) {
	w := newWorld(t)
	w.create(post("nginx"))
	pass := func() (reconcile.Result, []string) {
		t.Helper()
		result, err := w.r.Reconcile(t.Context(), nginx)
		if err != nil {
			t.Fatal(err)
		}
		return result, awsCalls(w.aws.take())
	}
	w.aws.aim(1, failBefore, nil)
	failed, calls := pass()
	if len(calls) != 1 || failed.RequeueAfter <= 0 {
		t.Fatalf("a pass that fails at once calls %v and is repeated in %s", calls, failed.RequeueAfter)
	}
	if woken, calls := pass(); len(calls) > 0 || woken.RequeueAfter != failed.RequeueAfter {
		t.Errorf("woken by the status it calls %v and is repeated in %s, want %s", calls, woken.RequeueAfter, failed.RequeueAfter)
	}
	if _, calls := pass(); len(calls) == 0 {
		t.Error("woken by something else it does nothing")
	}
}

func TestTheEndOfTheProcessIsNoFailure(t *testing.T) {
	w := newWorld(t)
	w.create(post("nginx"))
	ctx, die := context.WithCancel(t.Context())
	defer die()
	w.aws.aim(1, dieBefore, die)
	if _, err := w.r.Reconcile(ctx, nginx); err != nil {
		t.Errorf("a pass that is broken off ends with %v", err)
	}
	if w.notes.has(eventFailed.reason) {
		t.Errorf("events: %v", w.notes.list())
	}
	if c := meta.FindStatusCondition(w.get("nginx").Status.Conditions, condProgrammed); c != nil {
		t.Errorf("condition %+v", c)
	}
}

// TestAServiceThatIsMetHoldsUpNoOther: what Services share is locked while
// another one's call is under way.
func TestAServiceThatIsMetHoldsUpNoOther(t *testing.T) {
	w := newWorld(t)
	svc := post("nginx")
	svc.Finalizers = []string{intent.Finalizer}
	met := make(chan struct{})
	w.r.shared.mu.Lock() // as during a call
	go func() {
		w.r.service(svc)
		close(met)
	}()
	for len(w.r.owned()) == 0 {
		runtime.Gosched()
	}
	w.r.shared.mu.Unlock()
	<-met
	if !w.r.shared.holders[svc.UID] {
		t.Error("the Service does not count as one that has something in AWS")
	}
}

func TestErrorsOfWritesAreRetriedAsOftenAsOthers(t *testing.T) {
	r := Reconciler{opts: Options{RetryBase: 200e6, RetryMax: 60e9}}
	limiter := r.limiter()
	if first := limiter.When(nginx); first != r.opts.RetryBase {
		t.Errorf("the first try is after %s, want %s", first, r.opts.RetryBase)
	}
	for range 100 {
		if next := limiter.When(nginx); next > r.opts.RetryMax {
			t.Fatalf("the next try is after %s, want %s at most", next, r.opts.RetryMax)
		}
	}
}

func TestTextsAreClippedBetweenCharacters(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"a short one":                   {"größe", "größe"},
		"one that just fits":            {"0123456789", "0123456789"},
		"one that does not":             {"0123456789a", "0123456…"},
		"a character across the limit":  {"012345ßüöä", "012345…"},
		"a character just before it":    {"01234ßxyzab", "01234ß…"},
		"nothing but wide ones":         {strings.Repeat("語", 4), "語語…"},
		"a surrogate that is four long": {"01234😀😀😀", "01234…"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := clip(tt.text, 10)
			if got != tt.want || len(got) > 10 || !utf8.ValidString(got) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestAnEventOfAnyLengthIsSent: its note may be 1,024 bytes long.
func TestAnEventOfAnyLengthIsSent(t *testing.T) {
	w := newWorld(t)
	st := &service{said: map[string]string{}}
	w.r.say(&corev1.Service{}, st, eventFailed, strings.Repeat("語", 1000))
	for _, note := range w.notes.list() {
		if text := strings.TrimPrefix(note, eventFailed.reason+": "); len(text) > 1024 || !utf8.ValidString(text) {
			t.Errorf("a note of %d bytes: %q", len(text), text)
		}
	}
}
