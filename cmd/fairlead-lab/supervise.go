package main

import (
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/lab"
)

// newSuperviseCommand is the process that up leaves behind.
func newSuperviseCommand(stateDir *string) *cobra.Command {
	return &cobra.Command{
		Use: "supervise", Short: "Run a lab (called by up)", Args: cobra.NoArgs, Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// What was inherited must not be passed on: a component that held the
			// lock would keep it after the supervisor's end.
			unix.CloseOnExec(lab.EventsFD)
			unix.CloseOnExec(lab.LockFD)
			events := os.NewFile(lab.EventsFD, "events")
			defer events.Close()
			return lab.Supervise(cmd.Context(), *stateDir, events)
		},
	}
}
