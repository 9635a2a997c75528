package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/fairlead-lb/fairlead/internal/cli"
	"github.com/fairlead-lb/fairlead/internal/controller"
	"github.com/fairlead-lb/fairlead/internal/intent"
)

func newPlanCommand() *cobra.Command {
	var f controllerFlags
	var file, output string
	cmd := &cobra.Command{
		Use:   "plan -f FILE",
		Short: "Print what the controller would do for a Service, and change nothing",
		Long: "plan prints the calls that the controller would make if the Service in FILE were applied now.\n" +
			"Give it the controller's own flags and AWS environment. It exits with 3 when the Service cannot be served.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var p cli.Problems
			p.Required("filename", file)
			p.Unless(output == "text" || output == "json", "--output %q: must be text or json", output)
			f.check(&p)
			if err := p.Err(); err != nil {
				return err
			}
			manifest, err := readInput(cmd.InOrStdin(), file)
			if err != nil {
				return &cli.Error{What: "read the manifest", Err: err, Hint: "name a file with one Service, or - for standard input, with --filename"}
			}
			c, err := f.complete(cmd.Context())
			if err != nil {
				return err
			}
			preview, err := controller.PlanFor(cmd.Context(), c, manifest)
			if err != nil {
				return &cli.Error{What: "plan " + file, Err: err, Hint: "give plan the controller's own flags and AWS environment, and a manifest that 'kubectl apply --dry-run=server' takes"}
			}
			return printPreview(cmd.OutOrStdout(), preview, output)
		},
	}
	f.registerShared(cmd)
	cmd.Flags().StringVarP(&file, "filename", "f", "", "manifest with one Service, other kinds beside it are left alone; - is standard input (required)")
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return cmd
}

func printPreview(w io.Writer, p controller.Preview, output string) error {
	if output == "json" {
		text, err := json.MarshalIndent(p, "", "  ")
		if err != nil {
			return err
		}
		fmt.Fprintln(w, string(text))
	} else {
		printText(w, p)
	}
	if n := len(intent.Errors(p.Problems)); n > 0 {
		return &cli.Error{What: "plan Service " + p.Service, Err: fmt.Errorf("problems: %d", n), Hint: "correct them; the controller does nothing for the Service before", Code: cli.ExitUnhealthy}
	}
	if p.Claim == intent.NotOurs {
		err := errors.New("the controller does not take it: its type or class is not ours, or it has no class and --take-unclassed is off")
		return &cli.Error{What: "plan Service " + p.Service, Err: err, Code: cli.ExitUnhealthy}
	}
	return nil
}

func printText(w io.Writer, p controller.Preview) {
	for _, problem := range p.Problems {
		fmt.Fprintf(w, "%s: %s\n", problem.Severity, problem)
	}
	if p.Claim != intent.NotOurs && len(intent.Errors(p.Problems)) == 0 {
		fmt.Fprint(w, p.Plan.Text())
	}
}
