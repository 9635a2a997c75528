package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairlead-lb/fairlead/internal/cli"
	"github.com/fairlead-lb/fairlead/internal/lab"
)

func newEnvCommand(stateDir *string) *cobra.Command {
	return &cobra.Command{
		Use: "env", Short: `Print shell commands that point kubectl and aws at the lab`, Args: cobra.NoArgs,
		Long: `env prints exports for a POSIX shell: eval "$(fairlead-lab env)"

They set KUBECONFIG, the AWS endpoint, region and keys, and put a directory in
front of PATH that holds kubectl, fairlead, fairlead-lab and an aws that always
goes to the lab.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := lab.Open(*stateDir)
			if err != nil {
				return err
			}
			l.PrintEnv(cmd.OutOrStdout())
			return nil
		},
	}
}

func placeAndCommand(_ *cobra.Command, args []string) error {
	if len(args) < 2 {
		return cli.Usagef("a place and a command are needed, such as client -- curl -s http://NAME/")
	}
	return nil
}

func newExecCommand(stateDir *string) *cobra.Command {
	return &cobra.Command{
		Use: "exec PLACE -- COMMAND [ARGUMENT...]", Short: "Run a command somewhere in the lab", Args: placeAndCommand, DisableFlagsInUseLine: true,
		Long: `exec runs a program of this machine in the network of a place, with the cluster's
DNS: client or client-2 (outside the VPC), control, node/NAME, edge/ZONE, or
pod/NAMESPACE/NAME.`,
		Example: "  fairlead-lab exec client -- curl -s http://NAME/\n  fairlead-lab exec node/node-1 -- nft list ruleset",
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := lab.Open(*stateDir)
			if err != nil {
				return err
			}
			return l.Become(cmd.Context(), args[0], args[1:])
		},
	}
}

func newStatusCommand(stateDir *string) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "status", Short: "Show the health of everything; exit with 3 if anything is not healthy", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "" && output != "json" {
				return cli.Usagef("--output %q: must be json or left out", output)
			}
			l, err := lab.Open(*stateDir)
			if err != nil {
				return err
			}
			r, err := l.Status(cmd.Context())
			if err != nil {
				return err
			}
			if err := printReport(cmd, r, output); err != nil || r.Healthy {
				return err
			}
			return unhealthy(r)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json, or nothing for a table")
	return cmd
}

func unhealthy(r lab.Report) error {
	e := &cli.Error{What: "check the lab", Err: errors.New("not everything is healthy"), Hint: "see 'fairlead-lab logs COMPONENT'", Code: cli.ExitUnhealthy}
	if r.Problem != "" {
		e.Err, e.Hint = errors.New(r.Problem), "remove what is left with 'fairlead-lab down', then start again"
	}
	return e
}

func printReport(cmd *cobra.Command, r lab.Report, output string) error {
	if output == "json" {
		e := json.NewEncoder(cmd.OutOrStdout())
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	r.Print(cmd.OutOrStdout(), time.Now())
	return nil
}

func newLogsCommand(stateDir *string) *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use: "logs COMPONENT", Short: "Print the log of a component; 'status' lists them", Args: cli.Arguments("COMPONENT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := lab.Open(*stateDir)
			if err != nil {
				return err
			}
			return l.PrintLog(cmd.Context(), args[0], follow, os.Stdout)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what is added until interrupted")
	return cmd
}

func newRestartCommand(stateDir *string) *cobra.Command {
	var kill bool
	cmd := &cobra.Command{
		Use: "restart COMPONENT", Short: "Restart a component and wait until it serves again", Args: cli.Arguments("COMPONENT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := lab.Open(*stateDir)
			if err != nil {
				return err
			}
			return l.Restart(cmd.Context(), args[0], kill)
		},
	}
	cmd.Flags().BoolVar(&kill, "kill", false, "end it with SIGKILL instead of SIGTERM")
	return cmd
}

func newNodeCommand(stateDir *string) *cobra.Command {
	cmd := &cobra.Command{Use: "node", Short: "Add or remove nodes"}
	var zone string
	add := &cobra.Command{
		Use: "add", Short: "Add a node and wait until it is Ready", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := lab.Open(*stateDir)
			if err != nil {
				return err
			}
			if zone == "" {
				zone = l.Layout().Zones[0].Name
			}
			n, err := l.AddNode(cmd.Context(), zone)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), n.Name)
			return nil
		},
	}
	add.Flags().StringVar(&zone, "zone", "", "zone of the node (default: the lab's first)")
	remove := &cobra.Command{
		Use: "remove NAME", Short: "Remove a node as a terminated instance goes", Args: cli.Arguments("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := lab.Open(*stateDir)
			if err != nil {
				return err
			}
			return l.RemoveNode(cmd.Context(), args[0])
		},
	}
	cmd.AddCommand(add, remove)
	return cmd
}
