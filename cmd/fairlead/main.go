// Command fairlead is a Network Load Balancer for Kubernetes Services: the
// controller, the engine with its edges, and the helper on nodes, one
// subcommand each. This package is the command tree and wiring only.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/fairlead-lb/fairlead/internal/cli"
)

func main() { os.Exit(cli.Main(newRootCommand())) }

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:     "fairlead",
		Short:   "A Network Load Balancer for Kubernetes Services",
		Version: cli.Version,
	}
	root.AddCommand(newControllerCommand(), newPlanCommand(), newEngineCommand(), newEdgeCommand(), newTraceCommand(), newNodeCommand())
	return root
}
