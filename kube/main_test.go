package main

import (
	"slices"
	"testing"
)

func TestChoose(t *testing.T) {
	all := []component{{name: "etcd"}, {name: "kubectl"}}
	tests := []struct {
		about string
		argv  []string
		want  string // component; empty for the list
		args  []string
		fails bool
	}{
		{about: "symlink", argv: []string{"/opt/bin/kubectl", "get", "pods"}, want: "kubectl", args: []string{"/opt/bin/kubectl", "get", "pods"}},
		{about: "symlink wins over argument", argv: []string{"kubectl", "etcd"}, want: "kubectl", args: []string{"kubectl", "etcd"}},
		{about: "first argument", argv: []string{"/opt/bin/kube", "etcd", "--name=a"}, want: "etcd", args: []string{"etcd", "--name=a"}},
		{about: "renamed binary", argv: []string{"kube-v2", "etcd"}, want: "etcd", args: []string{"etcd"}},
		{about: "alone", argv: []string{"kube"}},
		{about: "help", argv: []string{"kube", "--help"}},
		{about: "unknown", argv: []string{"kube", "kubelet"}, fails: true},
		{about: "flag before component", argv: []string{"kube", "--v=2", "etcd"}, fails: true},
	}
	for _, tt := range tests {
		t.Run(tt.about, func(t *testing.T) {
			c, args, err := choose(all, tt.argv)
			if (err != nil) != tt.fails {
				t.Fatalf("err = %v, want failure %v", err, tt.fails)
			}
			var got string
			if c != nil {
				got = c.name
			}
			if got != tt.want || !slices.Equal(args, tt.args) {
				t.Errorf("got %q with %q, want %q with %q", got, args, tt.want, tt.args)
			}
		})
	}
}

// Components are built lazily, so a name listed twice would go unnoticed.
func TestComponentNamesAreUnique(t *testing.T) {
	seen := map[string]bool{"kube": true}
	for _, c := range components() {
		if seen[c.name] {
			t.Errorf("%q is listed twice", c.name)
		}
		seen[c.name] = true
	}
}
