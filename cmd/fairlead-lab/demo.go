package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/fairlead-lb/fairlead/internal/lab"
	"github.com/fairlead-lb/fairlead/internal/lab/demo"
)

func newDemoCommand(stateDir *string) *cobra.Command {
	o := demo.Options{Lab: lab.DefaultOptions(), Out: os.Stdout}
	cmd := &cobra.Command{
		Use: "demo", Short: "Walk the blog post on a lab of its own", Args: cobra.NoArgs,
		Long: `demo starts a lab, applies the post's Service and shows, step by step, the
evidence that everything is as the post says. It stops at the first thing that
is not so, with what was expected, what was seen and where to look.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Lab.StateDir, o.Lab.Progress = *stateDir, os.Stderr
			return demo.Run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.Keep, "keep", false, "leave the lab up at the end")
	f.Uint16Var(&o.Lab.APIPort, "api-port", o.Lab.APIPort, "port of the Kubernetes API on 127.0.0.1")
	f.Uint16Var(&o.Lab.EnginePort, "engine-port", o.Lab.EnginePort, "port of the AWS API on 127.0.0.1")
	f.StringVar(&o.Lab.Prefix, "prefix", o.Lab.Prefix, "begins the names of all network namespaces")
	return cmd
}
