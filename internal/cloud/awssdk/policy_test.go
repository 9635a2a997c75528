package awssdk_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestThePublishedPolicyAllowsWhatIsCalledAndNoMore compares the policy with
// the methods of AWS clients that this package's source uses.
func TestThePublishedPolicyAllowsWhatIsCalledAndNoMore(t *testing.T) {
	want := calledActions(t)
	// AWS itself calls it for the first load balancer of an account.
	want = append(want, "iam:CreateServiceLinkedRole")
	slices.Sort(want)
	if diff := cmp.Diff(want, allowedActions(t)); diff != "" {
		t.Errorf("actions of the policy (-called +allowed):\n%s", diff)
	}
}

func allowedActions(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../../config/iam/controller-policy.json")
	if err != nil {
		t.Fatal(err)
	}
	var policy struct {
		Statement []struct{ Action any }
	}
	if err := json.Unmarshal(text, &policy); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, s := range policy.Statement {
		switch a := s.Action.(type) {
		case string:
			out = append(out, a)
		case []any:
			for _, v := range a {
				out = append(out, v.(string))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// calledActions are the selectors c.elb.X, c.classic.X, c.ec2.X and c.tagging.X.
func calledActions(t *testing.T) []string {
	t.Helper()
	services := map[string]string{"elb": "elasticloadbalancing:", "classic": "elasticloadbalancing:", "ec2": "ec2:", "tagging": "tag:"}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			outer, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if inner, ok := outer.X.(*ast.SelectorExpr); ok {
				if receiver, ok := inner.X.(*ast.Ident); ok && receiver.Name == "c" && services[inner.Sel.Name] != "" {
					out = append(out, services[inner.Sel.Name]+outer.Sel.Name)
				}
			}
			return true
		})
	}
	if len(out) < 20 {
		t.Fatalf("only %d calls found: the test no longer understands the source", len(out))
	}
	slices.Sort(out)
	return slices.Compact(out)
}
