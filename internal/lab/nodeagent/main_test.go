package nodeagent_test

import (
	"os"
	"testing"

	"github.com/spf13/cobra"

	"github.com/fairlead-lb/fairlead/internal/cli"
	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent"
)

// TestMain lets the test's binary be the program that the cluster runs: called
// with a hidden subcommand, it is fairlead-lab.
func TestMain(m *testing.M) {
	root := &cobra.Command{Use: "fairlead-lab"}
	root.AddCommand(nodeagent.NewCommand(), nodeagent.NewNginxCommand())
	if len(os.Args) > 1 {
		if cmd, _, err := root.Find(os.Args[1:]); err == nil && cmd != root {
			os.Exit(cli.Main(root))
		}
	}
	os.Exit(m.Run())
}
