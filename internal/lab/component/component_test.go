package component_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/lab/component"
	"github.com/fairlead-lb/fairlead/internal/lab/layout"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func config(t *testing.T, without ...string) component.Config {
	t.Helper()
	zones := []string{"us-west-2a", "us-west-2b"}
	l, err := layout.New("fl-", zones, layout.RoundRobin(zones, 2))
	if err != nil {
		t.Fatal(err)
	}
	return component.Config{
		Layout: l, Dir: "/state", Cluster: "fairlead",
		Kube: "/bin/kube", Fairlead: "/bin/fairlead", Lab: "/bin/fairlead-lab",
		Controller: component.Credentials{AccessKeyID: "AKIAEXAMPLE", SecretAccessKey: "secret"},
		Without:    without,
	}
}

// render shows all of a component.
func render(c component.Component) string {
	var b strings.Builder
	fmt.Fprintf(&b, "name %s\nkind %s\nnamespace %s\nafter %s\nonce %v\nready %+v\n",
		c.Name, c.Kind, c.Namespace, strings.Join(c.After, " "), c.Once, c.Ready)
	for _, list := range []struct {
		what  string
		items []string
	}{{"argv", c.Argv}, {"env", c.Env}, {"dir", c.Dirs}} {
		for _, item := range list.items {
			fmt.Fprintf(&b, "%s %s\n", list.what, item)
		}
	}
	for _, f := range c.Files {
		fmt.Fprintf(&b, "file %s\n%s", f.Path, f.Content)
	}
	return b.String()
}

func TestComponentsAreAsInTheGoldenFiles(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range component.All(config(t)) {
		if seen[c.Kind] {
			continue // the others of a kind differ by place only
		}
		seen[c.Kind] = true
		path := filepath.Join("testdata", c.Kind+".golden")
		got := render(c)
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatalf("%v; run the test with -update to write it", err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.Kind, diff)
		}
	}
}

func TestNamesAreUniqueAndWhatIsWaitedForExists(t *testing.T) {
	kinds := []string{
		component.ClusterDNS, component.Engine, component.EdgeIdentity, component.Edge, component.NodeHelper,
		component.Controller, component.Bootstrap, component.KubeProxy, component.NodeAgent, component.Scheduler,
	}
	for i := range 1 << len(kinds) {
		var without []string
		for bit, kind := range kinds {
			if i&(1<<bit) != 0 {
				without = append(without, kind)
			}
		}
		all := component.All(config(t, without...))
		names := map[string]bool{}
		for _, c := range all {
			if names[c.Name] {
				t.Fatalf("without %v: %s occurs twice", without, c.Name)
			}
			names[c.Name] = true
			if slices.Contains(without, c.Kind) {
				t.Fatalf("without %v: there is %s", without, c.Name)
			}
		}
		for _, c := range all {
			for _, name := range c.After {
				if !names[name] {
					t.Fatalf("without %v: %s waits for %s, which does not exist", without, c.Name, name)
				}
			}
		}
	}
}

func TestComponentsOfANodeAreThoseThatAllHasForIt(t *testing.T) {
	c := config(t)
	var want []string
	for _, o := range component.All(c) {
		if o.Namespace == "fl-node-2" {
			want = append(want, o.Name)
		}
	}
	var got []string
	n, _ := c.Layout.Node("node-2")
	for _, o := range component.OfNode(c, n) {
		got = append(got, o.Name)
	}
	if diff := cmp.Diff(want, got); diff != "" || len(got) != 3 {
		t.Errorf("components of node-2 (-want +got):\n%s", diff)
	}
}

func TestSecretsAreInNoArgumentAndNoFile(t *testing.T) {
	for _, c := range component.All(config(t)) {
		for _, s := range append(slices.Clone(c.Argv), contents(c.Files)...) {
			if strings.Contains(s, "secret") {
				t.Errorf("%s shows a secret in %q", c.Name, s)
			}
		}
	}
}

func contents(files []component.File) []string {
	var all []string
	for _, f := range files {
		all = append(all, f.Content)
	}
	return all
}
