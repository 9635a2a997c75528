// Command fairlead-lab runs a real small Kubernetes with zones, load balancer
// edges and clients on one machine, in network namespaces. This package is the
// command tree and wiring only.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/fairlead-lb/fairlead/internal/cli"
	"github.com/fairlead-lb/fairlead/internal/lab"
	"github.com/fairlead-lb/fairlead/internal/lab/clusterdns"
	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent"
)

func main() { os.Exit(cli.Main(newRootCommand())) }

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:     "fairlead-lab",
		Short:   "A real small Kubernetes with load balancers, on one machine",
		Version: cli.Version,
		Long: `fairlead-lab runs a real small Kubernetes on this machine: etcd, API server,
controllers, scheduler and a kube-proxy per node, all in network namespaces,
with zones, load balancer edges and clients outside. Nothing gets an interface
on the host, and 'down' takes everything away.

  fairlead-lab up
  eval "$(fairlead-lab env)"
  kubectl get nodes
  fairlead-lab exec client -- curl http://NAME-OF-A-LOAD-BALANCER/
  fairlead-lab down`,
	}
	stateDir := root.PersistentFlags().String("state-dir", lab.DefaultStateDir, "absolute path of the directory that everything of the lab is kept in")
	root.AddCommand(
		newUpCommand(stateDir), newDownCommand(stateDir), newEnvCommand(stateDir), newExecCommand(stateDir),
		newStatusCommand(stateDir), newLogsCommand(stateDir), newRestartCommand(stateDir), newNodeCommand(stateDir),
		newDemoCommand(stateDir), newSuperviseCommand(stateDir),
		nodeagent.NewCommand(), nodeagent.NewNginxCommand(), clusterdns.NewCommand(),
	)
	return root
}
