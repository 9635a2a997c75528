package main

import (
	"errors"
	"os"

	"github.com/spf13/cobra"

	"github.com/fairlead-lb/fairlead/internal/bpffs"
)

// nothingPinned tells people who want to take programs away that there are none
// by that directory. That is no error: what they asked for is so.
func nothingPinned(cmd *cobra.Command, dir string) bool {
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		return false
	}
	cmd.PrintErrf("nothing was detached: there is no pin directory %s; if a program is still there, name its --pin-dir\n", dir)
	return true
}

// pinHint is the next step after an error with the pin directory of an edge or
// of a helper, and empty when err is another.
func pinHint(err error, holder string) string {
	switch {
	case errors.Is(err, bpffs.ErrNoBPFFS):
		return "mount one with 'mount -t bpf bpf /sys/fs/bpf', or name another directory with --pin-dir"
	case errors.Is(err, bpffs.ErrHeld):
		return "stop the " + holder + " that runs with this --pin-dir first"
	}
	return ""
}
