package clusterdns

import (
	"os"
	"testing"

	"github.com/spf13/cobra"
	"go.uber.org/goleak"

	"github.com/fairlead-lb/fairlead/internal/cli"
	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent"
)

// TestMain lets the test's binary be the program that a test's cluster runs:
// called with a hidden subcommand, it is fairlead-lab.
func TestMain(m *testing.M) {
	root := &cobra.Command{Use: "fairlead-lab"}
	root.AddCommand(nodeagent.NewCommand(), nodeagent.NewNginxCommand(), NewCommand())
	if len(os.Args) > 1 {
		if cmd, _, err := root.Find(os.Args[1:]); err == nil && cmd != root {
			os.Exit(cli.Main(root))
		}
	}
	goleak.VerifyTestMain(m)
}
