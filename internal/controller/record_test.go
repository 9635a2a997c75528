package controller

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-lb/fairlead/internal/intent"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/plan"
)

// Whoever may edit the Service may write anything into its record: it is read, or
// it is none, and what was read is written so that it reads the same.
func FuzzReadRecord(f *testing.F) {
	f.Add(`{"v":1,"stack":"0123456789abcdef","lb":[{"n":"fl-default-nginx","id":"arn","dns":"x.elb","bare":true}],"tg":[{"n":"g","id":"arn","own":"AAAAAAAA"}]}`)
	f.Add(`{"v":1,"nodes":[{"protocol":"tcp","fromPort":80,"toPort":80,"source":"::ffff:10.0.0.0/104"}],"subnets":{"m":[{"IPv6Address":"fe80::1%eth0"}]},"keys":[]}`)
	f.Add(`{"v":2}`)
	f.Add(`{"v":1,"tg":[{"n":"g","own":"short"},{"n":"g"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		read := func(text string) (record, bool) {
			return readRecord(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{intent.KeyRecord: text}}})
		}
		r, ok := read(text)
		if !ok {
			if !r.empty() {
				t.Errorf("%q is no record and names %+v", text, r)
			}
			return
		}
		target := lb.Target{ID: "i-1", Port: 80}
		if got := r.owned("g", []lb.Target{target}, []lb.Target{target}); len(got) != 1 {
			t.Errorf("%q: a target that is wanted is not the Service's own", text)
		}
		if _, known := r.now(plan.Observed{}).recall(lb.Stack{}); known && r.complete() {
			t.Errorf("%q tells of a stack, and there is none", text)
		}
		if again, ok := read(r.text()); !ok || again.text() != r.text() {
			t.Errorf("%q is read as %s and then as %s, %t", text, r.text(), again.text(), ok)
		}
	})
}
