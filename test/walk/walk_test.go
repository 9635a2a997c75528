// Package walk_test runs the blog post end to end on a real lab: the demo's
// story first, then what a story has no room for: every kind of client, both
// policies, IPv6, and Services that are wrong in every way.
package walk_test

import (
	"testing"

	"github.com/fairlead-lb/fairlead/internal/lab/demo"
	"github.com/fairlead-lb/fairlead/internal/lab/labtest"
)

// house is the lab that the tests share, as its user sees it.
type house struct{ *labtest.Lab }

func TestTheBlogPost(t *testing.T) {
	h := &house{labtest.Up(t, "walk", nil)}
	if err := demo.Tell(t.Context(), h.Lab.Lab, labtest.Log(t)); err != nil {
		t.Fatal(err)
	}
	h.Run(t, "fairlead-lab", "node", "add", "--zone", "us-west-2a") // the walk removed one
	t.Run("every client under every policy", h.everyClient)
	t.Run("Classic Load Balancers", h.classicLife)
	t.Run("IPv6", h.ipv6)
	t.Run("weights", h.weights)
	t.Run("security groups", h.securityGroups)
	t.Run("Services that are wrong", h.wrongServices)
	t.Run("requests that are wrong", h.wrongRequests)
	t.Run("the AWS CLI waits", h.waits)
}
