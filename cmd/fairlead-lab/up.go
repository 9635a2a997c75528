package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairlead-lb/fairlead/internal/lab"
	"github.com/fairlead-lb/fairlead/internal/lab/component"
)

func newUpCommand(stateDir *string) *cobra.Command {
	o := lab.DefaultOptions()
	cmd := &cobra.Command{
		Use: "up", Short: "Start the lab", Args: cobra.NoArgs,
		Long: `up checks first that nothing is in the way, and changes nothing if something is.
It returns when everything serves and all nodes are Ready; the lab then runs on
by itself until 'fairlead-lab down'.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.StateDir, o.Progress = *stateDir, os.Stderr
			start := time.Now()
			l, err := lab.Up(cmd.Context(), o)
			if err != nil {
				return err
			}
			welcome(l, time.Since(start))
			return nil
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.Zones, "zones", o.Zones, "availability zones, all of one region")
	f.IntVar(&o.Nodes, "nodes", o.Nodes, "number of nodes, spread over the zones")
	f.Uint16Var(&o.APIPort, "api-port", o.APIPort, "port of the Kubernetes API on 127.0.0.1")
	f.Uint16Var(&o.EnginePort, "engine-port", o.EnginePort, "port of the AWS API on 127.0.0.1")
	f.StringVar(&o.Prefix, "prefix", o.Prefix, "begins the names of all network namespaces; labs with different ones can run side by side")
	f.StringVar(&o.Binaries.Kube, "kube", "", "path of the Kubernetes binary (default: $FAIRLEAD_KUBE, or what kube/build.sh of this checkout builds)")
	f.StringVar(&o.Binaries.Fairlead, "fairlead", "", "path of the fairlead program (default: the one beside this program)")
	f.BoolVar(&o.AllowOverlap, "allow-overlap", false, "start although the host has addresses of the lab's ranges")
	f.BoolVar(&o.KeepOnFailure, "keep-on-failure", false, "leave a lab that does not come up for a look at it")
	f.StringSliceVar(&o.Without, "without", nil, "kinds of components to leave out, of "+strings.Join(component.Kinds(), ", "))
	return cmd
}

// welcome says what there is and what to type next.
func welcome(l *lab.Lab, took time.Duration) {
	fmt.Fprintf(os.Stderr, "\nThe lab is up (%.1f s). To use it:\n\n  eval \"$(%s)\"\n  kubectl get nodes\n\n", took.Seconds(), l.EnvCommand(os.Args[0]))
	fmt.Fprintf(os.Stderr, "Places for 'fairlead-lab exec': %s, pod/NAMESPACE/NAME\n", strings.Join(l.Places(), ", "))
}

func newDownCommand(stateDir *string) *cobra.Command {
	return &cobra.Command{
		Use: "down", Short: "Take the lab away", Args: cobra.NoArgs,
		Long: `down removes every process, namespace, mount and file of the lab, also when it is
half made or its supervisor has been killed. Without a lab it does nothing.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := lab.Down(cmd.Context(), *stateDir, os.Stderr)
			if errors.Is(err, lab.ErrNoLab) {
				fmt.Fprintf(os.Stderr, "There is no lab in %s.\n", *stateDir)
				return nil
			}
			return err
		},
	}
}
