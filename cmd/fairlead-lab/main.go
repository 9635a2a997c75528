// Command fairlead-lab runs a real small Kubernetes with zones, load balancer
// edges and clients on one machine, in network namespaces.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/fairlead-lb/fairlead/internal/cli"
)

func main() { os.Exit(cli.Main(newRootCommand())) }

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "fairlead-lab",
		Short: "A real small Kubernetes with load balancers, on one machine",
	}
	return root
}
