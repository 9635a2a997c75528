package owner_test

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fairlead-lb/fairlead/internal/owner"
)

func TestNames(t *testing.T) {
	service := func(namespace, name string) owner.Service {
		return owner.Service{Cluster: "fairlead", Namespace: namespace, Name: name, UID: "8d1f"}
	}
	tests := map[string]struct{ got, prefix string }{
		"a short one is whole":                  {service("default", "nginx").LoadBalancerName("internal"), "fl-default-nginx-"},
		"a long part gives way":                 {service("default", "a-very-long-service-name").LoadBalancerName(), "fl-default-a-very-lon-"},
		"a target group carries its key":        {service("default", "nginx").TargetGroupName("http"), "fl-default-nginx-http-"},
		"the reserved prefix never comes first": {service("internal", "x").LoadBalancerName(), "fl-internal-x-"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			hash, ok := strings.CutPrefix(tt.got, tt.prefix)
			if !ok || len(hash) != 10 {
				t.Errorf("got name %q, want %q and a hash of 10 characters", tt.got, tt.prefix)
			}
		})
	}
}

var valid = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]{0,30}[a-zA-Z0-9])?$`)

func TestEveryNameIsOneThatELBv2Takes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		label := rapid.StringMatching(`[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?`)
		s := owner.Service{
			Cluster:   rapid.String().Draw(t, "cluster"),
			Namespace: label.Draw(t, "namespace"),
			Name:      label.Draw(t, "name"),
			UID:       rapid.String().Draw(t, "uid"),
		}
		names := []string{s.LoadBalancerName("internal"), s.TargetGroupName(label.Draw(t, "key")), s.FrontendName()}
		for _, name := range names {
			if !valid.MatchString(name) {
				t.Errorf("name %q is not valid", name)
			}
		}
	})
}

func TestNamesTellOwnersApart(t *testing.T) {
	a := owner.Service{Cluster: "c", Namespace: "n", Name: "s", UID: "1"}
	b := a
	b.UID = "2"
	names := map[string]string{}
	for what, name := range map[string]string{
		"first":                  a.LoadBalancerName("internal"),
		"another scheme":         a.LoadBalancerName("internet-facing"),
		"another Service":        b.LoadBalancerName("internal"),
		"its target group":       a.TargetGroupName("http", "TCP"),
		"its other target group": a.TargetGroupName("http", "TCP_UDP"),
		"its security group":     a.FrontendName(),
	} {
		if other, ok := names[name]; ok {
			t.Errorf("%s and %s share the name %s", what, other, name)
		}
		names[name] = what
	}
}

func TestOwnership(t *testing.T) {
	s := owner.Service{Cluster: "c", Namespace: "n", Name: "s", UID: "1"}
	other := s
	other.UID = "2"
	if !s.Owns(s.Tags("load-balancer")) {
		t.Error("a Service does not know its own tags")
	}
	if other.Owns(s.Tags("load-balancer")) {
		t.Error("a later Service of the same name takes what was the earlier one's")
	}
	if c := owner.Cluster("c"); !c.OwnsShared(c.BackendTags()) || c.OwnsShared(s.Tags("frontend")) {
		t.Error("the shared group is not told from a Service's own")
	}
}
