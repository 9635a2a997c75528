package archtest

import (
	"encoding/json"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/fairlead-lb/fairlead/"

// goPackage is the part of `go list -json` that the rules look at.
type goPackage struct {
	ImportPath  string
	Name        string
	GoFiles     []string
	Imports     []string
	Doc         string
	TestGoFiles []string
	Standard    bool
}

// pure names the packages that hold logic only, with what each may import
// beside the standard library.
var pure = map[string][]string{
	"internal/lb":                     {},
	"internal/inventory":              {"sigs.k8s.io/yaml"},
	"internal/iam":                    {},
	"internal/store/tree":             {},
	"internal/lab/nodeagent/podstate": {"k8s.io/api/", "k8s.io/apimachinery/"},
	"internal/owner":                  {module + "internal/lb"},
	"internal/intent":                 {module + "internal/lb", module + "internal/owner", "k8s.io/api/", "k8s.io/apimachinery/"},
	"internal/plan":                   {module + "internal/lb", module + "internal/owner"},
	"internal/engine/secgroup":        {},
	"internal/datapath/maglev":        {},
	"internal/proxy/http1":            {},
	"internal/datapath/model":         {module + "internal/lb", module + "internal/datapath/maglev"},
}

// impure are standard packages that bring a clock, a context, a logger or I/O.
var impure = []string{"context", "log", "log/slog", "net", "net/http", "os", "os/exec", "syscall"}

// confined names packages from outside with the only places that may import them.
var confined = map[string][]string{
	"github.com/cilium/ebpf":                   {"internal/datapath", "internal/node"},
	"github.com/vishvananda/netlink":           {"internal/netlab", "internal/lab", "internal/datapath", "internal/node"},
	"sigs.k8s.io/controller-runtime":           {"internal/controller", "cmd/fairlead"},
	"go.etcd.io/bbolt":                         {"internal/store"},
	"github.com/aws/aws-sdk-go-v2/config":      {"internal/cloud/awssdk"},
	"github.com/aws/aws-sdk-go-v2/service/ec2": {"internal/cloud/awssdk", "bench"},
	"k8s.io/kubernetes":                        {},
}

// halves are the two sides that share internal/lb and nothing else of ours that
// either side owns.
var halves = map[string][]string{
	"controller": {"internal/intent", "internal/plan", "internal/owner", "internal/cloud", "internal/controller"},
	"engine":     {"internal/engine", "internal/store", "internal/wire", "internal/iam", "internal/edge", "internal/edgeapi", "internal/datapath", "internal/dns", "internal/health", "internal/inventory"},
}

func TestPurePackagesDoNoIO(t *testing.T) {
	for _, p := range list(t) {
		allowed, isPure := pure[strings.TrimPrefix(p.ImportPath, module)]
		if !isPure {
			continue
		}
		for _, imp := range p.Imports {
			if standard(imp) {
				if slices.Contains(impure, imp) {
					t.Errorf("%s is pure and imports %s", p.ImportPath, imp)
				}
			} else if !hasPrefix(imp, allowed) {
				t.Errorf("%s is pure and imports %s; allowed beside the standard library: %v", p.ImportPath, imp, allowed)
			}
		}
	}
}

func TestOutsidePackagesAreConfined(t *testing.T) {
	for _, p := range list(t) {
		for _, imp := range p.Imports {
			for outside, places := range confined {
				if (imp == outside || strings.HasPrefix(imp, outside+"/")) && !within(p.ImportPath, places) {
					t.Errorf("%s imports %s; only %v may", p.ImportPath, imp, places)
				}
			}
		}
	}
}

func TestControllerAndEngineShareTheNounsOnly(t *testing.T) {
	for _, p := range list(t) {
		for _, imp := range p.Imports {
			if within(p.ImportPath, halves["controller"]) && within(imp, halves["engine"]) ||
				within(p.ImportPath, halves["engine"]) && within(imp, halves["controller"]) {
				t.Errorf("%s imports %s across the AWS API", p.ImportPath, imp)
			}
		}
	}
}

func TestEveryPackageHasADocComment(t *testing.T) {
	for _, p := range list(t) {
		if p.Doc == "" && len(p.GoFiles) > 0 {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

func TestMainModuleHasNoReplaceDirective(t *testing.T) {
	out := run(t, "go", "mod", "edit", "-json")
	var mod struct{ Replace []any }
	if err := json.Unmarshal([]byte(out), &mod); err != nil {
		t.Fatal(err)
	}
	if len(mod.Replace) > 0 {
		t.Errorf("go.mod has %d replace directives, want none", len(mod.Replace))
	}
}

func list(t *testing.T) []goPackage {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(run(t, "go", "list", "-json=ImportPath,Name,GoFiles,Imports,Doc", module+"...")))
	var all []goPackage
	for {
		var p goPackage
		if err := dec.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 5 {
		t.Fatalf("go list found %d packages, want the whole module", len(all))
	}
	return all
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
	}
	return string(out)
}

func standard(imp string) bool { return !strings.Contains(strings.SplitN(imp, "/", 2)[0], ".") }

func within(pkg string, places []string) bool {
	rel := strings.TrimPrefix(pkg, module)
	for _, p := range places {
		if rel == p || strings.HasPrefix(rel, p+"/") {
			return true
		}
	}
	return false
}

func hasPrefix(imp string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(imp, p) {
			return true
		}
	}
	return false
}
